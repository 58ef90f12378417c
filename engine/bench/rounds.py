"""Rounds that change their order, and the medians of what they found.

Everything that is compared runs in every round, each time with another one first: what makes the
machine slower meanwhile strikes all sides alike. Garbage is collected before a side runs and not
kept from being collected while it does, as it is not for users either.
"""

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from engine.bench.report import Tick
from engine.runtime.clock import monotonic_us

Side: TypeAlias = Callable[[], Mapping[str, float]]  # runs once; returns figures by their names


def medians(sides: Sequence[Side], *, rounds: int, tick: Tick) -> dict[str, float]:
    """Return the median over `rounds` of every figure that the sides return."""
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        first = number % len(sides)
        for side in (*sides[first:], *sides[:first]):
            gc.collect()
            for name, figure in side().items():
                found.setdefault(name, []).append(figure)
        tick()
    return {name: statistics.median(figures) for name, figures in found.items()}


def per_second(count: int, run: Callable[[], object]) -> float:
    """Return how many of `count` things `run` did in a second."""
    began_us = monotonic_us()
    run()
    return count * 1e6 / max(1, monotonic_us() - began_us)
