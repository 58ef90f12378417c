"""Events as rows, and back.

These are the loops that every event passes, so they bind what they use and call nothing of ours
for a single row. What they compute is defined elsewhere and held to it by tests: the payload by
`engine.core.events`, the crc by `engine.log.chain`.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from engine.core.errors import LogConflict, LogCorrupted
from engine.core.events import DECODERS, KINDS, AnyEvent, LogBased, Recorded, decode, encode
from engine.log.protocol import EventRow, Head, Row
from engine.log.stretches import GOOD, Columns

CHAIN_BYTES: Final = 32
BASE_KIND: Final = next(code for code, kind in KINDS.items() if kind is LogBased)
# Of a block of one: first seq, count, at_us, kind, cause, length of the subject.
_PACK_START: Final = struct.Struct("<QIqqqI").pack
_PACK_LENGTH: Final = struct.Struct("<I").pack


def encode_rows(events: Sequence[Recorded], *, head: Head, crc: int) -> list[Row]:
    """Return the rows of `events`, which follow `head`, whose row has this crc.

    Raises:
        LogConflict: A seq is not the next one, a time goes back, or a base is not the beginning.
    """
    rows: list[Row] = []
    add, check, start, length = rows.append, zlib.crc32, _PACK_START, _PACK_LENGTH
    seq, at_us = head.seq, head.at_us
    for recorded in events:
        event = recorded.event
        if type(event) is LogBased:
            _check_base(event, recorded, seq)
        elif recorded.seq != seq + 1:
            raise LogConflict(f"expected event {seq + 1} to follow, found {recorded.seq}")
        if recorded.at_us < at_us:
            raise LogConflict(
                f"event {recorded.seq}: expected a time from {at_us} us on, found {recorded.at_us}"
            )
        seq, at_us, subject, cause = (
            recorded.seq,
            recorded.at_us,
            recorded.subject,
            recorded.cause,
        )
        kind, payload = encode(event)
        name = subject.encode()
        block = start(seq, 1, at_us, kind, cause, len(name)) + name + length(len(payload))
        crc = check(block + payload, crc)
        add((seq, at_us, kind, subject, cause, payload, crc))
    return rows


def _check_base(event: LogBased, recorded: Recorded, seq: int) -> None:
    if seq != 0:
        raise LogConflict(f"event {recorded.seq}: a base can only be the beginning of a log")
    if event.seq != recorded.seq or recorded.seq < 1 or len(event.chain) != CHAIN_BYTES:
        raise LogConflict(f"event {recorded.seq}: a base of event {event.seq}")


def crcs_of(rows: Iterable[Row], *, crc: int) -> list[int]:
    """Return what the crcs of `rows` have to be, if the row before them has this one."""
    check, start, length = zlib.crc32, _PACK_START, _PACK_LENGTH
    found: list[int] = []
    for seq, at_us, kind, subject, cause, payload, _ in rows:
        name = subject.encode()
        block = start(seq, 1, at_us, kind, cause, len(name)) + name + length(len(payload))
        crc = check(block + payload, crc)
        found.append(crc)
    return found


def decode_rows(rows: Sequence[EventRow]) -> list[Recorded]:
    """Return the events of `rows`.

    Raises:
        LogTooNew: An event is of a kind that this release does not know.
        LogCorrupted: A payload is not one of its kind.
    """
    known, build = DECODERS, Recorded
    try:
        return [
            build(seq, at_us, subject, cause, known[kind](payload))
            for seq, at_us, kind, subject, cause, payload in rows
        ]
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        for seq, _, kind, _, _, payload in rows:
            decode(kind, payload, seq=seq)
        raise


def stretch_of(rows: Sequence[EventRow]) -> Columns:
    """Return the events of `rows`, one at least, as columns; raises as `decode_rows` does."""
    seqs, times, kinds, subjects, causes, payloads = zip(*rows, strict=True)
    good = payloads
    others = []
    if kinds.count(GOOD) < len(kinds):
        others = [place for place, kind in enumerate(kinds) if kind != GOOD]
        good = tuple(row[5] for row in rows if row[2] == GOOD)
    return Columns(
        seqs=seqs,
        times=times,
        subjects=subjects,
        causes=causes,
        others=others,
        good=b"".join(good),
        sizes=list(map(len, good)),
        decode=lambda: _events(kinds, payloads, rows),
    )


def _events(
    kinds: Sequence[int], payloads: Sequence[bytes], rows: Sequence[EventRow]
) -> list[AnyEvent]:
    """Return the events of `rows`, given by these two of their columns."""
    known = DECODERS
    try:
        return [known[kind](payload) for kind, payload in zip(kinds, payloads, strict=True)]
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        decode_rows(rows)  # which names the one that cannot be decoded
        raise


def base_of(row: Row) -> LogBased | None:
    """Return the base that the first row of a log is; None if it is an ordinary event.

    Raises:
        LogCorrupted: It is a base, but not of the seq that it stands at.
    """
    if row[2] != BASE_KIND:
        return None
    event = decode(row[2], row[5], seq=row[0])
    assert isinstance(event, LogBased)
    if event.seq != row[0] or len(event.chain) != CHAIN_BYTES:
        raise LogCorrupted(row[0], f"a base of event {event.seq}")
    return event
