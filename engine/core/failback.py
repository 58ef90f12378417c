"""Failback: who was left by a failover gets its place back, once it was well for long enough.

Rule 1: only where the policy says so, only who was the better choice (its priority), and only after
a failover that nobody asked for. What a person has changed is left as it is.

Rule 2: it is a planned change, so nothing is lost; it is looked at before it begins, and nobody
hurries it: a pause, a hold-down and a spent limit are waited for, and no failover is opened
meanwhile. It counts to no limit and holds nothing down.

Rule 3: if it does not work, it is tried again after as long a time.
"""

from engine.core import candidates
from engine.core import events as ev
from engine.core.blocking import ASKED, Block, brake, want
from engine.core.fencing import Todo
from engine.core.fleet import Health, Role
from engine.core.policy import Automation
from engine.core.state import GroupState, Phase, Saga, State, active_of, paused_until

FAILBACK = "failback"


def is_wanted(state: State, group: GroupState, at_us: int) -> bool:
    """Return whether a master waits for its place, and is well."""
    home = group.masters.get(group.failback_to)
    if home is None or group.saga is not None or group.rollback is not None:
        return False
    policy = state.policy_of(group)
    return (
        policy.automation is Automation.AUTO
        and policy.failover.failback_us > 0
        and want(group) is None
        and home.health is Health.HEALTHY
        and home.role is Role.STANDBY
        and candidates.passed_over(state, group, group.failback_to, at_us, is_tolerant=True) is None
    )


def block_of(state: State, group: GroupState, at_us: int) -> Block | None:
    """Return what a failback that is wanted waits for; None: nothing any more."""
    pause_us = paused_until(state, group, at_us)
    if pause_us:
        return Block(reason="pause", until_us=max(0, pause_us))
    home = group.masters[group.failback_to]
    stable_us = state.policy_of(group).failover.failback_us
    ends_us = max(group.failback_us, home.health_since_us + stable_us)
    if at_us < ends_us:
        return Block(reason=FAILBACK, until_us=ends_us)
    probe = Saga(
        id=state.seq + 1, seq=0, phase=Phase.SELECTING, why=FAILBACK, source=active_of(group),
        to=group.failback_to, planned=True, waits="", counts=False, started_us=at_us + 1,
        since_us=at_us,
    )  # fmt: skip
    return brake(state, group, at_us, is_hard=False, saga=probe)


def consider_failback(state: State, group: GroupState, at_us: int) -> Todo | None:
    """Return that a failback begins, if it is wanted and nothing is waited for."""
    if not is_wanted(state, group, at_us) or block_of(state, group, at_us) is not None:
        return None
    return group.id, ev.FailoverStarted(
        id=state.seq + 1,
        why=FAILBACK,
        source=active_of(group),
        to=group.failback_to,
        planned=True,
        waits="preflight",
        counts=False,
        evidence=(group.masters[group.failback_to].health_seq,),
    )


def after(state: State, group: GroupState, saga: Saga, result: str, at_us: int) -> tuple[str, int]:
    """Return who gets its place back after a failover that ends now, and not before when [us]."""
    stable_us = state.policy_of(group).failover.failback_us
    if not stable_us:
        return "", 0
    if saga.why == FAILBACK and (result != "completed" or saga.heir != saga.to):
        return group.failback_to, at_us + stable_us
    if result != "completed":
        left = group.masters.get(saga.source)
        is_left = left is not None and left.role not in (Role.ACTIVE, Role.DRAINING)
        if is_left and not group.failback_to and saga.why not in ASKED:
            return saga.source, at_us + stable_us  # whoever takes over next takes over from it
        return group.failback_to, group.failback_us
    home = group.masters.get(group.failback_to or saga.source or group.leaver)
    if saga.why in (*ASKED, "first") or home is None:
        return "", 0
    heir = group.masters[saga.heir].declared
    if home.declared.priority >= heir.priority:
        return "", 0
    return home.declared.id, at_us + stable_us
