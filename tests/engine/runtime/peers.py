"""Peers with real sockets: scripted servers in this process, samples and nginx as processes."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import NamedTuple

from engine.core.events import Evidence

SECOND = 1_000_000
LONG_US = 20 * SECOND  # never reached: what is waited for comes, or the test hangs and is stopped
SHORT_US = 100_000  # for what is meant to be overdue

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


ACCEPT_TURNS = 5  # of the loop, from a connection that is there to the handler that runs


@contextlib.asynccontextmanager
async def server(
    *handlers: Handler, scheme: str = "http", tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve the n-th connection with the n-th handler, the last one for all further ones."""
    count = 0
    tasks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        handler = handlers[min(count, len(handlers) - 1)]
        count += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            # Cancelled only by the end of the block below; nobody else waits for it.
            with contextlib.suppress(EOFError, OSError, asyncio.CancelledError):
                await handler(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        for _ in range(ACCEPT_TURNS):  # who has just connected is served, and ends with the others
            await asyncio.sleep(0)
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> tuple[str, dict[str, object]]:
    """Return the first line and the JSON body of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = 0
    for line in head.split("\r\n"):
        if line.startswith("Content-Length: "):
            length = int(line.split()[1])
    body = json.loads(await reader.readexactly(length)) if length else {}
    return head.split("\r\n")[0], body


def answer(body: bytes | str = b"{}", *, status: int = 200, fields: str = "") -> bytes:
    """Return the bytes of an answer."""
    data = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status} X\r\n{fields}Content-Length: {len(data)}\r\n\r\n".encode() + data


def says(data: bytes) -> Handler:
    """Answer every request with `data`."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request(reader)
            writer.write(data)

    return handler


def says_then_closes(data: bytes) -> Handler:
    """Answer one request with `data` and close."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(data)

    return handler


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close once a request was read."""
    await request(reader)


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset once a request has arrived."""
    await request(reader)
    reset(writer)


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read, and never answer."""
    await reader.read()


async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say in `boot` which connection this is, by the caller's port."""
    while True:
        await request(reader)
        port = writer.get_extra_info("peername")[1]
        writer.write(answer(f'{{"boot":"{port}"}}'))


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, as a system does for a process that left something unread."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


class Ends:
    """What `on_closed` was told, as it comes."""

    def __init__(self) -> None:
        self.seen: list[Evidence] = []
        self._more = asyncio.Event()

    def __call__(self, evidence: Evidence) -> None:
        self.seen.append(evidence)
        self._more.set()

    async def next(self) -> Evidence:
        """Return the last one, as soon as there is a new one."""
        await self._more.wait()
        self._more.clear()
        return self.seen[-1]


class Sample(NamedTuple):
    """A process that listens."""

    process: "subprocess.Popen[bytes]"
    address: str


@contextlib.contextmanager
def sample(module: str, *args: str) -> Iterator[Sample]:
    """Run a sample until the end of the block."""
    command = [sys.executable, "-m", f"engine.samples.{module}", "--port", "0", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            hello = json.loads(process.stdout.readline())
            yield Sample(process, f"http://127.0.0.1:{hello['port']}")
        finally:
            process.kill()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def open_files() -> int:
    """Return how many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))
