"""A steady load of messages, and what became of each."""

import asyncio
from typing import Final

from engine.core import events as ev
from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.embed import Engine

LANES: Final = 16
RETRY_S: Final = 0.05


class Load:
    """Sends numbered messages at a fixed rate, and keeps when each was sent and done."""

    def __init__(self, engine: Engine, group: str, *, rate: int) -> None:
        """Send `rate` messages a second to `group`."""
        self._engine: Final = engine
        self._group: Final = group
        self._pause_s: Final = 1 / rate
        self._sent_us: dict[str, int] = {}
        self.accepted: Final[set[str]] = set()
        self.done: Final[set[str]] = set()
        self.worst_us = 0
        self._is_stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def sent(self) -> int:
        """Return how many messages were sent."""
        return len(self._sent_us)

    def published(self, events: tuple[Recorded, ...]) -> None:
        """Note which messages are done."""
        for recorded in events:
            if isinstance(recorded.event, ev.MessageDone):
                key = recorded.event.key
                if key in self._sent_us:
                    waited_us = self._engine.clock.at_us() - self._sent_us[key]
                    self.worst_us = max(self.worst_us, waited_us)
                    self.done.add(key)

    async def run(self) -> None:
        """Send until `stop`; a message is sent again under its key until it is accepted.

        If this is cancelled, nothing is sent any more.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while not self._is_stopping:
                number = len(self._sent_us)
                key = f"m-{number:07d}"
                self._sent_us[key] = self._engine.clock.at_us()
                task = asyncio.create_task(self._send(key, number))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                due += self._pause_s
                await asyncio.sleep(max(0.0, due - loop.time()))
            await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:  # none is left, unless this was cancelled
                task.cancel()

    async def _send(self, key: str, number: int) -> None:
        while True:
            try:
                await self._engine.accept(
                    self._group,
                    f"message {number}".encode(),
                    key=key,
                    lane=f"lane-{number % LANES}",
                )
            except LogError:
                await asyncio.sleep(RETRY_S)
                continue
            self.accepted.add(key)
            return

    def stop(self) -> None:
        """Send nothing more."""
        self._is_stopping = True
