"""Answers that are costly to make: made again only when their cost has been earned."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from engine.runtime.clock import monotonic_us

CHEAP_US: Final = 5_000  # what an answer may take and is made anew each time [us]
ROUNDS: Final = 20  # a dearer one stands for as many times what it took: a twentieth of the time

T = TypeVar("T")


class Paced(Generic[T]):
    """What `make` returns, at most a twentieth of the time spent on it.

    It is made in the event loop, which stands still meanwhile: with many open messages or kept
    keys that is long, and however many ask, the loop must go on probing.
    """

    def __init__(self, make: Callable[[], T], *, clock: Callable[[], int] = monotonic_us) -> None:
        """Make nothing before it is asked for; `clock` returns the time [us]."""
        self._make: Final = make
        self._clock: Final = clock
        self._made: T | None = None
        self._until_us = 0

    def get(self) -> T:
        """Return what `make` returns now, or returned a moment ago if that took long."""
        began_us = self._clock()
        if self._made is not None and began_us < self._until_us:
            return self._made
        made = self._make()
        ended_us = self._clock()
        cost_us = ended_us - began_us
        self._made = made if cost_us > CHEAP_US else None
        self._until_us = ended_us + ROUNDS * cost_us
        return made
