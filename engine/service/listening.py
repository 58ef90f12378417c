"""The server of the HTTP interface, which takes no more of its process than the engine can spare.

Every connection is a file of this process, and so are the log and the ways to the masters. A client
that opens one after the other and closes none must not blind the engine; so whoever comes when half
of the files that there may be are connections is turned away, and who says nothing for a while, or
never comes to the end of a request, has to go.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from engine.core.errors import ConfigurationError

PORT_MAX: Final = 65_535
DRAIN_S: Final = 5  # what open requests may take when the service ends [s]
REQUEST_S: Final = 30.0  # what a request may take to come, from the connection on [s]
CONNECTIONS_MAX: Final = 10_000
FILES_WANTED: Final = 65_536  # enough for the largest fleet; some programs look at each of them
FILES_UNKNOWN: Final = 256  # where the system does not say how many there may be
# New connections in one turn of the loop: verdicts do not wait for a crowd. And where there are no
# files left the loop complains once for each that it would have taken.
ACCEPTS: Final = 8
WAITING: Final = 1_024  # connections that the system holds until they are taken [count]


def raise_limit() -> None:
    """Let this process have as many files as it may give itself, within reason."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def connections_max() -> int:
    """Return how many connections are served at once [count]."""
    files = FILES_UNKNOWN
    with contextlib.suppress(ImportError, OSError):
        import resource

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return CONNECTIONS_MAX
    return min(files // 2, CONNECTIONS_MAX)


class Patient(H11Protocol):
    """A connection that is closed if there are too many, or its next request does not come."""

    most = CONNECTIONS_MAX  # of them at once [count]
    request_s = REQUEST_S
    _overdue: asyncio.TimerHandle | None = None  # set while a request is awaited or half there

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, if there are not too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come, and wait for the rest of it, but not for ever."""
        super().data_received(data)
        if self.transport.is_closing() or self._is_whole():
            self._expect_nothing()
        elif self._overdue is None:
            self._expect()

    def on_response_complete(self) -> None:
        """Go on with what came behind a request that was answered; it may be half of one."""
        super().on_response_complete()
        if not self.transport.is_closing() and not self._is_whole() and self._overdue is None:
            self._expect()

    def _is_whole(self) -> bool:
        """Return whether what has come ends with a request that is complete."""
        state = self.conn.their_state
        return state is not h11.SEND_BODY and not (state is h11.IDLE and self.conn.trailing_data[0])

    def _expect(self) -> None:
        self._overdue = self.loop.call_later(self.request_s, self._give_up)

    def _expect_nothing(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _give_up(self) -> None:
        self._overdue = None
        self.transport.abort()


class Server(uvicorn.Server):
    """An uvicorn that leaves the signals to us: the engine has to end after it, in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; more may wait in the system than are taken in one turn."""
        await super().startup(sockets)
        for sock in sockets or ():
            sock.listen(WAITING)


def server_of(app: ASGIApp, *, most: int | None = None, request_s: float = REQUEST_S) -> Server:
    """Return a server of `app`, which lies open to nobody yet.

    Args:
        app: The interface.
        most: Connections that are served at once [count]; None: half of the files there may be.
        request_s: What a request may take to come [s].
    """

    class Protocol(Patient):
        pass

    Protocol.most = connections_max() if most is None else most
    Protocol.request_s = request_s
    protocol: Any = Protocol
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        lifespan="off",
        backlog=ACCEPTS,
        timeout_graceful_shutdown=DRAIN_S,
    )
    return Server(config)


def listening(listen: str) -> socket.socket:
    """Return a socket that listens at HOST:PORT.

    Raises:
        ConfigurationError: That is no such place, or it cannot.
    """
    host, _, port = listen.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
        raise ConfigurationError((f"listen: expected HOST:PORT, found {listen!r}",))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host.strip("[]"), int(port)))
        sock.listen()  # from here on who connects is served, if a moment later
    except OSError as err:
        sock.close()
        raise ConfigurationError((f"listen {listen}: {err.strerror}",)) from err
    return sock
