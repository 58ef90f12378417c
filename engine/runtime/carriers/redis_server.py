"""The connection to one Redis server over which it is told what to do, held open.

Rules:
- It is opened before there is anything to say, and opened again when it ends. So a server that
  hangs has what it is told in the socket that it reads first when it goes on.
- What was sent and not answered in time stays under way on the connection. Asked again under the
  same key, it is not sent again: its answer is waited for, for a while.
- All commands of one question go out together, and their replies come in their order.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Hashable, Sequence
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import msgspec

from engine.runtime.carriers.access import OPEN, Access
from engine.runtime.clock import monotonic_us
from engine.runtime.connection import machine_trust
from engine.runtime.http1 import Nonsense
from engine.runtime.resp import Parser, Refusal, Value, command

OPEN_AGAIN_S: Final = 0.5  # after a connection has ended or was refused [s]; doubles
OPEN_AGAIN_S_MAX: Final = 15.0
OPEN_US: Final = 5_000_000  # what a connection that nobody waits for may take to open [us]
PARK_US: Final = 60_000_000  # an unanswered question is waited for no longer than this [us]

Command: TypeAlias = tuple[str, ...]
MIN_REPLICAS: Final = "min-replicas-to-write"
MAX_LAG: Final = "min-replicas-max-lag"
# So that a server which is short of memory for its clients ends others first; it may not know that.
_MANNERS: Final[tuple[Command, ...]] = (
    ("CLIENT", "NO-EVICT", "ON"),
    ("CLIENT", "SETNAME", "tanist"),
)
_SETTINGS: Final[Command] = ("CONFIG", "GET", "min-replicas-*")


class NotSent(Exception):
    """Nothing was sent; says why."""


class Unanswered(Exception):
    """It was sent, and there is no clear answer; says why."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How many good replicas a server must have to take writes, and how late they may be [s]."""

    replicas: int
    lag_s: int


class Server:
    """One server, by its address `redis://host:port`."""

    def __init__(self, address: str, access: Access = OPEN) -> None:
        """Say nothing yet; with a password every connection begins by logging in."""
        parts = urlsplit(address)
        self.host: Final = parts.hostname or ""
        self.port: Final = parts.port or 6379
        self.settings: Settings | None = None  # as they were last read
        self._tls: Final = (access.tls or machine_trust()) if parts.scheme == "rediss" else None
        self._login: Final[Command] = (
            ("AUTH", *filter(None, (access.user, access.password))) if access.password else ()
        )
        self._line: _Line | None = None
        self._opening: asyncio.Task[_Line] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._under_way: dict[Hashable, tuple[int, _Line, asyncio.Future[list[Value]]]] = {}

    def keep(self) -> None:
        """Hold a connection from now on."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name=f"keep {self.host}:{self.port}")

    async def _keep(self) -> None:
        pause_s = OPEN_AGAIN_S
        while True:
            line = self._line
            if line is None or line.is_lost.is_set():
                try:
                    line = await self._open(timeout_us=OPEN_US)
                    pause_s = OPEN_AGAIN_S
                except NotSent:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, OPEN_AGAIN_S_MAX)
                    continue
            await line.is_lost.wait()
            await asyncio.sleep(pause_s)

    async def ask(
        self, commands: Sequence[Command], *, timeout_us: int, key: Hashable = None
    ) -> list[Value]:
        """Return the replies to `commands`, in their order.

        Args:
            commands: What is sent, together.
            timeout_us: When the last reply is due, from now [us].
            key: What it is known by if it is asked again: it is not sent again while it is under
                way. None: it is sent each time.

        Raises:
            NotSent: There was no connection in time.
            Unanswered: It was sent, and the connection ended or the time was up.
        """
        due_us = monotonic_us() + timeout_us
        replies = self._again(key)
        if replies is None:
            line = self._line
            if line is None or line.is_lost.is_set():
                line = await self._open(timeout_us=timeout_us)
            replies = line.ask(commands)
            if key is not None:
                self._under_way[key] = monotonic_us(), line, replies
        try:
            async with asyncio.timeout(max(0, due_us - monotonic_us()) / 1e6):
                found = await asyncio.shield(replies)
        except TimeoutError:
            raise Unanswered("no answer in time") from None
        except Unanswered:
            self._under_way.pop(key, None)
            raise
        self._under_way.pop(key, None)
        return found

    def is_asked(self, key: Hashable) -> bool:
        """Return whether what has this key is under way."""
        return key in self._under_way

    def _again(self, key: Hashable) -> "asyncio.Future[list[Value]] | None":
        """Return the replies to what is under way under `key`; None: send it."""
        if key not in self._under_way:
            return None
        since_us, line, replies = self._under_way[key]
        if line.is_lost.is_set() or (not replies.done() and monotonic_us() - since_us > PARK_US):
            line.drop()  # whoever was silent for so long may be behind a wall
            del self._under_way[key]
            return None
        return replies

    async def _open(self, *, timeout_us: int) -> "_Line":
        """Return a new connection that has logged in; who waits at the same time gets the same."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._opened())
            self._opening.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            async with asyncio.timeout(max(0, timeout_us) / 1e6):
                return await asyncio.shield(self._opening)
        except TimeoutError:
            raise NotSent("no connection in time") from None

    async def _opened(self) -> "_Line":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(OPEN_US / 1e6):
                _, line = await loop.create_connection(
                    _Line, self.host, self.port, ssl=self._tls,
                    server_hostname=self.host if self._tls else None,
                )  # fmt: skip
        except TimeoutError:
            raise NotSent("no connection in time") from None
        except OSError as err:
            raise NotSent(os.strerror(err.errno).lower() if err.errno else str(err)) from err
        # A server that hangs takes connections and says nothing: what comes first is told all the
        # same, and its answer is waited for by nobody.
        greeting = [self._login] if self._login else []
        replies = line.ask([*greeting, *_MANNERS, _SETTINGS])
        replies.add_done_callback(lambda done: self._greeted(line, done))
        self._line = line
        return line

    def _greeted(self, line: "_Line", replies: "asyncio.Future[list[Value]]") -> None:
        if replies.cancelled() or replies.exception() is not None:
            return
        self.note(replies.result()[-1])

    def note(self, value: Value) -> Settings | None:
        """Keep and return the settings that the server said; None if it said none."""
        if isinstance(value, list) and all(isinstance(each, bytes) for each in value):
            texts = [each.decode() for each in value if isinstance(each, bytes)]
            said = dict(zip(texts[::2], texts[1::2], strict=False))
            with contextlib.suppress(KeyError, ValueError):
                self.settings = Settings(replicas=int(said[MIN_REPLICAS]), lag_s=int(said[MAX_LAG]))
                return self.settings
        return None

    async def close(self) -> None:
        """End what is under way and close the connection."""
        tasks = [task for task in (self._keeping, self._opening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._line is not None:
            self._line.drop()
        await asyncio.sleep(0)  # transports close their sockets in the next turn of the loop


class _Line(asyncio.Protocol):
    """An open connection."""

    def __init__(self) -> None:
        self.is_lost: Final = asyncio.Event()
        self._parser: Final = Parser(first=1, later=1)
        self._asks: Final[deque[tuple[int, list[Value], asyncio.Future[list[Value]]]]] = deque()
        self._transport: asyncio.Transport | None = None

    def ask(self, commands: Sequence[Command]) -> "asyncio.Future[list[Value]]":
        """Send `commands`; the future has their replies, or fails with Unanswered."""
        future: asyncio.Future[list[Value]] = asyncio.get_running_loop().create_future()
        # Nobody may be left to hear of it.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self.is_lost.is_set():
            future.set_exception(Unanswered("the connection has ended"))
            return future
        assert self._transport is not None
        self._asks.append((len(commands), [], future))
        self._transport.write(b"".join(command(*words) for words in commands))
        return future

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        try:
            reply = self._parser.feed(data)
            while reply is not None:
                if not self._asks:
                    self.drop()
                    return
                count, values, future = self._asks[0]
                values += reply.values
                if len(values) == count:
                    self._asks.popleft()
                    if not future.done():
                        future.set_result(values)
                reply = self._parser.feed(b"")
        except Nonsense as err:
            self._lose(f"protocol: {err}")
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose("reset" if exc else "closed")

    def drop(self) -> None:
        """Close it; who waits for an answer is told."""
        if self._transport is not None:
            self._transport.abort()
        self._lose("closed by the engine")

    def _lose(self, why: str) -> None:
        self.is_lost.set()
        while self._asks:
            _, _, future = self._asks.popleft()
            if not future.done():
                future.set_exception(Unanswered(why))


def refusal(replies: Sequence[Value]) -> str:
    """Return the first no among `replies` and in them; "" if there is none."""
    for reply in replies:
        if isinstance(reply, Refusal):
            return reply.text
        if isinstance(reply, list) and (found := refusal(reply)):
            return found
    return ""
