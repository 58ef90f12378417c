"""The disk under the simulated log: while it is full, appends draw on what was kept for that.

A step of it lasts a number of appends; when the last one is spent, nothing can be appended.
"""

from typing import Final

from engine.log.reserve import Figures

STEPS: Final = 4
STEP_BYTES: Final = 1 << 20


class Disk:
    """One disk, and what is kept on it for the log."""

    def __init__(self) -> None:
        """Begin with plenty of space."""
        self.is_short = False  # some of what is kept is gone
        self.was_full = False  # it has ever been so
        self._is_full = False
        self._each = 1  # appends that a step lasts [count, >= 1]
        self._drawn = 0  # appends since it was full [count]

    def fill(self, each: int) -> None:
        """Be full; each step of what is kept lasts so many appends."""
        if not self._is_full:
            self._is_full = self.was_full = True
            self._each = max(1, each)

    def free(self) -> None:
        """Have plenty of space again, and as much as before is kept."""
        self._is_full = self.is_short = False
        self._drawn = 0

    def draw(self) -> bool:
        """Make room for an append; return whether there is any."""
        if self.is_spent:
            return False
        if self._is_full:
            self._drawn += 1
            self.is_short = True
        return True

    @property
    def is_spent(self) -> bool:
        """Return whether nothing is left, and nothing can be appended."""
        return self._is_full and self._drawn >= STEPS * self._each

    @property
    def figures(self) -> Figures:
        """Return how much is kept."""
        gone = -(-self._drawn // self._each)
        whole = STEPS * STEP_BYTES
        return Figures(left=whole - gone * STEP_BYTES, whole=whole, wanted=whole)
