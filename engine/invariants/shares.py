"""How a state shares the traffic, held against what shares are."""

from collections import Counter
from typing import Final

from engine.core import serving
from engine.core.fleet import Health, Role
from engine.core.state import State

ROUND_MAX: Final = 1_000  # picks; a longer round is not gone through


def shares_are_exact(state: State) -> str:
    """Return what is wrong with the weights of a group; "" if nothing is.

    Who does not serve, or has failed, weighs nothing; and in a round of as many picks as all
    weights together each master is picked as often as it weighs.
    """
    for group in state.groups.values():
        is_panic = serving.in_panic(state, group)
        weights = serving.weights(state, group)
        for name, master in group.masters.items():
            is_failed = master.health is Health.FAILED and not (is_panic and not master.is_hard)
            if weights[name] and (master.role is not Role.ACTIVE or is_failed):
                return f"{name} weighs {weights[name]} and is {master.role.value}"
        total = sum(weights.values())
        if group.strategy != "round-robin" or not 0 < total <= ROUND_MAX:
            continue
        picker = serving.picker(group, weights)
        picked = Counter(picker.pick() for _ in range(total))
        for name, weight in weights.items():
            if picked[name] != weight:
                return f"{name} weighs {weight} and was picked {picked[name]} of {total} times"
    return ""
