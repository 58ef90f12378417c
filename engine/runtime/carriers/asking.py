"""What a carrier is asked, from what the durable state owes."""

from collections.abc import Mapping

from engine.core.fleet import Role
from engine.core.owed import Effect
from engine.core.policy import GroupPolicy
from engine.core.state import GroupState, State
from engine.core.transfer import kept_digest
from engine.runtime.carriers.asked import Asked, Member


def asked_of(state: State, effect: Effect, *, state_blobs: Mapping[str, bytes]) -> Asked:
    """Return `effect` with all that it takes to carry it out.

    Args:
        state: The durable state.
        effect: What is owed in it.
        state_blobs: What the group keeps, if the effect moves it.
    """
    group = state.groups[effect.group]
    policy = state.policy_of(group)
    members = members_of(group)
    active = [
        member
        for member in members
        if member.role in (Role.ACTIVE, Role.DRAINING) and member.id != effect.master
    ]
    return Asked(
        step=effect.step,
        group=effect.group,
        mode=policy.mode.value,
        master=effect.master,
        address=group.masters[effect.master].declared.address,
        failover=effect.failover,
        epoch=effect.epoch or group.epoch,
        timeout_us=timeout_us(policy, effect.step),
        active=active[0] if active else None,
        members=members,
        state=state_blobs,
        digest=kept_digest(group.kept) if effect.step == "transfer" else "",
        served=group.switch_epoch,
        allow_loss=policy.failover.allow_loss,
    )


def members_of(group: GroupState) -> tuple[Member, ...]:
    """Return the masters of `group`, in the order of the state."""
    return tuple(
        Member(
            id=name,
            address=master.declared.address,
            health=master.health,
            role=master.role,
        )
        for name, master in group.masters.items()
    )


def timeout_us(policy: GroupPolicy, step: str) -> int:
    """Return when the outcome of a step is due, from its issue [us]."""
    if step == "recover" and policy.recover is not None:
        return policy.recover.timeout_us
    if step.startswith(("before-", "after-")) and policy.hooks is not None:
        return policy.hooks.timeout_us or policy.failover.step_timeout_us
    return policy.failover.step_timeout_us
