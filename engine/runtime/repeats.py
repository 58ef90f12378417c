"""Commands that come again under their key: done once, answered alike, also after a restart.

What a command came to is in the log, under its key. Only while it is under way it is known here, so
that whoever sends it again meanwhile waits for the same answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec

from engine.core.driver import refusal
from engine.core.errors import KeyReused
from engine.core.events import Observation
from engine.core.terms import Keyed, Terms
from engine.runtime.answering import Answer
from engine.runtime.loop import Turning


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it enters the core."""

    event: Observation
    subject: str


# Makes the command; called only if it is not one that was given before. Raises CommandRefused.
Ask: TypeAlias = Callable[[], Awaitable[Asked]]


class _UnderWay(msgspec.Struct, frozen=True, kw_only=True):
    content: bytes
    answer: asyncio.Task[Answer]


class Repeats:
    """Asks an engine, for each key once."""

    def __init__(self, turning: Turning) -> None:
        self._turning: Final = turning
        self._under_way: Final[dict[str, _UnderWay]] = {}

    async def ask(self, ask: Ask, terms: Terms) -> Answer:
        """Return the answer to a command, or that to the same command under the same key before.

        What was not recorded is not kept: it is asked anew.

        Raises:
            KeyReused: The key came with another command.
            CommandRefused: It cannot be asked so, or what was expected is not so.
            LogError: It could not be made durable, or nobody knows: ask again under the key.
        """
        if not terms.key:
            return await self._ask(ask, terms)
        under_way = self._under_way.get(terms.key)
        if under_way is None:
            task = asyncio.ensure_future(self._once(ask, terms))
            under_way = _UnderWay(content=terms.content, answer=task)
            self._under_way[terms.key] = under_way
            task.add_done_callback(lambda _: self._ended(terms.key))
        elif under_way.content != terms.content:
            raise KeyReused(terms.key, 0)
        # Who gives up must not cancel it for those who ask again.
        return await asyncio.shield(under_way.answer)

    def _ended(self, key: str) -> None:
        task = self._under_way.pop(key).answer
        if not task.cancelled():
            task.exception()  # everybody who waited for it may have given up

    async def _ask(self, ask: Ask, terms: Terms) -> Answer:
        asked = await ask()
        return await self._turning.ask(asked.event, subject=asked.subject, terms=terms)

    async def _once(self, ask: Ask, terms: Terms) -> Answer:
        # While nothing fails, all that this engine ever asked is settled: in the log, or not.
        if self._turning.failure is not None:
            raise self._turning.failure
        known = await asyncio.to_thread(self._turning.log.append_keys.find, terms.key)
        if known is None:
            return await self._ask(ask, terms)
        if known.content != terms.content:
            raise KeyReused(terms.key, known.first)
        return await asyncio.to_thread(self._read, known)

    def _read(self, known: Keyed) -> Answer:
        """Return the answer that the log has."""
        events = tuple(self._turning.log.read(known.first - 1, known.last))
        own = tuple(recorded for recorded in events if recorded.cause == known.first)
        return Answer(seq=known.first, reasons=refusal(own, known.first), decisions=own)

    async def close(self) -> None:
        """Return when nobody waits here any more: the turning has ended before."""
        tasks = [under_way.answer for under_way in self._under_way.values()]
        await asyncio.gather(*tasks, return_exceptions=True)
