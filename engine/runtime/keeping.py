"""What is kept up behind an engine that writes its log: the stored views, and what else is given.

A cache may lag, and whatever fails here is tried again later and stops nothing. The work is done in
a thread of its own. An append waits for it at most as long as one transaction that stores a view
takes, and the rounds are paced so that this is rare: they take a twentieth of the time, and up to a
fifth where the views would fall behind otherwise.

What cannot be kept (a view that is parked, a mistake of ours) is said once, until it is another
failure or went well in between; the rest is kept.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, TypeAlias

from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.log.protocol import Log, ViewParked

PAUSE_S: Final = 1.0  # between two rounds, at least
PAUSE_ROUNDS: Final = 20  # and as many times what the last round took: a twentieth of the time
BEHIND_S: Final = 3.0  # no longer for that, though: views that are 5 s behind are an alert
PAUSE_ROUNDS_LEAST: Final = 4  # but as many times: where a round takes so long, a fifth of the time
CHUNK_EVENTS: Final = 10_000  # in one transaction
ROUND_CHUNKS_MAX: Final = 10  # for each view in one round; what is left is for the next one

Turn: TypeAlias = Callable[[], bool]  # does a portion, in a thread; returns whether there is more


def _fold(log: Log, name: str) -> bool:
    return log.catch_up(name, limit_events=CHUNK_EVENTS) == CHUNK_EVENTS


def pause_after(took_s: float, *, least_s: float = PAUSE_S) -> float:
    """Return how long to pause after a round that took so long [s].

    Example:
        >>> [pause_after(took_s) for took_s in (0.001, 0.1, 0.5, 2.0)]
        [1.0, 2.0, 3.0, 8.0]
    """
    longest_s = max(BEHIND_S, PAUSE_ROUNDS_LEAST * took_s)
    return max(least_s, min(PAUSE_ROUNDS * took_s, longest_s))


class Keeping:
    """Folds what became durable into the views of `names`, which are attached to `log`."""

    def __init__(
        self,
        log: Log,
        names: Sequence[str],
        *,
        others: Mapping[str, Turn] = MappingProxyType({}),
        pause_s: float = PAUSE_S,
    ) -> None:
        """Begin at once; rounds are `pause_s` apart, or more [s].

        `others` are what else is to be kept, by the name that a failure is said under.
        """
        self._kept: Final[dict[str, Turn]] = {
            **{f"the view {name!r}": partial(_fold, log, name) for name in names},
            **others,
        }
        self._said: Final[dict[str, str]] = {}  # the failure that was said last, of what fails
        self._pause_s: Final = pause_s
        self._ending: Final = asyncio.Event()
        self._behind: Final = asyncio.Event()
        self._behind.set()
        self._task: Final = asyncio.create_task(self._run(), name="keep views")

    def published(self, _: tuple[Recorded, ...]) -> None:
        """Note that there is more to fold."""
        self._behind.set()

    async def close(self) -> None:
        """Fold what there is, as far as one round goes, and end."""
        self._ending.set()
        self._behind.set()
        await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._ending.is_set():
            await self._behind.wait()
            self._behind.clear()
            began = loop.time()
            await self._round()
            pause_s = pause_after(loop.time() - began, least_s=self._pause_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._ending.wait()
        await self._round()

    async def _round(self) -> None:
        for name, turn in self._kept.items():
            try:
                await self._keep(turn)
                self._said.pop(name, None)
            except ViewParked as err:  # it costs a look in each round, and goes on when it is freed
                self._say(name, err)
            except LogError:
                self._behind.set()  # the log says elsewhere that it cannot be written
            except Exception as err:  # a cache is no part of the engine, which goes on without it
                self._say(name, err)

    async def _keep(self, turn: Turn) -> None:
        for _ in range(ROUND_CHUNKS_MAX):
            if not await asyncio.to_thread(turn):
                return
        self._behind.set()

    def _say(self, name: str, err: Exception) -> None:
        if self._said.get(name) != str(err):
            self._said[name] = str(err)
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{name} cannot be kept", "exception": err}
            )
