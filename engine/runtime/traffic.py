"""Traffic that goes through the engine: picked, watched, and counted only under a valid activation.

A connection that fails is a question to its master, which is probed at once. What else goes wrong
in the work of a caller (a file that is not there, a bug) says nothing about the master.
"""

import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final, TypeVar

from engine.core.errors import NoMaster, StaleEpoch
from engine.core.events import Evidence
from engine.runtime.loop import Turning
from engine.runtime.routes import Route, Routes
from engine.runtime.watch import Watch

T = TypeVar("T")

# OSErrors of no class of their own that mean: the connection to the other side did not hold.
_CONNECTION: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.ENOTCONN,
        errno.EPIPE,
        errno.ETIMEDOUT,
    }
)


def is_of_connection(error: OSError) -> bool:
    """Return whether `error` says that a connection failed."""
    return isinstance(error, ConnectionError | socket.gaierror) or error.errno in _CONNECTION


class Traffic:
    """Sends the work of callers to the masters of one engine."""

    def __init__(self, turning: Turning, routes: Routes, watches: Mapping[str, Watch]) -> None:
        """`watches` are asked to look at a master whose connection failed, by its id."""
        self._turning: Final = turning
        self._routes: Final = routes
        self._watches: Final = watches

    async def call(
        self,
        group: str,
        send: Callable[[Route], Awaitable[T]],
        *,
        idempotent: bool,
        timeout_s: float | None,
    ) -> T:
        """Return what `send` returns; see `Engine.call`."""
        limit_s = self._limit_s(group, timeout_s)
        route = await self._wait(group, limit_s)
        try:
            answer = await send(route)
        except OSError as err:
            is_doubted = self._doubt(route, err)
            # Out of time is no question, for it may be the caller's own; another master may do.
            if not idempotent or not (is_doubted or isinstance(err, TimeoutError)):
                raise
        else:
            if self._routes.is_valid(route):
                return answer
            if not idempotent:
                raise _stale(route)
        again = await self._wait_after(route, limit_s)
        async with self._watched(again):
            return await send(again)

    @contextlib.asynccontextmanager
    async def route(self, group: str, *, timeout_s: float | None) -> AsyncIterator[Route]:
        """Yield where to go; see `Engine.route`."""
        route = await self._wait(group, self._limit_s(group, timeout_s))
        async with self._watched(route):
            yield route

    @contextlib.asynccontextmanager
    async def _watched(self, route: Route) -> AsyncIterator[None]:
        """Let nothing count that is done under a revoked activation."""
        try:
            yield
        except OSError as err:
            self._doubt(route, err)
            raise
        if not self._routes.is_valid(route):
            raise _stale(route)

    def _doubt(self, route: Route, error: OSError) -> bool:
        """Ask a master whose connection failed whether it is there; return whether it did."""
        if not is_of_connection(error):
            return False
        watch = self._watches.get(route.master)
        if watch is not None:
            is_reset = isinstance(error, ConnectionResetError)
            watch.look(Evidence.RESET if is_reset else Evidence.CLOSED)
        return True

    def _limit_s(self, group: str, timeout_s: float | None) -> float:
        if timeout_s is not None:
            return timeout_s
        state = self._turning.state
        return state.policy_of(state.groups[group]).failover.deadline_us / 1e6

    async def _wait(self, group: str, limit_s: float) -> Route:
        try:
            return await self._routes.wait(group, timeout_s=limit_s)
        except TimeoutError as err:
            raise NoMaster(f"nobody of {group} could serve within {limit_s:g} s") from err

    async def _wait_after(self, route: Route, limit_s: float) -> Route:
        """Return another route than `route`, or `route` itself if nothing takes its place."""
        state = self._turning.state
        detect_us = state.policy_of(state.groups[route.group]).detect_within_us
        with contextlib.suppress(TimeoutError):
            return await self._routes.wait(
                route.group, timeout_s=min(limit_s, detect_us / 1e6), other_than=route
            )
        return await self._wait(route.group, limit_s)


def _stale(route: Route) -> StaleEpoch:
    return StaleEpoch(f"{route.master} served {route.group} under {route.epoch}, now revoked")
