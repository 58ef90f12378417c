"""A connection whose answers are awaited: one request at a time, one value for how it ended."""

import asyncio
from typing import Final, TypeAlias

import msgspec

from engine.core.events import Evidence
from engine.runtime.connection import Connection, NoConnection, Place, dial
from engine.runtime.http1 import Parser, Response


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """The connection ended after the request was sent and before it was answered."""

    detail: str


class Overdue(msgspec.Struct, frozen=True, kw_only=True):
    """The request was sent and not answered in time; the connection is still open."""


Asked: TypeAlias = Response | Cut | Overdue


class Line:
    """An open connection; made by `open_line`."""

    def __init__(self, *, body_bytes_max: int) -> None:
        self.connection: Final = Connection(
            on_answer=self._on_answer,
            on_end=self._on_end,
            parser=Parser(body_bytes_max=body_bytes_max),
        )
        self._reply: asyncio.Future[Asked] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_free(self) -> bool:
        """True if a request can be sent and the next answer will be its own."""
        return self.connection.is_open and self.connection.owing == 0

    def ask(self, request: bytes, *, timeout_us: int) -> asyncio.Future[Asked]:
        """Return the future answer, at the latest `timeout_us` from now [us]."""
        assert self._reply is None
        loop = asyncio.get_running_loop()
        self._reply = loop.create_future()
        self._timer = loop.call_later(max(0, timeout_us) / 1_000_000, self._settle, Overdue())
        self.connection.send(request)
        return self._reply

    def drop(self) -> None:
        """Close without a word; who waits for an answer is told of a cut."""
        self.connection.drop()
        self._settle(Cut(detail="closed by the engine"))

    def _on_answer(self, connection: Connection[Response], response: Response) -> None:
        if self._reply is None:
            # The answer to a request that was given up. The line was kept for the request alone.
            connection.drop()
        self._settle(response)

    def _on_end(self, connection: Connection[Response], evidence: Evidence, detail: str) -> None:
        self._settle(Cut(detail=f"{evidence.value}: {detail}"))

    def _settle(self, asked: Asked) -> None:
        reply, self._reply = self._reply, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if reply is not None and not reply.done():
            reply.set_result(asked)


async def open_line(place: Place, *, timeout_us: int, body_bytes_max: int) -> Line | NoConnection:
    """Return a line to `place`, or why there is none within `timeout_us` [us]."""
    line = Line(body_bytes_max=body_bytes_max)
    try:
        async with asyncio.timeout(max(0, timeout_us) / 1_000_000):
            dialled = await dial(place, lambda: line.connection)
    except TimeoutError:
        line.drop()
        return NoConnection(evidence=Evidence.OVERDUE, detail="no connection in time")
    if isinstance(dialled, NoConnection):
        return dialled
    if not dialled.is_open:
        return NoConnection(evidence=Evidence.CLOSED, detail="closed as soon as it was open")
    return line
