"""Where an event belongs in the state, and what its arrival unsettles there."""

from typing import Final

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import LogCorrupted
from engine.core.events import FLEET, Recorded
from engine.core.machines import FAILOVER
from engine.core.state import GroupState, Place, State

# Events about a master that move no version: nothing was decided or asked for. ProbeOk does not
# come here.
_PASSING: Final = (
    ev.ProbeDegraded,
    ev.ProbeFailed,
    ev.ConnectionClosed,
    ev.LoadReported,
    ev.Outcome,
)


def place_of(state: State, recorded: Recorded) -> Place:
    """Return where an event about a master belongs; its group is not calm any more."""
    place = state.cache.places.get(recorded.subject)
    if place is None:
        raise LogCorrupted(recorded.seq, f"no master {recorded.subject!r}")
    if type(recorded.event) not in _PASSING:
        place.group.version += 1
    place.calm.clear()
    place.is_plain = place.is_steady = False
    state.cache.stir(place.group.id)
    return place


def group_of(state: State, recorded: Recorded) -> GroupState:
    """Return the group that an event is about; it is not calm any more."""
    group = state.groups.get(recorded.subject)
    if group is None:
        raise LogCorrupted(recorded.seq, f"no group {recorded.subject!r}")
    group.version += 1
    state.cache.calm[group.id].clear()
    state.cache.stir(group.id)
    return group


def saga_of(group: GroupState, recorded: Recorded) -> st.Saga:
    """Return the open failover, moved on by `recorded`."""
    if group.saga is None:
        name = type(recorded.event).__name__
        raise LogCorrupted(recorded.seq, f"{name} while no failover of {group.id} is open")
    saga = group.saga
    phase = FAILOVER.move(saga.phase, recorded)
    saga.phases.append((saga.phase.value, recorded.at_us - saga.since_us))
    saga.phase, saga.since_us = phase, recorded.at_us
    return saga


def unsettle(state: State) -> None:
    """Let no good probe pass undecided until its group was looked at again.

    Where one serves, the next of each master may be what is waited for since a start, so it is not
    like the last. Where all do, nobody's is.
    """
    for calm in state.cache.calm.values():
        calm.clear()
    for place in state.cache.places.values():
        if st.is_active_standby(state, place.group):
            place.is_plain = place.is_steady = False
            place.is_awaited = True
    state.cache.stir_all()


def part_of(state: State, recorded: Recorded) -> GroupState | st.FleetState:
    """Return the part that an event about a group or the fleet belongs to."""
    if recorded.subject == FLEET:
        state.fleet.version += 1
        unsettle(state)
        return state.fleet
    return group_of(state, recorded)


def quiet_group_of(state: State, recorded: Recorded) -> GroupState:
    """Return the group of an event that moves no verdict and no version."""
    group = state.group_of(recorded.subject)
    if group is None:
        raise LogCorrupted(recorded.seq, f"no master or group {recorded.subject!r}")
    return group
