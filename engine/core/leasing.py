"""Fences by lease: a master that was left has stopped by itself when its lease has run out.

A Redis primary with `min-replicas-to-write` takes writes only while so many replicas have
acknowledged within `min-replicas-max-lag`. One that hangs, or that the engine alone cannot reach,
would have its lease renewed for ever by replicas that still hear of it. So they are detached first,
and the lease counts from the last of them. A replica whose process is surely gone renews nothing
from when that was seen. None is taken out of its group while what it renewed is waited for.

They leave one that is surely gone as well, whatever the fence is and however long it is waited for:
it may be started again without its data, or with older ones, and would take theirs away.

A lease counts on the clock of one engine. How long none ran is what the wall clock says, which
somebody may have set meanwhile; so for an engine that begins, it counts from its start. One that
only stood still has its clock all the time: the lease ran on, and is over once everybody could be
heard again.

That a master keeps such a lease is what it says itself, and has to be no longer than the policy's;
masters of other kinds keep what their operator declared, from the decision to fence on.
"""

from typing import Final

from engine.core.fleet import Health, Role
from engine.core.policy import SECOND, FenceKind, fresh_us, lease_wait_us, renews_lease
from engine.core.state import GroupState, MasterState, Phase, Saga, State, leaves_no_doubt

# Redis counts whole seconds, and how many replicas are good once a second: two at most on top.
REDIS_SLACK_US: Final = 2 * SECOND


def has_to_detach(state: State, group: GroupState, saga: Saga, name: str) -> bool:
    """Return whether `name` has to leave the master that was left.

    Its lease runs out then, and what it is started again with takes the place of nobody's data.
    """
    policy = state.policy_of(group)
    if policy.effects != "redis" or saga.phase is not Phase.FENCING:
        return False
    is_leased = renews_lease(policy)
    return any(
        _renewed_us(group.masters[name], left) is None
        for left_name, left in group.masters.items()
        if (is_leased and _is_on_lease(left)) or (left_name == group.assigned and _is_gone(left))
    )


def lease_ends_us(state: State, group: GroupState, left: MasterState) -> int:
    """Return when the lease of a fenced master has run out [us]; 0: no time ends it as it is."""
    policy = state.policy_of(group)
    if policy.fence.kind is not FenceKind.LEASE or not _is_on_lease(left):
        return 0
    fleet = state.fleet
    since_us = max(left.left_at_us, fleet.begun_us)
    if renews_lease(policy):
        if unleased(state, group):
            return 0
        for other in group.masters.values():
            renewed_us = _renewed_us(other, left)
            if renewed_us is None:
                return 0
            since_us = max(since_us, renewed_us)
    ends_us = since_us + lease_wait_us(policy)
    if fleet.started_us > fleet.begun_us:
        ends_us = max(ends_us, fleet.started_us + fresh_us(policy))
    return ends_us


def renewal_reasons(state: State, group: GroupState, name: str) -> list[str]:
    """Return why `name` may not be lost sight of yet: it renewed a lease that is waited for.

    Or it may do so now. Without it that lease would be taken to run out earlier.
    """
    if not renews_lease(state.policy_of(group)):
        return []
    reasons = []
    for left_name, left in group.masters.items():
        if left.fence is None or left.fence.is_confirmed:
            continue
        renewed_us = _renewed_us(group.masters[name], left)
        if renewed_us is None or renewed_us > left.left_at_us:
            reasons.append(
                f"{name} of {group.id} may have renewed the lease of {left_name}, which is waited "
                f"for: release {left_name}, if it cannot act any more"
            )
    return reasons


def joining_reasons(state: State, group: GroupState, name: str) -> list[str]:
    """Return why `name` may not join now: what nobody has heard of it would have to be waited for.

    It may replicate from a master whose lease has to run out, and says of no lease of its own yet.
    """
    if not renews_lease(state.policy_of(group)):
        return []
    return [
        f"the lease of {left_name} of {group.id} is waited for, and {name} may renew it: "
        f"add it afterwards, or release {left_name}, if it cannot act any more"
        for left_name, left in group.masters.items()
        if _is_on_lease(left)
    ]


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


def _is_gone(left: MasterState) -> bool:
    """Return whether the process of a fenced master is surely gone, or another one is there."""
    fence = left.fence
    if fence is None or fence.is_confirmed:
        return False
    return fence.is_restarted or (left.health is Health.FAILED and leaves_no_doubt(left))


def _renewed_us(master: MasterState, left: MasterState) -> int | None:
    """Return when a master may have renewed the lease of the one that was left last [us].

    None: it may do so now; 0: not since it was left, as far as is known.
    """
    assert left.fence is not None
    if master.role is not Role.STANDBY:
        return 0
    if not master.follows and master.follow_epoch > left.fence.revokes:
        return master.follow_us
    is_gone = master.health is Health.FAILED and leaves_no_doubt(master)
    return master.gone_us if is_gone else None
