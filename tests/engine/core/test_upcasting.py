"""Kinds that were replaced: their bytes are read as events of today."""

import msgspec
import pytest

from engine.core.upcasting import Retired, decoders, list_decoders


class Delay(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """Today's: in microseconds, with its reason."""

    us: int
    why: str = ""


class DelayInMs(
    msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True
):
    """What it was: the same field meant something else."""

    ms: int
    why: str = ""


KINDS = {2: Delay}
RETIRED = {
    1: Retired(
        name="Delay",
        old=DelayInMs,
        kind=Delay,
        upcast=lambda old: Delay(us=old.ms * 1_000, why=old.why),
    )
}


def test_a_field_that_changed_its_meaning_keeps_what_it_meant() -> None:
    found = decoders(KINDS, RETIRED)
    assert found[1](msgspec.msgpack.encode([7, "slow"])) == Delay(us=7_000, why="slow")
    assert found[2](msgspec.msgpack.encode([7, "slow"])) == Delay(us=7, why="slow")
    assert found[1](msgspec.msgpack.encode([7])) == Delay(us=7_000)


def test_many_are_read_as_each_of_them_is() -> None:
    found = list_decoders(KINDS, RETIRED)
    assert found[1](msgspec.msgpack.encode([[7], [8, "x"]])) == [
        Delay(us=7_000),
        Delay(us=8_000, why="x"),
    ]
    assert found[1](msgspec.msgpack.encode([])) == []
    assert found[2](msgspec.msgpack.encode([[7], [8, "x"]])) == [Delay(us=7), Delay(us=8, why="x")]


@pytest.mark.parametrize("code", [1, 2])
def test_what_is_no_payload_of_the_code_is_refused(code: int) -> None:
    for bad in ([], ["x"], [7, "x", "one field too many"]):
        with pytest.raises(msgspec.DecodeError):
            decoders(KINDS, RETIRED)[code](msgspec.msgpack.encode(bad))
        with pytest.raises(msgspec.DecodeError):
            list_decoders(KINDS, RETIRED)[code](msgspec.msgpack.encode([bad]))


def test_the_kinds_of_today_are_read_by_msgspec_itself() -> None:
    """Nothing of ours is called for them."""
    for found in (decoders(KINDS, RETIRED), list_decoders(KINDS, RETIRED)):
        assert isinstance(getattr(found[2], "__self__", None), msgspec.msgpack.Decoder)


def test_a_code_has_one_meaning() -> None:
    for build in (decoders, list_decoders):
        with pytest.raises(AssertionError):
            build({1: Delay}, RETIRED)
