"""The fold over what people plan, and over masters that rest, are ejected or are forgiven."""

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import LogCorrupted
from engine.core.events import Recorded
from engine.core.folds.places import group_of, place_of
from engine.core.seen import Ejected
from engine.core.state import MasterState, State


def scheduled(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.SwitchoverScheduled)
    group_of(state, recorded).scheduled = st.Scheduled(
        seq=recorded.seq, to=event.to, due_us=event.due_us, author=event.author
    )


def schedule_ended(state: State, recorded: Recorded) -> None:
    group = group_of(state, recorded)
    if group.scheduled is None:
        raise LogCorrupted(recorded.seq, f"no switchover of {group.id} is scheduled")
    group.scheduled = None


def drained(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.DrainChanged)
    place_of(state, recorded).master.is_drained = event.drained


def ejected(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MasterEjected)
    place_of(state, recorded).master.ejected = Ejected(
        until_us=event.until_us, times=event.times, is_out=True
    )


def readmitted(state: State, recorded: Recorded) -> None:
    out = place_of(state, recorded).master.ejected
    if out is not None:
        out.is_out = False


def reset(state: State, recorded: Recorded) -> None:
    """Forget what was counted of a master, or of a group and all its masters."""
    if recorded.subject in state.cache.places:
        _forget(state, recorded.subject, place_of(state, recorded).master)
        return
    group = group_of(state, recorded)
    group.retry_us = group.retry_at_us = group.failed_id = 0
    for name, master in group.masters.items():
        _forget(state, name, master)


def _forget(state: State, name: str, master: MasterState) -> None:
    master.failures.clear()
    state.cache.note_failing(name, fails=False)
    master.refused = master.poor = master.poor_at = master.failing_us = 0
    master.gone_us = 0
    master.is_hard = False
    if master.fence is None or master.fence.is_confirmed:
        master.left_at_us = 0  # else its lease counts from then
    master.flaps, master.recovery = None, None
    master.blips = master.blip_max = 0
    if master.ejected is not None:
        master.ejected.times = 0  # the next one is the first in a row
