"""What is made of what was seen of one master: its verdicts, and when to look again.

Rule 1: `fall` failed probes in a row fail a master; a good one starts the count anew. What other
observers say, and what a phi beyond its threshold does, is in `voting`.

Rule 2: a closed connection is a question. One fresh connection is tried at once: refused, the
master has failed, whatever `fall` is; answered, no counter moves; unanswered, it is the first
failed probe of the normal count.

Rule 3: `rise` good answers in a row make a failed master healthy again. One is enough for a master
that has not failed since it was last trusted.

Rule 4: silence makes unknown, never failed.

Rule 5: answers that are slow or complain, `fall` of them in a row, make a master degraded, and so
does what `ailing` has; it is healthy again after `rise` good ones without any of that.

Rule 6: a master that answers under another epoch than it was activated with has lost its
activation, however well it is; so has one that was started again and says that it does not act.
"""

from collections.abc import Iterator

from engine.core import events as ev
from engine.core.ailing import ailment, decide_ailing, decide_flapping
from engine.core.doubting import decide_doubt
from engine.core.failover import consider_suspects
from engine.core.fleet import Health, Role
from engine.core.policy import Automation
from engine.core.state import (
    Fence,
    GroupState,
    MasterState,
    Place,
    State,
    active_of,
    is_active_standby,
)
from engine.core.step import Step
from engine.core.voting import verdict


def decide_answered(step: Step, event: ev.ProbeOk | ev.ProbeDegraded) -> None:
    """Judge a master by an answer: its health, its activation, its fence."""
    place = step.state.cache.places[step.subject]
    group, master = place.group, place.master
    if step.state.fleet.doubt_seq:
        decide_doubt(step, fails=False)
    if master.eyes and master.health is not Health.FAILED:
        failed = verdict(step, place)  # another's answer may end what kept a verdict back
        if failed is not None:
            _fail(step, failed)
    if master.good_seq != step.seq:
        return  # out of order, or another's: recorded, and the engine's own eye has seen nothing
    fence = master.fence
    if (
        fence is not None
        and fence.is_restarted
        and not fence.is_confirmed
        and not _may_act(event, fence)  # another process, and it acts as well
    ):
        step.emit(ev.FenceConfirmed(epoch=fence.confirm_at, how="restarted"))
    decide_flapping(step, place)
    _judge_health(step, place, event)
    _judge_activation(step, group, master)


def _may_act(event: ev.ProbeOk | ev.ProbeDegraded, fence: Fence) -> bool:
    """Return whether who answers may act under what its fence revokes.

    The promotion of one that was restarted unseen may have reached its new process. One that says
    no role, and knows that epoch, may be it.
    """
    if not event.role:
        return 0 < fence.revokes <= (event.epoch or 0)
    return event.role == Role.ACTIVE.value


def _judge_health(step: Step, place: Place, event: ev.ProbeOk | ev.ProbeDegraded) -> None:
    group, master = place.group, place.master
    probe = step.state.policy_of(group).probe
    seen = (step.seq,)
    restarts = (("restarts", master.restarts),) if master.restart_seq == step.seq else ()
    if master.health is Health.FAILED:
        step.emit(ev.MasterRecovering(evidence=seen, rule="answered", figures=restarts))
    match master.health:
        case Health.UNKNOWN | Health.RECOVERING:
            needed = probe.rise if master.is_doubted else 1
            if master.good >= needed:
                figures: ev.Figures = (("good", master.good), ("rise", needed), *restarts)
                ails = ailment(step.state, group, master)
                if ails is not None:
                    rule, evidence, more = ails
                    figures = (*figures, *more)
                    evidence = (*evidence, step.seq)
                    step.emit(ev.MasterDegraded(evidence=evidence, rule=rule, figures=figures))
                elif master.poor:
                    step.emit(ev.MasterDegraded(evidence=seen, rule="rise", figures=figures))
                else:
                    step.emit(ev.MasterHealthy(evidence=seen, rule="rise", figures=figures))
        case Health.HEALTHY:
            if master.poor >= probe.fall:
                is_slow = type(event) is ev.ProbeOk
                took = (("latency_us", event.latency_us), ("slow_us", probe.slow_us))
                figures = (("poor", master.poor), ("fall", probe.fall), *(took if is_slow else ()))
                rule = "slow" if is_slow else "degraded"
                step.emit(ev.MasterDegraded(evidence=seen, rule=rule, figures=figures))
            else:
                decide_ailing(step, place)
        case Health.DEGRADED:
            well = master.good - master.poor_at
            if well >= probe.rise and ailment(step.state, group, master) is None:
                figures = (("good", well), ("rise", probe.rise))
                step.emit(ev.MasterHealthy(evidence=seen, rule="rise", figures=figures))
        case Health.FAILED:  # pragma: no cover
            raise AssertionError("a failed master that answered is recovering")


def _judge_activation(step: Step, group: GroupState, master: MasterState) -> None:
    """An active that knows another epoch has lost its activation; so has one that does not act."""
    if (
        master.role not in (Role.ACTIVE, Role.DRAINING)
        or (master.reported_epoch in (None, master.epoch) and not _rests(master, step.seq))
        or master.excused_seq == step.seq
        or master.lost_seq
    ):
        return
    found = master.epoch if master.reported_epoch is None else master.reported_epoch
    if master.promote_owed and found <= master.epoch:
        return  # it was not told yet; one that knows a newer epoch would refuse this one for ever
    policy = step.state.policy_of(group)
    if policy.effects == "none":
        return  # nobody ever told it under which epoch it serves
    if policy.automation is Automation.OBSERVE and not is_active_standby(step.state, group):
        return  # its activation is a note of ours, of which it knows nothing
    step.emit(ev.ActivationLost(epoch=master.epoch, found=found, evidence=(step.seq,)))


def _rests(master: MasterState, seq: int) -> bool:
    """Return whether a master was started again and says, from then on, that it does not act.

    One whose process goes on was told so by somebody, who may be about to promote another one.
    """
    is_other = master.restart_seq > 0 and master.restart_seq in (seq, master.excused_seq)
    return is_other and master.reported_role in (Role.STANDBY.value, Role.FENCED.value)


def decide_probe_failed(step: Step) -> None:
    """Fail a master on enough evidence; the event carries it and the figures."""
    place = step.state.cache.places[step.subject]
    master = place.master
    if step.state.fleet.doubt_seq:
        decide_doubt(step, fails=False)  # who refuses can be reached
    is_own = bool(master.failures) and master.failures[-1] == step.seq
    if is_own:
        decide_flapping(step, place)
    if master.health is Health.FAILED or not (is_own or master.eyes):
        return
    failed = verdict(step, place)
    if failed is not None:
        _fail(step, failed)
        return
    if is_own:
        decide_ailing(step, place)  # it may flap without ever failing
    _decide_suspicion(step, place.group)


def _decide_suspicion(step: Step, group: GroupState) -> None:
    """Open a failover that waits, where too few are there to fail the active."""
    state = step.state
    if is_active_standby(state, group) and step.subject == active_of(group):
        todo = consider_suspects(state, group, state.at_us)
        if todo is not None:
            step.emit(todo[1], subject=todo[0])


def _fail(step: Step, failed: ev.MasterFailed) -> None:
    if not failed.hard:
        decide_doubt(step, fails=True)
    step.emit(failed)


def decide_silence(step: Step) -> None:
    """Say that nothing is known of a master that was silent for too long."""
    place = step.state.cache.places[step.subject]
    master = place.master
    limit_us = step.state.policy_of(place.group).probe.unknown_after_us
    silent_us = step.state.at_us - master.heard_us
    assert limit_us
    assert silent_us >= limit_us
    figures = (("silent_us", silent_us), ("unknown_after_us", limit_us))
    step.emit(ev.MasterUnknown(rule="silence", figures=figures))


def pace(state: State, group: GroupState, master: MasterState) -> tuple[int, bool]:
    """Return when to probe next, counted from the start of the last probe [us], and how.

    The second value says whether on a fresh connection. It is a function of the state, so that a
    simulation probes as the engine does.
    """
    probe = state.policy_of(group).probe
    if master.question:
        return 0, True
    if master.health is Health.FAILED:
        return max(probe.interval_us, probe.recheck_us), True
    if master.failures:
        return probe.recheck_us, True
    return probe.interval_us, not probe.hold_open


def pending(state: State) -> set[int]:
    """Return the seqs of all that a later verdict may name as evidence, and that was seen by now.

    All else that it names is of its own step, or was decided.
    """
    return {
        seq
        for group in state.groups.values()
        for master in group.masters.values()
        for seq in _pending(master)
        if seq
    }


def _pending(master: MasterState) -> Iterator[int]:
    yield from (*master.failures, master.question, master.gone_seq)
    if master.eyes:
        yield master.good_seq  # what the engine itself saw, if another contradicts it
    for eye in master.eyes.values():
        yield from (*eye.failures, eye.question, eye.gone_seq, eye.good_seq)
    if master.report is not None:
        yield from (*master.report.over, master.report.seq)


def follows_reports(state: State, group: GroupState) -> bool:
    """Return whether roles follow what the masters report, because the engine only observes."""
    return state.policy_of(group).automation is Automation.OBSERVE
