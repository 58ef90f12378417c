"""Whom the standbys of a group follow, where masters replicate from one another.

Every standby that was not told so under the current activation is owed it, with all retries; and
one whose process is another since, or that says itself that it follows somebody else. A master that
was left is fenced first: once it confirmed that, it stands by and is told as well.

An engine that only observes tells nobody to follow whom it found serving. Whom a person has had it
switch to is another matter: without standbys, that change would be half of one.
"""

from typing import Final

from engine.core.fleet import ACTIVE, FAILED, STANDBY, UNKNOWN
from engine.core.policy import Automation
from engine.core.state import GroupState, MasterState, State, is_active_standby

FOLLOWING: Final = ("command", "redis")  # kinds of effects that know of it


def leader(state: State, group: GroupState) -> str:
    """Return whom the standbys of `group` have to follow; "": nobody tells them just now."""
    policy = state.policy_of(group)
    if policy.effects not in FOLLOWING or not is_active_standby(state, group):
        return ""
    for name, master in group.masters.items():
        if master.role is ACTIVE:
            if policy.automation is Automation.OBSERVE and master.is_adopted:
                return ""
            # One that was not told its epoch, or has lost it, leads nobody.
            is_sure = not master.promote_owed and not master.lost_seq
            return name if is_sure and master.health is not FAILED else ""
    return ""


def has_to_follow(group: GroupState, name: str, active: str) -> bool:
    """Return whether `name` has to be told that `active` leads; one that is down is not told."""
    master = group.masters[name]
    return (
        master.role is STANDBY
        and master.fence is None
        and master.health not in (FAILED, UNKNOWN)
        and (master.follows, master.follow_epoch) != (active, group.masters[active].epoch)
    )


def strays_from(group: GroupState, master: MasterState, said: str) -> bool:
    """Return whether a master that was told whom to follow says that it follows somebody else.

    `said` is the host and port that it replicates from; "" if it says nothing.
    """
    active = group.masters.get(master.follows)
    if active is None or not said or not master.follow_epoch:
        return False
    return place(active.declared.address).partition("/")[0] != place(said)


def place(address: str) -> str:
    """Return an address without its scheme, the same however its host is spelled.

    Example:
        >>> place("redis://Redis-A:6379"), place("redis://[FD00::1]:6379")
        ('redis-a:6379', 'fd00::1:6379')
    """
    spot, slash, path = address.rpartition("://")[2].partition("/")
    return spot.lower().replace("[", "").replace("]", "") + slash + path
