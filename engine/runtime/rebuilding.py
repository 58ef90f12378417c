"""Views folded anew behind an engine that writes their log: one at a time, at half the speed.

Views are written by the process that writes the log, and by no other. So an engine does it itself,
in a thread, while it goes on deciding; the live view is kept up until the new one takes its place.
"""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any, Final

from engine.core.errors import CommandRefused, LogError
from engine.log.protocol import Log, Projection, ViewParked
from engine.runtime.clock import monotonic_us

CATCH_UP_EVENTS: Final = 10_000  # in one transaction
PAUSE_S_MAX: Final = 1.0  # after a portion that took longer than this
_ENDS: Final = "the engine ends: ask again once it runs, and it goes on from there"


class Rebuilding:
    """Rebuilds the views of `projections`, which are attached to `log`."""

    def __init__(self, log: Log, projections: Mapping[str, Projection[Any]]) -> None:
        self._log: Final = log
        self._projections: Final = projections
        self._one: Final = asyncio.Lock()
        self._ending: Final = threading.Event()
        self.positions: Final[dict[str, int]] = {}  # how far those under way have come [seq]

    def leave(self) -> None:
        """End what is under way soon; the next rebuild goes on with what is stored of it."""
        self._ending.set()

    async def close(self) -> None:
        """Return when nothing is under way any more."""
        self.leave()
        async with self._one:
            pass

    async def rebuild(self, name: str, *, retry: bool = False) -> int:
        """Return the position of the view `name` after it was folded anew.

        With `retry` it is only folded on, from the event that it is parked before.

        Raises:
            CommandRefused: There is no such view, or its projection cannot apply an event.
            LogError: The log cannot be read or written, or the engine ends.
        """
        projection = self._projections.get(name)
        if projection is None:
            known = ", ".join(sorted(self._projections))
            raise CommandRefused((f"no view {name!r}: expected one of {known}",))
        async with self._one:
            try:
                if self._ending.is_set():
                    raise LogError(_ENDS)
                return await asyncio.to_thread(self._again if retry else self._anew, projection)
            except ViewParked as err:
                raise CommandRefused((str(err),)) from err
            finally:
                self.positions.pop(name, None)

    def _anew(self, projection: Projection[Any]) -> int:
        began_us = monotonic_us()

        def progress(position: int, _: int) -> None:
            nonlocal began_us
            self.positions[projection.name] = position
            self._pause(monotonic_us() - began_us)
            began_us = monotonic_us()

        return self._log.rebuild(projection, progress)

    def _again(self, projection: Projection[Any]) -> int:
        name = projection.name
        self._log.retry(name)
        while True:
            began_us = monotonic_us()
            if self._log.catch_up(name, limit_events=CATCH_UP_EVENTS) < CATCH_UP_EVENTS:
                break
            self._pause(monotonic_us() - began_us)
        return next(each.position for each in self._log.views_status() if each.name == name)

    def _pause(self, took_us: int) -> None:
        """Let decisions have the processor as long as folding had it."""
        if self._ending.wait(min(took_us / 1e6, PAUSE_S_MAX)):
            raise LogError(_ENDS)
