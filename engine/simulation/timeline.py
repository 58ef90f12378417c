"""The queue of what happens next, in virtual time."""

import abc
import heapq
from collections.abc import Callable
from typing import Any


class Crash(Exception):
    """The engine's process ends here."""


class Timeline(abc.ABC):
    """A virtual clock, and what is due."""

    def __init__(self, begin_us: int) -> None:
        """Begin at a time with nothing to happen."""
        self.now_us = begin_us
        self._queue: list[tuple[int, int, Callable[[Any], None], Any]] = []
        self._order = 0

    @property
    @abc.abstractmethod
    def head(self) -> int:
        """Return what changes whenever it is worth a look whether all is quiet."""

    @abc.abstractmethod
    def is_quiet(self) -> bool:
        """Return whether nothing more has to happen."""

    @abc.abstractmethod
    def crashed(self) -> None:
        """Let what had to happen next be over: the engine's process has ended in it."""

    def at(self, after_us: int, action: Callable[[Any], None], given: object) -> None:
        """Let `action` happen after a time; what is due at one time happens in this order."""
        self._order += 1
        heapq.heappush(self._queue, (self.now_us + after_us, self._order, action, given))

    def later(self, after_us: int, action: Callable[[], None]) -> None:
        """Let `action` happen after a time."""
        self.at(after_us, _called, action)

    def advance_to(self, until_us: int, *, until_quiet: bool = False) -> bool:
        """Let happen what is due until then; return whether it ended because it is quiet."""
        looked = self.head
        queue, pop = self._queue, heapq.heappop
        while queue and queue[0][0] <= until_us:
            self.now_us, _, action, given = pop(queue)
            try:
                action(given)
            except Crash:
                self.crashed()
            if until_quiet and self.head != looked:
                looked = self.head
                if self.is_quiet():
                    return True
        self.now_us = until_us
        return False


def _called(action: Callable[[], None]) -> None:
    action()
