"""What is asked of a master: the steps of a failover, and messages.

Rules:
- A step is asked again under the same key until its time is up, and gets exactly one reply. A
  master that answers the same key twice the same way is part of the protocol.
- Nothing was sent: FAILED. Sent, and no clear answer by the end: UNKNOWN, for it may have taken
  effect. Once a step was sent, only a clear answer makes it anything but unknown.
- Steps never wait behind messages: they have a connection of their own.
- A step whose time is up leaves its connection open for a while: a master that hangs reads it when
  it goes on, and a fence that waits there binds it before anything else does.
- A message is sent once for each call. To send it again is decided where the log is known.

`POST /messages` carries {"epoch", "key", "lane", "body"}, the body in base64. Its answer may carry
{"state": {key: base64 or null}}: what the group shall keep for its masters; null drops a key.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias, assert_never

import msgspec

from engine.core.events import Evidence, Result
from engine.runtime import http1
from engine.runtime.clock import monotonic_us
from engine.runtime.connection import NoConnection, Place
from engine.runtime.lines import Asked, Cut, Line, Overdue, open_line

PAUSE_US: Final = 10_000  # before a step is asked again; doubles
PAUSE_US_MAX: Final = 200_000
PARK_US: Final = 60_000_000  # a connection with an unanswered step is left open for this long
PARKED_MAX: Final = 4  # of them; the oldest goes first
LINES_MAX: Final = 64  # connections for messages to one master
BODY_BYTES_MAX: Final = 16_777_216  # of an answer: state that a master wants to be kept
TEXT_MAX: Final = 200  # characters of a reason, because it goes into the log

_PATHS: Final = {
    "fence": "/control/fence",
    "promote": "/control/promote",
    "demote": "/control/demote",
    "transfer": "/control/transfer",
    "verify": "/control/verify",
    "preflight": "/control/verify",
}


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """How a step ended; `data` is what the master answered, {} if it was no JSON object."""

    result: Result
    detail: str = ""
    data: dict[str, object] = msgspec.field(default_factory=dict)


Kind: TypeAlias = Literal["done", "taken", "stale", "failed", "unknown"]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How a message ended.

    done: acknowledged. taken: it will be acknowledged later. stale: refused for its epoch.
    failed: not sent, or refused. unknown: sent, and no clear answer.
    """

    kind: Kind
    state: dict[str, bytes | None] = msgspec.field(default_factory=dict)  # to keep; None: to drop
    detail: str = ""


class _Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    epoch: int
    key: str
    lane: str
    body: bytes  # base64 in JSON


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    state: dict[str, bytes | None] = msgspec.field(default_factory=dict)


_ENCODER: Final = msgspec.json.Encoder()
_KEPT: Final = msgspec.json.Decoder(_Kept)
_OBJECT: Final = msgspec.json.Decoder(dict[str, object])


class Control:
    """The connections to one master over which it is told what to do.

    Args:
        address: Where the master listens: http://host:port, or https://.
        tls: What is trusted under https; None: what this machine trusts.
        clock: Returns the time since some fixed moment [us].

    Raises:
        ValueError: `address` is no such URL.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], int] = monotonic_us,
    ) -> None:
        self._place = Place(address, tls=tls)
        if not address.startswith(("http:", "https:")):
            raise ValueError(f"expected http://host:port, found {address!r}")
        self._clock = clock
        self._heads = {
            path: http1.post_head(path, host=self._place.host) for path in _PATHS.values()
        }
        self._messages_head = http1.post_head("/messages", host=self._place.host)
        self._step_line: Line | None = None
        self._idle: list[Line] = []  # for messages; the last one used is the first one taken
        self._lines: set[Line] = set()  # all that are open, whatever for
        self._leaving: set[Line] = set()  # busy ones that are not used again
        self._parked: deque[tuple[Line, asyncio.TimerHandle]] = deque()
        self._room = asyncio.Semaphore(LINES_MAX)
        self._closed = asyncio.Event()

    async def step(self, step: str, body: Mapping[str, object], *, timeout_us: int) -> Reply:
        """Return how a step ended, at the latest `timeout_us` from now.

        Args:
            step: fence, promote, demote, transfer, verify or preflight (a verify that names
                itself so in its body).
            body: The fields of the step; `step` is added, bytes become base64.
            timeout_us: How long one key is asked again [us, > 0].
        """
        request = http1.post(self._heads[_PATHS[step]], _ENCODER.encode({**body, "step": step}))
        due_us = self._clock() + timeout_us
        pause_us = PAUSE_US
        last: Reply | None = None
        while True:
            asked = await self._ask(request, due_us=due_us)
            reply = _read_reply(asked)
            if reply.result in (Result.OK, Result.REFUSED):
                return reply
            # That the time was up while a connection opened says less than what came before.
            if last is None or not _is_overdue(asked):
                last = _after(last, reply)
            if self._closed.is_set() or self._clock() + pause_us >= due_us:
                return last
            await asyncio.sleep(pause_us / 1_000_000)
            pause_us = min(2 * pause_us, PAUSE_US_MAX)

    async def deliver(
        self,
        *,
        epoch: int,
        key: str,
        lane: str,
        body: bytes,
        timeout_us: int,
        may_send: Callable[[], bool] = lambda: True,
    ) -> Delivery:
        """Return how one sending of a message ended, at the latest `timeout_us` from now [us].

        `may_send` is asked once there is a connection, right before the message goes out on it.
        """
        message = _Message(epoch=epoch, key=key, lane=lane, body=body)
        request = http1.post(self._messages_head, _ENCODER.encode(message))
        due_us = self._clock() + timeout_us
        if not self._room.locked():
            await self._room.acquire()
        else:
            try:
                async with asyncio.timeout(timeout_us / 1_000_000):
                    await self._room.acquire()
            except TimeoutError:
                return Delivery(kind="failed", detail="no connection was free in time")
        try:
            return await self._send(request, due_us=due_us, may_send=may_send)
        finally:
            self._room.release()

    def close_idle(self) -> None:
        """Close what waits for messages, and what carries one now once it is answered.

        The connection for steps stays: a fence may have to go over it.
        """
        for line in self._idle:
            self._close_line(line)
        self._idle.clear()
        parked = {line for line, _ in self._parked}
        self._leaving |= self._lines - parked - {self._step_line}

    async def close(self) -> None:
        """Close everything; who waits for an answer gets UNKNOWN or "unknown"."""
        self._closed.set()
        for _, timer in self._parked:
            timer.cancel()
        self._parked.clear()
        for line in list(self._lines):
            self._close_line(line)
        self._idle.clear()
        self._step_line = None
        await self._place.close()
        await asyncio.sleep(0)  # transports close their sockets in the next turn of the loop

    async def _ask(self, request: bytes, *, due_us: int) -> Asked | NoConnection:
        """Return how one sending of a step ended."""
        line, self._step_line = self._step_line, None
        if line is None or not line.is_free:
            self._forget(line)
            found = await self._take_line(due_us=due_us)
            if isinstance(found, NoConnection):
                return found
            line = found
        try:
            asked = await line.ask(request, timeout_us=due_us - self._clock())
        except asyncio.CancelledError:
            self._close_line(line)
            raise
        if isinstance(asked, Overdue):
            self._park(line)
        elif line.is_free and self._step_line is None:
            self._leaving.discard(line)
            self._step_line = line
        else:
            self._close_line(line)
        return asked

    async def _send(self, request: bytes, *, due_us: int, may_send: Callable[[], bool]) -> Delivery:
        line = await self._take_line(due_us=due_us)
        if isinstance(line, NoConnection):
            return Delivery(kind="failed", detail=_detail(line))
        if not may_send():
            self._put_back(line)
            return Delivery(kind="failed", detail="not sent: it was revoked")
        try:
            asked = await line.ask(request, timeout_us=due_us - self._clock())
        except asyncio.CancelledError:
            self._close_line(line)
            raise
        self._put_back(line)
        return _read_delivery(asked)

    def _put_back(self, line: Line) -> None:
        """Keep a line for the next message, if it can carry one."""
        if line.is_free and line not in self._leaving:
            self._idle.append(line)
        else:
            self._close_line(line)

    async def _take_line(self, *, due_us: int) -> Line | NoConnection:
        """Return a free line, the warmest if there are several, or a new one."""
        if self._closed.is_set():
            return NoConnection(evidence=Evidence.CLOSED, detail="closed by the engine")
        while self._idle:
            line = self._idle.pop()
            if line.is_free:
                return line
            self._forget(line)
        opened = await open_line(
            self._place, timeout_us=due_us - self._clock(), body_bytes_max=BODY_BYTES_MAX
        )
        if isinstance(opened, Line):
            self._lines.add(opened)
            if self._closed.is_set():
                self._close_line(opened)
                return NoConnection(evidence=Evidence.CLOSED, detail="closed by the engine")
        return opened

    def _park(self, line: Line) -> None:
        if len(self._parked) == PARKED_MAX:
            oldest, timer = self._parked.popleft()
            timer.cancel()
            self._close_line(oldest)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(PARK_US / 1_000_000, self._unpark, line)
        self._parked.append((line, timer))

    def _unpark(self, line: Line) -> None:
        # They were parked in order and wait equally long: it is the first.
        assert self._parked[0][0] is line
        self._parked.popleft()
        self._close_line(line)

    def _close_line(self, line: Line) -> None:
        line.drop()
        self._forget(line)

    def _forget(self, line: Line | None) -> None:
        if line is not None:
            self._lines.discard(line)
            self._leaving.discard(line)


def _is_overdue(asked: Asked | NoConnection) -> bool:
    return isinstance(asked, NoConnection) and asked.evidence is Evidence.OVERDUE


def _after(last: Reply | None, reply: Reply) -> Reply:
    """Return what is known after `reply`: what may have taken effect stays unknown."""
    if last is None or last.result is not Result.UNKNOWN or reply.result is not Result.FAILED:
        return reply
    return Reply(result=Result.UNKNOWN, detail=f"sent, then {reply.detail}"[:TEXT_MAX])


def _read_reply(asked: Asked | NoConnection) -> Reply:
    """Return what one sending of a step came to."""
    match asked:
        case NoConnection():
            return Reply(result=Result.FAILED, detail=_detail(asked))
        case Cut():
            return Reply(result=Result.UNKNOWN, detail=asked.detail[:TEXT_MAX])
        case Overdue():
            return Reply(result=Result.UNKNOWN, detail="no answer in time")
        case http1.Response():
            pass
        case _:
            assert_never(asked)
    try:
        data = _OBJECT.decode(asked.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        data = {}
    match asked.status:
        case 200:
            return Reply(result=Result.OK, data=data)
        case 202:
            return Reply(result=Result.UNKNOWN, detail="still under way", data=data)
        case 409:
            return Reply(result=Result.REFUSED, detail="stale epoch", data=data)
        case status if 400 <= status < 500:
            reason = data.get("reason")
            detail = reason[:TEXT_MAX] if isinstance(reason, str) else f"status {status}"
            return Reply(result=Result.REFUSED, detail=detail, data=data)
        case status:
            return Reply(result=Result.UNKNOWN, detail=f"status {status}", data=data)


def _read_delivery(asked: Asked) -> Delivery:
    match asked:
        case Cut():
            return Delivery(kind="unknown", detail=asked.detail[:TEXT_MAX])
        case Overdue():
            return Delivery(kind="unknown", detail="no answer in time")
        case http1.Response():
            pass
        case _:
            assert_never(asked)
    match asked.status:
        case 200:
            return _read_done(asked.body)
        case 202:
            return Delivery(kind="taken")
        case 409:
            return Delivery(kind="stale", detail="stale epoch")
        case status if 400 <= status < 500:
            return Delivery(kind="failed", detail=f"status {status}")
        case status:
            return Delivery(kind="unknown", detail=f"status {status}")


def _read_done(body: bytes) -> Delivery:
    """Return an acknowledgement; with state that cannot be read it is none.

    To take it would lose the state; the message comes again under its key instead.
    """
    if not body.startswith(b"{"):
        return Delivery(kind="done")
    try:
        return Delivery(kind="done", state=_KEPT.decode(body).state)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        return Delivery(kind="unknown", detail=f"state that cannot be read: {err}"[:TEXT_MAX])


def _detail(found: NoConnection) -> str:
    return f"{found.evidence.value}: {found.detail}"[:TEXT_MAX]
