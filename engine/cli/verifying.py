"""Whether a log is what it was, and adds up: its rows, its fold, its rollbacks."""

from collections import defaultdict
from typing import Final

from engine.cli.output import Report
from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import LogCorrupted, LogError
from engine.core.events import KINDS, GroupControl, Recorded, RollbackRequested, decode
from engine.core.evolve import evolve
from engine.core.state import State
from engine.log.protocol import Log
from engine.log.verify import verify

REPORT_EVENTS: Final = 20_000  # between two reports of progress
_ROLLBACK: Final = next(code for code, kind in KINDS.items() if kind is RollbackRequested)


def verified(log: Log, report: Report) -> dict[str, object]:
    """Return what does not fit in `log`, as `verify --json` prints it (interfaces.md)."""
    fold = _Fold(_positions(log), report, log.head.seq)
    found = verify(log, fold=fold)
    problems = [*found.problems, *(f"event {seq}: {what}" for seq, what in fold.wrong)]
    bad = [seq for seq, _ in fold.wrong]
    if found.first_bad is not None:
        bad.append(found.first_bad)
    return {
        "ok": not problems,
        "events": found.events,
        "head": found.head,
        "digest": None if problems else st.digest(fold.state),
        "first_bad": min(bad, default=None),
        "problems": problems,
    }


def _positions(log: Log) -> dict[int, set[str]]:
    """Return the positions that rollbacks went back to, each with the groups that did."""
    found: dict[int, set[str]] = defaultdict(set)
    try:
        for seq, _, kind, subject, _, payload, _ in log.rows():
            if kind == _ROLLBACK:
                event = decode(kind, payload, seq=seq)
                assert isinstance(event, RollbackRequested)
                found[event.position].add(subject)
    except LogError:
        pass  # the check of the rows names it
    return found


class _Fold:
    """Folds the log once, keeping the control state of every position that is gone back to."""

    def __init__(self, positions: dict[int, set[str]], report: Report, head: int) -> None:
        self.state: Final = State()
        self.wrong: Final[list[tuple[int, str]]] = []
        self._positions = positions
        self._controls: dict[tuple[int, str], GroupControl] = {}
        self._report = report
        self._head = head

    def __call__(self, recorded: Recorded) -> None:
        event, state = recorded.event, self.state
        try:
            evolve(state, recorded)
        except (LookupError, AssertionError, TypeError, ValueError, AttributeError) as err:
            what = f"cannot be folded: {type(err).__name__} {err}"
            raise LogCorrupted(recorded.seq, what) from err
        for group in self._positions.get(recorded.seq, ()):
            if group in state.groups:
                self._controls[recorded.seq, group] = st.control_of(state.groups[group])
        if isinstance(event, ev.RollbackRequested):
            control = self._controls.get((event.position, recorded.subject))
            if control != event.control or st.control_digest(event.control) != event.digest:
                what = f"its control is not what the log gives at position {event.position}"
                self.wrong.append((recorded.seq, what))
        if recorded.seq % REPORT_EVENTS == 0 or recorded.seq == self._head:
            self._report(recorded.seq, self._head)
