"""Why a group that wants another active does not get one yet, and when that ends.

`blocked` and `waiting` give the reason and its end; an acting deadline is exactly such an end, so
that whatever is waited for is acted upon at the moment it is over. What blocks keeps a failover
from being opened; what it waits for keeps an open one in *selecting*, where a person can let it go.
"""

from bisect import bisect_left, bisect_right
from typing import Final

import msgspec

from engine.core import candidates
from engine.core.candidates import is_blind
from engine.core.fleet import Health, Role
from engine.core.leasing import lease_ends_us
from engine.core.policy import Automation, FenceKind
from engine.core.state import (
    ASKED as ASKED,
)
from engine.core.state import (
    GroupState,
    MasterState,
    Phase,
    Saga,
    State,
    active_of,
    leaves_no_doubt,
    paused_until,
)
from engine.core.voting import lacks_quorum

SUSPECTED: Final = "suspected"  # why a failover is open whose source no quorum has failed
RETRY_US: Final = 1_000_000  # the first back-off of a headless group [us]; doubles
RETRY_US_MAX: Final = 64 * RETRY_US


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """Why a group needs another active."""

    why: str  # failed, activation-lost, first, headless, suspected
    source: str
    is_hard: bool
    evidence: tuple[int, ...]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """What is waited for; `until_us` 0: no time ends it, only an event."""

    reason: str
    until_us: int = 0


def want(group: GroupState) -> Want | None:
    """Return why an active-standby group needs another active; None if it is served.

    A master that failed and answers again is wanted away until it is trusted: one that answers now
    and then would otherwise be waited for without end.
    """
    active = active_of(group)
    if not active:
        is_first = group.epoch == 0
        why = "first" if is_first else "headless"
        return Want(why=why, source="", is_hard=True, evidence=())
    master = group.masters[active]
    if master.lost_seq:
        return Want(why="activation-lost", source=active, is_hard=True, evidence=(master.lost_seq,))
    if master.health in (Health.FAILED, Health.RECOVERING):
        is_hard = leaves_no_doubt(master)
        return Want(why="failed", source=active, is_hard=is_hard, evidence=(master.health_seq,))
    return None


def suspects(state: State, group: GroupState, at_us: int) -> Want | None:
    """Return that the active may have to be replaced, although too few are there to say so."""
    active = active_of(group)
    against = lacks_quorum(state, group, active, at_us)
    if not against or state.policy_of(group).automation is Automation.OBSERVE:
        return None
    evidence = tuple(sorted({seq for vote in against for seq in vote.evidence}))
    return Want(why=SUSPECTED, source=active, is_hard=False, evidence=evidence)


def is_wanted(group: GroupState, saga: Saga) -> bool:
    """Return whether an automatic failover that is open is wanted still.

    One upon a suspicion is until anybody has heard the master that it is about.
    """
    if want(group) is not None:
        return True
    source = group.masters[saga.source]
    heard = (source.good_seq, *(eye.good_seq for eye in source.eyes.values()))
    return saga.why == SUSPECTED and max(heard) < saga.seq


def blocked(state: State, group: GroupState, wanted: Want, at_us: int) -> Block | None:
    """Return what keeps a failover of `group` from being opened; None: nothing does."""
    policy = state.policy_of(group)
    pause_us = paused_until(state, group, at_us)
    if pause_us and not restores(state, group, wanted, at_us):
        return Block(reason="pause", until_us=max(0, pause_us))
    grace_us = state.fleet.started_us + policy.failover.grace_us
    if at_us < grace_us and not _all_heard(state, group):
        return Block(reason="grace", until_us=grace_us)
    if wanted.why == "first" and sum(_claims(group)) > 1:
        return Block(reason="several report themselves active")
    if wanted.why == "failed":
        source = group.masters[wanted.source]
        block = _delay(state, group, source, at_us, is_hard=wanted.is_hard)
        if block is not None:
            return block
        if source.health is Health.RECOVERING:
            return Block(reason="it answers again")  # until it is trusted, or fails once more
    if at_us < group.retry_at_us:
        return Block(reason="retry", until_us=group.retry_at_us)
    if policy.automation is Automation.OBSERVE:
        return Block(reason="observing")
    if not candidates.has_heir(state, group, at_us):
        return Block(reason="blind" if is_blind(state, group, at_us) else "no fit heir")
    if wanted.why == "failed" and candidates.is_doubtful(state, group.masters[wanted.source]):
        return Block(reason="doubt")  # until it answers, or was counted anew
    return _better(state, group, at_us)


def _delay(
    state: State, group: GroupState, source: MasterState, at_us: int, *, is_hard: bool
) -> Block | None:
    """Return until when a failed master may come back before anybody takes its place."""
    failover = state.policy_of(group).failover
    ends_us = source.failed_us + (
        failover.delay_crash_us if is_hard else failover.delay_staleness_us
    )
    return Block(reason="delay", until_us=ends_us) if at_us < ends_us else None


def _better(state: State, group: GroupState, at_us: int) -> Block | None:
    until_us = candidates.better_heard_us(state, group, at_us)
    return Block(reason="better heir", until_us=until_us) if until_us else None


def restores(state: State, group: GroupState, wanted: Want, at_us: int) -> bool:
    """Return whether the master that lost its activation can have it back.

    That is no new failover, since nobody takes its place; so it happens in a pause as well.
    """
    last = group.masters.get(group.assigned)
    return (
        last is not None
        and wanted.why == "headless"
        and candidates.passed_over(state, group, group.assigned, at_us) is None
    )


def waiting(state: State, group: GroupState, saga: Saga, at_us: int) -> Block | None:
    """Return what an automatic failover that is open waits for in *selecting*."""
    if saga.why in ASKED or saga.attempt:
        return None
    policy = state.policy_of(group)
    pause_us = paused_until(state, group, at_us)
    if pause_us and not saga.to:
        return Block(reason="pause", until_us=max(0, pause_us))
    if saga.is_approved:
        return None
    grace_us = state.fleet.started_us + policy.failover.grace_us
    if at_us < grace_us and not _all_heard(state, group):
        return Block(reason="grace", until_us=grace_us)
    if policy.automation is not Automation.AUTO:
        return Block(reason="approval")
    if saga.why == SUSPECTED:
        if want(group) is None:
            return Block(reason="quorum")
        failed = group.masters[saga.source]  # it waits from the verdict on, like any other
        block = _delay(state, group, failed, at_us, is_hard=_is_hard(group, saga))
        if block is not None:
            return block
    if not saga.source:
        return None  # a group that nobody serves is not held down, and its retries do not count
    block = brake(state, group, at_us, is_hard=_is_hard(group, saga), saga=saga)
    source = group.masters[saga.source]
    if block is None and source.health is Health.RECOVERING:
        return Block(reason="it answers again")
    if block is None and not candidates.has_heir(state, group, at_us):
        return Block(reason="blind") if is_blind(state, group, at_us) else None
    if block is None and candidates.is_doubtful(state, source):
        return Block(reason="doubt")
    return block or _better(state, group, at_us)


def fence_waits(state: State, group: GroupState) -> Block | None:
    """Return the fence that has to be confirmed before anybody is promoted, and until when."""
    kind = state.policy_of(group).fence.kind
    if kind is FenceKind.GATE:
        return None
    waits = None
    for master in group.masters.values():
        if master.fence is None or master.fence.is_confirmed:
            continue
        until_us = lease_ends_us(state, group, master)
        if not until_us:
            return Block(reason="fence")  # no time ends that
        if waits is None or until_us > waits.until_us:
            waits = Block(reason="lease", until_us=until_us)
    return waits


def heir_waits(state: State, group: GroupState, saga: Saga, at_us: int) -> Block | None:
    """Return until when a chosen heir may be silent: an engine that just started heard nobody."""
    grace_us = state.fleet.started_us + state.policy_of(group).failover.grace_us
    if at_us < grace_us and heir_unfit(state, group, saga, at_us) in ("stale", "health-unknown"):
        return Block(reason="grace", until_us=grace_us)
    return None


def heir_unfit(state: State, group: GroupState, saga: Saga, at_us: int) -> str:
    """Return the rule that passes the chosen heir over by now; "" if it is still fit."""
    forced = group.rollback is not None and group.rollback.force
    rules = candidates.every_rule(state, group, saga.heir, at_us, is_tolerant=saga.why in ASKED)
    return next(
        (
            rule
            for rule, _ in rules
            if rule != "failed-attempt" and not (forced and rule.startswith("health"))
        ),
        "",
    )


def brake(
    state: State, group: GroupState, at_us: int, *, is_hard: bool, saga: Saga
) -> Block | None:
    """Return the hold-down or the spent limit that an automatic failover runs into.

    `saga` was counted itself when it was started; it does not brake itself.
    """
    failover = state.policy_of(group).failover
    if failover.limit:
        then_us = group.counted_us  # ascending
        end = bisect_left(then_us, saga.started_us)
        if end - bisect_right(then_us, at_us - failover.limit_window_us, 0, end) >= failover.limit:
            first_us = then_us[end - failover.limit]
            return Block(reason="limit", until_us=first_us + failover.limit_window_us)
    block = fleet_brake(state, at_us)
    if block is not None:
        return block
    if not is_hard and at_us < group.hold_until_us:
        return Block(reason="hold-down", until_us=group.hold_until_us)
    return None


def fleet_brake(state: State, at_us: int) -> Block | None:
    """Return the spent limit of the fleet, which a failover that has not begun runs into.

    Those that have begun count, from then on; so of many that wait for one moment only as many go
    on as the limit allows.
    """
    fleet = state.fleet.policy.fleet
    most = 0 if fleet is None else fleet.most(len(state.groups))
    if fleet is None or not most:
        return None
    since_us = at_us - fleet.window_us
    idle = state.cache.idle
    counted = [then for then, id_ in state.fleet.counted if since_us < then and id_ not in idle]
    if len(counted) < most:
        return None
    return Block(reason="fleet-limit", until_us=counted[-most] + fleet.window_us)


def drain_ends_us(state: State, group: GroupState, saga: Saga) -> int:
    """Return until when a draining source may finish what it has [us].

    Time in which no engine ran does not count: nobody asked it for anything, and nobody has seen
    whether the heir is still there.
    """
    since_us = max(saga.since_us, state.fleet.started_us)
    return since_us + state.policy_of(group).failover.step_timeout_us


def is_draining(group: GroupState) -> bool:
    """Return whether the open failover waits for its source to finish what it has."""
    saga = group.saga
    return (
        saga is not None
        and saga.phase is Phase.FENCING
        and saga.source in group.masters
        and group.masters[saga.source].role is Role.DRAINING
    )


def _is_hard(group: GroupState, saga: Saga) -> bool:
    source = group.masters.get(saga.source)
    return source is None or leaves_no_doubt(source) or bool(source.lost_seq)


def _all_heard(state: State, group: GroupState) -> bool:
    started_us = state.fleet.started_us
    return all(master.heard_us > started_us for master in group.masters.values())


def retry_us(group: GroupState) -> int:
    """Return how long a group that is headless now waits until its next try [us]."""
    return min(max(RETRY_US, 2 * group.retry_us), RETRY_US_MAX)


def _claims(group: GroupState) -> list[bool]:
    return [claims(group, name) for name in group.masters]


def claims(group: GroupState, name: str) -> bool:
    """Return whether `name` reports itself active, is well, and was not told otherwise."""
    master = group.masters[name]
    is_well = master.health in (Health.HEALTHY, Health.DEGRADED)
    is_free = master.fence is None and not master.is_claim_known
    return is_well and is_free and master.reported_role == Role.ACTIVE.value
