"""Whether a log is what it was: every row, in order, from what is stored."""

import struct
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from engine.core.errors import LogCorrupted, LogError, LogTooNew
from engine.core.events import LogBased, Recorded, decode
from engine.log.chain import ChainFold, row_crc
from engine.log.protocol import CHUNK_EVENTS, Log, Row

PROBLEMS_MAX: Final = 20  # those after it are consequences more often than news


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found."""

    ok: bool
    events: int  # read [count]
    head: str  # the chain's head as hex; "" if the rows have a gap, so that there is none
    first_bad: int | None  # seq of the first event that does not fit
    problems: tuple[str, ...]  # the first PROBLEMS_MAX, in order


def verify(log: Log, fold: Callable[[Recorded], None] | None = None) -> Verification:
    """Return what does not fit in `log`: seqs, times, crcs, payloads, kinds, causes, evidence.

    `fold` gets each event up to the first that it refuses by raising LogCorrupted. Damage that
    was made with fitting crcs shows in `head` only: compare it with one that is kept elsewhere.
    """
    check = _Check(fold)
    for row in _readable(log, check):
        check.row(row)
    return Verification(
        ok=not check.problems,
        events=check.events,
        head="" if check.chain is None else check.chain.head.hex(),
        first_bad=check.first_bad,
        problems=tuple(check.problems),
    )


def _readable(log: Log, check: "_Check") -> Iterator[Row]:
    """Return the rows up to the first that cannot be read at all; the check hears of that one."""
    seq = 0
    for chunk in (CHUNK_EVENTS, 1):  # after an error one by one, to name the event
        try:
            for row in log.rows(seq, chunk=chunk):
                yield row
                seq = row[0]
        except LogError as err:
            failure = err
        else:
            return
    check.found(seq + 1, f"cannot be read: {failure}")


class _Check:
    def __init__(self, fold: Callable[[Recorded], None] | None) -> None:
        self.events = 0
        self.first_bad: int | None = None
        self.problems: list[str] = []
        self.chain: ChainFold | None = ChainFold()
        self.last: Row | None = None
        self._fold = fold

    def found(self, seq: int, problem: str) -> None:
        """Note a problem of the event `seq`."""
        if self.first_bad is None:
            self.first_bad = seq
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(f"event {seq}: {problem}")

    def row(self, row: Row) -> None:
        """Check one row against those before it."""
        seq, at_us, kind, subject, cause, payload, crc = row
        before, self.last = self.last, row
        self.events += 1
        expected = 1 if before is None else before[0] + 1
        is_base = False
        try:
            event = decode(kind, payload, seq=seq)
        except LogCorrupted as err:
            self.found(seq, err.found)
        except LogTooNew:
            self.found(seq, f"the kind {kind} is not known")
        else:
            is_base = isinstance(event, LogBased)
            recorded = Recorded(seq=seq, at_us=at_us, subject=subject, cause=cause, event=event)
            self._event(recorded, is_first=before is None)
        if seq != expected and not (is_base and before is None):
            self.found(expected, f"missing: found event {seq} instead")
        if before is not None and at_us < before[1]:
            self.found(seq, f"expected a time from {before[1]} us on, found {at_us}")
        if row_crc(row, 0 if before is None else before[-1]) != crc:
            self.found(seq, "its bytes are not those that were stored (crc)")
        if not 0 <= cause < seq:
            self.found(seq, f"expected a cause before it, found {cause}")
        self._link(row)

    def _event(self, recorded: Recorded, *, is_first: bool) -> None:
        seq, event = recorded.seq, recorded.event
        if isinstance(event, LogBased) and not (is_first and event.seq == seq):
            self.found(seq, f"a base of event {event.seq}, which is not the beginning")
        evidence = getattr(event, "evidence", ())
        if isinstance(evidence, tuple) and not all(0 < index < seq for index in evidence):
            self.found(seq, f"expected evidence before it, found {evidence}")
        if self._fold is not None:
            try:
                self._fold(recorded)
            except LogCorrupted as err:
                self._fold = None  # what it holds now means nothing for the events after this
                self.found(err.seq, err.found)

    def _link(self, row: Row) -> None:
        if self.chain is not None:
            try:
                self.chain.feed((row,))
            except (LogCorrupted, LogTooNew, struct.error):
                self.chain = None
