"""The fold over what was seen of masters, and over the verdicts on them."""

from engine.core import events as ev
from engine.core.events import Evidence, Recorded
from engine.core.fleet import Role
from engine.core.folds.places import place_of
from engine.core.machines import HEALTH
from engine.core.seen import FIGURES, Report
from engine.core.state import MasterState, Place, State, forget_follow


def answered(
    state: State, place: Place, event: ev.ProbeOk | ev.ProbeDegraded, recorded: Recorded
) -> None:
    """Count a good answer; the caller has checked its n."""
    place.calm.clear()
    state.cache.stir(place.group.id)
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
    is_other = bool(event.boot) and event.boot != master.boot
    if is_other:
        if master.boot and master.fence is not None:
            master.fence.is_restarted = True
        if master.follow_epoch:
            forget_follow(master)  # another process, which was told nothing
        master.boot = event.boot
    master.reported_epoch, master.reported_role = event.epoch, event.role
    if event.role != Role.ACTIVE.value:
        master.is_claim_known = False
    if master.is_unjudged:
        master.is_unjudged, master.excused_seq = False, recorded.seq
    # What is owed to another process is not what was owed to the last one.
    place.is_plain = not (master.failures or master.poor or master.refused or is_other)


def probe_degraded(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.ProbeDegraded)
    place = place_of(state, recorded)
    master = place.master
    if event.n > master.observers.get(event.observer, 0):
        master.observers[event.observer] = event.n
        master.heard_us = master.good_us = recorded.at_us
        master.good_seq = recorded.seq
        answered(state, place, event, recorded)


def probe_failed(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.ProbeFailed)
    place = place_of(state, recorded)
    master = place.master
    if event.n <= master.observers.get(event.observer, 0):
        return
    master.observers[event.observer] = event.n
    probe = state.policy_of(place.group).probe
    if event.evidence is Evidence.OVERDUE and event.late_us > probe.late_us_max:
        return  # the observer was late itself: nothing was heard of the master, good or bad
    master.heard_us = recorded.at_us
    if master.question:
        if event.evidence is Evidence.REFUSED:
            master.failures.append(master.question)
            master.is_hard, master.gone_seq = True, recorded.seq
        master.question = 0
    master.failures.append(recorded.seq)
    del master.failures[: -max(probe.fall + 1, 2)]
    master.good = master.poor = master.poor_at = 0
    master.refused = master.refused + 1 if event.evidence is Evidence.REFUSED else 0


def connection_closed(state: State, recorded: Recorded) -> None:
    place_of(state, recorded).master.question = recorded.seq


def load_reported(state: State, recorded: Recorded) -> None:
    """Keep what is said; what is not said anew is as it was."""
    event = recorded.event
    assert isinstance(event, ev.LoadReported)
    master = place_of(state, recorded).master
    report = master.report = master.report or Report()
    report.seq, report.at_us = recorded.seq, recorded.at_us
    for name in FIGURES:
        value = getattr(event, name)
        if value >= 0:
            setattr(report, name, value)
    report.follows = event.follows or report.follows
    if max(event.cpu_ppm, event.memory_ppm, event.queue, event.active) >= 0:
        report.load_us = recorded.at_us
    if event.position >= 0:
        report.position_us = recorded.at_us


def health(state: State, recorded: Recorded) -> MasterState:
    master = place_of(state, recorded).master
    master.health = HEALTH.move(master.health, recorded)
    master.health_since_us, master.health_seq = recorded.at_us, recorded.seq
    return master


def master_well(state: State, recorded: Recorded) -> None:
    master = health(state, recorded)
    master.recovery = None
    master.is_hard = master.is_doubted = False
    master.failures.clear()
    master.refused = 0


def master_failed(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MasterFailed)
    master = health(state, recorded)
    if not master.is_doubted:
        master.is_doubted = True
        master.failed_us, master.failed_seq = recorded.at_us, recorded.seq
    master.is_hard = event.hard


def master_recovering(state: State, recorded: Recorded) -> None:
    health(state, recorded).is_hard = False


def master_unknown(state: State, recorded: Recorded) -> None:
    master = health(state, recorded)
    master.good = master.poor = master.poor_at = master.refused = 0
    master.failures.clear()
    master.is_hard = False


def activation_lost(state: State, recorded: Recorded) -> None:
    place_of(state, recorded).master.lost_seq = recorded.seq
