"""Whether a log is what it was, and adds up: its rows, its fold, its invariants, what lies beside.

Bodies and snapshots are no events, so what is wrong with them is no bad event: it is named, and
`first_bad` says nothing of it.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, TypeAlias

from engine.cli.bodychecking import BodyCheck
from engine.cli.output import Report
from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import ConfigurationError, LogCorrupted, LogError
from engine.core.events import (
    FleetRollbackRequested,
    GroupControl,
    Recorded,
    RollbackRequested,
    codes_of,
    decode,
)
from engine.core.evolve import evolve
from engine.core.replay import control_in
from engine.core.state import State
from engine.invariants import Invariants
from engine.log.checking import SnapshotCheck
from engine.log.codec import CHAIN_BYTES
from engine.log.copying import chain_at
from engine.log.excerpt import check_end, excerpt_of
from engine.log.protocol import Log
from engine.log.sqlite import SqliteLog
from engine.log.verify import PROBLEMS_MAX, verify

REPORT_EVENTS: Final = 20_000  # between two reports of progress
_ROLLBACKS: Final = codes_of((RollbackRequested, FleetRollbackRequested))

Kept: TypeAlias = tuple[int | None, str]  # a head that was kept elsewhere: seq (None: now), hex


def kept_head(text: str) -> Kept:
    """Return the head that `text` names, as `verify` prints it.

    Raises:
        ConfigurationError: It is none.
    """
    place, _, digest = text.rpartition(":")
    try:
        is_digest = len(bytes.fromhex(digest)) == CHAIN_BYTES
    except ValueError:
        is_digest = False
    if not is_digest or (place and not (place.isascii() and place.isdigit())):
        raise ConfigurationError(
            [f"--head: expected SEQ:DIGEST as `tanist verify` prints it, found {text!r}"]
        )
    return int(place) if place else None, digest.lower()


def verified(log: Log, report: Report, *, kept: Kept | None = None) -> dict[str, object]:
    """Return what does not fit in `log`, as `verify --json` prints it (interfaces.md)."""
    head = log.head.seq
    fold = _Fold(log, report, head)
    found = verify(log, fold=fold)
    problems = [*found.problems, *(f"event {seq}: {what}" for seq, what in fold.wrong)]
    bad = [seq for seq, _ in fold.wrong]
    if found.first_bad is not None:
        bad.append(found.first_bad)
    digest = None if problems else st.digest(fold.state)
    problems += fold.beside(is_whole=found.ok)
    problems += _unwritable(log)
    if kept is not None:
        problems += _moved(log, kept, head)
    return {
        "ok": not problems,
        "events": found.events,
        "seq": fold.state.seq if found.ok else head,  # an engine may have appended meanwhile
        "head": found.head,
        "digest": digest,
        "first_bad": min(bad, default=None),
        "problems": problems,
        "bodies": fold.bodies.found(),
    }


def _unwritable(log: Log) -> Iterator[str]:
    """Say so if no engine could write the log any more."""
    if isinstance(log, SqliteLog):
        try:
            log.writer_epoch()
        except LogError as err:
            yield str(err)


def _moved(log: Log, kept: Kept, head: int) -> Iterator[str]:
    """Say so if the log is not the one that had this head."""
    seq = head if kept[0] is None else kept[0]
    if seq > head:
        yield f"the head that was kept is of event {seq}, and the log ends at {head}"
        return
    try:
        found = chain_at(log, seq).hex()
    except LogError as err:
        yield f"the head that was kept is of event {seq}: {err}"
        return
    if found != kept[1]:
        yield f"the head that was kept of event {seq} is {kept[1]}, the log has {found} there"


def _positions(log: Log) -> dict[int, set[str]]:
    """Return the positions that rollbacks went back to, each with the groups that did."""
    found: dict[int, set[str]] = defaultdict(set)
    try:
        for seq, _, kind, subject, _, payload, _ in log.rows():
            if kind in _ROLLBACKS:
                event = decode(kind, payload, seq=seq)
                if isinstance(event, FleetRollbackRequested):
                    found[event.position].update(control.group for control in event.controls)
                    continue
                assert isinstance(event, RollbackRequested)
                found[event.position].add(subject)
    except LogError:
        pass  # the check of the rows names it
    return found


class _Fold:
    """Folds the log once, and holds what is stored or was said of a position against it."""

    def __init__(self, log: Log, report: Report, head: int) -> None:
        self.state: Final = State()
        self.wrong: Final[list[tuple[int, str]]] = []
        self._log = log
        self._positions = _positions(log)
        self._controls: dict[tuple[int, str], GroupControl | None] = {}
        self._begin = 0  # what was before this seq cannot be folded any more
        self._snapshots = SnapshotCheck(log)
        self._excerpt: Final = excerpt_of(log)
        self.bodies: Final = BodyCheck(log, are_kept=self._excerpt is None)
        self._invariants = Invariants()
        self._report = report
        self._head = head

    def __call__(self, recorded: Recorded) -> None:
        event, state = recorded.event, self.state
        try:
            evolve(state, recorded)
        except (LookupError, AssertionError, TypeError, ValueError, AttributeError) as err:
            what = f"cannot be folded: {type(err).__name__} {err}"
            raise LogCorrupted(recorded.seq, what) from err
        self._judge(recorded)
        self._snapshots.passed(state)
        self.bodies.passed(recorded)
        if isinstance(event, ev.LogBased):
            self._begin = recorded.seq
        for group in self._positions.get(recorded.seq, ()):
            self._controls[recorded.seq, group] = control_in(state, group)
        if isinstance(event, ev.RollbackRequested):
            said = ((recorded.subject, event.control, event.digest),)
            self._hold(recorded, event.position, said)
        elif isinstance(event, ev.FleetRollbackRequested):
            pairs = zip(event.controls, event.digests, strict=False)
            named = tuple((control.group, control, digest) for control, digest in pairs)
            self._hold(recorded, event.position, named)
        if recorded.seq % REPORT_EVENTS == 0 or recorded.seq == self._head:
            self._report(recorded.seq, self._head)

    def _judge(self, recorded: Recorded) -> None:
        """Hold what has to hold of every log against the next event."""
        known = len(self._invariants.broken)
        self._invariants.take(recorded)
        for one in self._invariants.broken[known:]:
            self.wrong.append((one.seq, f'"{one.invariant}" does not hold: {one.found}'))

    def _hold(
        self, recorded: Recorded, position: int, said: tuple[tuple[str, GroupControl, str], ...]
    ) -> None:
        """Hold the control that a rollback carries against what the log gives."""
        if position < self._begin:
            return
        for group, control, digest in said:
            known = self._controls.get((position, group))
            if known != control or st.control_digest(control) != digest:
                what = f"its control is not what the log gives at position {position}"
                self.wrong.append((recorded.seq, what))

    def beside(self, *, is_whole: bool) -> list[str]:
        """Return what is wrong with snapshots and bodies, as far as the fold went.

        Args:
            is_whole: The fold went to the end, so that what is left over there is wrong too.
        """
        if is_whole:
            self._snapshots.end()
            self.bodies.end()
            if self._excerpt is not None:
                try:
                    check_end(self._excerpt, self.state)
                except LogCorrupted as err:
                    return [str(err)]
        return [*self._snapshots.problems, *self.bodies.problems][:PROBLEMS_MAX]
