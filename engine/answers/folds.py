"""The state of a log at a position, with progress for who waits; and what went stale since."""

import itertools
from collections.abc import Callable
from typing import Final

from engine.core.deadlines import deadlines
from engine.core.decider import decide
from engine.core.events import DeadlinePassed, Recorded
from engine.core.evolve import evolve
from engine.core.replay import replay
from engine.core.state import State
from engine.core.step import Step
from engine.log import states
from engine.log.protocol import Log
from engine.log.thinning import to_fold

Progress = Callable[[int, int], None]  # the position reached and the last one [seq]
PROGRESS_EVENTS: Final = 20_000  # between two reports; some twenty milliseconds


def state_at(log: Log, seq: int | None = None, *, progress: Progress | None = None) -> State:
    """Return the fold of the events up to `seq`; None: of all of them.

    With `progress` every event is folded, from the first one that is there; without it the nearest
    snapshot spares those before it.

    Raises:
        LogCorrupted: At the first event that does not fit.
    """
    until = log.head.seq if seq is None else seq
    if progress is None:
        return states.state_at(log, until)
    state = State()
    progress(0, until)
    events = to_fold(log, until)
    while taken := list(itertools.islice(events, PROGRESS_EVENTS)):
        state = replay(taken, state=state)
        progress(state.seq, until)
    return state


def stale_until(state: State, at_us: int) -> list[Recorded]:
    """Return what would have been appended by `at_us` because nothing was heard: staleness only.

    It is derived and never stored: an answer as of a time is the fold of the events up to it, and
    this. The `state` is used up.

    Args:
        state: The fold of the log up to that time.
        at_us: The time of the question [us, not before the state's].
    """
    assert at_us >= state.at_us
    sheet = Step(state, evolve)
    while True:
        due = min((due for acting, due in deadlines(state) if not acting), default=None)
        if due is None or due[0] > at_us:
            return sheet.recorded
        event = DeadlinePassed(what=due[2])
        sheet.observe(event, subject=due[3], at_us=max(due[0], state.at_us))
        decide(sheet, event)
