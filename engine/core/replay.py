"""The fold over a log: its state at any position, and the control to roll back to.

Rollback is this and an ordinary command: there is no code that undoes an event. What-if feeds the
recorded observations to `step` again; under the recorded policy it must give the recorded log.
"""

from collections.abc import Iterable, Iterator
from typing import cast

import msgspec

from engine.core import events as ev
from engine.core import lulls
from engine.core import state as st
from engine.core.deadlines import STALENESS
from engine.core.decider import Decide, decide, step
from engine.core.events import GroupControl, Recorded
from engine.core.evolve import evolve, evolve_all
from engine.core.lulls import Stretch
from engine.core.state import State
from engine.core.step import Evolve


def replay(
    log: Iterable[Recorded],
    *,
    state: State | None = None,
    until_seq: int | None = None,
    evolve: Evolve = evolve,
) -> State:
    """Return the state after the events with `seq` <= `until_seq` (all of them when None).

    Holds one event at a time, so its memory grows with the fleet and not with the log. A `state`
    that is passed in is used up: it is updated in place and returned.

    Raises:
        LogCorrupted: At the first seq that is missing, repeated, or asks for an illegal move.
    """
    state = State() if state is None else state
    if until_seq is None:
        evolve_all(state, log, each=evolve)
        return state
    for recorded in log:
        if recorded.seq > until_seq:
            break
        evolve(state, recorded)
    return state


def replay_stretches(log: Iterable[Stretch], *, state: State | None = None) -> State:
    """Return what `replay` returns for the same events, sooner where little happens in them.

    Holds one stretch at a time. A `state` that is passed in is used up.

    Raises:
        LogCorrupted: As there.
    """
    state = State() if state is None else state

    def each(events: list[Recorded]) -> None:
        evolve_all(state, events)

    def lull(stretch: Stretch, begin: int) -> int:
        end = stretch.good_until(begin)
        if end - begin < lulls.EVENTS_MIN or not lulls.follows(state, stretch, begin, end):
            return 0
        masters = stretch.masters(begin, end)
        if end - begin < lulls.EACH_EVENTS * len(masters):
            return 0
        known = lulls.known_of(state, masters)
        found = None if known is None else stretch.lull(begin, end, known)
        if found is None:
            return 0
        lulls.take(state, found)
        return end - begin

    for stretch in log:
        lulls.go_through(stretch, lull, each)
    return state


def control_at(log: Iterable[Recorded], group: str, *, position: int) -> GroupControl | None:
    """Return the control state of `group` at `position`; None if there was no such group."""
    return control_in(replay(log, until_seq=position), group)


def control_in(state: State, group: str) -> GroupControl | None:
    """Return the control state of `group` to go back to; None if there is no such group.

    Nobody is assigned in it if the group has no active master: whoever was fenced last is nobody
    to go back to.
    """
    part = state.groups.get(group)
    if part is None:
        return None
    control = st.control_of(part)
    if st.is_active_standby(state, part) and not st.active_of(part):
        return msgspec.structs.replace(control, assigned="")
    return control


def controls_in(state: State, groups: Iterable[str]) -> tuple[GroupControl, ...]:
    """Return the control states of those of `groups` that there are, to go back to."""
    found = (control_in(state, name) for name in sorted(groups))
    return tuple(control for control in found if control is not None)


def decide_again(
    log: Iterable[Recorded], *, decide: Decide = decide, evolve: Evolve = evolve
) -> Iterator[Recorded]:
    """Yield the log that the recorded observations give when they are decided upon again.

    Decisions, deadlines and assumed outcomes are dropped and derived anew. Under the recorded
    policy and by the release that wrote it, the result is the log itself. One observation is held
    at a time, so memory grows with the fleet and not with the log.
    """
    state = State()
    at_us = based = 0
    for recorded in log:
        at_us = recorded.at_us
        event = recorded.event
        if type(event) is ev.LogBased or 0 < recorded.cause <= based:
            # What it begins with may lie between an observation and what followed from that.
            based = based or recorded.seq
            evolve(state, recorded)
            yield recorded
            continue
        if type(event) is ev.DeadlinePassed and event.what not in STALENESS:
            # An engine ran then: what was due by then was acted upon before whatever came next,
            # even if that was a command to the stopped log, which by itself acts on no deadline.
            yield from step(state, None, at_us=at_us, decide=decide, evolve=evolve)
        if recorded.cause or not _is_external(event):
            continue
        observed = cast("ev.Observation", event)
        yield from step(
            state, observed, subject=recorded.subject, at_us=at_us, decide=decide, evolve=evolve
        )
    yield from step(state, None, at_us=at_us, decide=decide, evolve=evolve)


def _is_external(event: ev.AnyEvent) -> bool:
    return type(event) in ev.OBSERVATIONS and type(event) is not ev.DeadlinePassed
