"""Who connects to the interface, and does not ask, or does not stop to come."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.service import listening as module
from engine.service.listening import connections_max, listening, raise_limit, server_of
from tests.engine.real import HANG_S, run

WHOLE = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
HALVES = (
    b"",
    b"GET / HTT",
    b"GET / HTTP/1.1\r\nHost: h\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
)


async def well(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"well {len(body)}")(scope, receive, send)


class Line:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> bytes:
        """Return the body of the next answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        return await self.reader.readexactly(length)

    async def is_cut(self) -> bool:
        """Return whether it ends without another word."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, *, most: int = 100, request_s: float = HANG_S
) -> AsyncIterator[tuple[str, int]]:
    sock = listening("127.0.0.1:0")
    server = server_of(app, most=most, request_s=request_s)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield sock.getsockname()
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def lines(place: tuple[str, int], count: int) -> AsyncIterator[list[Line]]:
    found = [Line(*await asyncio.open_connection(*place)) for _ in range(count)]
    try:
        yield found
    finally:
        for line in found:
            line.writer.close()
            with contextlib.suppress(ConnectionError):
                await line.writer.wait_closed()


def test_who_comes_when_there_are_too_many_is_turned_away_until_one_goes() -> None:
    async def main() -> None:
        async with serving(well, most=2) as place, lines(place, 2) as two:
            two[0].writer.write(WHOLE)
            assert await two[0].answer() == b"well 0"
            async with lines(place, 1) as (late,):
                assert await late.is_cut()
            two[1].writer.write(WHOLE)
            assert await two[1].answer() == b"well 0"
            two[0].writer.close()
            async with asyncio.timeout(HANG_S):
                while True:  # until the server has noticed
                    async with lines(place, 1) as (next_one,):
                        with contextlib.suppress(ConnectionError):
                            next_one.writer.write(WHOLE)
                            if await next_one.reader.read(4) == b"HTTP":
                                return

    run(main())


@pytest.mark.parametrize(
    ("before", "half"),
    [(before, half) for before in (b"", WHOLE) for half in HALVES[bool(before) :]],
)
def test_who_does_not_come_to_the_end_of_a_request_has_to_go(before: bytes, half: bytes) -> None:
    async def main() -> None:
        async with serving(well, request_s=0.02) as place, lines(place, 1) as (line,):
            line.writer.write(before + half)
            if before:
                assert await line.answer() == b"well 0"
            assert await line.is_cut()

    run(main())


def test_who_waits_for_an_answer_may_stay() -> None:
    async def main() -> None:
        free = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await free.wait()
            await well(scope, receive, send)

        async with serving(slow, request_s=0.02) as place, lines(place, 2) as (line, silent):
            line.writer.write(WHOLE)
            assert await silent.is_cut()  # which has come after
            free.set()
            assert await line.answer() == b"well 0"

    run(main())


def test_requests_that_come_together_are_answered_one_after_the_other() -> None:
    async def main() -> None:
        async with serving(well) as place, lines(place, 1) as (line,):
            body = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde"
            line.writer.write(WHOLE + body + WHOLE)
            assert [await line.answer() for _ in range(3)] == [b"well 0", b"well 5", b"well 0"]

    run(main())


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return the limits of this process, the last one in force."""
    resource = pytest.importorskip("resource", reason="this system has no limits to set")
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: found[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: found.append(both))
    return found


@pytest.mark.parametrize(
    ("before", "after", "connections"),
    [
        ((1_024, 4_096), (4_096, 4_096), 2_048),
        ((1_024, 1_024), (1_024, 1_024), 512),
        ((1_024, 1 << 30), (65_536, 1 << 30), 10_000),
        ((1_024, -1), (65_536, -1), 10_000),
        ((1 << 20, 1 << 20), (1 << 20, 1 << 20), 10_000),
        ((-1, -1), (-1, -1), 10_000),
    ],
)
def test_the_process_takes_the_files_it_may_have_and_serves_half_as_many(
    limits: list[tuple[int, int]],
    before: tuple[int, int],
    after: tuple[int, int],
    connections: int,
) -> None:
    limits.append(before)
    raise_limit()
    assert limits[-1] == after
    assert connections_max() == connections


def test_a_system_that_says_nothing_of_files_is_served_with_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "resource", None)
    raise_limit()
    assert connections_max() == module.FILES_UNKNOWN // 2
