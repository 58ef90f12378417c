"""Masters of every kind that behave well, badly, or not at all, and the links that look at them."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from engine.core.fleet import Master
from engine.core.policy import Probe, preset
from engine.runtime.eyes import Eyes
from engine.runtime.seen import Link
from tests.engine.runtime.certificates import certificate, serving
from tests.engine.runtime.peers import Ends, Handler, answer, free_port, server

GROUP: Final = "g"
HELD: Final = ("http", "https", "tcp", "redis")  # kinds that hold a connection open
KINDS: Final = (*HELD, "command", "python", "push")

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


def probe(kind: str, **settings: object) -> Probe:
    base = msgspec.structs.replace(preset("lan").probe, kind=kind)
    return msgspec.structs.replace(base, **settings)


def link_of(address: str, settings: Probe, ends: Ends, *, eyes: Eyes | None = None) -> Link:
    master = Master(id="m", group=GROUP, address=address)
    return (eyes or Eyes()).link(master, settings, on_closed=ends)


# What is said over connections: what a question ends with, and a good answer to it.

WELL: Final = {
    "http": (b"\r\n\r\n", answer(b'{"status":"ok","boot":"b"}')),
    "https": (b"\r\n\r\n", answer(b'{"status":"ok","boot":"b"}')),
    "tcp": (b"PING\r\n", b"+PONG\r\n"),
    "redis": (
        b"min-replicas-*\r\n",
        b"$28\r\nrole:master\r\nconnected_x:0\r\n\r\n$-1\r\n*0\r\n",
    ),
}
REDIS_FIRST: Final = b"$12\r\nrun_id:abc\r\n\r\n"
TCP: Final = {"send": "PING\r\n", "expect": "+PONG"}


def talks(kind: str, say: Callable[[Writer, int], Awaitable[None]]) -> Handler:
    """Answer each question with what `say` writes; it is told how many there were before."""
    end, _ = WELL[kind]

    async def handler(reader: Reader, writer: Writer) -> None:
        count = 0
        while True:
            await reader.readuntil(end)
            await say(writer, count)
            count += 1

    return handler


def good(kind: str) -> Handler:
    async def say(writer: Writer, count: int) -> None:
        first = REDIS_FIRST if kind == "redis" and not count else b""
        writer.write(first + WELL[kind][1])

    return talks(kind, say)


def says(kind: str, data: bytes, *, closes: bool = False) -> Handler:
    async def say(writer: Writer, count: int) -> None:
        writer.write(data)
        if closes:
            await writer.drain()
            raise EOFError

    return talks(kind, say)


class Endless:
    """Says the same piece for ever, and counts what it got rid of."""

    def __init__(self, kind: str, head: bytes, piece: bytes, *, pause_s: float = 0.0) -> None:
        self.written = 0
        self.handler = talks(kind, self._say)
        self._head, self._piece, self._pause_s = head, piece, pause_s

    async def _say(self, writer: Writer, count: int) -> None:
        writer.write(self._head)
        while True:
            writer.write(self._piece)
            self.written += len(self._piece)
            await writer.drain()
            await asyncio.sleep(self._pause_s)
            if writer.is_closing():
                raise EOFError


@contextlib.asynccontextmanager
async def held(kind: str, root: Path, *handlers: Handler) -> AsyncIterator[tuple[Link, Ends]]:
    """Look at a server that is served by `handlers`, over connections."""
    tls, settings = None, probe(kind, **(TCP if kind == "tcp" else {}))
    if kind == "https":
        file = certificate(root)
        tls = serving(file)
        settings = msgspec.structs.replace(settings, ca=str(file))
    ends = Ends()
    async with server(*handlers, scheme=kind, tls=tls) as address:
        link = link_of(address, settings, ends)
        try:
            yield link, ends
        finally:
            await link.close()


@contextlib.asynccontextmanager
async def at(address: str, settings: Probe) -> AsyncIterator[tuple[Link, Ends]]:
    """Look at whoever is, or is not, at `address`."""
    ends = Ends()
    link = link_of(address, settings, ends)
    try:
        yield link, ends
    finally:
        await link.close()


@contextlib.contextmanager
def black_hole() -> "contextlib._GeneratorContextManager[int]":  # type: ignore[misc]
    """Yield the port of a socket whose queue is full: nobody answers who knocks."""
    with socket.socket() as listening, contextlib.ExitStack() as stack:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


# What is run: programs and functions.


def program(text: str) -> Probe:
    """Look by a program of Python."""
    return probe("command", command=(sys.executable, "-S", "-c", text))


@contextlib.asynccontextmanager
async def ran(text: str) -> AsyncIterator[tuple[Link, Ends]]:
    async with at(f"any://127.0.0.1:{free_port()}", program(text)) as found:
        yield found


@contextlib.asynccontextmanager
async def called(check: Callable[[Master], object]) -> AsyncIterator[tuple[Link, Ends]]:
    eyes, ends = Eyes(), Ends()
    eyes.checks[GROUP] = check
    link = link_of("any://127.0.0.1:1", probe("python"), ends, eyes=eyes)
    try:
        yield link, ends
    finally:
        await link.close()


@contextlib.asynccontextmanager
async def beaten(*bodies: bytes, interval_us: int = 1_000) -> AsyncIterator[tuple[Link, Ends]]:
    """Look at a master that says `bodies` by itself, one as soon as the last was taken."""
    eyes, ends = Eyes(), Ends()
    link = link_of("any://127.0.0.1:1", probe("push", interval_us=interval_us), ends, eyes=eyes)

    async def beat() -> None:
        for body in bodies:
            eyes.beats["m"].beat(body)
            await asyncio.sleep(0.002)

    task = asyncio.create_task(beat())
    try:
        yield link, ends
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await link.close()


Looking = Callable[[Path], "contextlib.AbstractAsyncContextManager[tuple[Link, Ends]]"]


async def _waits_for_ever(master: Master) -> None:
    await asyncio.get_running_loop().create_future()


WELL_BEHAVED: Final[Mapping[str, Looking]] = {
    **{kind: (lambda root, kind=kind: held(kind, root, good(kind))) for kind in HELD},
    "command": lambda root: ran('print(\'{"status":"ok","boot":"b"}\')'),
    "python": lambda root: called(lambda master: {"status": "ok", "boot": "b"}),
    "push": lambda root: beaten(*[b'{"status":"ok","boot":"b"}'] * 50),
}


async def _reads(reader: Reader, writer: Writer) -> None:
    await reader.read()


SILENT: Final[Mapping[str, Looking]] = {
    **{kind: (lambda root, kind=kind: held(kind, root, _reads)) for kind in HELD},
    "command": lambda root: ran("import time; time.sleep(1000)"),
    "python": lambda root: called(_waits_for_ever),
    "push": lambda root: beaten(),
}
