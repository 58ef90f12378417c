"""Who may serve: the masters of a group that traffic goes to now, and how it is shared.

The weight of a master is its base weight while it may serve, and 0 otherwise. One that failed may
serve again when it is trusted again.
"""

from typing import Protocol

from engine.core.balancing.priority import Priority
from engine.core.balancing.smooth_weighted import SmoothWeighted
from engine.core.fleet import Role
from engine.core.state import GroupState


class Picker(Protocol):
    """Picks a master without I/O."""

    def pick(self) -> str:
        """Return the next master; "" if there is none."""


def weights(group: GroupState) -> dict[str, int]:
    """Return the weight of every master of `group` in force now [count]; 0 if it may not serve."""
    return {
        name: master.declared.weight
        if master.role is Role.ACTIVE and not master.is_doubted and not master.lost_seq
        else 0
        for name, master in group.masters.items()
    }


def picker(group: GroupState) -> Picker:
    """Return a picker by the strategy in force."""
    shares = weights(group)
    if group.strategy == "priority":
        priorities = {name: master.declared.priority for name, master in group.masters.items()}
        return Priority(priorities, shares)
    return SmoothWeighted(shares)
