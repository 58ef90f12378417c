"""The bodies of open messages: at hand from their acceptance, else read from the log.

What is at hand is a cache, and has a limit: while nobody works on them, any number of messages may
be open.
"""

import asyncio
from typing import Final

from engine.core.owed import Deliver
from engine.log.protocol import Log

HELD_BYTES_MAX: Final = 64 * 1024 * 1024  # beyond this the log is read [bytes]


class Bodies:
    """The bodies of the messages in one log, by group and key."""

    def __init__(self, log: Log, *, held_bytes_max: int = HELD_BYTES_MAX) -> None:
        """Hold nothing yet, and never more than `held_bytes_max` [bytes]."""
        self.held_bytes = 0
        self._log: Final = log
        self._held_bytes_max: Final = held_bytes_max
        self._held: Final[dict[tuple[str, str], bytes]] = {}

    def hold(self, group: str, key: str, body: bytes) -> None:
        """Keep a body at hand, if there is room."""
        self.drop(group, key)
        if self.held_bytes + len(body) <= self._held_bytes_max:
            self._held[group, key] = body
            self.held_bytes += len(body)

    def drop(self, group: str, key: str) -> None:
        """Keep it no longer."""
        body = self._held.pop((group, key), None)
        if body is not None:
            self.held_bytes -= len(body)

    async def of(self, deliver: Deliver) -> bytes | None:
        """Return the body of a message; None if the log does not hold it (any more).

        Raises:
            LogError: The log cannot be read.
        """
        body = self._held.get((deliver.group, deliver.key))
        if body is not None:
            return body
        return await asyncio.to_thread(self._log.body, deliver.digest)
