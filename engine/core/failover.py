"""What is to be done for a group: activations, failovers, and who gets the messages.

`consider` is asked after every step until it has nothing more to say. So nothing depends on which
event made something necessary, and a group whose heir died in a moment that nobody thought of is
looked after all the same.

The failover of an active-standby group is a saga: fence whoever was left, transfer the kept state,
promote, verify by real work, switch. A failed attempt is compensated (the heir is fenced if its
promotion was owed) and the next candidate is tried in the same failover. After the switch, only
forward.
"""

from typing import Final, TypeAlias

from engine.core import candidates, messages
from engine.core import events as ev
from engine.core.blocking import (
    ASKED,
    Want,
    blocked,
    claims,
    drain_ends_us,
    heir_unfit,
    heir_waits,
    retry_us,
    waiting,
    want,
)
from engine.core.events import AnyEvent, Verdict
from engine.core.fleet import Health, Role
from engine.core.policy import Automation, FenceKind
from engine.core.state import (
    GroupState,
    MasterState,
    Phase,
    Saga,
    State,
    active_of,
    control_digest,
    control_of,
    is_active_standby,
    newest_reported,
    next_epoch,
    paused_until,
    windows,
)
from engine.core.transfer import kept_digest

PIECES: Final = 4  # of what each master gets of a long queue, in a group whose masters all serve

Todo: TypeAlias = tuple[str, AnyEvent]  # the subject, and what is to be decided about it


def consider(state: State, group: GroupState, at_us: int) -> Todo | None:
    """Return the next thing to do for `group` and its subject, or None."""
    assert at_us >= state.at_us
    todo = _consider_fences(state, group)
    if todo is not None:
        return todo
    if is_active_standby(state, group):
        todo = _consider_standby(state, group, at_us)
    else:
        todo = _consider_serving(state, group, at_us)
    return todo or _consider_queue(state, group)


def consider_asked(state: State, group: GroupState, at_us: int, *, asked: int) -> Todo | None:
    """Return what the command at the seq `asked`, to a stopped log, calls for at once.

    What was open before it goes on when an engine runs, and not because somebody asked for
    something else.
    """
    if group.saga is not None:
        is_its_own = group.saga.seq > asked
        return _consider_saga(state, group, group.saga, at_us) if is_its_own else None
    if group.rollback is not None and group.rollback.seq > asked:
        return _consider_rollback(state, group)
    return None


def _consider_standby(state: State, group: GroupState, at_us: int) -> Todo | None:
    if group.saga is not None:
        return _consider_saga(state, group, group.saga, at_us)
    if group.rollback is not None:
        return _consider_rollback(state, group)
    # Who is the first is settled by `want`: only when every master was heard, or the grace is over.
    if group.epoch and state.policy_of(group).automation is Automation.OBSERVE:
        todo = _follow_reports(group)
        if todo is not None:
            return todo
    wanted = want(group)
    if wanted is not None:
        return _consider_want(state, group, wanted, at_us)
    return _consider_strays(state, group, at_us)


def _consider_want(state: State, group: GroupState, wanted: Want, at_us: int) -> Todo | None:
    block = blocked(state, group, wanted, at_us)
    if wanted.why == "first" and (block is None or block.reason in ("observing", "no fit heir")):
        for name in group.masters:
            if claims(group, name):
                return name, ev.Activated(epoch=_adopted_epoch(group, name), rule="reported")
    if block is None:
        evidence = wanted.evidence
        # In a pause nobody but the last one may have its own place back.
        to = group.assigned if paused_until(state, group, at_us) else ""
        started = ev.FailoverStarted(
            id=state.seq + 1,
            why=wanted.why,
            source=wanted.source,
            to=to,
            planned=False,
            waits=_first_wait(state, group, wanted, to, at_us),
            counts=bool(wanted.source),
            evidence=evidence,
        )
        return group.id, started
    if block.reason == "observing":
        verdicts = candidates.table(state, group, at_us)
        if not _is_proposed(group, wanted) and candidates.heir(verdicts):
            return group.id, ev.FailoverProposed(
                why=wanted.why,
                source=wanted.source,
                heir=candidates.heir(verdicts),
                table=verdicts,
                evidence=wanted.evidence,
            )
        return None
    acts = state.policy_of(group).automation is not Automation.OBSERVE
    if wanted.why == "activation-lost" and acts:
        # It does not act under its activation, so nothing is taken from anybody.
        return _fence(group, wanted.source, reason="it lost its activation")
    return None


def _is_proposed(group: GroupState, wanted: Want) -> bool:
    """Return whether it was said already what would be done: once for each failure."""
    if not wanted.source:
        return group.proposed_seq > 0
    source = group.masters[wanted.source]
    return group.proposed_seq >= (source.lost_seq or source.failed_seq)


def _consider_strays(state: State, group: GroupState, at_us: int) -> Todo | None:
    """Fence who acts beside the active, once the active has said that it acts.

    Not in a pause: then somebody may be at work by hand.
    """
    if not _is_told(state, group) or paused_until(state, group, at_us):
        return None
    active = active_of(group)
    serving = group.masters[active]
    is_vouched = (
        serving.health in (Health.HEALTHY, Health.DEGRADED)
        and serving.good_us > state.fleet.started_us
        and serving.reported_epoch in (None, serving.epoch)
        and not serving.promote_owed
    )
    return _fence_stray(group, but="", reason=f"it acts beside {active}") if is_vouched else None


def _is_told(state: State, group: GroupState) -> bool:
    """Return whether masters of `group` are told what is decided."""
    policy = state.policy_of(group)
    return policy.automation is not Automation.OBSERVE and policy.effects != "none"


def _consider_fences(state: State, group: GroupState) -> Todo | None:
    """Fence anew who knows a newer epoch than that of its fence, which it refuses for ever.

    That is so if the log is an older copy of the one that drew that epoch.
    """
    if not _is_told(state, group):
        return None
    for name, master in group.masters.items():
        fence = master.fence
        if fence is not None and (master.reported_epoch or 0) > fence.confirm_at:
            return _fence(group, name, reason=f"it knows epoch {master.reported_epoch}")
    return None


def _fence_stray(group: GroupState, *, but: str, reason: str) -> Todo | None:
    for name, master in group.masters.items():
        if name != but and candidates.is_stray(master):
            return _fence(group, name, reason=reason)
    return None


def _first_wait(state: State, group: GroupState, wanted: Want, to: str, at_us: int) -> str:
    """Return what a failover that is opened now will wait for."""
    probe = Saga(
        id=0, seq=0, phase=Phase.SELECTING, why=wanted.why, source=wanted.source, to=to,
        planned=False, waits="", counts=True, started_us=at_us + 1, since_us=at_us,
    )  # fmt: skip
    block = waiting(state, group, probe, at_us)
    return "" if block is None else block.reason


def _adopted_epoch(group: GroupState, name: str) -> int:
    """Return the epoch a running primary is adopted under: its own, if that is the newest one."""
    reported = group.masters[name].reported_epoch or 0
    newest = max(group.epoch, newest_reported(group, but=name))
    return reported if reported > newest else next_epoch(group)


def _follow_reports(group: GroupState) -> Todo | None:
    """Observing only: the roles are those that the masters report."""
    claimed = [name for name in group.masters if claims(group, name)]
    active = active_of(group)
    if len(claimed) != 1:
        return None
    claims_anew = claimed[0] == active and group.masters[active].lost_seq
    if group.masters[claimed[0]].role is not Role.STANDBY and not claims_anew:
        return None  # the active itself, or one that is fenced
    if active and group.masters[active].role is Role.ACTIVE:
        return active, ev.DrainStarted(reason=f"{claimed[0]} reports itself active")
    if active:
        return active, ev.DrainEnded()
    return claimed[0], ev.Activated(epoch=_adopted_epoch(group, claimed[0]), rule="reported")


def _fence(group: GroupState, name: str, *, reason: str) -> Todo:
    back = messages.assigned_to(group.ledger, name)
    fence = group.masters[name].fence
    return name, ev.MasterFenced(
        revokes=group.masters[name].epoch if fence is None else fence.revokes,
        confirm_at=next_epoch(group),
        requeued=len(back),
        first=back[0] if back else 0,
        last=back[-1] if back else 0,
        digest=messages.digest_of(back),
        reason=reason,
    )


# The saga.


def _consider_saga(state: State, group: GroupState, saga: Saga, at_us: int) -> Todo | None:
    match saga.phase:
        case Phase.SELECTING:
            if saga.planned and _is_served_by_source(group, saga):
                return _select_planned(state, group, saga, at_us)
            return _select(state, group, saga, at_us)
        case Phase.FENCING:
            return _consider_fencing(state, group, saga, at_us)
        case Phase.TRANSFERRING | Phase.PROMOTING | Phase.VERIFYING:
            return _consider_heir(group, saga)
        case Phase.COMPENSATING:
            return _compensate(group, saga)
        case Phase.COMPLETED:
            return _end(state, group, saga, "completed", "", at_us)
        case Phase.IDLE:  # pragma: no cover
            raise AssertionError("an open failover is not idle")


def _is_served_by_source(group: GroupState, saga: Saga) -> bool:
    """Return whether nothing was taken from the source yet (a group may have none)."""
    source = group.masters.get(saga.source)
    if source is None:
        return not saga.spent
    return source.role is Role.ACTIVE


def _select_planned(state: State, group: GroupState, saga: Saga, at_us: int) -> Todo | None:
    """A planned change: the target is looked at before anything is taken from the source."""
    wanted = want(group)
    if wanted is not None and wanted.source and saga.why == "switchover":
        return _end(state, group, saga, "abandoned", f"the active {wanted.why}", at_us)
    target = group.masters.get(saga.to)
    passed = (
        ("gone", ())
        if target is None
        else candidates.passed_over(state, group, saga.to, at_us, is_tolerant=True)
    )
    forced = group.rollback is not None and group.rollback.force
    is_able = target is not None and target.role is Role.STANDBY and target.fence is None
    if passed is not None and not (forced and is_able and passed[0].startswith("health")):
        return _end(state, group, saga, "abandoned", f"{saga.to} became unfit: {passed[0]}", at_us)
    if not saga.preflight:
        return None
    if saga.preflight not in (ev.Result.OK.value, ev.Result.ASSUMED.value):
        reason = f"{saga.to} did not pass its preflight: {saga.preflight} {saga.preflight_detail}"
        return _end(state, group, saga, "abandoned", reason.strip(), at_us)
    verdicts = candidates.table(state, group, at_us, is_tolerant=True)
    return _attempt(group, saga, saga.to, verdicts)


def _select(state: State, group: GroupState, saga: Saga, at_us: int) -> Todo | None:
    is_automatic = saga.why not in ASKED
    source = group.masters.get(saga.source)
    if is_automatic and source is not None and source.role is Role.ACTIVE and want(group) is None:
        is_silent = source.health is Health.UNKNOWN
        reason = f"nothing is heard of {saga.source}" if is_silent else "the active recovered"
        return _end(state, group, saga, "abandoned", reason, at_us)
    if is_automatic and not saga.attempt and waiting(state, group, saga, at_us) is not None:
        return None
    failover = state.policy_of(group).failover
    if saga.attempt >= failover.attempts_max:
        return _end(state, group, saga, "abandoned", f"{saga.attempt} attempts failed", at_us)
    if saga.attempt and at_us - saga.started_us > failover.deadline_us:
        return _end(state, group, saga, "abandoned", "its deadline passed", at_us)
    verdicts = candidates.table(state, group, at_us, is_tolerant=not is_automatic)
    heir = candidates.heir(verdicts)
    if saga.to and (is_automatic or not saga.attempt):
        fit = {verdict.master for verdict in verdicts if verdict.fit}
        heir = saga.to if saga.to in fit else ""
    if heir:
        return _attempt(group, saga, heir, verdicts)
    if saga.is_approved and not saga.attempt:
        return None  # an approval stays, and is used when a fit heir appears
    return _end(state, group, saga, "abandoned", "no candidate is left", at_us)


def _attempt(group: GroupState, saga: Saga, heir: str, verdicts: tuple[Verdict, ...]) -> Todo:
    return group.id, ev.AttemptStarted(
        n=saga.attempt + 1, heir=heir, epoch=next_epoch(group), table=verdicts
    )


def _consider_fencing(state: State, group: GroupState, saga: Saga, at_us: int) -> Todo | None:
    source = group.masters.get(saga.source)
    if source is not None and source.role is Role.ACTIVE:
        if not saga.planned:
            return _fence(group, saga.source, reason=f"failover {saga.id}: {saga.why}")
        return saga.source, ev.DrainStarted(reason=f"{saga.why} to {saga.heir}")
    if source is not None and source.role is Role.DRAINING:
        unfit = heir_unfit(state, group, saga, at_us)
        if unfit:
            return _attempt_failed(saga, f"the heir became unfit: {unfit}")
        is_done = not group.ledger.assigned.get(saga.source)
        if is_done or _is_lost(source) or at_us >= drain_ends_us(state, group, saga):
            return _fence(group, saga.source, reason=f"failover {saga.id}: {saga.why}")
        return None
    if _is_told(state, group):
        todo = _fence_stray(group, but=saga.heir, reason=f"failover {saga.id}: it acts as well")
        if todo is not None:
            return todo
    if state.policy_of(group).fence.kind is FenceKind.CONFIRMED and any(
        master.fence is not None and not master.fence.is_confirmed
        for master in group.masters.values()
    ):
        return None  # an unconfirmed fence never fails an attempt: it is waited for
    if heir_waits(state, group, saga, at_us) is not None:
        return None
    unfit = heir_unfit(state, group, saga, at_us)
    if unfit:
        return _attempt_failed(saga, f"the heir became unfit: {unfit}")
    return saga.heir, ev.TransferStarted(digest=kept_digest(group.kept), count=len(group.kept))


def _is_lost(master: MasterState) -> bool:
    return master.health is Health.FAILED or bool(master.lost_seq)


def _consider_heir(group: GroupState, saga: Saga) -> Todo | None:
    if group.masters[saga.heir].health is Health.FAILED:
        return _attempt_failed(saga, f"the heir failed while {saga.phase.value}")
    return None


def _attempt_failed(saga: Saga, reason: str) -> Todo:
    maybe_active = saga.phase in (Phase.PROMOTING, Phase.VERIFYING)
    return saga.heir, ev.AttemptFailed(reason=reason, maybe_active=maybe_active)


def _compensate(group: GroupState, saga: Saga) -> Todo:
    if group.masters[saga.heir].role is Role.PROMOTING:
        return _fence(group, saga.heir, reason=f"failover {saga.id}: its promotion failed")
    source = group.masters.get(saga.source)
    if source is not None and source.role is Role.DRAINING:
        return saga.source, ev.DrainCancelled()
    return group.id, ev.Compensated()


def _end(state: State, group: GroupState, saga: Saga, result: str, reason: str, at_us: int) -> Todo:
    # What a person asked for, and the first activation, hold nothing down.
    is_held = result == "completed" and saga.why not in (*ASKED, "first")
    hold_us = state.policy_of(group).failover.hold_down_us
    again_us = 0 if active_of(group) else retry_us(group)
    phases = (*saga.phases, ("total", at_us - saga.started_us))
    return group.id, ev.FailoverEnded(
        id=saga.id,
        result=result,
        reason=reason,
        phases=phases,
        hold_until_us=at_us + hold_us if is_held else group.hold_until_us,
        retry_at_us=at_us + again_us if again_us else 0,
    )


def _consider_rollback(state: State, group: GroupState) -> Todo | None:
    rollback = group.rollback
    assert rollback is not None
    active = active_of(group)
    target = rollback.target if is_active_standby(state, group) else ""
    if not target or active == target:
        digest = control_digest(control_of(group))
        result = "complete" if digest == rollback.digest else "incomplete"
        return group.id, ev.RollbackEnded(result=result, digest=digest)
    if not rollback.switching:
        return group.id, ev.FailoverStarted(
            id=state.seq + 1,
            why="rollback",
            source=active,
            to=target,
            planned=True,
            waits="preflight",
            counts=False,
            evidence=(rollback.seq,),
        )
    return group.id, ev.RollbackEnded(result="incomplete", digest=control_digest(control_of(group)))


# Groups whose healthy masters all serve, and the queue.


def _consider_serving(state: State, group: GroupState, at_us: int) -> Todo | None:
    if group.rollback is not None:
        return _consider_rollback(state, group)
    acts = state.policy_of(group).automation is not Automation.OBSERVE
    for name, master in group.masters.items():
        is_out = master.is_excluded or any(
            from_us <= at_us < to_us for from_us, to_us in windows(state, group, master)
        )
        is_well = master.health in (Health.HEALTHY, Health.DEGRADED)
        match master.role:
            case Role.STANDBY if is_well and not is_out:
                return name, ev.Activated(epoch=next_epoch(group), rule="healthy")
            case Role.ACTIVE | Role.DRAINING if acts and _is_lost(master):
                lost = master.health is not Health.FAILED
                reason = "it lost its activation" if lost else "failed"
                return _fence(group, name, reason=reason)
            case Role.ACTIVE if is_out:
                return name, ev.DrainStarted(reason="excluded or under maintenance")
            case Role.DRAINING if not group.ledger.assigned.get(name):
                return name, ev.DrainEnded()
            case _:
                pass
    return None


def _consider_queue(state: State, group: GroupState) -> Todo | None:
    """Give what is queued to whoever may have it."""
    if not group.ledger.queue or state.policy_of(group).automation is Automation.OBSERVE:
        return None
    able = [
        name
        for name, master in group.masters.items()
        if master.role is Role.ACTIVE and not _is_lost(master) and not master.promote_owed
    ]
    if not able:
        return None
    ledger = group.ledger
    if is_active_standby(state, group):
        upto = ledger.queue[-1]
        return able[0], ev.MessagesAssigned(epoch=group.masters[able[0]].epoch, upto=upto)
    least = min(able, key=lambda name: (ledger.assigned.get(name, 0), name))
    # A long queue goes out in pieces, the last ones single: few events, and an even share.
    upto = ledger.queue[len(ledger.queue) // (PIECES * len(able))]
    return least, ev.MessagesAssigned(epoch=group.masters[least].epoch, upto=upto)
