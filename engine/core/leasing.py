"""Fences by lease: a master that was left has stopped by itself when its lease has run out.

A Redis primary with `min-replicas-to-write` takes writes only while so many replicas have
acknowledged within `min-replicas-max-lag`. One that hangs, or that the engine alone cannot reach,
would have its lease renewed for ever by replicas that still hear of it. So they are detached first,
and the lease counts from the last of them. A replica whose process is surely gone renews nothing.

That a master keeps such a lease is what it says itself, and has to be no longer than the policy's;
masters of other kinds keep what their operator declared, from the decision to fence on.
"""

from typing import Final

from engine.core.fleet import Health, Role
from engine.core.policy import SECOND, FenceKind, lease_wait_us
from engine.core.state import GroupState, MasterState, Phase, Saga, State

# Redis counts whole seconds, and how many replicas are good once a second: two at most on top.
REDIS_SLACK_US: Final = 2 * SECOND


def has_to_detach(state: State, group: GroupState, saga: Saga, name: str) -> bool:
    """Return whether `name` has to leave the master that was left, so that its lease runs out."""
    policy = state.policy_of(group)
    if (
        policy.fence.kind is not FenceKind.LEASE
        or policy.effects != "redis"
        or saga.phase is not Phase.FENCING
    ):
        return False
    return any(
        _is_on_lease(left) and not _is_detached(group.masters[name], left)
        for left in group.masters.values()
    )


def lease_ends_us(state: State, group: GroupState, left: MasterState) -> int:
    """Return when the lease of a fenced master has run out [us]; 0: no time ends it as it is."""
    policy = state.policy_of(group)
    if policy.fence.kind is not FenceKind.LEASE or not _is_on_lease(left):
        return 0
    since_us = left.left_at_us
    if policy.effects == "redis":
        if unleased(state, group):
            return 0
        for other in group.masters.values():
            if other.role is Role.STANDBY and not _is_detached(other, left):
                return 0
            since_us = max(since_us, other.follow_us if other.role is Role.STANDBY else 0)
    return since_us + lease_wait_us(policy)


def unleased(state: State, group: GroupState) -> list[str]:
    """Return the masters of a Redis group that do not say they keep a lease that is short enough.

    A short one is, with what Redis itself adds to it, no longer than the policy's.
    """
    most_us = state.policy_of(group).fence.lease_us
    return [
        name
        for name, master in group.masters.items()
        if master.report is None or not 0 < master.report.lease_us <= most_us - REDIS_SLACK_US
    ]


def _is_on_lease(left: MasterState) -> bool:
    """Return whether a fenced master does not answer, so that its lease has to run out."""
    fence = left.fence
    return (
        fence is not None
        and not fence.is_confirmed
        and left.health in (Health.FAILED, Health.UNKNOWN)
    )


def _is_detached(master: MasterState, left: MasterState) -> bool:
    """Return whether a standby renews nothing of the master that was left any more."""
    assert left.fence is not None
    if master.role is not Role.STANDBY or (master.health is Health.FAILED and master.is_hard):
        return True
    return not master.follows and master.follow_epoch > left.fence.revokes
