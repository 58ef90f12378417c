"""How an event that an old release stored is read as one of today: the stored bytes never change.

What needs nothing: a new field at the end, with a default. An older payload ends before it, and is
read with the default. So is a new member of an enumeration.

What needs this: a kind that is replaced, or a field whose meaning changes. The new meaning gets a
new class and a new code. The class of before is kept beside it as it was, frozen, with its code and
a pure function to the event of today; nothing else knows it. Whoever reads a log gets the event of
today; rows, crcs, chain and index keep the old code and the old bytes.

One event becomes one event. A row is a seq, and others refer to it by that (`cause`, `evidence`):
were it read as two, every seq after it would be another one; as none, the log would have a gap.
What one event said and two say today, the fold of the one has to do.

The function must give an event for whatever the old class can hold: it must not raise. It may not
ask for the state, for the same bytes are read alone as well. An observation should stay one, and a
decision a decision: what is decided again is decided upon the observations.
"""

from collections.abc import Callable, Mapping
from types import GenericAlias
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

Old = TypeVar("Old")
Today = TypeVar("Today")

Decode: TypeAlias = Callable[[bytes], Today]  # raises msgspec.DecodeError
DecodeList: TypeAlias = Callable[[bytes], list[Today]]  # of a msgpack array of payloads; likewise


class Retired(msgspec.Struct, Generic[Old, Today], frozen=True, kw_only=True):
    """A kind that is not written any more."""

    name: str  # of the kind, as the logs of its time have it
    old: type[Old]  # its payload
    kind: type[Today]  # what it is read as
    upcast: Callable[[Old], Today]


def decoders(
    kinds: Mapping[int, type[Today]], retired: Mapping[int, Retired[Any, Today]]
) -> dict[int, Decode[Today]]:
    """Return what reads a payload, by code; for the kinds of today that is msgspec itself."""
    assert kinds.keys().isdisjoint(retired)
    found: dict[int, Decode[Today]] = {
        code: msgspec.msgpack.Decoder(kind).decode for code, kind in kinds.items()
    }
    return found | {code: _upcasting(before) for code, before in retired.items()}


def list_decoders(
    kinds: Mapping[int, type[Today]], retired: Mapping[int, Retired[Any, Today]]
) -> dict[int, DecodeList[Today]]:
    """Return what reads a msgpack array of payloads, by code."""
    assert kinds.keys().isdisjoint(retired)
    found: dict[int, DecodeList[Today]] = {
        code: _list_decoder(kind).decode for code, kind in kinds.items()
    }
    return found | {code: _upcasting_list(before) for code, before in retired.items()}


def _list_decoder(kind: type[Old]) -> "msgspec.msgpack.Decoder[list[Old]]":
    return msgspec.msgpack.Decoder(GenericAlias(list, (kind,)))


def _upcasting(before: Retired[Old, Today]) -> Decode[Today]:
    decode, upcast = msgspec.msgpack.Decoder(before.old).decode, before.upcast
    return lambda payload: upcast(decode(payload))


def _upcasting_list(before: Retired[Old, Today]) -> DecodeList[Today]:
    decode, upcast = _list_decoder(before.old).decode, before.upcast
    return lambda payloads: list(map(upcast, decode(payloads)))
