"""The bodies of open messages: at hand from their acceptance, else read from the log.

So is the state that masters ask to be kept, from the acknowledgement that it came with.

What is at hand is a cache, and has a limit: while nobody works on them, any number of messages may
be open.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from engine.core.owed import Deliver
from engine.log.protocol import Log

HELD_BYTES_MAX: Final = 64 * 1024 * 1024  # beyond this the log is read [bytes]
KEPT_BYTES_MAX: Final = 16 * 1024 * 1024  # the same for state that groups keep


class Bodies:
    """The bodies of the messages in one log, by group and key."""

    def __init__(
        self,
        log: Log,
        *,
        held_bytes_max: int = HELD_BYTES_MAX,
        kept_bytes_max: int = KEPT_BYTES_MAX,
    ) -> None:
        """Hold nothing yet, and never more of bodies and of kept state than that [bytes]."""
        self.held_bytes = 0
        self._log: Final = log
        self._held_bytes_max: Final = held_bytes_max
        self._held: Final[dict[tuple[str, str], bytes]] = {}
        self._kept: Final[dict[tuple[str, str], tuple[bytes, bytes]]] = {}  # digest, blob
        self._kept_bytes = 0
        self._kept_bytes_max: Final = kept_bytes_max

    def hold(self, group: str, key: str, body: bytes) -> None:
        """Keep a body at hand, if there is room."""
        self.drop(group, key)
        if self.held_bytes + len(body) <= self._held_bytes_max:
            self._held[group, key] = body
            self.held_bytes += len(body)

    def keep(self, group: str, key: str, digest: bytes, blob: bytes | None) -> None:
        """Have the newest state under `key` at hand, if there is room; None: there is none."""
        known = self._kept.pop((group, key), None)
        if known is not None:
            self._kept_bytes -= len(known[1])
        if blob is not None and self._kept_bytes + len(blob) <= self._kept_bytes_max:
            self._kept[group, key] = digest, blob
            self._kept_bytes += len(blob)

    async def kept(self, group: str, wanted: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """Return the state that a group keeps, by key; None where the log does not hold it.

        `wanted` are the digests. A failover waits for it, and the log is read only for what is not
        at hand.

        Raises:
            LogError: The log cannot be read.
        """
        found: dict[str, bytes | None] = {}
        for key, digest in wanted.items():
            known = self._kept.get((group, key))
            if known is not None and known[0] == digest:
                found[key] = known[1]
        if len(found) < len(wanted):
            lacking = {key: digest for key, digest in wanted.items() if key not in found}
            found |= await asyncio.to_thread(self._read, lacking)
        return found

    def _read(self, wanted: Mapping[str, bytes]) -> dict[str, bytes | None]:
        return {key: self._log.body(digest) for key, digest in wanted.items()}

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
