"""How far the views are and how large the log is, asked without ever waiting for the log long.

The log is read in a thread, and waits there for an append that is under way. On a disk that stands
still that is for ever, while the status of the engine has to be told all the same.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from engine.core.errors import LogError

LOOK_S: Final = 0.5  # what a look may take; most take a millisecond [s]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept behind the state; None: not known just now."""

    projections: list[dict[str, Any]] | None = None
    log: dict[str, Any] | None = None  # None as well if it is in no file


UNKNOWN: Final = Kept()


class Viewing:
    """Asks `look` once at a time, however many want to know."""

    def __init__(self, look: Callable[[], Awaitable[Kept]], *, look_s: float = LOOK_S) -> None:
        self._look: Final = look
        self._look_s: Final = look_s
        self._under_way: asyncio.Task[Kept] | None = None

    async def get(self) -> Kept:
        """Return what `look` does; nothing if the log does not say, or not within `look_s`."""
        task = self._under_way
        if task is None or task.done():
            task = self._under_way = asyncio.create_task(self._asked(), name="look at views")
        await asyncio.wait((task,), timeout=self._look_s)
        return task.result() if task.done() else UNKNOWN

    async def _asked(self) -> Kept:
        with contextlib.suppress(LogError, OSError):
            return await self._look()
        return UNKNOWN
