"""Conditions that people have to hear of: what holds now, of which alerts are made (alerts.py).

A condition is a function of the state and the time, and each is one row of a table: its levels say
for how long it has to hold until it is a warning, or critical.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from engine.core import candidates, gauges
from engine.core.blocking import ASKED, blocked, claims, waiting, want
from engine.core.events import FLEET
from engine.core.fleet import WELL
from engine.core.levels import CRITICAL, WARNING, Condition, Levels
from engine.core.load import staleness
from engine.core.policy import AlertPolicy, Automation, FenceKind, sums
from engine.core.serving import able
from engine.core.state import GroupState, Phase, Saga, State, is_active_standby, is_maintained

# What an open failover waits for, and the alert that says so.
_WAITS: Final = {
    "approval": ("approval", CRITICAL),
    "quorum": ("approval", CRITICAL),
    "limit": ("limit", CRITICAL),
    "fleet-limit": ("limit", CRITICAL),
    "hold-down": ("held-down", WARNING),
}


def conditions(state: State, group: GroupState | None, at_us: int) -> Iterator[Condition]:
    """Return the conditions of a part that hold now; None: those of the fleet."""
    if group is None:
        return fleet_conditions(state, at_us)
    return group_conditions(state, group, at_us)


def group_conditions(state: State, group: GroupState, at_us: int) -> Iterator[Condition]:
    """Return the conditions of `group` that hold now."""
    policy = state.fleet.policy.alerts
    if policy is None or not group.masters:
        return
    yield from _masters(state, group, at_us)
    yield from _service(state, group, policy, at_us)
    yield from gauges.of_group(state, group, policy, at_us)
    if is_active_standby(state, group):
        yield from _failover(state, group, policy, at_us)
    yield from _paused(group.id, group.pause_until_us, policy, at_us)
    own = state.policy_of(group)
    if own.automation is Automation.OBSERVE and own.effects != "none" and policy.paused_us:
        yield Condition(kind="observing", subject=group.id, levels=(("warning", policy.paused_us),))


def fleet_conditions(state: State, at_us: int) -> Iterator[Condition]:
    """Return the conditions of the fleet that hold now."""
    fleet = state.fleet
    policy = fleet.policy.alerts
    if policy is None:
        return
    until_us = -1 if fleet.file_pause is not None else fleet.pause_until_us
    yield from _paused(FLEET, until_us, policy, at_us)
    yield from gauges.of_fleet(state, policy, at_us)
    if fleet.space is not None:
        left, reserve = fleet.space
        figures = (("left", left), ("reserve", reserve))
        yield Condition(kind="disk-full", subject=FLEET, levels=CRITICAL, figures=figures)
    if fleet.doubt_seq:
        evidence = (fleet.doubt_seq,)
        yield Condition(kind="doubt", subject=FLEET, levels=WARNING, evidence=evidence)
    for kind, since_us, figure in (
        ("clock", fleet.stepped_us, ("step_us", fleet.step_us)),
        ("engine-late", fleet.stalled_us, ("stall_us", fleet.stall_us)),
    ):
        ends_us = since_us + policy.late_us
        if since_us and at_us < ends_us:
            yield Condition(
                kind=kind, subject=FLEET, levels=WARNING, figures=(figure,), ends_us=ends_us
            )


def _masters(state: State, group: GroupState, at_us: int) -> Iterator[Condition]:
    """Return what is to be said of single masters, and of all of them together."""
    doubted = 0
    for name, master in group.masters.items():
        if master.flaps is not None and master.flaps.since_seq:
            evidence = (master.flaps.since_seq,)
            yield Condition(kind="flapping", subject=name, levels=WARNING, evidence=evidence)
        if master.disagree_seq:
            evidence = (master.disagree_seq,)
            yield Condition(kind="contradict", subject=name, levels=WARNING, evidence=evidence)
        if master.is_doubted:
            doubted += 1
            if is_maintained(state, group, master, at_us):
                continue
            evidence = (master.failed_seq,)
            yield Condition(kind="master-failed", subject=name, levels=WARNING, evidence=evidence)
    if doubted == len(group.masters):  # one that is only silent may be well
        figures = (("masters", doubted),)
        yield Condition(kind="all-down", subject=group.id, levels=CRITICAL, figures=figures)


def _is_served(state: State, group: GroupState) -> bool:
    if is_active_standby(state, group):
        return want(group) is None
    return bool(able(group))


def _service(
    state: State, group: GroupState, policy: AlertPolicy, at_us: int
) -> Iterator[Condition]:
    """Return whether nobody serves, or nobody could take over."""
    if _is_served(state, group):
        if policy.no_heir_warning_us and _lacks_heir(state, group, at_us):
            levels: Levels = (("warning", policy.no_heir_warning_us),)
            if policy.no_heir_critical_us:
                levels = (*levels, ("critical", policy.no_heir_critical_us))
            figures = (("masters", len(group.masters)),)
            yield Condition(kind="no-heir", subject=group.id, levels=levels, figures=figures)
        return
    own = state.policy_of(group)
    if own.automation is Automation.OBSERVE and not group.epoch:
        return  # nobody was ever active, as far as an engine that only watches can know
    # A start hears its masters first: the time that takes is no outage that anybody caused.
    grace_us = max(0, state.fleet.started_us + own.failover.grace_us - at_us)
    since_us = _since_us(group, "no-active", at_us)
    restored_us = sums(own).restore_staleness_us
    worst_us = max(restored_us, at_us + grace_us - since_us)
    yield Condition(
        kind="no-active",
        subject=group.id,
        levels=(("critical", worst_us),),
        figures=(("worst_restoration_us", restored_us),),
    )


def _since_us(group: GroupState, kind: str, at_us: int) -> int:
    alert = group.alerts.get(f"{kind} {group.id}")
    return at_us if alert is None else alert.since_us


def _lacks_heir(state: State, group: GroupState, at_us: int) -> bool:
    """Return whether nobody could take over if who serves failed now.

    How old the last answer of a candidate may be is not asked: each is silent between two probes.
    """
    if group.saga is not None:
        return f"no-heir {group.id}" in group.alerts  # somebody is just taking over
    if not is_active_standby(state, group):
        return len(able(group)) < 2
    return not any(
        master.health in WELL
        and candidates.passed_over(state, group, name, at_us, is_tolerant=True) is None
        and not staleness(state.policy_of(group), group, master)
        for name, master in group.masters.items()
    )


def _failover(
    state: State, group: GroupState, policy: AlertPolicy, at_us: int
) -> Iterator[Condition]:
    """Return what is to be said of failovers: open, waiting, failed, too many."""
    saga = group.saga
    if saga is not None and saga.why not in (*ASKED, "first"):
        figures = (("id", saga.id),)
        yield Condition(
            kind="failover",
            subject=group.id,
            levels=CRITICAL,
            figures=figures,
            evidence=(saga.seq,),
        )
        if policy.recovery_us:
            slow = (("warning", policy.recovery_us),)
            yield Condition(kind="recovery", subject=group.id, levels=slow, figures=figures)
    elif f"failover {group.id}" in group.alerts and want(group) is not None:
        # It is tried again, and each try is no news.
        yield Condition(kind="failover", subject=group.id, levels=CRITICAL)
    if saga is not None and saga.why not in ASKED:
        yield from _waiting(state, group, saga, at_us)
    if saga is not None and saga.lacks and saga.phase in (Phase.PROMOTING, Phase.VERIFYING):
        yield Condition(
            kind="data-lost",
            subject=group.id,
            levels=CRITICAL,
            figures=(("id", saga.id), ("bytes", saga.lacks)),
            evidence=(saga.seq,),
        )
    if group.failed_id:
        yield Condition(
            kind="failover-failed",
            subject=group.id,
            levels=CRITICAL,
            figures=(("id", group.failed_id),),
            evidence=(group.failed_id,),
        )
    wanted = want(group)
    if wanted is not None and wanted.why == "first" and saga is None:
        block = blocked(state, group, wanted, at_us)
        if block is not None and block.reason == "several report themselves active":
            count = sum(claims(group, name) for name in group.masters)
            several = (("claims", count),)
            yield Condition(
                kind="several-active", subject=group.id, levels=CRITICAL, figures=several
            )
    yield from _many(group, policy, at_us)


def _waiting(state: State, group: GroupState, saga: Saga, at_us: int) -> Iterator[Condition]:
    if saga.phase is Phase.SELECTING:
        block = waiting(state, group, saga, at_us)
        if block is not None and block.reason in _WAITS:
            kind, levels = _WAITS[block.reason]
            figures = (("id", saga.id), ("until_us", block.until_us))
            yield Condition(kind=kind, subject=group.id, levels=levels, figures=figures)
    elif saga.phase is Phase.FENCING and _awaits_fence(state, group):
        patience_us = state.policy_of(group).failover.step_timeout_us
        yield Condition(
            kind="fence",
            subject=group.id,
            levels=(("critical", patience_us),),
            figures=(("id", saga.id),),
        )


def _awaits_fence(state: State, group: GroupState) -> bool:
    return state.policy_of(group).fence.kind is not FenceKind.GATE and any(
        master.fence is not None and not master.fence.is_confirmed
        for master in group.masters.values()
    )


def _many(group: GroupState, policy: AlertPolicy, at_us: int) -> Iterator[Condition]:
    """Return whether there were too many failovers in a short time."""
    if not policy.failovers:
        return
    then_us = group.counted_us  # ascending
    count = len(then_us) - bisect_right(then_us, at_us - policy.failovers_window_us)
    if count >= policy.failovers:
        figures = (("failovers", count), ("window_us", policy.failovers_window_us))
        yield Condition(
            kind="failovers",
            subject=group.id,
            levels=WARNING,
            figures=figures,
            ends_us=then_us[-policy.failovers] + policy.failovers_window_us,
        )


def _paused(subject: str, until_us: int, policy: AlertPolicy, at_us: int) -> Iterator[Condition]:
    if policy.paused_us and (until_us == -1 or until_us > at_us):
        levels = (("warning", policy.paused_us),)
        yield Condition(kind="paused", subject=subject, levels=levels, ends_us=max(0, until_us))
