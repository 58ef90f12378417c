"""The only place that reads a clock.

Engine time, `at_us`, starts at the wall clock or at the last time of the log, whichever is later,
and then runs with the boot clock: it counts what a machine slept, and no step of the wall clock
moves it. That it was set is said all the same: `stepped`.

For tests, which must not set the clock of a machine, `$TANIST_TEST_WALL_OFFSET` names a file that
holds by how many microseconds the wall clock of this process is wrong.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

STEP_US: Final = 100_000  # the wall clock was set if it is off by more than before [us]
WRONG_BY: Final = "TANIST_TEST_WALL_OFFSET"


def _wall_us() -> int:
    """Return the time since the Unix epoch [us]."""
    return time.time_ns() // 1_000 + _wrong_by_us()


def _wrong_by_us() -> int:
    name = os.environ.get(WRONG_BY)
    if name:
        with contextlib.suppress(OSError, ValueError):  # not there, or not written yet
            return int(Path(name).read_text(encoding="utf-8"))
    return 0


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
        self._said_us = 0  # how far the wall clock was ahead when that was last taken note of

    def at_us(self) -> int:
        """Return engine time [us since the Unix epoch]; it never goes back."""
        return self._boot() + self._offset_us

    def wall_offset_us(self) -> int:
        """Return how far the wall clock is ahead of engine time [us]; negative if behind."""
        return self._wall() - self.at_us()

    def stepped(self) -> tuple[int, int] | None:
        """Return how far the wall clock is ahead now and how far it was set since the last time.

        Both in microseconds; None if it was not set. The second is what it was off by before that
        is not so any more, so a clock that drifts is said when that amounts to a step.
        """
        offset_us = self.wall_offset_us()
        step_us = offset_us - self._said_us
        if abs(step_us) <= STEP_US:
            return None
        self._said_us = offset_us
        return offset_us, step_us

    @staticmethod
    def monotonic_us() -> int:
        """Return the time since some fixed moment, for latencies and waits [us]."""
        return monotonic_us()
