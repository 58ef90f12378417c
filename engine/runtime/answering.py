"""Who waits for an event to become durable, and the answer that each gets then."""

import asyncio

import msgspec

from engine.core.driver import refusal
from engine.core.errors import LogError
from engine.core.events import Recorded


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an observation, now that it is durable."""

    seq: int
    reasons: tuple[str, ...]  # why it was refused; empty if it was not
    decisions: tuple[Recorded, ...]  # what was decided in the same step


class Waiters:
    """The futures of events that are not durable yet, by seq.

    Each who waits has one of its own: who gives up cancels it for nobody else.
    """

    def __init__(self) -> None:
        self._futures: dict[int, list[asyncio.Future[Answer]]] = {}

    def add(self, seq: int, future: "asyncio.Future[Answer]") -> None:
        """Answer `future` when the event at `seq` is durable."""
        self._futures.setdefault(seq, []).append(future)

    def settle(self, events: tuple[Recorded, ...]) -> None:
        """Answer everybody who waits for one of `events`, which are durable."""
        if not self._futures:
            return
        caused: dict[int, list[Recorded]] = {}
        for recorded in events:
            caused.setdefault(recorded.cause, []).append(recorded)
        for recorded in events:
            waiting = self._futures.pop(recorded.seq, None)
            if waiting is None:
                continue
            own = tuple(caused.get(recorded.seq, ()))
            reasons = refusal(own, recorded.seq)
            answer = Answer(seq=recorded.seq, reasons=reasons, decisions=own)
            for future in waiting:
                if not future.done():
                    future.set_result(answer)

    def fail(self, error: LogError) -> None:
        """Fail everybody: what they wait for was thrown away."""
        waiting, self._futures = self._futures, {}
        for futures in waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
