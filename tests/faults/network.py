"""A network between the engine and its masters: it carries bytes, and can be cut.

    python -m tests.faults.network HOST:PORT HOST:PORT ...

Listens once for each address and says on which ports, as one JSON line. Stopped by a signal it is a
network that is cut: what is sent into it stays there, connections stay open, nothing comes back.
"""

import asyncio
import contextlib
import json
import sys

CHUNK = 65_536


async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carry bytes one way until either end is closed."""
    with contextlib.suppress(ConnectionError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
    sink.close()


async def main() -> None:
    """Carry until the process is ended."""
    ports = []
    servers = []
    for address in sys.argv[1:]:
        host, _, port = address.rpartition(":")

        async def join(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            *,
            host: str = host,
            port: int = int(port),
        ) -> None:
            try:
                back, forth = await asyncio.open_connection(host, port)
            except OSError:
                writer.transport.abort()
                return
            await asyncio.gather(carry(reader, forth), carry(back, writer))

        server = await asyncio.start_server(join, "127.0.0.1", 0)
        servers.append(server)
        ports.append(server.sockets[0].getsockname()[1])
    print(json.dumps({"ports": ports}), flush=True)  # noqa: T201
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
