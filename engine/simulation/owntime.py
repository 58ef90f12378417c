"""The time of one life of the simulated engine: its own clock, and how late it looks at it."""

from typing import Final

from engine.simulation.outside import Outside

MILLION: Final = 1_000_000
DRIFT_PPM_MAX: Final = 500_000  # no clock is worse


class OwnTime:
    """A clock that nothing sets, that may drift, and that is looked at late or never."""

    def __init__(self, outside: Outside) -> None:
        """Begin with what the wall clock shows."""
        self._outside: Final = outside
        self._began_us = outside.now_us  # of the world, when `_base_us` was its own time
        self._base_us = outside.wall_us
        self._drift_ppm = 0
        self._starved_until_us = 0
        self._late_until_us = 0

    @property
    def now_us(self) -> int:
        """Return its own time [us]: it begins with the wall clock, and nothing sets it."""
        elapsed_us = self._outside.now_us - self._began_us
        if self._drift_ppm:
            elapsed_us += elapsed_us * self._drift_ppm // MILLION
        return self._base_us + elapsed_us

    def drift(self, ppm: int) -> None:
        """Gain so much from here on [parts per million]."""
        self._base_us, self._began_us = self.now_us, self._outside.now_us
        self._drift_ppm = max(-DRIFT_PPM_MAX, min(DRIFT_PPM_MAX, ppm))

    def not_before(self, at_us: int) -> None:
        """Let it be that time at least, which the log has already."""
        self._base_us += max(0, at_us - self.now_us)

    def world_us(self, after_us: int) -> int:
        """Return how long it is in the world until so much of its own time has passed [us]."""
        if self._drift_ppm and after_us:
            return after_us * MILLION // (MILLION + self._drift_ppm) + 1
        return after_us

    def starve(self, for_us: int) -> None:
        """Let no timer fire for a while."""
        self._starved_until_us = self._outside.now_us + for_us

    def is_late(self) -> bool:
        """Return whether it looks at its clock too late to judge a time-out."""
        return self._outside.now_us < self._late_until_us

    @property
    def starved_us(self) -> int:
        """Return for how long no timer fires yet [us]."""
        return self._starved_until_us - self._outside.now_us

    def be_late(self, for_us: int) -> None:
        """Judge no time-out in time for a while: each look at the clock comes too late."""
        self._late_until_us = self._outside.now_us + for_us
