"""The only place that reads a clock.

Engine time, `at_us`, starts at the wall clock or at the last time of the log, whichever is later,
and then runs with the boot clock: it counts what a machine slept, and no step of the wall clock
moves it.
"""

import time
from collections.abc import Callable


def _wall_us() -> int:
    """Return the time since the Unix epoch [us]."""
    return time.time_ns() // 1_000


def _boot_us() -> int:
    """Return the time since the machine started, sleep included where the system knows it [us]."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
    return time.monotonic_ns() // 1_000


def monotonic_us() -> int:
    """Return the time since some fixed moment, for latencies and waits [us]."""
    return time.monotonic_ns() // 1_000


class Clock:
    """Engine time of one open log.

    Args:
        last_at_us: The last `at_us` of the log, 0 if it is empty [us since the Unix epoch].
        wall: Returns the wall clock [us since the Unix epoch].
        boot: Returns a clock that never goes back [us].
    """

    def __init__(
        self,
        *,
        last_at_us: int = 0,
        wall: Callable[[], int] = _wall_us,
        boot: Callable[[], int] = _boot_us,
    ) -> None:
        self._wall = wall
        self._boot = boot
        self._offset_us = max(wall(), last_at_us) - boot()

    def at_us(self) -> int:
        """Return engine time [us since the Unix epoch]; it never goes back."""
        return self._boot() + self._offset_us

    def wall_offset_us(self) -> int:
        """Return how far the wall clock is ahead of engine time [us]; negative if behind."""
        return self._wall() - self.at_us()

    @staticmethod
    def monotonic_us() -> int:
        """Return the time since some fixed moment, for latencies and waits [us]."""
        return monotonic_us()
