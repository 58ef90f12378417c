"""Commands that are sent again under their `Idempotency-Key`: done once, answered alike."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec

KEYS_MAX: Final = 1_000  # the newest ones are known [count]
KEY_CHARACTERS_MAX: Final = 255

Answer: TypeAlias = tuple[int, dict[str, object]]  # status, document


class KeyReused(Exception):
    """The key came with another command before."""


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    command: bytes  # digest of its name and body
    answer: asyncio.Task[Answer]


class Repeats:
    """What became of the last commands that came with a key.

    Kept in the memory of this process: a command that is sent again to the engine's next process
    is done again, and so is one whose key is older than the newest `KEYS_MAX`. An answer that does
    not say what became of the command (the log could not be written) is not kept: asked again, it
    is tried again.
    """

    def __init__(self, *, keys_max: int = KEYS_MAX) -> None:
        """Know no key yet, and never more than `keys_max`."""
        self._keys_max: Final = keys_max
        self._known: Final[dict[str, _Known]] = {}

    async def once(
        self, key: str, name: str, fields: object, do: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Return what `do` returns, or returned when the same command came under `key` before.

        Raises:
            KeyReused: The key came with another command, or with another body.
        """
        canonical = json.dumps([name, fields], sort_keys=True).encode()
        command = hashlib.sha256(canonical).digest()
        known = self._known.get(key)
        if known is None:
            known = _Known(command=command, answer=asyncio.ensure_future(_run(do)))
            self._known[key] = known
            known.answer.add_done_callback(lambda done: self._settle(key, done))
            while len(self._known) > self._keys_max:
                del self._known[next(iter(self._known))]
        elif known.command != command:
            raise KeyReused(f"Idempotency-Key {key!r}: expected the command it was first used for")
        # Who gives up must not cancel it for those who ask again.
        return await asyncio.shield(known.answer)

    def _settle(self, key: str, done: "asyncio.Task[Answer]") -> None:
        """Forget an answer after which the command has to be tried anew."""
        is_told = not done.cancelled() and done.exception() is None and done.result()[0] < 500
        known = self._known.get(key)
        if not is_told and known is not None and known.answer is done:
            del self._known[key]


async def _run(do: Callable[[], Awaitable[Answer]]) -> Answer:
    return await do()
