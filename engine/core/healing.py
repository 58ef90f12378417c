"""Healing: a failed master is tried to be brought back by a program, a few times, backed off.

Never one that is under maintenance or excluded, nor in a pause: then somebody is at work by hand.
Nor one that failed while the engine doubted itself: it may be well, and the program may harm it.
The count begins anew when the master is well again.
"""

from collections.abc import Iterator
from typing import Final

from engine.core import candidates
from engine.core import events as ev
from engine.core.fencing import Todo, is_told
from engine.core.fleet import Health
from engine.core.policy import Recover
from engine.core.state import GroupState, MasterState, Phase, State, is_maintained, paused_until

DOUBLINGS_MAX: Final = 16
# To start a program takes the engine some milliseconds, which an heir is not made to wait for.
_FIRST: Final = (Phase.TRANSFERRING, Phase.PROMOTING, Phase.VERIFYING)


def consider_healing(state: State, group: GroupState, at_us: int) -> Todo | None:
    """Return that the first failed master that may be is tried to be healed; None: nobody is."""
    recover = state.policy_of(group).recover
    if recover is None or not is_told(state, group) or paused_until(state, group, at_us):
        return None
    for name, master in group.masters.items():
        if _may_be_healed(state, group, master, recover, at_us) and _begins_us(master) <= at_us:
            n = 1 if master.recovery is None else master.recovery.n + 1
            pause_us = recover.backoff_us << min(n - 1, DOUBLINGS_MAX)
            return name, ev.RecoveryStarted(
                n=n,
                attempts=recover.attempts,
                again_at_us=at_us + recover.timeout_us + pause_us,
                evidence=(master.failed_seq,),
            )
    return None


def healing_due(state: State, group: GroupState) -> Iterator[tuple[int, str]]:
    """Return when the next attempt at each failed master is due [us], and its id."""
    recover = state.policy_of(group).recover
    if recover is None or not is_told(state, group):
        return
    paused_us = paused_until(state, group, state.at_us)
    if paused_us < 0:
        return  # no time ends that
    for name, master in group.masters.items():
        if _may_be_healed(state, group, master, recover, state.at_us):
            yield max(_begins_us(master), paused_us), name


def _begins_us(master: MasterState) -> int:
    return 0 if master.recovery is None else master.recovery.again_at_us


def _may_be_healed(
    state: State, group: GroupState, master: MasterState, recover: Recover, at_us: int
) -> bool:
    """Return whether there may be another attempt, now or later."""
    if master.health is not Health.FAILED or master.is_excluded:
        return False
    if candidates.is_doubtful(state, master):
        return False
    if group.saga is not None and group.saga.phase in _FIRST:
        return False
    recovery = master.recovery
    if recovery is not None and (recovery.is_running or recovery.n >= recover.attempts):
        return False
    return not is_maintained(state, group, master, at_us)
