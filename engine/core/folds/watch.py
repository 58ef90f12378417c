"""The fold over what was seen of masters, and over the verdicts on them.

The engine's own eye has its counters in the master's state. Another observer has an `Eye` of its
own; where the engine has never looked itself (an import), what others saw moves both.
"""

from typing import Final

from engine.core import events as ev
from engine.core import flapping, suspicion
from engine.core.events import TRAFFIC, Evidence, Recorded
from engine.core.fleet import Health, Role
from engine.core.folds.places import place_of
from engine.core.limits import note_hot, over, speaks, speaks_of_limits
from engine.core.machines import HEALTH
from engine.core.policy import LIMITLESS, renews_lease
from engine.core.seen import FIGURES, Eye, Flaps, Gaps, Report
from engine.core.state import (
    MasterState,
    Place,
    State,
    fails_softly,
    forget_follow,
    leaves_no_doubt,
)

_OWN: Final = ""  # the engine's own eye


def answered(
    state: State, place: Place, event: ev.ProbeOk | ev.ProbeDegraded, recorded: Recorded
) -> None:
    """Count a good answer; the caller has checked its n."""
    master = place.master
    _note_number(state, master, event, recorded.subject)
    if event.observer:
        _answered_elsewhere(place, event.observer, recorded)
        if _OWN in master.observers:
            return
    probe = state.policy_of(place.group).probe
    # An interval is like the master if nothing failed in it and the engine did not stand still.
    is_alike = master.good and not master.question and master.good_us > state.fleet.started_us
    if probe.phi is not None and is_alike:
        gaps = master.gaps = master.gaps or Gaps()
        suspicion.note_gap(gaps, recorded.at_us - master.good_us, upto=probe.phi.warm_up)
    master.heard_us = master.good_us = recorded.at_us
    master.good_seq = recorded.seq
    said = (event.epoch, event.boot, event.role)
    is_slow = 0 < probe.slow_us < event.latency_us
    if (
        not is_slow
        and type(event) is ev.ProbeOk
        and said == (master.reported_epoch, master.boot, master.reported_role)
        and (place.is_steady or not (place.is_awaited or master.eyes or is_open(master)))
    ):
        # Whatever else was recorded of it since the last one: this one disturbs nobody.
        master.good += 1
        place.is_steady = True
        place.is_plain = probe.phi is None and not probe.slow_us and not event.observer
        return
    place.is_awaited = False
    place.calm.clear()
    state.cache.stir(place.group.id)
    if master.question:
        # Answered on a fresh connection: the question is closed and no counter moves.
        master.question = 0
    else:
        master.good += 1
        if is_slow or type(event) is ev.ProbeDegraded:
            master.poor += 1
            master.poor_at = master.good
        else:
            master.poor = 0
        _note_end_of_failures(master)
        _forget_failures(state, recorded.subject, master)
    is_other = _note_boot(master, event.boot, recorded.seq)
    master.reported_epoch, master.reported_role = event.epoch, event.role
    if event.role != Role.ACTIVE.value:
        master.is_claim_known = False
    if master.is_unjudged:
        master.is_unjudged, master.excused_seq = False, recorded.seq
    # What is owed to another process is not what was owed to the last one.
    is_ending = master.flaps is not None and bool(master.flaps.bad)  # a run of bad results
    place.is_steady = not (
        master.failures or master.poor or master.refused or is_other or is_ending
    )
    place.is_plain = (
        place.is_steady and probe.phi is None and not probe.slow_us and not event.observer
    )


def is_open(master: MasterState) -> bool:
    """Return whether a good answer that says what the last one said settles something of it."""
    return bool(
        master.failures
        or master.poor
        or master.question
        or master.is_unjudged
        or master.refused
        or master.failing_us
        or master.gone_us
        or master.is_hard
        or master.is_claim_known
        or (master.flaps is not None and master.flaps.bad)
    )


def _note_number(
    state: State,
    master: MasterState,
    event: ev.ProbeOk | ev.ProbeDegraded | ev.ProbeFailed,
    name: str,
) -> None:
    """Note the number of a probe; with its first one the engine's own eye begins to count anew.

    Until then the counters were moved by others, who have their own.
    """
    if not event.observer and master.eyes and _OWN not in master.observers:
        master.good = master.poor = master.poor_at = master.good_us = 0
        master.question = master.gone_seq = 0
        master.flaps = master.gaps = None
        _forget_failures(state, name, master)
    master.observers[event.observer] = event.n


def _note_end_of_failures(master: MasterState) -> None:
    if master.flaps is not None and master.flaps.bad:
        flapping.noted_good(master.flaps)
    if master.failures and master.health not in (Health.FAILED, Health.RECOVERING):
        master.blips += 1
        master.blip_max = max(master.blip_max, len(master.failures))


def _note_boot(master: MasterState, boot: str, seq: int) -> bool:
    """Note the boot id that was answered; return whether it is that of another process."""
    if not boot or boot == master.boot:
        return False
    if master.boot:
        master.restarts += 1
        master.restart_seq = seq
        if master.fence is not None:
            master.fence.is_restarted = True
    if master.follow_epoch:
        forget_follow(master)  # another process, which was told nothing
    if master.boot:
        master.report = None  # and which may have nothing of what the last one said it had
    master.boot = boot
    return True


def _forget_failures(state: State, name: str, master: MasterState) -> None:
    master.failures.clear()
    master.failing_us = master.refused = master.gone_us = 0
    master.is_hard = False
    state.cache.note_failing(name, fails=False)


def _answered_elsewhere(place: Place, observer: str, recorded: Recorded) -> None:
    eye = place.master.eyes.setdefault(observer, Eye())
    if eye.failures or eye.question or place.master.disagree_seq:
        place.calm.clear()
    if eye.question:
        eye.question = 0
    else:
        eye.failures.clear()
        eye.failing_us = eye.refused = 0
    eye.heard_us = eye.good_us = recorded.at_us
    eye.good_seq = recorded.seq


def probe_degraded(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.ProbeDegraded)
    place = place_of(state, recorded)
    master = place.master
    if event.n > master.observers.get(event.observer, 0):
        answered(state, place, event, recorded)


def probe_failed(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.ProbeFailed)
    place = place_of(state, recorded)
    master = place.master
    if event.n <= master.observers.get(event.observer, 0):
        return
    _note_number(state, master, event, recorded.subject)
    probe = state.policy_of(place.group).probe
    if event.evidence is Evidence.OVERDUE and event.late_us > probe.late_us_max:
        return  # the observer was late itself: nothing was heard of the master, good or bad
    if event.observer:
        _count_failure(master.eyes.setdefault(event.observer, Eye()), event, recorded, probe.fall)
        if _OWN in master.observers:
            return
    if probe.flap_high_ppm:
        flaps = master.flaps = master.flaps or Flaps()
        flapping.noted_bad(flaps, master.good)
    if _count_failure(master, event, recorded, probe.fall):
        master.is_hard = True
    _note_gone(state, place, recorded)
    master.good = master.poor = master.poor_at = 0
    _note_failing(state, recorded.subject, master)


def _note_failing(state: State, name: str, master: MasterState) -> None:
    state.cache.note_failing(name, fails=fails_softly(master))


def _note_gone(state: State, place: Place, recorded: Recorded) -> None:
    """Note since when a replica is surely gone, if it may have renewed a lease until then."""
    master = place.master
    if not leaves_no_doubt(master):
        master.gone_us = 0
    elif not master.gone_us and renews_lease(state.policy_of(place.group)):
        master.gone_us = recorded.at_us


def _count_failure(
    counters: MasterState | Eye, event: ev.ProbeFailed, recorded: Recorded, fall: int
) -> bool:
    """Count a failed probe; return whether it is the refusal that answers a closed connection."""
    is_gone = False
    counters.heard_us = recorded.at_us
    if not counters.failures:
        counters.failing_us = recorded.at_us
    if counters.question:
        if event.evidence is Evidence.REFUSED:
            counters.failures.append(counters.question)
            counters.gone_seq = recorded.seq
            is_gone = True
        counters.question = 0
    counters.failures.append(recorded.seq)
    del counters.failures[: -max(fall + 1, 2)]
    counters.refused = counters.refused + 1 if event.evidence is Evidence.REFUSED else 0
    return is_gone


def connection_closed(state: State, recorded: Recorded) -> None:
    """Note the question; what traffic met is asked by the engine's own eye."""
    event = recorded.event
    assert isinstance(event, ev.ConnectionClosed)
    master = place_of(state, recorded).master
    is_own = event.observer in (_OWN, TRAFFIC)
    if not is_own:
        master.eyes.setdefault(event.observer, Eye()).question = recorded.seq
    if is_own or _OWN not in master.observers:
        master.question = recorded.seq


def load_reported(state: State, recorded: Recorded) -> None:
    """Keep what is said; what is not said anew is as it was."""
    event = recorded.event
    assert isinstance(event, ev.LoadReported)
    place = place_of(state, recorded)
    report = place.master.report = place.master.report or Report()
    report.seq, report.at_us = recorded.seq, recorded.at_us
    for name in FIGURES:
        value = getattr(event, name)
        if value >= 0:
            setattr(report, name, value)
    report.follows = event.follows or report.follows
    if speaks(event):
        report.load_us, report.is_silent = recorded.at_us, False
    if event.position >= 0:
        report.position_us = recorded.at_us
    note_hot(report, state.fleet.policy.alerts, recorded.at_us)
    degraded = state.policy_of(place.group).degraded or LIMITLESS
    if speaks_of_limits(degraded, event):
        if over(degraded, report):
            report.over.append(recorded.seq)
            del report.over[: -degraded.reports]
            report.within = 0
        elif report.over:
            report.within += 1
            if len(report.over) < degraded.reports or report.within >= degraded.reports:
                report.over.clear()
                report.within = 0


def health(state: State, recorded: Recorded) -> MasterState:
    master = place_of(state, recorded).master
    master.health = HEALTH.move(master.health, recorded)
    master.health_since_us, master.health_seq = recorded.at_us, recorded.seq
    return master


def master_well(state: State, recorded: Recorded) -> None:
    master = health(state, recorded)
    master.recovery = None
    master.is_doubted = False


def master_failed(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MasterFailed)
    master = health(state, recorded)
    if not master.is_doubted:
        master.is_doubted = True
        master.failed_us, master.failed_seq = recorded.at_us, recorded.seq
    master.verdicts += 1
    master.good = 0  # others may have failed it, and the engine itself heard it all the time
    master.is_hard = event.hard
    master.gone_us = 0  # others may have heard it until now
    _note_gone(state, state.cache.places[recorded.subject], recorded)


def master_recovering(state: State, recorded: Recorded) -> None:
    master = health(state, recorded)
    master.is_hard = False
    _note_failing(state, recorded.subject, master)


def master_unknown(state: State, recorded: Recorded) -> None:
    master = health(state, recorded)
    master.good = master.poor = master.poor_at = 0
    _forget_failures(state, recorded.subject, master)


def activation_lost(state: State, recorded: Recorded) -> None:
    place_of(state, recorded).master.lost_seq = recorded.seq


def observers_disagree(state: State, recorded: Recorded) -> None:
    place_of(state, recorded).master.disagree_seq = recorded.seq


def observers_agree(state: State, recorded: Recorded) -> None:
    place_of(state, recorded).master.disagree_seq = 0


def flapping_started(state: State, recorded: Recorded) -> None:
    master = place_of(state, recorded).master
    flaps = master.flaps = master.flaps or Flaps()
    flaps.since_seq = recorded.seq


def flapping_ended(state: State, recorded: Recorded) -> None:
    master = place_of(state, recorded).master
    flaps = master.flaps = master.flaps or Flaps()
    flaps.since_seq = 0
