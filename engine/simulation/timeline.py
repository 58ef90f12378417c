"""The queue of what happens next, in virtual time."""

import abc
import heapq
from collections.abc import Callable
from typing import Any, Final


class Crash(Exception):
    """The engine's process ends here."""


class Timeline(abc.ABC):
    """A virtual clock, and what is due."""

    def __init__(self, begin_us: int) -> None:
        """Begin at a time with nothing to happen."""
        self.now_us = begin_us
        # What happens at each time, in its order, and a heap of these times: masters that are
        # looked at together cost one entry, and times are compared sooner than what happens then.
        self._happens: dict[int, list[tuple[Callable[[Any], None], Any]]] = {}
        self._times: list[int] = []

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
        at_us = self.now_us + after_us
        happens = self._happens.get(at_us)
        if happens is None:
            self._happens[at_us] = [(action, given)]
            heapq.heappush(self._times, at_us)
        else:
            happens.append((action, given))

    def later(self, after_us: int, action: Callable[[], None]) -> None:
        """Let `action` happen after a time."""
        self.at(after_us, _called, action)

    def advance_to(self, until_us: int, *, until_quiet: bool = False) -> bool:
        """Let happen what is due until then; return whether it ended because it is quiet."""
        looked = self.head
        times = self._times
        while times and times[0] <= until_us:
            self.now_us = times[0]
            happens = self._happens[self.now_us]
            for place, (action, given) in enumerate(happens):  # it may grow meanwhile
                # What is over is let go at once: what comes next takes its place in memory, which
                # is a third of the time where ten thousand things happen.
                happens[place] = _OVER
                try:
                    action(given)
                except Crash:
                    self.crashed()
                if until_quiet and self.head != looked:
                    looked = self.head
                    if self.is_quiet():
                        del happens[: place + 1]
                        return True
            del self._happens[heapq.heappop(times)]
        self.now_us = until_us
        return False


def _nothing(_: object) -> None:
    """Do nothing."""


_OVER: Final = (_nothing, None)


def _called(action: Callable[[], None]) -> None:
    action()
