"""Fences: whose masters are told of them, who is lost, and what is decided when one is fenced."""

from typing import TypeAlias

from engine.core import candidates, leading, messages
from engine.core import events as ev
from engine.core.events import AnyEvent
from engine.core.fleet import FAILED, UNKNOWN, Role
from engine.core.policy import Automation
from engine.core.state import GroupState, MasterState, State, next_epoch

Todo: TypeAlias = tuple[str, AnyEvent]  # the subject, and what is to be decided about it


def is_told(state: State, group: GroupState) -> bool:
    """Return whether masters of `group` are told what is decided."""
    policy = state.policy_of(group)
    return policy.automation is not Automation.OBSERVE and policy.effects != "none"


def is_lost(master: MasterState) -> bool:
    """Return whether the master, active as far as it was told, cannot serve any more."""
    return master.health is FAILED or bool(master.lost_seq)


def fenced(group: GroupState, name: str, *, reason: str) -> Todo:
    """Return that a master is fenced under a new epoch; what it had goes back to the queue."""
    back = messages.assigned_to(group.ledger, name)
    fence = group.masters[name].fence
    return name, ev.MasterFenced(
        revokes=group.masters[name].epoch if fence is None else fence.revokes,
        confirm_at=next_epoch(group),
        requeued=len(back),
        first=back[0] if back else 0,
        last=back[-1] if back else 0,
        digest=messages.digest_of(back),
        reason=reason,
    )


def stray_fenced(group: GroupState, *, but: str, reason: str) -> Todo | None:
    """Return that the first one that acts without being asked to is fenced; None: nobody does."""
    for name, master in group.masters.items():
        if name != but and candidates.is_stray(master):
            return fenced(group, name, reason=reason)
    return None


def followed_fenced(group: GroupState, *, but: str, reason: str) -> Todo | None:
    """Return that a silent master is fenced that others follow; None: there is none.

    In a group that nobody was activated in, such a one may serve since before the log began. Once
    is enough: who was fenced and stands by may be silent for long, and followed by who is not told.
    """
    if group.assigned:
        return None
    followed = {
        leading.place(master.report.follows)
        for master in group.masters.values()
        if master.report is not None and master.report.follows
    }
    for name, master in group.masters.items():
        is_silent = master.health in (FAILED, UNKNOWN) and not master.left_at_us
        place = leading.place(master.declared.address).partition("/")[0]
        if name != but and master.role is Role.STANDBY and is_silent and place in followed:
            return fenced(group, name, reason=reason)
    return None
