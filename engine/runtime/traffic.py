"""Traffic that goes through the engine: picked, watched, and counted only under a valid activation.

Once a second the share of calls that failed at each master is reported, where any were made. Every
ten seconds the calls of a group whose masters all serve are counted in the log, if any failed.

A connection that fails is a question to its master, which is probed at once. What else goes wrong
in the work of a caller (a file that is not there, a bug) says nothing about the master.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final, TypeVar

from engine.core.errors import NoMaster, StaleEpoch
from engine.core.events import CallsCounted, Evidence, LoadReported
from engine.core.facts import Calls
from engine.core.load import is_worth_recording
from engine.core.outliers import settings_of
from engine.runtime.loop import Turning
from engine.runtime.routes import Route, Routes
from engine.runtime.watch import Watch

T = TypeVar("T")

TELL_S: Final = 1.0  # how often the errors of calls are reported, while there are any
WINDOW_S: Final = 10.0  # in which calls are counted to find outliers, as Envoy's interval is
PPM: Final = 1_000_000  # parts per million in one

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
        self._counts: Final[dict[str, list[int]]] = {}  # by master: calls, errors, in this second
        self._minute: dict[str, list[int]] = {}  # the same since `counted` was last asked
        self._telling: asyncio.TimerHandle | None = None
        # By group and master: calls, errors, in this window.
        self._windows: Final[dict[str, dict[str, list[int]]]] = {}
        self._closing: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Tell no more of how calls went."""
        for handle in (self._telling, self._closing):
            if handle is not None:
                handle.cancel()
        self._telling = self._closing = None

    def _count(self, route: Route, *, failed: bool) -> None:
        """Count a call that came to an end at its master, for the second that it ended in."""
        window = self._windows.setdefault(route.group, {})
        for counts in (self._counts, self._minute, window):
            count = counts.setdefault(route.master, [0, 0])
            count[0] += 1
            count[1] += failed
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(TELL_S, self._tell)
            if self._closing is None:
                self._closing = loop.call_later(WINDOW_S, self._close_window)

    def counted(self) -> dict[str, tuple[int, int]]:
        """Return the calls and the errors of each master since this was last asked [count]."""
        found, self._minute = self._minute, {}
        return {master: (calls, errors) for master, (calls, errors) in found.items()}

    def _tell(self) -> None:
        """Report the share of errors of each master that was called in the last second."""
        self._telling = None
        turning = self._turning
        for master, (calls, errors) in self._counts.items():
            report = LoadReported(errors_ppm=errors * PPM // calls, observer="traffic")
            if is_worth_recording(turning.driver.working, master, report, turning.clock.at_us()):
                turning.record(report, subject=master)
        self._counts.clear()

    def _close_window(self) -> None:
        """Say what calls met at the masters of each group, where some of them failed."""
        self._closing = None
        turning, groups = self._turning, self._turning.driver.working.groups
        for name, found in self._windows.items():
            group = groups.get(name)
            is_asked = group is not None and settings_of(turning.driver.working, group) is not None
            if is_asked and any(errors for _, errors in found.values()):
                calls = tuple(
                    Calls(master=master, calls=calls, failed=errors)
                    for master, (calls, errors) in sorted(found.items())
                )
                counted = CallsCounted(window_us=round(WINDOW_S * 1e6), calls=calls)
                turning.record(counted, subject=name)
        self._windows.clear()

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
            self._count(route, failed=is_doubted or isinstance(err, TimeoutError))
            # Out of time is no question, for it may be the caller's own; another master may do.
            if not idempotent or not (is_doubted or isinstance(err, TimeoutError)):
                raise
        else:
            self._count(route, failed=False)
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
            is_doubted = self._doubt(route, err)
            self._count(route, failed=is_doubted or isinstance(err, TimeoutError))
            raise
        self._count(route, failed=False)
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
