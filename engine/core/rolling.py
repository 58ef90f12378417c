"""Going back for several groups at once: all of them, or none.

Rule 1: every group is judged as for a rollback of its own. If one cannot go back nobody does, and
every reason of every group is given.

Rule 2: with the policy of then, that holds for the groups of then; groups that came since, and what
concerns membership, stay as they are.

Rule 3: each group then goes its own way, with a switchover if its master differs, and says how that
ended.
"""

import msgspec

from engine.core import events as ev
from engine.core.commands import rollback_reasons, unchangeable
from engine.core.fleet import Role
from engine.core.policy import Policy, content_digest
from engine.core.state import State, control_of
from engine.core.step import Step


def decide_fleet_rollback(step: Step, event: ev.FleetRollbackRequested) -> None:
    """Take the control of several groups back to what it was, or refuse as a whole."""
    state = step.state
    reasons = []
    if not event.controls:
        reasons.append(f"no group of now was there at position {event.position}")
    for control in event.controls:
        group = state.groups.get(control.group)
        if group is None:
            reasons.append(f"group {control.group} does not exist any more")
            continue
        reasons += rollback_reasons(
            step,
            group,
            control,
            position=event.position,
            force=event.force,
            is_tolerant=event.at_rest,
        )
    merged = state.fleet.policy
    if event.policy is not None:
        merged = _merged(state, event.policy)
        reasons += _policy_reasons(step, merged)
    if reasons:
        step.emit(ev.Refused(what="rollback", reasons=tuple(reasons)))
        return
    before = {group.id: control_of(group) for group in state.groups.values()}
    if merged != state.fleet.policy:
        _adopt(step, merged, {control.group for control in event.controls})
    for control, digest in zip(event.controls, event.digests, strict=True):
        step.emit(
            ev.RollbackAccepted(
                before=before[control.group],
                after=control,
                digest=digest,
                position=event.position,
                force=event.force,
            ),
            subject=control.group,
        )


def _merged(state: State, then: Policy) -> Policy:
    """Return the policy of then for the groups of then, and that of now for the others."""
    now = state.fleet.policy
    groups = {name: then.groups.get(name, policy) for name, policy in now.groups.items()}
    return msgspec.structs.replace(then, groups=groups)


def _policy_reasons(step: Step, policy: Policy) -> list[str]:
    """Return why the policy of then cannot be in force now."""
    reasons = []
    for group in step.state.groups.values():
        now, then = step.state.policy_of(group), policy.groups[group.id]
        is_served = any(master.role is not Role.STANDBY for master in group.masters.values())
        if now.mode is not then.mode and is_served:
            reasons.append(f"group {group.id} is {now.mode.value} and is served")
        reasons += unchangeable(step, group, then)
    return reasons


def _adopt(step: Step, policy: Policy, going: set[str]) -> None:
    """Put a policy in force; the strategy of groups that do not go back stays."""
    state = step.state
    strategies = {group.id: group.strategy for group in state.groups.values()}
    masters = tuple(
        master.declared for group in state.groups.values() for master in group.masters.values()
    )
    digest = content_digest(policy, masters)
    step.emit(ev.PolicyAdopted(policy=policy, digest=digest))
    for group in list(state.groups.values()):
        if group.id not in going and group.strategy != strategies[group.id]:
            step.emit(ev.StrategyChanged(strategy=strategies[group.id]), subject=group.id)
