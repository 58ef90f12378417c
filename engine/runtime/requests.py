"""What a service asks of a running engine: where to go, and to take its messages."""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import CommandRefused
from engine.runtime.carriers.function import Function, Functions
from engine.runtime.hands import EffectHands
from engine.runtime.loop import Turning
from engine.runtime.routes import Route, Routes
from engine.runtime.space import NO_MESSAGES, Space
from engine.runtime.traffic import Traffic

T = TypeVar("T")


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A message was accepted: it is durable, and will be done once at a sink that checks keys."""

    seq: int  # its place in the log; 0: it was done before
    key: str


class Requests:
    """The requests of services to an engine, which has what they need."""

    _turning: Turning
    _routes: Routes
    _traffic: Traffic
    _hands: EffectHands
    _space: Space
    _functions: Functions

    def _known(self, group: str) -> st.GroupState:
        raise NotImplementedError

    def effect(self, group: str, step: str) -> Callable[[Function], Function]:
        """Carry out a step of a group by the function that this decorates, whatever its kind.

            @engine.effect("bots", "promote")
            async def promote(asked: Asked) -> None: ...

        It is given what it has to do, and may come again for the same: after a crash, or when
        nobody knows how it ended. A function that returns has done it.

        Args:
            group: A group of the configuration.
            step: preflight, fence, detach, transfer, promote, verify, switch or follow.

        Raises:
            ValueError: There is no such step, or it has a function already.
        """

        def registered(function: Function) -> Function:
            self._functions.register(group, step, function)
            return function

        return registered

    def pick(self, group: str) -> Route | None:
        """Return where to go now; None if nobody serves.

        Raises:
            CommandRefused: There is no such group.
        """
        self._known(group)
        return self._routes.pick(group)

    async def call(
        self,
        group: str,
        send: Callable[[Route], Awaitable[T]],
        *,
        idempotent: bool = False,
        timeout_s: float | None = None,
    ) -> T:
        """Pick a master, run `send` with it, and return what that returns.

        A connection that fails is a question to the master, which is probed at once. If `send` may
        be repeated it is issued once more after that, or when it ran out of time, to whoever serves
        then. Any other error of `send` is the caller's, and nobody is asked or tried again.

        Args:
            group: Whose masters may answer.
            send: Does the work at `route.address`, under `route.epoch`.
            idempotent: `send` may run twice.
            timeout_s: How long a master may be waited for [s]; None: the failover's deadline.

        Raises:
            NoMaster: Nobody could serve in time.
            StaleEpoch: The activation was revoked meanwhile, and `send` may not be repeated.
        """
        self._known(group)
        return await self._traffic.call(group, send, idempotent=idempotent, timeout_s=timeout_s)

    @contextlib.asynccontextmanager
    async def route(self, group: str, *, timeout_s: float | None = None) -> AsyncIterator[Route]:
        """Yield where to go; what was done counts only if leaving does not raise.

        Raises:
            NoMaster: Nobody could serve in time.
            StaleEpoch: On leaving: the activation was revoked meanwhile.
        """
        self._known(group)
        async with self._traffic.route(group, timeout_s=timeout_s) as route:
            yield route

    async def accept(self, group: str, body: bytes, *, key: str, lane: str = "") -> Receipt:
        """Take a message for `group`; it is durable when this returns.

        Args:
            group: Whose master shall do it.
            body: What is delivered [bytes].
            key: Its identity: the same key and body are accepted once.
            lane: Messages of one lane are done in order; "": the group's own.

        Raises:
            CommandRefused: There is no such group, nothing new would be delivered in it, `key` was
                used for another body, or the disk is full.
            LogError: It is not durable, or nobody knows; accept it again under its key.
        """
        digest = hashlib.sha256(body).digest()
        bodies = self._hands.bodies
        await self._turning.precedence.turn_of_messages()
        offer = self._turning.driver.offer(group, key=key, lane=lane, size=len(body), digest=digest)
        if offer.event is None:
            if offer.seq:
                await self._turning.durable(offer.seq)
            return Receipt(seq=offer.seq, key=key)
        if self._space.is_short:
            raise CommandRefused((NO_MESSAGES,))
        bodies.hold(group, key, body)
        try:
            answer = await self._turning.ask(offer.event, subject=group, bodies={digest: body})
        except BaseException:  # also if the caller gives up: should it be durable, the log has it
            bodies.drop(group, key)
            raise
        return Receipt(seq=answer.seq, key=key)

    async def acknowledge(self, master: str, *, key: str, epoch: int) -> bool:
        """Take a master's word that `key` is done; return whether it counted.

        Raises:
            CommandRefused: There is no such master.
        """
        place = self._turning.state.cache.places.get(master)
        if place is None:
            raise CommandRefused((f"no master {master!r}",))
        acked = ev.MessageAcked(key=key, epoch=epoch)
        answer = await self._turning.ask(acked, subject=master)
        done = any(isinstance(other.event, ev.MessageDone) for other in answer.decisions)
        return done or key in place.group.ledger.done
