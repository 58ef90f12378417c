"""What people ask for: each command is accepted or refused, with every reason.

A refusal is an event beside the request; nothing else follows from a refused command.
"""

from engine.core import candidates
from engine.core import events as ev
from engine.core.blocking import ASKED
from engine.core.events import FLEET
from engine.core.fleet import Mode, Role
from engine.core.leasing import joining_reasons, renewal_reasons
from engine.core.policy import STRATEGIES, FenceKind, GroupPolicy
from engine.core.state import (
    GroupState,
    Phase,
    active_of,
    awaited_fences,
    control_of,
    is_active_standby,
    paused_until,
)
from engine.core.step import Step


def decide_switchover(step: Step, event: ev.SwitchoverAsked) -> None:
    """Plan a change of the active master, or say why not."""
    group = step.state.groups[step.subject]
    to, reasons = switchable(step, group, event.to, is_tolerant=event.at_rest)
    if reasons:
        step.emit(ev.Refused(what="switchover", reasons=tuple(reasons)))
        return
    step.emit(planned(step, source=active_of(group), to=to, evidence=(step.seq,)))


def switchable(
    step: Step, group: GroupState, to: str, *, is_tolerant: bool
) -> tuple[str, list[str]]:
    """Return who would take over from the active of `group` as planned, or every reason why not."""
    reasons = _unswitchable(step, group)
    if not reasons and not active_of(group):
        reasons.append(f"{group.id} has no active master: a failover is needed")
    if reasons:
        return to, reasons
    return _target(step, group, to, is_tolerant=is_tolerant)


def planned(step: Step, *, source: str, to: str, evidence: tuple[int, ...]) -> ev.FailoverStarted:
    """Return that a switchover begins: the source is drained and the target looked at first."""
    return _started(step, why="switchover", source=source, to=to, planned=True, evidence=evidence)


def decide_failover(step: Step, event: ev.FailoverAsked) -> None:
    """Force a failover, or say why not. It takes the place of one that still waits."""
    group = step.state.groups[step.subject]
    reasons = _unswitchable(step, group, may_take_over=True)
    to = event.to
    if not reasons:
        to, unfit = _target(step, group, event.to, is_tolerant=event.at_rest)
        reasons.extend(unfit)
    if reasons:
        step.emit(ev.Refused(what="failover", reasons=tuple(reasons)))
        return
    if group.saga is not None:
        step.emit(
            ev.FailoverEnded(
                id=group.saga.id,
                result="abandoned",
                reason="a forced failover takes over",
                phases=tuple(group.saga.phases),
                hold_until_us=group.hold_until_us,
                retry_at_us=0,
                failback_to=group.failback_to,
                failback_us=group.failback_us,
            )
        )
    source, evidence = active_of(group), (step.seq,)
    step.emit(_started(step, why="forced", source=source, to=to, planned=False, evidence=evidence))


def _started(
    step: Step, *, why: str, source: str, to: str, planned: bool, evidence: tuple[int, ...]
) -> ev.FailoverStarted:
    return ev.FailoverStarted(
        id=step.state.seq + 1,
        why=why,
        source=source,
        to=to,
        planned=planned,
        waits="preflight" if planned else "",
        counts=False,
        evidence=evidence,
    )


def _unswitchable(step: Step, group: GroupState, *, may_take_over: bool = False) -> list[str]:
    reasons = []
    if not is_active_standby(step.state, group):
        reasons.append(f"{group.id} is active-active: every healthy master serves")
    saga = group.saga
    if saga is not None and not (may_take_over and saga.phase is Phase.SELECTING):
        reasons.extend(
            _awaited_fences(group)
            or [f"failover {saga.id} of {group.id} is open: {saga.phase.value}"]
        )
    if group.rollback is not None:
        reasons.append(f"rollback {group.rollback.seq} of {group.id} is open")
    return reasons


def _awaited_fences(group: GroupState) -> list[str]:
    """Return whose fences an open failover waits for, and what a person can do about each."""
    number = 0 if group.saga is None else group.saga.id
    return [
        f"failover {number} of {group.id} waits until {name} confirms its fence: "
        f"release {name}, if it cannot act any more"
        for name in awaited_fences(group)
    ]


def _target(step: Step, group: GroupState, to: str, *, is_tolerant: bool) -> tuple[str, list[str]]:
    """Return the master that shall take over, or every reason why there is none."""
    at_us = step.state.at_us
    if to and to not in group.masters:
        known = ", ".join(sorted(group.masters))
        return "", [f"{to} is no master of {group.id}: expected one of {known}"]
    if to:
        passed = candidates.passed_over(step.state, group, to, at_us, is_tolerant=is_tolerant)
        return to, [] if passed is None else [_reason(to, passed)]
    verdicts = candidates.table(step.state, group, at_us, is_tolerant=is_tolerant)
    heir = candidates.heir(verdicts)
    if heir:
        return heir, []
    return "", [_reason(verdict.master, (verdict.rule, verdict.figures)) for verdict in verdicts]


def _reason(master: str, passed: tuple[str, ev.Figures]) -> str:
    figures = ", ".join(f"{name} {value}" for name, value in passed[1])
    return f"{master}: {passed[0]}" + (f" ({figures})" if figures else "")


def decide_rollback(step: Step, event: ev.RollbackRequested) -> None:
    """Take the control of one group back to what it was, or refuse as a whole."""
    group = step.state.groups[step.subject]
    reasons = rollback_reasons(
        step,
        group,
        event.control,
        position=event.position,
        force=event.force,
        is_tolerant=event.at_rest,
    )
    if reasons:
        step.emit(ev.Refused(what="rollback", reasons=tuple(reasons)))
        return
    step.emit(
        ev.RollbackAccepted(
            before=control_of(group),
            after=event.control,
            digest=event.digest,
            position=event.position,
            force=event.force,
        )
    )


def rollback_reasons(
    step: Step,
    group: GroupState,
    control: ev.GroupControl,
    *,
    position: int,
    force: bool,
    is_tolerant: bool,
) -> list[str]:
    """Return every reason why `group` cannot go back to the control that it had."""
    target = control.assigned
    reasons = []
    if group.saga is not None:
        reasons.append(f"failover {group.saga.id} of {group.id} is open: {group.saga.phase.value}")
    if group.rollback is not None:
        reasons.append(f"rollback {group.rollback.seq} of {group.id} is open")
    if is_active_standby(step.state, group):
        if not target:
            reasons.append(f"{group.id} had no active master at position {position}")
        elif target not in group.masters:
            reasons.append(f"{target} does not belong to {group.id} any more")
        elif not force:
            reasons.extend(_unfit(step, group, target, is_tolerant=is_tolerant))
    if control.strategy not in STRATEGIES:
        reasons.append(f"strategy {control.strategy!r} is not one of this release")
    return reasons


def _unfit(step: Step, group: GroupState, target: str, *, is_tolerant: bool) -> list[str]:
    """Return every rule that the target of a rollback fails; the current active is none."""
    master = group.masters[target]
    if master.role in (Role.ACTIVE, Role.DRAINING):
        return []
    passed = candidates.every_rule(
        step.state, group, target, step.state.at_us, is_tolerant=is_tolerant
    )
    return [_reason(target, rule) for rule in passed]


def decide_approved(step: Step) -> None:
    """Let a waiting failover go."""
    group = step.state.groups[step.subject]
    saga = group.saga
    if paused_until(step.state, group, step.state.at_us):
        reason = f"{group.id} is paused: resume, or ask for a failover"
        step.emit(ev.Refused(what="approve", reasons=(reason,)))
        return
    if (
        saga is None
        or saga.phase is not Phase.SELECTING
        or saga.why in ASKED
        or saga.is_approved
        or saga.attempt
    ):
        reason = f"no failover of {group.id} waits for an approval"
        step.emit(ev.Refused(what="approve", reasons=(reason,)))
        return
    step.emit(ev.ApprovalGiven())


def decide_released(step: Step, event: ev.Released) -> None:
    """Lift a fence that a person vouches for; what brakes a group needs no decision."""
    if step.subject == FLEET:
        if event.scope == "fence":
            reason = "the fleet has no fence: release the master that cannot act any more"
            step.emit(ev.Refused(what="release", reasons=(reason,)))
        return
    place = step.state.cache.places.get(step.subject)
    if place is None and event.scope != "fence":
        reasons = _awaited_fences(step.state.groups[step.subject])
        if reasons:
            step.emit(ev.Refused(what="release", reasons=tuple(reasons)))
        return
    if event.scope not in ("fence", "any"):
        return
    fence = None if place is None else place.master.fence
    if fence is None or fence.is_confirmed:
        reason = f"{step.subject} has no unconfirmed fence"
        step.emit(ev.Refused(what="release", reasons=(reason,)))
        return
    step.emit(ev.FenceConfirmed(epoch=fence.confirm_at, how="released"))


def decide_strategy(step: Step, event: ev.StrategyAsked) -> None:
    """Balance by another strategy."""
    if event.strategy in STRATEGIES:
        step.emit(ev.StrategyChanged(strategy=event.strategy))
        return
    reason = f"expected one of {', '.join(STRATEGIES)}, found {event.strategy!r}"
    step.emit(ev.Refused(what="strategy", reasons=(reason,)))


def decide_exclusion(step: Step, event: ev.ExclusionAsked) -> None:
    """Keep a master from being chosen, or let it be chosen again."""
    step.emit(ev.ExclusionChanged(excluded=event.excluded, reason=event.reason))


def decide_checkpoint(step: Step, event: ev.CheckpointMarked) -> None:
    """Refuse a name that was used, or that could be mistaken for a position."""
    reasons = []
    marked = step.state.fleet.checkpoints.get(event.name)
    if marked is None:
        reasons.append(f"expected a name that starts with a letter, found {event.name!r}")
    elif marked != step.seq:
        reasons.append(f"checkpoint {event.name!r} is taken: it marks {marked}")
    if reasons:
        step.emit(ev.Refused(what="checkpoint", reasons=tuple(reasons)))


def decide_configuration(step: Step, event: ev.ConfigurationLoaded) -> None:
    """Adopt what a new file says, or refuse it as a whole if it would drop who serves."""
    if event.policy is None:
        return
    state = step.state
    declared = {master.id: master for master in event.masters}
    reasons = []
    removed = []
    for group in state.groups.values():
        policy = event.policy.groups.get(group.id)
        serving = [m for m in group.masters.values() if m.role is not Role.STANDBY]
        if policy is None and group.ledger.open:
            reasons.append(f"group {group.id} has {len(group.ledger.open)} open messages")
        if policy is not None and serving and policy.mode is not _mode(step, group):
            reasons.append(f"group {group.id} is {_mode(step, group).value} and is served")
        if policy is not None:
            reasons.extend(unchangeable(step, group, policy))
        for name, master in group.masters.items():
            known = declared.get(name)
            if known is not None and known.group == group.id:
                is_plain = master.role is Role.STANDBY and master.fence is None
                if known.address != master.declared.address and not is_plain:
                    was = f"{master.role.value} at {master.declared.address}"
                    reasons.append(f"master {name} of {group.id} is {was}: it cannot move now")
                if known.address != master.declared.address:
                    reasons += renewal_reasons(state, group, name)
                    reasons += open_to(group, name)
                continue
            if known is None and master.by_command and policy is not None:
                continue
            removed.append(name)
            reasons += renewal_reasons(state, group, name)
            is_out = master.fence is not None and (
                master.fence.is_confirmed or _fence_kind(step, group) is FenceKind.GATE
            )
            if master.role is not Role.STANDBY and not is_out:
                reasons.append(f"master {name} of {group.id} is {master.role.value}")
            reasons += open_to(group, name)
    for name, declaration in declared.items():
        home = state.groups.get(declaration.group)
        if home is not None and name not in home.masters:
            reasons += joining_reasons(state, home, name)
    if reasons:
        step.emit(ev.Refused(what="configuration", reasons=tuple(reasons)))
        return
    for name in removed:
        group_id = state.cache.places[name].group.id
        step.emit(ev.MasterRemoved(group=group_id), subject=name)
    step.emit(ev.PolicyAdopted(policy=event.policy, digest=event.digest))
    for name, declaration in declared.items():
        place = state.cache.places.get(name)
        if place is None or place.master.declared != declaration or place.master.by_command:
            step.emit(ev.MasterAdded(master=declaration), subject=name)


def open_to(group: GroupState, name: str) -> list[str]:
    """Return that `name` is about to take over, if it is: it stays, and stays where it is."""
    saga = group.saga
    if saga is None or name not in (saga.heir, saga.to):
        return []
    return [f"failover {saga.id} of {group.id} is open to {name}"]


def unchangeable(step: Step, group: GroupState, policy: GroupPolicy) -> list[str]:
    """Return what may not change while somebody waits to be told something, or to have it done."""
    now = step.state.policy_of(group)
    reasons = []
    if group.saga is not None and now.mode is not policy.mode:
        reasons.append(f"failover {group.saga.id} of {group.id} is open: its mode stays")
    # A lease that is waited for runs for as long as it was given.
    is_same = now.fence.lease_us == policy.fence.lease_us or now.fence.kind is not FenceKind.LEASE
    if is_same and (now.effects, now.fence.kind) == (policy.effects, policy.fence.kind):
        return reasons
    if group.saga is not None:
        reasons.append(f"failover {group.saga.id} of {group.id} is open: effects and fence stay")
    for name, master in group.masters.items():
        if master.fence is not None and not master.fence.is_confirmed:
            reasons.append(f"the fence of {name} is not confirmed: effects and fence stay")
    return reasons


def _fence_kind(step: Step, group: GroupState) -> FenceKind:
    return step.state.policy_of(group).fence.kind


def _mode(step: Step, group: GroupState) -> Mode:
    return step.state.policy_of(group).mode
