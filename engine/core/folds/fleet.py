"""The fold over what concerns the fleet and its policy, and over what people ask for."""

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import LogCorrupted
from engine.core.events import Recorded
from engine.core.folds.places import group_of, part_of, place_of, unsettle
from engine.core.seen import MAINTENANCE, SILENT
from engine.core.state import GroupState, MasterState, State


def deadline_passed(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.DeadlinePassed)
    place = state.cache.places.get(recorded.subject)
    if event.what == SILENT and place is not None and place.master.report is not None:
        place.master.report.is_silent = True
    group = state.group_of(recorded.subject)
    if group is not None:
        if event.what == MAINTENANCE:
            group.windows_us = recorded.at_us
        _stir(state, group)
    else:
        unsettle(state)


def engine_started(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.EngineStarted | ev.EngineResumed)
    state.fleet.version += 1
    state.fleet.started_us = recorded.at_us
    if isinstance(event, ev.EngineStarted):
        state.fleet.release = event.release
        state.fleet.begun_us = recorded.at_us
    else:
        state.fleet.stalled_us, state.fleet.stall_us = recorded.at_us, event.stall_us
    unsettle(state)


def clock_stepped(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.ClockStepped)
    part_of(state, recorded)
    state.fleet.stepped_us, state.fleet.step_us = recorded.at_us, event.step_us


def doubt_changed(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.DoubtChanged)
    part_of(state, recorded)
    state.fleet.doubt_seq = recorded.seq if event.doubted else 0
    if not event.doubted:
        state.fleet.trusted_seq = recorded.seq


def configuration_loaded(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.ConfigurationLoaded)
    state.fleet.version += 1
    state.fleet.file_digest = event.digest


def policy_adopted(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.PolicyAdopted)
    fleet = state.fleet
    fleet.version += 1
    fleet.policy, fleet.policy_seq = event.policy, recorded.seq
    fleet.policy_digest = event.digest
    for name in [name for name in state.groups if name not in event.policy.groups]:
        if state.groups[name].masters:
            raise LogCorrupted(recorded.seq, f"group {name!r} is dropped and still has masters")
        del state.groups[name]
    for name, policy in event.policy.groups.items():
        group = state.groups.setdefault(name, GroupState(id=name))
        if not group.masters:
            group.windows_us = recorded.at_us if fleet.maintenance else 0
        group.strategy = policy.strategy
    # Rules go through groups and masters in their order here, which a stored state has by id.
    state.groups = dict(sorted(state.groups.items()))
    st.reindex(state)


def master_added(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MasterAdded)
    group = state.groups.get(event.master.group)
    if group is None or recorded.subject != event.master.id:
        raise LogCorrupted(recorded.seq, f"no group {event.master.group!r} for {recorded.subject}")
    group.version += 1
    known = group.masters.get(recorded.subject)
    if known is None:
        is_last = recorded.subject > next(reversed(group.masters), "")
        added = MasterState(declared=event.master, by_command=event.by_command)
        group.masters[recorded.subject] = added
        if not is_last:
            group.masters = dict(sorted(group.masters.items()))
    else:
        if known.declared.address != event.master.address:
            _forget_answers(known)
        known.declared, known.by_command = event.master, event.by_command
    st.index(state, group, recorded.subject)
    _stir(state, group)


def _stir(state: State, group: GroupState) -> None:
    state.cache.calm[group.id].clear()
    state.cache.stir(group.id)


def _forget_answers(master: MasterState) -> None:
    """Believe nothing that was said at another address, or of what is there."""
    master.boot, master.reported_epoch, master.reported_role = "", None, ""
    master.good_us = 0
    master.is_claim_known = False
    master.report = None
    st.forget_follow(master)


def master_removed(state: State, recorded: Recorded) -> None:
    place = place_of(state, recorded)
    del place.group.masters[recorded.subject]
    for key in [key for key, a in place.group.alerts.items() if a.subject == recorded.subject]:
        del place.group.alerts[key]
    if place.group.assigned == recorded.subject:
        place.group.assigned = ""
    # A program that runs for it still ends unheard.
    place.group.hooks = [hook for hook in place.group.hooks if hook.master != recorded.subject]
    del state.cache.places[recorded.subject]
    state.cache.failing.discard(recorded.subject)
    state.cache.sound.discard(recorded.subject)


def paused(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.Paused)
    part = part_of(state, recorded)
    if event.by_file:
        state.fleet.file_pause = event.reason
        return
    part.pause_until_us, part.pause_reason = event.until_us or -1, event.reason


def resumed(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.Resumed)
    part = part_of(state, recorded)
    if event.by_file:
        state.fleet.file_pause = None
        return
    part.pause_until_us, part.pause_reason = 0, ""


def released(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.Released)
    if recorded.subject in state.cache.places:
        place_of(state, recorded)
        return
    if recorded.subject == ev.FLEET:
        part_of(state, recorded)
        if event.scope in ("limit", "any"):
            state.fleet.counted.clear()
        return
    group = group_of(state, recorded)
    if st.awaited_fences(group):
        return  # it is refused: what is waited for is no brake
    if event.scope in ("hold-down", "any"):
        group.hold_until_us = 0
    if event.scope in ("limit", "any"):
        group.counted_us.clear()


def maintenance(state: State, recorded: Recorded) -> None:
    """Note a window; one with the same beginning takes its place, an empty one retracts it."""
    event = recorded.event
    assert isinstance(event, ev.MaintenanceDeclared)
    marked: MasterState | GroupState | st.FleetState = (
        place_of(state, recorded).master
        if recorded.subject in state.cache.places
        else part_of(state, recorded)
    )
    own = state.group_of(recorded.subject)
    for group in state.groups.values() if own is None else (own,):
        group.windows_us = recorded.at_us  # what began before is looked at now, with the command
    # What is over is a matter of accounting, which folds the log itself.
    marked.maintenance = [
        span for span in marked.maintenance if span[0] != event.from_us and span[1] > recorded.at_us
    ]
    if event.from_us < event.to_us:
        marked.maintenance.append((event.from_us, event.to_us))


def space(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.SpaceShort | ev.SpaceReturned)
    state.fleet.version += 1
    state.cache.stir(ev.FLEET)
    state.fleet.space = (event.left, event.reserve) if isinstance(event, ev.SpaceShort) else None


def checkpoint(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.CheckpointMarked)
    state.fleet.version += 1
    if event.name[:1].isalpha():  # anything else could be mistaken for a position
        state.fleet.checkpoints.setdefault(event.name, recorded.seq)  # a name is never reused


def noted(state: State, recorded: Recorded) -> None:
    """Record what only decisions follow from."""
    if recorded.subject in state.cache.places:
        place_of(state, recorded)
    elif recorded.subject in state.groups:
        group_of(state, recorded)
    elif recorded.subject == ev.FLEET:
        state.fleet.version += 1
    else:
        raise LogCorrupted(recorded.seq, f"no master or group {recorded.subject!r}")


def exclusion(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.ExclusionChanged)
    place_of(state, recorded).master.is_excluded = event.excluded


def strategy(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.StrategyChanged)
    group_of(state, recorded).strategy = event.strategy
