"""The fold: what each event changes in the state. It records and never refuses.

Invariant: nothing here chooses. A threshold that is read here (the observer's lateness) only says
whether an observation counts; whatever is concluded from it is an event of its own.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import LogCorrupted
from engine.core.events import ProbeOk, Recorded
from engine.core.folds import alerts, beside, failover, fleet, tending, watch, work
from engine.core.state import State
from engine.core.step import Evolve


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
        master = place.master
        if event.n <= master.observers.get(event.observer, 0):
            return
        if (
            place.is_plain
            and event.epoch == master.reported_epoch
            and event.boot == master.boot
            and event.role == master.reported_role
            and not event.observer
        ):
            master.observers[""] = event.n
            master.heard_us = master.good_us = at_us
            master.good_seq = seq
            master.good += 1
            return
        watch.answered(state, place, event, recorded)
        return
    apply = _APPLY.get(type(event))
    if apply is None:
        raise LogCorrupted(recorded.seq, f"{type(event).__name__} may only begin a log")
    apply(state, recorded)


def evolve_all(state: State, events: Iterable[Recorded], *, each: Evolve = evolve) -> None:
    """Apply facts one after the other, in place: as `each` does, and sooner if that is `evolve`.

    Most are good probes that say what the last one said, and these are taken without a call.

    Raises:
        LogCorrupted: As there; what came before is applied.
    """
    if each is not evolve:
        for recorded in events:
            each(state, recorded)
        return
    seq, at_us, places = state.seq, state.at_us, state.cache.places
    for recorded in events:
        event = recorded.event
        if type(event) is ProbeOk and recorded.seq == seq + 1 and recorded.at_us >= at_us:
            place = places.get(recorded.subject)
            if place is not None and place.is_plain and not event.observer:
                master = place.master
                if (
                    event.n > master.observers.get("", 0)
                    and event.epoch == master.reported_epoch
                    and event.boot == master.boot
                    and event.role == master.reported_role
                ):
                    master.observers[""] = event.n
                    seq, at_us = recorded.seq, recorded.at_us
                    master.heard_us = master.good_us = at_us
                    master.good_seq = seq
                    master.good += 1
                    continue
        state.seq, state.at_us = seq, at_us
        evolve(state, recorded)
        seq, at_us, places = state.seq, state.at_us, state.cache.places
    state.seq, state.at_us = seq, at_us


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
    ev.EngineStarted: fleet.engine_started,
    ev.EngineResumed: fleet.engine_started,
    ev.ConfigurationLoaded: fleet.configuration_loaded,
    ev.ProbeDegraded: watch.probe_degraded,
    ev.ProbeFailed: watch.probe_failed,
    ev.ConnectionClosed: watch.connection_closed,
    ev.LoadReported: watch.load_reported,
    ev.ClockStepped: fleet.clock_stepped,
    ev.CallsCounted: fleet.noted,
    ev.MasterEjected: tending.ejected,
    ev.MasterReadmitted: tending.readmitted,
    ev.MessageAccepted: work.message_accepted,
    ev.MessageAcked: work.message_acked,
    ev.StateKept: work.state_kept,
    ev.Outcome: failover.outcome,
    ev.Paused: fleet.paused,
    ev.Resumed: fleet.resumed,
    ev.Approved: fleet.noted,
    ev.Released: fleet.released,
    ev.SwitchoverAsked: fleet.noted,
    ev.FailoverAsked: fleet.noted,
    ev.StrategyAsked: fleet.noted,
    ev.ExclusionAsked: fleet.noted,
    ev.MaintenanceDeclared: fleet.maintenance,
    ev.RollbackRequested: fleet.noted,
    ev.FleetRollbackRequested: fleet.noted,
    ev.CheckpointMarked: fleet.checkpoint,
    ev.ObservationsDropped: fleet.noted,
    ev.BodiesRemoved: fleet.noted,
    ev.SpaceShort: fleet.space,
    ev.SpaceReturned: fleet.space,
    ev.FiguresDerived: alerts.derived,
    ev.AlertAcked: alerts.acked,
    ev.ScheduleCancelled: fleet.noted,
    ev.UndoAsked: fleet.noted,
    ev.ResetAsked: tending.reset,
    ev.DrainAsked: fleet.noted,
    ev.MasterAddAsked: fleet.noted,
    ev.MasterRemoveAsked: fleet.noted,
    ev.SwitchoverScheduled: tending.scheduled,
    ev.ScheduleEnded: tending.schedule_ended,
    ev.DrainChanged: tending.drained,
    ev.AlertPending: alerts.pending,
    ev.AlertRaised: alerts.raised,
    ev.AlertCleared: alerts.cleared,
    ev.DeadlinePassed: fleet.deadline_passed,
    ev.PolicyAdopted: fleet.policy_adopted,
    ev.MasterAdded: fleet.master_added,
    ev.MasterRemoved: fleet.master_removed,
    ev.MasterHealthy: watch.master_well,
    ev.MasterDegraded: watch.master_well,
    ev.MasterFailed: watch.master_failed,
    ev.MasterRecovering: watch.master_recovering,
    ev.MasterUnknown: watch.master_unknown,
    ev.Activated: failover.activated,
    ev.ActivationLost: watch.activation_lost,
    ev.FailoverProposed: failover.proposed,
    ev.FailoverStarted: failover.failover_started,
    ev.ApprovalGiven: failover.approval_given,
    ev.AttemptStarted: failover.attempt_started,
    ev.MasterFenced: failover.master_fenced,
    ev.FenceConfirmed: failover.fence_confirmed,
    ev.MasterRejoined: failover.rejoined,
    ev.TransferStarted: failover.transfer_started,
    ev.PromotionStarted: failover.promotion_started,
    ev.VerificationStarted: failover.saga_moved,
    ev.Switched: failover.switched,
    ev.SwitchDone: failover.switch_done,
    ev.MessagesAssigned: work.messages_assigned,
    ev.MessageDone: work.message_done,
    ev.AttemptFailed: failover.attempt_failed,
    ev.Compensated: failover.compensated,
    ev.FailoverEnded: failover.failover_ended,
    ev.StrategyChanged: fleet.strategy,
    ev.ExclusionChanged: fleet.exclusion,
    ev.Refused: fleet.noted,
    ev.RollbackAccepted: failover.rollback_accepted,
    ev.RollbackEnded: failover.rollback_ended,
    ev.DrainStarted: failover.role,
    ev.DrainCancelled: failover.role,
    ev.DrainEnded: failover.drain_ended,
    ev.FollowChanged: beside.follow_changed,
    ev.HookStarted: beside.hook_started,
    ev.HookEnded: beside.hook_ended,
    ev.RecoveryStarted: beside.recovery_started,
    ev.ObserversDisagree: watch.observers_disagree,
    ev.ObserversAgree: watch.observers_agree,
    ev.FlappingStarted: watch.flapping_started,
    ev.FlappingEnded: watch.flapping_ended,
    ev.DoubtChanged: fleet.doubt_changed,
}
