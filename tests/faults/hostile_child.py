"""Masters that answer as no master should, as a process: it prints their ports as one line of JSON.

    python -m tests.faults.hostile_child DIRECTORY

`DIRECTORY` gets the certificate of those that speak TLS.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.contracts.looking import Endless, Handler, good, says, talks
from tests.engine.runtime.certificates import certificate, serving

HEAD: Final = b"HTTP/1.1 200 OK\r\n"
CHUNKED: Final = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
REDIRECT: Final = b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def moves_on(writer: asyncio.StreamWriter, count: int) -> None:
    for _ in range(10_000):
        writer.write(REDIRECT)


def http(kind: str) -> Mapping[str, Handler]:
    return {
        "good": good(kind),
        "garbage": says(kind, b"\xff\x00garbage"),
        "half": says(kind, HEAD + b"Content-Length: 9\r\n\r\nhalf", closes=True),
        "endless-head": Endless(kind, HEAD, b"a: b\r\n" * 1_000).handler,
        "endless-body": Endless(kind, HEAD + b"\r\n", b"x" * 4_096).handler,
        "endless-chunks": Endless(kind, CHUNKED, (b"400\r\n" + b"x" * 1024 + b"\r\n") * 8).handler,
        "endless-interim": Endless(kind, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100).handler,
        "drip": Endless(kind, HEAD + b"Content-Length: 9000\r\n\r\n", b"x", pause_s=0.02).handler,
        "redirects": talks(kind, moves_on),
        "silent": silent,
    }


REDIS: Final[Mapping[str, Handler]] = {
    "good": good("redis"),
    "garbage": says("redis", b"\xff\x00garbage"),
    "half": says("redis", b"$12\r\nrun_id:abc\r\n\r\n$28\r\nrole:ma", closes=True),
    "endless-line": Endless("redis", b"+", b"x" * 4_096).handler,
    "endless-string": Endless("redis", b"$200000\r\n", b"x" * 4_096).handler,
    "endless-array": Endless("redis", b"*60\r\n", b"$4000\r\n" + b"x" * 4_000 + b"\r\n").handler,
    "huge-array": says("redis", b"*1000000000\r\n"),
    "drip": Endless("redis", b"$9000\r\n", b"x", pause_s=0.02).handler,
    "silent": silent,
}
TCP: Final[Mapping[str, Handler]] = {
    "good": good("tcp"),
    "garbage": says("tcp", b"\xff\x00garbage", closes=True),
    "endless": Endless("tcp", b"", b"-NOT YET\r\n" * 400).handler,
    "drip": Endless("tcp", b"", b"x", pause_s=0.02).handler,
    "silent": silent,
}
KINDS: Final = {"http": http("http"), "https": http("https"), "redis": REDIS, "tcp": TCP}


async def main(directory: Path) -> None:
    tls = serving(certificate(directory))
    ports: dict[str, dict[str, int]] = {}
    for kind, handlers in KINDS.items():
        ports[kind] = {}
        for name, handler in handlers.items():

            async def talk(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                handler: Handler = handler,
            ) -> None:
                try:
                    await handler(reader, writer)
                except (EOFError, OSError):
                    pass
                finally:
                    writer.close()

            server = await asyncio.start_server(
                talk, "127.0.0.1", 0, ssl=tls if kind == "https" else None
            )
            ports[kind][name] = server.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    logging.disable()  # asyncio warns of each write to a connection that has ended
    asyncio.run(main(Path(sys.argv[1])))
