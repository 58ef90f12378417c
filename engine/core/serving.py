"""Who may serve: the masters of a group that traffic goes to now, and how it is shared.

The weight of a master is its base weight while it may serve, and 0 otherwise. One that failed may
serve again when it is trusted again.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from engine.core.balancing.priority import Priority
from engine.core.balancing.smooth_weighted import SmoothWeighted
from engine.core.fleet import ACTIVE
from engine.core.state import (
    GroupState,
    MasterState,
    State,
    is_active_standby,
    is_maintained,
    leaves_no_doubt,
)

PPM: Final = 1_000_000
PERCENT: Final = 100
PERCENT_LEAST: Final = 10


class Picker(Protocol):
    """Picks a master without I/O."""

    def pick(self) -> str:
        """Return the next master; "" if there is none."""


def may_serve(master: MasterState) -> bool:
    """Return whether traffic may go to a master, ejected or not."""
    return master.role is ACTIVE and not master.is_doubted and not master.lost_seq


def is_out(master: MasterState) -> bool:
    """Return whether a master is ejected now."""
    return master.ejected is not None and master.ejected.is_out


def able(group: GroupState) -> set[str]:
    """Return who may serve and is not ejected, without what a panic allows.

    Where all who may serve are ejected, because the others have gone since, none of them is.
    """
    found = {
        name
        for name, master in group.masters.items()
        if may_serve(master) and master.declared.weight
    }
    return {name for name in found if not is_out(group.masters[name])} or found


def in_panic(state: State, group: GroupState) -> bool:
    """Return whether so few masters of `group` may serve that soft evidence counts no more.

    If all seem to fail, it is more likely the observer, or the load that the others left behind.
    Who rests because somebody wants it is none that is lacking.
    """
    balance = state.policy_of(group).balance
    if balance is None or not balance.panic_ppm or is_active_standby(state, group):
        return False
    count = sum(may_serve(master) for master in group.masters.values())
    if count * PPM >= balance.panic_ppm * len(group.masters):
        return False
    masters = group.masters.values()
    wanted = sum(not rests(state, group, master, state.at_us) for master in masters)
    return count * PPM < balance.panic_ppm * wanted


def rests(state: State, group: GroupState, master: MasterState, at_us: int) -> bool:
    """Return whether somebody wants a master not to serve now."""
    return master.is_excluded or master.is_drained or is_maintained(state, group, master, at_us)


def is_soft(master: MasterState) -> bool:
    """Return whether all that speaks against a master that failed leaves a doubt."""
    return master.is_doubted and not master.lost_seq and not leaves_no_doubt(master)


def weights(state: State, group: GroupState) -> dict[str, int]:
    """Return the weight of every master of `group` in force now [count]; 0 if it may not serve.

    In a panic those serve, too, that failed on soft evidence.
    """
    found = able(group)
    if in_panic(state, group):
        found |= {
            name
            for name, master in group.masters.items()
            if master.role is ACTIVE and is_soft(master)
        }
    return {
        name: master.declared.weight if name in found else 0
        for name, master in group.masters.items()
    }


def shares(state: State, group: GroupState, at_us: int) -> tuple[dict[str, int], int]:
    """Return the weight of every master with its slow start, and when it is another [us]; 0: never.

    A master that has just begun to serve gets a part of its weight that grows with the time, and at
    least a tenth. Weights are in hundredths then. It is a function of the state and the time: no
    event says so, and who begins while others serve is not run over.
    """
    found = weights(state, group)
    balance = state.policy_of(group).balance
    if balance is None or not balance.slow_start_us or is_active_standby(state, group):
        return found, 0
    whole_us = balance.slow_start_us
    percents = {
        name: _percent(at_us - group.masters[name].active_us, whole_us)
        for name, weight in found.items()
        if weight
    }
    if all(percent == PERCENT for percent in percents.values()):
        return found, 0
    slowed = {name: weight * percents.get(name, 0) for name, weight in found.items()}
    return slowed, at_us + max(1, whole_us // PERCENT)


def _percent(served_us: int, whole_us: int) -> int:
    """Return how much of its weight a master gets after it has served for so long [percent].

    Example:
        >>> [_percent(served, 60) for served in (0, 5, 6, 30, 59, 60, 600)]
        [10, 10, 10, 50, 98, 100, 100]
    """
    return max(PERCENT_LEAST, min(PERCENT, served_us * PERCENT // whole_us))


def picker(group: GroupState, shares: Mapping[str, int]) -> Picker:
    """Return a picker over `shares` by the strategy in force."""
    if group.strategy == "priority":
        priorities = {name: master.declared.priority for name, master in group.masters.items()}
        return Priority(priorities, shares)
    return SmoothWeighted(shares)
