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
        weights = serving.weights(group)
        for name, master in group.masters.items():
            is_out = master.role is not Role.ACTIVE or master.health is Health.FAILED
            if is_out and weights[name]:
                return f"{name} weighs {weights[name]} and is {master.role.value}"
        total = sum(weights.values())
        if group.strategy != "round-robin" or not 0 < total <= ROUND_MAX:
            continue
        picker = serving.picker(group)
        picked = Counter(picker.pick() for _ in range(total))
        for name, weight in weights.items():
            if picked[name] != weight:
                return f"{name} weighs {weight} and was picked {picked[name]} of {total} times"
    return ""
