"""The failover of an active-standby group, from its start to its end.

It is a saga: fence whoever was left, transfer the kept state, promote, verify by real work, switch.
A failed attempt is compensated (the heir is fenced if its promotion was owed) and the next
candidate is tried in the same failover. After the switch, only forward.
"""

from typing import Final

from engine.core import candidates, failback
from engine.core import events as ev
from engine.core.blocking import (
    ASKED,
    drain_ends_us,
    fence_waits,
    heir_unfit,
    heir_waits,
    is_wanted,
    retry_us,
    waiting,
    want,
)
from engine.core.events import Verdict
from engine.core.fencing import (
    Todo,
    fenced,
    followed_fenced,
    is_lost,
    is_told,
    stray_fenced,
)
from engine.core.fleet import Health, Role
from engine.core.hooks import hook_before
from engine.core.leasing import lease_ends_us
from engine.core.policy import Automation
from engine.core.state import (
    GroupState,
    MasterState,
    Phase,
    Saga,
    State,
    active_of,
    next_epoch,
    paused_until,
)
from engine.core.transfer import kept_digest

# Somebody is at work on it by now: it is not promoted, whatever it was given.
_AT_WORK: Final = ("excluded", "maintenance")


def consider_saga(state: State, group: GroupState, saga: Saga, at_us: int) -> Todo | None:
    """Return the next thing to do in the open failover of `group` and its subject, or None."""
    match saga.phase:
        case Phase.SELECTING:
            if saga.planned and _is_served_by_source(group, saga):
                return _select_planned(state, group, saga, at_us)
            return _select(state, group, saga, at_us)
        case Phase.FENCING:
            return _consider_fencing(state, group, saga, at_us)
        case Phase.TRANSFERRING | Phase.PROMOTING | Phase.VERIFYING:
            return _consider_heir(state, group, saga, at_us)
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
    if saga.why == failback.FAILBACK and paused_until(state, group, at_us):
        return _end(state, group, saga, "abandoned", f"{group.id} is paused", at_us)
    if wanted is not None and wanted.source and saga.why in ("switchover", failback.FAILBACK):
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
    is_served = source is not None and source.role is Role.ACTIVE
    if is_automatic and is_served and not is_wanted(group, saga):
        assert source is not None
        return _end(state, group, saga, "abandoned", _why_not(saga, source), at_us)
    observes = state.policy_of(group).automation is Automation.OBSERVE
    if is_automatic and observes and not saga.attempt:
        # Nothing was taken from anybody, and by now nothing shall be.
        return _end(state, group, saga, "abandoned", f"{group.id} only observes", at_us)
    block = waiting(state, group, saga, at_us)
    if block is not None:
        is_for_last = block.reason == "approval" and saga.to
        unfit = candidates.passed_over(state, group, saga.to, at_us) if is_for_last else None
        if unfit is None:
            return None
        # It was to give the last active its place back; whoever is fit now may be approved.
        return _end(state, group, saga, "abandoned", f"{saga.to} became unfit: {unfit[0]}", at_us)
    failover = state.policy_of(group).failover
    if saga.attempt >= failover.attempts_max:
        return _end(state, group, saga, "abandoned", f"{saga.attempt} attempts failed", at_us)
    if saga.attempt and _worked_us(state, saga, at_us) > failover.deadline_us:
        return _end(state, group, saga, "abandoned", "its deadline passed", at_us)
    verdicts = candidates.table(state, group, at_us, is_tolerant=not is_automatic)
    heir = candidates.heir(verdicts)
    if saga.to and (is_automatic or not saga.attempt):
        fit = {verdict.master for verdict in verdicts if verdict.fit}
        heir = saga.to if saga.to in fit else ""
    if heir:
        return _attempt(group, saga, heir, verdicts)
    if saga.is_approved and not saga.attempt and not saga.to:
        return None  # an approval stays, and is used when a fit heir appears
    return _end(state, group, saga, "abandoned", "no candidate is left", at_us)


def _why_not(saga: Saga, source: MasterState) -> str:
    """Return why an automatic failover is not wanted any more."""
    if source.health is Health.UNKNOWN:
        return f"nothing is heard of {saga.source}"
    return f"others hear {saga.source}" if source.failures else "the active recovered"


def _worked_us(state: State, saga: Saga, at_us: int) -> int:
    """Return for how long a failover has been at its steps [us].

    What it waited for before it began does not count, nor do fences, which are waited for however
    long they take, nor time in which no engine ran.
    """
    waits = (Phase.SELECTING.value, Phase.FENCING.value)
    waited_us = sum(us for phase, us in saga.phases if phase in waits)
    return min(at_us - saga.started_us - waited_us, at_us - state.fleet.started_us)


def _attempt(group: GroupState, saga: Saga, heir: str, verdicts: tuple[Verdict, ...]) -> Todo:
    return group.id, ev.AttemptStarted(
        n=saga.attempt + 1, heir=heir, epoch=next_epoch(group), table=verdicts
    )


def _consider_fencing(state: State, group: GroupState, saga: Saga, at_us: int) -> Todo | None:
    # First of all: it is a deadline, which has to be acted upon whatever else is waited for.
    for name, master in group.masters.items():
        ends_us = lease_ends_us(state, group, master)
        if master.fence is not None and 0 < ends_us <= at_us:
            return name, ev.FenceConfirmed(epoch=master.fence.confirm_at, how="lease")
    source = group.masters.get(saga.source)
    if saga.hook:
        if heir_waits(state, group, saga, at_us) is not None:
            return None
        unfit = heir_unfit(state, group, saga, at_us)
        return _attempt_failed(saga, f"the heir became unfit: {unfit}") if unfit else None
    if source is not None and source.role is Role.ACTIVE:
        if saga.why not in ASKED and not is_wanted(group, saga):
            # While a program ran.
            return _attempt_failed(saga, f"nothing speaks against {saga.source} any more")
        todo = hook_before(state, group, saga, "fence", saga.source)
        if todo is not None:
            return todo
        if not saga.planned:
            return fenced(group, saga.source, reason=f"failover {saga.id}: {saga.why}")
        return saga.source, ev.DrainStarted(reason=f"{saga.why} to {saga.heir}")
    if source is not None and source.role is Role.DRAINING:
        unfit = heir_unfit(state, group, saga, at_us)
        if unfit:
            return _attempt_failed(saga, f"the heir became unfit: {unfit}")
        is_done = not group.ledger.assigned.get(saga.source)
        if is_done or is_lost(source) or at_us >= drain_ends_us(state, group, saga):
            return fenced(group, saga.source, reason=f"failover {saga.id}: {saga.why}")
        return None
    if is_told(state, group):
        todo = stray_fenced(group, but=saga.heir, reason=f"failover {saga.id}: it acts as well")
        todo = todo or followed_fenced(
            group, but=saga.heir, reason=f"failover {saga.id}: others follow it"
        )
        if todo is not None:
            return todo
    if fence_waits(state, group) is not None:
        return None  # an unconfirmed fence never fails an attempt: it is waited for
    if heir_waits(state, group, saga, at_us) is not None:
        return None
    unfit = heir_unfit(state, group, saga, at_us)
    if unfit:
        return _attempt_failed(saga, f"the heir became unfit: {unfit}")
    todo = hook_before(state, group, saga, "transfer", saga.heir)
    if todo is not None:
        return todo
    return saga.heir, ev.TransferStarted(digest=kept_digest(group.kept), count=len(group.kept))


def _consider_heir(state: State, group: GroupState, saga: Saga, at_us: int) -> Todo | None:
    if group.masters[saga.heir].health is Health.FAILED:
        return _attempt_failed(saga, f"the heir failed while {saga.phase.value}")
    if saga.phase is not Phase.TRANSFERRING:
        return None
    rules = candidates.every_rule(state, group, saga.heir, at_us, is_tolerant=True)
    out = [rule for rule, _ in rules if rule in _AT_WORK]
    if out:
        return _attempt_failed(saga, f"the heir became unfit: {out[0]}")
    if is_told(state, group):
        for name, master in group.masters.items():
            if name != saga.heir and candidates.is_stray(master):
                # Nobody is promoted beside it; the next attempt fences it first.
                return _attempt_failed(saga, f"{name} acts as well")
    return None


def _attempt_failed(saga: Saga, reason: str) -> Todo:
    maybe_active = saga.phase in (Phase.PROMOTING, Phase.VERIFYING)
    return saga.heir, ev.AttemptFailed(reason=reason, maybe_active=maybe_active)


def _compensate(group: GroupState, saga: Saga) -> Todo:
    if group.masters[saga.heir].role is Role.PROMOTING:
        return fenced(group, saga.heir, reason=f"failover {saga.id}: its promotion failed")
    source = group.masters.get(saga.source)
    if source is not None and source.role is Role.DRAINING:
        return saga.source, ev.DrainCancelled()
    return group.id, ev.Compensated()


def _end(state: State, group: GroupState, saga: Saga, result: str, reason: str, at_us: int) -> Todo:
    # What a person asked for, and the first activation, hold nothing down.
    is_held = result == "completed" and saga.why not in (*ASKED, "first")
    hold_us = state.policy_of(group).failover.hold_down_us
    # One that failed is active still if the program before its fence said no.
    is_served = active_of(group) and (saga.planned or not saga.attempt or want(group) is None)
    again_us = 0 if is_served or result == "completed" else retry_us(group)
    phases = (*saga.phases, ("total", at_us - saga.started_us))
    failback_to, failback_us = failback.after(state, group, saga, result, at_us)
    return group.id, ev.FailoverEnded(
        id=saga.id,
        result=result,
        reason=reason,
        phases=phases,
        hold_until_us=at_us + hold_us if is_held else group.hold_until_us,
        retry_at_us=at_us + again_us if again_us else 0,
        failback_to=failback_to,
        failback_us=failback_us,
    )
