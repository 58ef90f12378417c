"""The fold: what each event changes in the state. It records and never refuses.

Invariant: nothing here chooses. A threshold that is read here (the observer's lateness) only says
whether an observation counts; whatever is concluded from it is an event of its own.
"""

from typing import Final

import msgspec

from engine.core import events as ev
from engine.core import messages
from engine.core import state as st
from engine.core.errors import LogCorrupted
from engine.core.events import Evidence, ProbeOk, Recorded
from engine.core.fleet import Role
from engine.core.machines import FAILOVER, HEALTH, ROLE
from engine.core.state import GroupState, MasterState, Phase, Place, State
from engine.core.step import Evolve

COUNTED_MAX: Final = 1_000  # starts of failovers kept for the limit of a group [count]


def evolve(state: State, recorded: Recorded) -> None:
    """Apply one fact to `state`, in place.

    Raises:
        LogCorrupted: It does not follow the position, or names a move or a master there is not.
    """
    event, seq, at_us = recorded.event, recorded.seq, recorded.at_us
    if state.seq == 0 and type(event) is ev.LogBased:
        _log_based(state, recorded, event)
        return
    if seq != state.seq + 1 or at_us < state.at_us:
        raise LogCorrupted(
            seq, f"expected seq {state.seq + 1} at {state.at_us} us or later, found {at_us} us"
        )
    state.seq, state.at_us = seq, at_us
    if type(event) is ProbeOk:  # nine of ten events, so it comes first
        place = state.cache.places.get(recorded.subject)
        if place is None:
            raise LogCorrupted(seq, f"no master {recorded.subject!r}")
        place.group.version += 1
        master = place.master
        if event.n <= master.observers.get(event.observer, 0):
            return
        master.observers[event.observer] = event.n
        master.heard_us = master.good_us = at_us
        master.good_seq = seq
        if (
            place.is_plain
            and event.epoch == master.reported_epoch
            and event.boot == master.boot
            and event.role == master.reported_role
        ):
            master.good += 1
            return
        _answered(state, place, event, recorded)
        return
    apply = _APPLY.get(type(event))
    if apply is None:
        raise LogCorrupted(recorded.seq, f"{type(event).__name__} may only begin a log")
    apply(state, recorded)


def _place(state: State, recorded: Recorded) -> Place:
    place = state.cache.places.get(recorded.subject)
    if place is None:
        raise LogCorrupted(recorded.seq, f"no master {recorded.subject!r}")
    place.group.version += 1
    place.calm.clear()
    place.is_plain = False
    state.cache.next_due_us = 0
    return place


def _group(state: State, recorded: Recorded) -> GroupState:
    group = state.groups.get(recorded.subject)
    if group is None:
        raise LogCorrupted(recorded.seq, f"no group {recorded.subject!r}")
    group.version += 1
    state.cache.calm[group.id].clear()
    state.cache.next_due_us = 0
    return group


def _saga(group: GroupState, recorded: Recorded) -> st.Saga:
    """Return the open failover, moved on by `recorded`."""
    if group.saga is None:
        name = type(recorded.event).__name__
        raise LogCorrupted(recorded.seq, f"{name} while no failover of {group.id} is open")
    saga = group.saga
    phase = FAILOVER.move(saga.phase, recorded)
    saga.phases.append((saga.phase.value, recorded.at_us - saga.since_us))
    saga.phase, saga.since_us, saga.step_seq = phase, recorded.at_us, recorded.seq
    return saga


# What probes saw.


def _answered(
    state: State, place: Place, event: ev.ProbeOk | ev.ProbeDegraded, recorded: Recorded
) -> None:
    """Count a good answer; the caller has checked its n."""
    place.calm.clear()
    state.cache.next_due_us = 0
    master = place.master
    if master.question:
        # Answered on a fresh connection: the question is closed and no counter moves.
        master.question = 0
    else:
        master.good += 1
        if type(event) is ev.ProbeDegraded:
            master.poor += 1
            master.poor_at = master.good
        else:
            master.poor = 0
        master.failures.clear()
        master.refused = 0
        master.is_hard = False
    if event.boot and event.boot != master.boot:
        if master.boot and master.fence is not None:
            master.fence.is_restarted = True
        master.boot = event.boot
    master.reported_epoch, master.reported_role = event.epoch, event.role
    if master.is_unjudged:
        master.is_unjudged, master.excused_seq = False, recorded.seq
    place.is_plain = not (master.failures or master.poor or master.refused)


def _probe_degraded(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.ProbeDegraded)
    place = _place(state, recorded)
    master = place.master
    if event.n > master.observers.get(event.observer, 0):
        master.observers[event.observer] = event.n
        master.heard_us = master.good_us = recorded.at_us
        master.good_seq = recorded.seq
        _answered(state, place, event, recorded)


def _probe_failed(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.ProbeFailed)
    place = _place(state, recorded)
    master = place.master
    if event.n <= master.observers.get(event.observer, 0):
        return
    master.observers[event.observer] = event.n
    master.heard_us = recorded.at_us
    probe = state.policy_of(place.group).probe
    if event.evidence is Evidence.OVERDUE and event.late_us > probe.late_us_max:
        return  # the observer was late itself; what it missed says nothing about the master
    if master.question:
        if event.evidence is Evidence.REFUSED:
            master.failures.append(master.question)
            master.is_hard, master.gone_seq = True, recorded.seq
        master.question = 0
    master.failures.append(recorded.seq)
    del master.failures[: -max(probe.fall + 1, 2)]
    master.good = master.poor = master.poor_at = 0
    master.refused = master.refused + 1 if event.evidence is Evidence.REFUSED else 0
    if master.refused >= 2:
        master.is_hard = True


def _connection_closed(state: State, recorded: Recorded) -> None:
    _place(state, recorded).master.question = recorded.seq


def _deadline_passed(state: State, recorded: Recorded) -> None:
    group = state.group_of(recorded.subject)
    if group is not None:
        group.version += 1
        state.cache.calm[group.id].clear()
    else:
        state.fleet.version += 1
        _unsettle(state)
    state.cache.next_due_us = 0


def _unsettle(state: State) -> None:
    for calm in state.cache.calm.values():
        calm.clear()
    state.cache.next_due_us = 0


# Verdicts.


def _health(state: State, recorded: Recorded) -> MasterState:
    master = _place(state, recorded).master
    master.health = HEALTH.move(master.health, recorded)
    master.health_since_us, master.health_seq = recorded.at_us, recorded.seq
    return master


def _master_well(state: State, recorded: Recorded) -> None:
    master = _health(state, recorded)
    master.is_hard = master.is_doubted = False
    master.failures.clear()
    master.refused = 0


def _master_failed(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MasterFailed)
    master = _health(state, recorded)
    master.is_hard, master.is_doubted = event.hard, True


def _master_recovering(state: State, recorded: Recorded) -> None:
    _health(state, recorded).is_hard = False


def _master_unknown(state: State, recorded: Recorded) -> None:
    master = _health(state, recorded)
    master.good = master.poor = master.poor_at = master.refused = 0
    master.failures.clear()
    master.is_hard = False


def _activation_lost(state: State, recorded: Recorded) -> None:
    _place(state, recorded).master.lost_seq = recorded.seq


# Fleet and policy.


def _engine_started(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.EngineStarted | ev.EngineResumed)
    state.fleet.version += 1
    state.fleet.started_us = recorded.at_us
    if isinstance(event, ev.EngineStarted):
        state.fleet.release = event.release
    _unsettle(state)


def _configuration_loaded(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.ConfigurationLoaded)
    state.fleet.version += 1
    state.fleet.file_digest = event.digest


def _policy_adopted(state: State, recorded: Recorded) -> None:
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
        group.strategy = policy.strategy
    # Rules go through groups and masters in their order here, which a stored state has by id.
    state.groups = dict(sorted(state.groups.items()))
    st.reindex(state)


def _master_added(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MasterAdded)
    group = state.groups.get(event.master.group)
    if group is None or recorded.subject != event.master.id:
        raise LogCorrupted(recorded.seq, f"no group {event.master.group!r} for {recorded.subject}")
    group.version += 1
    known = group.masters.get(recorded.subject)
    if known is None:
        group.masters[recorded.subject] = MasterState(declared=event.master)
        group.masters = dict(sorted(group.masters.items()))
    else:
        known.declared = event.master
    st.reindex(state)


def _master_removed(state: State, recorded: Recorded) -> None:
    place = _place(state, recorded)
    del place.group.masters[recorded.subject]
    if place.group.assigned == recorded.subject:
        place.group.assigned = ""
    st.reindex(state)


# Commands.


def _paused(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.Paused)
    part = _part(state, recorded)
    part.pause_until_us, part.pause_reason = event.until_us or -1, event.reason


def _resumed(state: State, recorded: Recorded) -> None:
    part = _part(state, recorded)
    part.pause_until_us, part.pause_reason = 0, ""


def _part(state: State, recorded: Recorded) -> GroupState | st.FleetState:
    if recorded.subject == ev.FLEET:
        state.fleet.version += 1
        _unsettle(state)
        return state.fleet
    return _group(state, recorded)


def _released(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.Released)
    if recorded.subject in state.cache.places:
        _place(state, recorded)
        return
    group = _group(state, recorded)
    if event.scope == "hold-down":
        group.hold_until_us = 0
    elif event.scope == "limit":
        group.counted_us.clear()


def _maintenance(state: State, recorded: Recorded) -> None:
    """Note a window; one with the same beginning takes its place, an empty one retracts it."""
    event = recorded.event
    assert isinstance(event, ev.MaintenanceDeclared)
    if recorded.subject in state.cache.places:
        masters = [_place(state, recorded).master]
    elif recorded.subject == ev.FLEET:
        state.fleet.version += 1
        _unsettle(state)
        masters = [place.master for place in state.cache.places.values()]
    else:
        masters = list(_group(state, recorded).masters.values())
    for master in masters:
        master.maintenance = [span for span in master.maintenance if span[0] != event.from_us]
        if event.from_us < event.to_us:
            master.maintenance.append((event.from_us, event.to_us))


def _checkpoint(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.CheckpointMarked)
    state.fleet.version += 1
    if event.name[:1].isalpha():  # anything else could be mistaken for a position
        state.fleet.checkpoints.setdefault(event.name, recorded.seq)  # a name is never reused


def _noted(state: State, recorded: Recorded) -> None:
    """Record what only decisions follow from."""
    if recorded.subject in state.cache.places:
        _place(state, recorded)
    elif recorded.subject in state.groups:
        _group(state, recorded)
    elif recorded.subject == ev.FLEET:
        state.fleet.version += 1
    else:
        raise LogCorrupted(recorded.seq, f"no master or group {recorded.subject!r}")


def _exclusion(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.ExclusionChanged)
    _place(state, recorded).master.is_excluded = event.excluded


def _strategy(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.StrategyChanged)
    _group(state, recorded).strategy = event.strategy


# Activations and failovers.


def _activated(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.Activated)
    place = _place(state, recorded)
    group, master = place.group, place.master
    master.role = ROLE.move(master.role, recorded)
    master.epoch = event.epoch
    group.epoch = max(group.epoch, event.epoch)
    master.is_unjudged = True
    if st.is_active_standby(state, group):
        group.assigned = recorded.subject
        group.switch_epoch = event.epoch
        master.promote_owed = master.reported_epoch != event.epoch


def _role(state: State, recorded: Recorded) -> None:
    master = _place(state, recorded).master
    master.role = ROLE.move(master.role, recorded)
    if master.role is Role.STANDBY:
        master.epoch, master.lost_seq, master.promote_owed = 0, 0, False


def _drain_ended(state: State, recorded: Recorded) -> None:
    """Let it stand by; what it still had (an observed one may be left with work) goes back."""
    _role(state, recorded)
    ledger = _place(state, recorded).group.ledger
    messages.requeue(ledger, messages.assigned_to(ledger, recorded.subject))


def _proposed(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.FailoverProposed)
    _group(state, recorded).proposed_seq = event.evidence[0] if event.evidence else recorded.seq


def _failover_started(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.FailoverStarted)
    group = _group(state, recorded)
    if group.saga is not None:
        raise LogCorrupted(recorded.seq, f"a failover of {group.id} is open already")
    group.saga = st.Saga(
        id=event.id,
        seq=recorded.seq,
        phase=FAILOVER.move(Phase.IDLE, recorded),
        why=event.why,
        source=event.source,
        to=event.to,
        planned=event.planned,
        waits=event.waits,
        counts=event.counts,
        started_us=recorded.at_us,
        since_us=recorded.at_us,
        step_seq=recorded.seq,
    )
    if event.counts:
        group.counted_us.append(recorded.at_us)
        del group.counted_us[:-COUNTED_MAX]
    if event.why == "rollback" and group.rollback is not None:
        group.rollback.switching = event.id


def _approval_given(state: State, recorded: Recorded) -> None:
    group = _group(state, recorded)
    if group.saga is None:
        raise LogCorrupted(recorded.seq, f"no failover of {group.id} is open")
    group.saga.is_approved = True


def _attempt_started(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.AttemptStarted)
    group = _group(state, recorded)
    saga = _saga(group, recorded)
    if event.epoch <= group.epoch:
        raise LogCorrupted(recorded.seq, f"epoch {event.epoch} is not above {group.epoch}")
    saga.attempt, saga.heir, saga.epoch, saga.waits = event.n, event.heir, event.epoch, ""
    group.epoch = event.epoch


def _master_fenced(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MasterFenced)
    place = _place(state, recorded)
    group, master = place.group, place.master
    back = messages.assigned_to(group.ledger, recorded.subject)
    found = (len(back), messages.digest_of(back))
    if found != (event.requeued, event.digest):
        raise LogCorrupted(
            recorded.seq, f"expected {event.requeued} messages of {recorded.subject}, found {found}"
        )
    messages.requeue(group.ledger, back)
    master.role = ROLE.move(master.role, recorded)
    master.fence = st.Fence(
        confirm_at=event.confirm_at,
        revokes=event.revokes,
        failover=0 if group.saga is None else group.saga.id,
    )
    master.epoch, master.lost_seq, master.promote_owed = 0, 0, False
    master.left_at_us = recorded.at_us
    group.epoch = max(group.epoch, event.confirm_at)


def _fence_confirmed(state: State, recorded: Recorded) -> None:
    master = _place(state, recorded).master
    if master.fence is None:
        raise LogCorrupted(recorded.seq, f"{recorded.subject} is not fenced")
    master.fence.is_confirmed = True


def _rejoined(state: State, recorded: Recorded) -> None:
    _role(state, recorded)
    _place(state, recorded).master.fence = None


def _transfer_started(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.TransferStarted)
    _saga(_place(state, recorded).group, recorded).transfer_digest = event.digest


def _promotion_started(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.PromotionStarted)
    place = _place(state, recorded)
    _saga(place.group, recorded)
    place.master.role = ROLE.move(place.master.role, recorded)
    place.master.epoch = event.epoch


def _saga_moved(state: State, recorded: Recorded) -> None:
    _saga(_place(state, recorded).group, recorded)


def _switched(state: State, recorded: Recorded) -> None:
    place = _place(state, recorded)
    group, master = place.group, place.master
    saga = _saga(group, recorded)
    master.role = ROLE.move(master.role, recorded)
    master.is_unjudged = True
    group.assigned = recorded.subject
    group.failovers += saga.why != "first"  # the first activation replaces nobody
    group.retry_us = group.retry_at_us = group.proposed_seq = 0


def _switch_done(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.SwitchDone)
    _place(state, recorded).group.switch_epoch = event.epoch


def _attempt_failed(state: State, recorded: Recorded) -> None:
    saga = _saga(_place(state, recorded).group, recorded)
    saga.spent.append(saga.heir)


def _compensated(state: State, recorded: Recorded) -> None:
    saga = _saga(_group(state, recorded), recorded)
    saga.heir, saga.epoch, saga.preflight, saga.transfer_digest = "", 0, "", ""


def _failover_ended(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.FailoverEnded)
    group = _group(state, recorded)
    saga = _saga(group, recorded)
    if event.result != "completed" and saga.started_us in group.counted_us:
        group.counted_us.remove(saga.started_us)  # one that was abandoned does not count
    group.saga = None
    group.hold_until_us = event.hold_until_us
    group.retry_us = max(0, event.retry_at_us - recorded.at_us)
    group.retry_at_us = event.retry_at_us


def _outcome(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.Outcome)
    place = _place(state, recorded)
    group, master = place.group, place.master
    saga = group.saga
    if event.step == "preflight":
        if saga is not None and (saga.id, saga.phase) == (event.failover, Phase.SELECTING):
            saga.preflight, saga.preflight_detail = event.result.value, event.detail
    elif event.step == "promote" and event.failover == 0 and event.epoch == master.epoch:
        master.promote_owed = event.result not in (ev.Result.OK, ev.Result.ASSUMED)


# Rollback.


def _rollback_accepted(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.RollbackAccepted)
    group = _group(state, recorded)
    group.strategy = event.after.strategy
    for name, weight in event.after.weights:
        if name in group.masters:
            master = group.masters[name]
            master.declared = msgspec.structs.replace(master.declared, weight=weight)
    group.rollback = st.Rollback(
        seq=recorded.seq,
        digest=event.digest,
        target=event.after.assigned,
        force=event.force,
    )


def _rollback_ended(state: State, recorded: Recorded) -> None:
    _group(state, recorded).rollback = None


# Messages and kept state. They move no verdict, so nobody's calm is disturbed.


def _quiet_group(state: State, recorded: Recorded) -> GroupState:
    group = state.group_of(recorded.subject)
    if group is None:
        raise LogCorrupted(recorded.seq, f"no master or group {recorded.subject!r}")
    group.version += 1
    return group


def _message_accepted(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MessageAccepted)
    ledger = _quiet_group(state, recorded).ledger
    if event.key in ledger.by_key:
        raise LogCorrupted(recorded.seq, f"message {event.key!r} is accepted twice")
    messages.accept(
        ledger,
        recorded.seq,
        st.Message(key=event.key, lane=event.lane, digest=event.digest, size=event.size),
    )


def _messages_assigned(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MessagesAssigned)
    group = _quiet_group(state, recorded)
    messages.assign(group.ledger, recorded.subject, event.epoch, event.upto)


def _message_done(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MessageDone)
    group = _quiet_group(state, recorded)
    if event.key not in group.ledger.by_key:
        raise LogCorrupted(recorded.seq, f"message {event.key!r} is not open")
    remember_max = state.policy_of(group).messages.remember_max
    messages.finish(group.ledger, event.key, remember_max=remember_max)
    saga = group.saga
    if saga is not None and saga.planned:
        state.cache.calm[group.id].clear()


def _message_acked(state: State, recorded: Recorded) -> None:
    _quiet_group(state, recorded)


def _state_kept(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.StateKept)
    group = _quiet_group(state, recorded)
    if event.size < 0:
        group.kept.pop(event.key, None)
    else:
        group.kept[event.key] = event.digest


def _log_based(state: State, recorded: Recorded, event: ev.LogBased) -> None:
    try:
        based = st.restore(event.state)
    except msgspec.DecodeError as err:
        raise LogCorrupted(recorded.seq, f"the state it begins with: {err}") from err
    if not recorded.seq == event.seq == based.seq:
        raise LogCorrupted(recorded.seq, f"begins at {event.seq} with a state at {based.seq}")
    state.seq, state.at_us = based.seq, based.at_us
    state.fleet, state.groups, state.cache = based.fleet, based.groups, based.cache


_APPLY: Final[dict[type, Evolve]] = {
    ev.EngineStarted: _engine_started,
    ev.EngineResumed: _engine_started,
    ev.ConfigurationLoaded: _configuration_loaded,
    ev.ProbeDegraded: _probe_degraded,
    ev.ProbeFailed: _probe_failed,
    ev.ConnectionClosed: _connection_closed,
    ev.MessageAccepted: _message_accepted,
    ev.MessageAcked: _message_acked,
    ev.StateKept: _state_kept,
    ev.Outcome: _outcome,
    ev.Paused: _paused,
    ev.Resumed: _resumed,
    ev.Approved: _noted,
    ev.Released: _released,
    ev.SwitchoverAsked: _noted,
    ev.FailoverAsked: _noted,
    ev.StrategyAsked: _noted,
    ev.ExclusionAsked: _noted,
    ev.MaintenanceDeclared: _maintenance,
    ev.RollbackRequested: _noted,
    ev.CheckpointMarked: _checkpoint,
    ev.DeadlinePassed: _deadline_passed,
    ev.PolicyAdopted: _policy_adopted,
    ev.MasterAdded: _master_added,
    ev.MasterRemoved: _master_removed,
    ev.MasterHealthy: _master_well,
    ev.MasterDegraded: _master_well,
    ev.MasterFailed: _master_failed,
    ev.MasterRecovering: _master_recovering,
    ev.MasterUnknown: _master_unknown,
    ev.Activated: _activated,
    ev.ActivationLost: _activation_lost,
    ev.FailoverProposed: _proposed,
    ev.FailoverStarted: _failover_started,
    ev.ApprovalGiven: _approval_given,
    ev.AttemptStarted: _attempt_started,
    ev.MasterFenced: _master_fenced,
    ev.FenceConfirmed: _fence_confirmed,
    ev.MasterRejoined: _rejoined,
    ev.TransferStarted: _transfer_started,
    ev.PromotionStarted: _promotion_started,
    ev.VerificationStarted: _saga_moved,
    ev.Switched: _switched,
    ev.SwitchDone: _switch_done,
    ev.MessagesAssigned: _messages_assigned,
    ev.MessageDone: _message_done,
    ev.AttemptFailed: _attempt_failed,
    ev.Compensated: _compensated,
    ev.FailoverEnded: _failover_ended,
    ev.StrategyChanged: _strategy,
    ev.ExclusionChanged: _exclusion,
    ev.Refused: _noted,
    ev.RollbackAccepted: _rollback_accepted,
    ev.RollbackEnded: _rollback_ended,
    ev.DrainStarted: _role,
    ev.DrainCancelled: _role,
    ev.DrainEnded: _drain_ended,
}
