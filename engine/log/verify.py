"""Whether a log is what it was: every row, in order, from what is stored."""

import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import msgspec

from engine.core.errors import LogCorrupted, LogError, LogTooNew
from engine.core.events import READ_AS, LogBased, ObservationsDropped, Recorded, decode
from engine.log.blocks import Block
from engine.log.chain import BLOCK_EVENTS, ZERO, ChainFold
from engine.log.codec import BASE_KIND, crcs_of, decode_rows
from engine.log.protocol import CHUNK_EVENTS, Log, Row, Seal
from engine.log.schema import PASSING
from engine.log.thinning import WITH_EVIDENCE, base_of, dropped_in, last_dropped, stayed_digest

Fold: TypeAlias = Callable[[Recorded], None]

PROBLEMS_MAX: Final = 20  # those after it are consequences more often than news


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found."""

    ok: bool
    events: int  # read [count]
    head: str  # the chain's head as hex; "" if the rows have a gap, so that there is none
    first_bad: int | None  # seq of the first event that does not fit
    problems: tuple[str, ...]  # the first PROBLEMS_MAX, in the order of their events


def verify(log: Log, fold: Fold | None = None) -> Verification:
    """Return what does not fit in `log`: seqs, times, crcs, payloads, kinds, causes, evidence.

    Of a sealed block it is its first event that is named, for its rows have no crcs of their own.

    `fold` gets each event up to the first that it refuses by raising LogCorrupted; if observations
    were dropped, it begins with the base that stands for them. Damage that was made with fitting
    crcs shows in `head` only: compare it with one that is kept elsewhere.
    """
    check = _Check(fold, {seal.seq: seal for seal in log.seals()})
    for rows in _readable(log, check, _thinned(log, check)):
        check.take(rows)
    if not check.problems:
        check.index(log)
    return Verification(
        ok=not check.problems,
        events=check.events,
        head="" if check.chain is None else check.chain.head.hex(),
        first_bad=check.first_bad,
        problems=tuple(check.problems),
    )


def _thinned(log: Log, check: "_Check") -> int:
    """Check the blocks that retention has been in, and return the seq that they end with."""
    seq, bad, stayed = 0, 1, ZERO
    try:
        for block in log.blocks():
            if not block.is_thinned:
                break
            bad, seq = block.first, block.last
            stayed = check.stayed(block, stayed)
        bad = seq + 1
        last = last_dropped(log)
        if last is not None:
            check.base(dropped_in(last), seq, stayed)
        elif seq:
            check.found(bad, "what is before it was thinned, and no event says so")
            check.unfold()
    except (LogCorrupted, LogTooNew) as err:
        check.unfold()
        check.found(err.seq if isinstance(err, LogCorrupted) else bad, str(err))
    return seq


def _readable(log: Log, check: "_Check", seq: int) -> Iterator[list[Row]]:
    """Return the rows after `seq` up to the first that cannot be read at all.

    The check hears of that one.
    """
    for chunk in (CHUNK_EVENTS, 1):  # after an error one by one, to name the event
        try:
            rows = log.rows(seq, chunk=chunk)
            while taken := list(itertools.islice(rows, chunk)):
                yield taken
                seq = taken[-1][0]
        except LogError as err:
            failure = err
        else:
            return
    check.found(seq + 1, f"cannot be read: {failure}")


class _Check:
    def __init__(self, fold: Fold | None, seals: dict[int, Seal]) -> None:
        self.events = 0
        self.first_bad: int | None = None
        self.problems: list[str] = []
        self.chain: ChainFold | None = ChainFold()
        self._last: Row | None = None
        self._fold = fold
        self._later: tuple[Recorded, Fold | None] | None = None  # where it begins, if not at once
        self._seals = seals  # by the seq that they end with
        self._seldom: list[tuple[int, int]] = []  # kind and seq of what an index has to find

    def found(self, seq: int, problem: str) -> None:
        """Note a problem of the event `seq`."""
        self.first_bad = seq if self.first_bad is None else min(seq, self.first_bad)
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(f"event {seq}: {problem}")

    def unfold(self) -> None:
        """Take note that nobody knows what the events that follow would be folded on."""
        self._fold = None

    def take(self, rows: list[Row]) -> None:
        """Check the next rows: all at once, and one by one only if something does not fit."""
        events = _fitting(rows, self._last)
        if events is None:
            for row in rows:
                self._row(row)
                self._last = row
        elif self._fold is not None:
            for recorded in events:
                self._apply(recorded)
        self._last = rows[-1]
        if self._later is not None and self._last[0] == self._later[0].seq:
            base, self._fold = self._later
            self._apply(base)
        self.events += len(rows)
        self._seldom += [(row[2], row[0]) for row in rows if row[2] not in PASSING]
        if self.chain is not None:
            try:
                self.chain.feed(rows)
            except (LogCorrupted, LogTooNew):
                self.chain = None
        seal = self._seals.get(rows[-1][0])
        if seal is not None:
            self._sealed(seal, rows[-1])

    def stayed(self, block: Block, before: bytes) -> bytes:
        """Check a thinned block, which follows one with the digest `before`; return its own."""
        rows = block.rows()
        events = decode_rows(rows)
        if stayed_digest(before, block, rows) != block.digest:
            self.found(block.first, "what stayed of its block is not what did (digest)")
        times = [0 if self._last is None else self._last[1], *block.times, block.last_at_us]
        if not all(map(operator.le, times, times[1:])):
            self.found(block.first, "in its block a time goes back")
        for (seq, _, _, _, cause, _), recorded in zip(rows, events, strict=True):
            if not 0 <= cause < seq or not _rests_on_earlier(recorded):
                self.found(seq, "expected a cause and evidence before it")
        self.events += len(rows)
        self._seldom += [(row[2], row[0]) for row in rows if row[2] not in PASSING]
        self._last = (block.last, block.last_at_us, 0, "", 0, b"", block.last_crc)
        if self.chain is not None:
            self.chain.skip(block.last, block.chain)
        return block.digest

    def base(self, dropped: ObservationsDropped, seq: int, stayed: bytes) -> None:
        """Check the state that stands for what was dropped, thinned up to `seq` so far."""
        base = base_of(dropped)
        if seq == dropped.until:
            head = None if self.chain is None else self.chain.head
            if not self.problems and (head, stayed) != (dropped.chain, dropped.stayed):
                self.found(dropped.after + 1, "what stayed is not what it was when the rest went")
            self._apply(base)
        elif seq:  # it is thinned half-way, and can be folded from there on only
            self._later = base, self._fold
            self._fold = None

    def index(self, log: Log) -> None:
        """Check that the kinds that seldom come are found where they are, and nowhere else."""
        expected: dict[int, list[int]] = {code: [] for code in READ_AS if code not in PASSING}
        for kind, seq in self._seldom:
            expected.setdefault(kind, []).append(seq)
        for kind, seqs in expected.items():
            found = list(log.seqs_of((kind,)))
            if found != seqs:
                odd = min(set(found) ^ set(seqs), default=1)
                self.found(odd, f"the index of kind {kind} does not say what the log does")

    def _sealed(self, seal: Seal, last: Row) -> None:
        """Check the end of a block against what was stored beside it."""
        first = seal.seq - BLOCK_EVENTS + 1
        if (seal.at_us, seal.crc) != (last[1], last[6]):
            self.found(first, "the block that begins there ends otherwise than its last event")
        if self.chain is not None and self.chain.head != seal.chain:
            self.found(first, "the block that begins there is not the one that was sealed (chain)")
            self.chain = None

    def _row(self, row: Row) -> None:
        seq, at_us, kind, subject, cause, payload, crc = row
        before = self._last
        is_base = kind == BASE_KIND and before is None
        expected = 1 if before is None else before[0] + 1
        if seq != expected and not is_base:
            self.found(expected, f"missing: found event {seq} instead")
        if before is not None and at_us < before[1]:
            self.found(seq, f"expected a time from {before[1]} us on, found {at_us}")
        if crcs_of((row,), crc=0 if before is None else before[-1]) != [crc]:
            self.found(seq, "its bytes are not those that were stored (crc)")
        if not 0 <= cause < seq:
            self.found(seq, f"expected a cause before it, found {cause}")
        try:
            event = decode(kind, payload, seq=seq)
        except LogCorrupted as err:
            self.found(seq, err.found)
        except LogTooNew:
            self.found(seq, f"the kind {kind} is not known")
        else:
            recorded = Recorded(seq=seq, at_us=at_us, subject=subject, cause=cause, event=event)
            self._event(recorded, is_base=is_base)

    def _event(self, recorded: Recorded, *, is_base: bool) -> None:
        seq, event = recorded.seq, recorded.event
        if isinstance(event, LogBased) and not (is_base and event.seq == seq):
            self.found(seq, f"a base of event {event.seq}, which is not the beginning")
        if not _rests_on_earlier(recorded):
            self.found(seq, "expected evidence before it, found some after it")
        self._apply(recorded)

    def _apply(self, recorded: Recorded) -> None:
        if self._fold is not None:
            try:
                self._fold(recorded)
            except LogCorrupted as err:
                self.unfold()  # what it holds now means nothing for the events after this
                self.found(err.seq, err.found)


def _rests_on_earlier(recorded: Recorded) -> bool:
    evidence = getattr(recorded.event, "evidence", ())
    return not isinstance(evidence, tuple) or all(0 < seq < recorded.seq for seq in evidence)


def _fitting(rows: list[Row], before: Row | None) -> list[Recorded] | None:
    """Return the events of `rows` if nothing is wrong with any of them, and none is a base.

    The columns are checked as a whole: some ten times as fast as `_Check._row`, which says what
    is wrong and has to agree.
    """
    expected, at_us, crc = (1, 0, 0) if before is None else (before[0] + 1, before[1], before[-1])
    seqs, times, kinds, _, causes, _, crcs = zip(*rows, strict=True)
    if (
        seqs != tuple(range(expected, expected + len(rows)))
        or not all(map(operator.le, (at_us, *times), times))
        or min(causes) < 0
        or not all(map(operator.lt, causes, seqs))
        or BASE_KIND in kinds
        or tuple(crcs_of(rows, crc=crc)) != crcs
    ):
        return None
    try:
        events = decode_rows([row[:6] for row in rows])
    except (LogCorrupted, LogTooNew):
        return None
    deciding = (index for index, kind in enumerate(kinds) if kind in WITH_EVIDENCE)
    return events if all(_rests_on_earlier(events[index]) for index in deciding) else None
