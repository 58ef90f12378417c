"""One TCP connection to a master, and how it comes to be.

Rules:
- What the world does is a value: `dial` returns a `Connection` or `NoConnection`.
- Requests are answered in the order in which they were sent; `owing` counts the unanswered ones.
- `on_end` is called at most once, and never after `drop`: an end that we chose, or that the
  master announced with its last answer, is not news.
- Bytes that nobody asked for end the connection. They are a question like any other end: proxies
  send "408 Request Time-out" before they close an idle connection. A peer whose own way it is to
  speak first may say `unasked_bytes_max` of them, which are passed over.
- What is spoken is the parser's: it turns bytes into replies, and says when they make no sense.
"""

import asyncio
import errno
import functools
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec

from engine.core.events import Evidence
from engine.runtime.http1 import Nonsense
from engine.runtime.threads import Threads

_OWN_TROUBLE: Final = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
)
_CAN_BEGIN: Final = os.name == "posix"  # elsewhere the event loop connects in a way of its own
# What getaddrinfo returns; the last form is what a Python without IPv6 makes of such an address.
_Endpoint: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
Address: TypeAlias = tuple[socket.AddressFamily, _Endpoint]

_LOOKUPS: Final = Threads("look up a name")  # each takes until the resolver gives up


class Reply(Protocol):
    """One complete answer; `keep`: the connection can carry another request."""

    @property
    def keep(self) -> bool:
        """Return whether the connection can carry another request."""


R = TypeVar("R", bound=Reply)
R_co = TypeVar("R_co", bound=Reply, covariant=True)


class Parsing(Protocol[R_co]):
    """Turns the bytes of one connection into replies, as `http1.Parser` does."""

    @property
    def is_idle(self) -> bool:
        """Return True if nothing of a reply has arrived that was not handed out."""

    def feed(self, data: bytes) -> R_co | None:
        """Return the next reply that is complete with `data`, or None.

        Raises:
            Nonsense: This is no reply, or exceeds a limit.
        """

    def end(self) -> R_co | None:
        """Return the reply that the end of the connection completes, if there is one."""


class NoConnection(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was sent; `own`: the observer lacked the means, which says nothing of the master."""

    evidence: Evidence
    detail: str
    own: bool = False


# The ports of those that have one; and which of them speak under TLS.
PORTS: Final = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "tcp": 0}
SECURE: Final = frozenset(("https", "rediss"))


class Place:
    """Where a master listens, from its address, an URL of `PORTS`: `http://host:port`.

    Args:
        address: That URL.
        tls: What is trusted where the scheme is one of TLS; None: what this machine trusts.

    Attributes:
        host: What the Host field of HTTP says.
        tls: What a connection is wrapped in; None: nothing.
        name: The host alone, which a certificate has to be for.
        literal: Where to connect if the host is an address; None: it has to be looked up.

    Raises:
        ValueError: It is no such URL.
    """

    def __init__(self, address: str, *, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(address)
        port = parts.port or PORTS.get(parts.scheme, 0)
        if not port or not parts.hostname or parts.scheme not in PORTS:
            raise ValueError(f"expected http://host:port, found {address!r}")
        self.host: Final = parts.netloc.rpartition("@")[2]
        self.name: Final = parts.hostname
        self.tls: Final = (tls or machine_trust()) if parts.scheme in SECURE else None
        self._name = parts.hostname
        self._port = port
        self.literal: Final = _literal(self._name, self._port)
        self._lookup: asyncio.Future[list[Address]] | None = None

    async def addresses(self) -> list[Address]:
        """Return where to connect, in the system's order of preference.

        A name is looked up each time, because a change of it is how some masters move; but at
        most one look-up is under way, since each holds a thread until the resolver gives up.

        Raises:
            socket.gaierror: The name cannot be resolved.
        """
        if self.literal is not None:
            return [self.literal]
        if self._lookup is None or self._lookup.done():
            self._lookup = asyncio.ensure_future(self._resolve())
            # If everybody who waited has gone, nobody is left to be told.
            self._lookup.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._lookup)

    async def _resolve(self) -> list[Address]:
        found = await _LOOKUPS.call(
            lambda: socket.getaddrinfo(self._name, self._port, type=socket.SOCK_STREAM)
        )
        return [(family, address) for family, _, _, _, address in found]

    async def close(self) -> None:
        """End a look-up that is under way."""
        if self._lookup is not None:
            self._lookup.cancel()
            await asyncio.gather(self._lookup, return_exceptions=True)


@functools.cache
def machine_trust() -> ssl.SSLContext:
    """Return what this machine trusts; read once, because that takes tens of milliseconds."""
    return trusting()


def trusting(*, verify: bool = True, ca: str = "") -> ssl.SSLContext:
    """Return what a connection under TLS is held to.

    Args:
        verify: False: whoever answers is believed.
        ca: A file of the certificates that are trusted, in place of those of this machine.

    Raises:
        OSError: The file cannot be read, or holds no certificate.
    """
    if verify:
        return ssl.create_default_context(cafile=ca or None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _literal(name: str, port: int) -> Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return family, (name, port)


class Connection(asyncio.Protocol, Generic[R]):
    """Sends requests and hands out answers.

    Args:
        on_answer: Called with each answer.
        on_end: Called when the connection ended by itself: CLOSED or RESET by the peer, PROTOCOL
            after an answer that makes no sense; with a detail for people.
        parser: Reads the answers.
        unasked_bytes_max: As many are passed over while nothing is asked [bytes].

    Attributes:
        owing: Requests that were sent and not answered [count].
        is_open: Another request can be sent.
        parser: What reads the answers.
    """

    def __init__(
        self,
        *,
        on_answer: Callable[["Connection[R]", R], None],
        on_end: Callable[["Connection[R]", Evidence, str], None],
        parser: Parsing[R],
        unasked_bytes_max: int = 0,
    ) -> None:
        self._on_answer = on_answer
        self._on_end = on_end
        self.parser: Final = parser
        self._unasked_bytes_left = unasked_bytes_max
        self._transport: asyncio.Transport | None = None
        self._is_quiet = False
        self.owing = 0
        self.is_open = False

    def send(self, request: bytes) -> None:
        """Send a request; its answer comes to `on_answer`."""
        assert self.is_open
        assert self._transport is not None
        self.owing += 1
        self._transport.write(request)

    def drop(self) -> None:
        """Close without a word; what the system has taken over is still sent."""
        self._is_quiet = True
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Hand out the answers that are complete now."""
        if self._is_quiet:
            return
        if self.owing == 0:
            self._unasked_bytes_left -= len(data)
            if self._unasked_bytes_left < 0:
                self._finish(Evidence.CLOSED, f"bytes that nobody asked for: {data[:40]!r}")
            return
        try:
            response = self.parser.feed(data)
            while response is not None:
                if not self._hand_out(response):
                    return
                if self.owing == 0:
                    if not self.parser.is_idle:
                        self._finish(Evidence.CLOSED, "more answers than requests")
                    return
                response = self.parser.feed(b"")
        except Nonsense as err:
            self._finish(Evidence.PROTOCOL, str(err))

    def eof_received(self) -> None:
        """Complete an answer that ends with the connection, and tell of its end at once.

        That the transport is closed is said a turn of the loop later.
        """
        if self._is_quiet:
            return
        try:
            response = self.parser.end()
        except Nonsense as err:
            self._finish(Evidence.PROTOCOL, str(err))
            return
        if response is not None:
            self._hand_out(response)
        self._finish(Evidence.CLOSED, "closed by the master")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell how it ended, unless that is known."""
        if exc is None:
            self._finish(Evidence.CLOSED, "closed by the master")
        else:
            self._finish(Evidence.RESET, str(exc))

    def _hand_out(self, response: R) -> bool:
        """Return whether the connection is still open after the answer was taken."""
        self.owing -= 1
        if not response.keep:
            self.drop()
        self._on_answer(self, response)
        return self.is_open

    def _finish(self, evidence: Evidence, detail: str) -> None:
        if self._is_quiet:
            return
        self.drop()
        self._on_end(self, evidence, detail)


def begin(place: Place) -> socket.socket | NoConnection | None:
    """Begin to connect, and return how that stands at once, for `dial` to go on with.

    On the way to a system that is near, a refusal is there before any turn of the event loop. None:
    nothing was begun, because a name has to be looked up first.
    """
    if place.literal is None or not _CAN_BEGIN:
        return None
    try:
        return _begun(*place.literal)
    except OSError as err:
        return _no_connection(err)


async def dial(
    place: Place, make: Callable[[], Connection[R]], *, begun: socket.socket | None = None
) -> Connection[R] | NoConnection:
    """Return an open connection, or why there is none; every address of `place` is tried.

    A refusal by one address outweighs what the others say: somebody's system answered for it.
    `begun` is what `begin` returned, and is this connection's from here on.
    """
    if begun is not None and place.literal is not None:
        return await _dial_one(place, *place.literal, make, begun=begun)
    try:
        addresses = await place.addresses()
    except (OSError, UnicodeError) as err:  # the latter: no name at all
        return NoConnection(evidence=Evidence.DNS, detail=str(err))
    failures = []
    for family, address in addresses:
        dialled = await _dial_one(place, family, address, make)
        if isinstance(dialled, Connection):
            return dialled
        failures.append(dialled)
    refusals = [found for found in failures if found.evidence is Evidence.REFUSED]
    return (refusals or failures)[-1]


async def _dial_one(
    place: Place,
    family: socket.AddressFamily,
    address: _Endpoint,
    make: Callable[[], Connection[R]],
    *,
    begun: socket.socket | None = None,
) -> Connection[R] | NoConnection:
    loop = asyncio.get_running_loop()
    sock = begun
    try:
        if sock is None:
            sock = _begun(family, address) if _CAN_BEGIN else _socket(family)
        try:
            await loop.sock_connect(sock, address)  # at once, if that is done by now
        except OSError as err:
            if err.errno != errno.EISCONN:  # which some systems say of one that was begun before
                raise
        if sock.getsockname() == sock.getpeername():
            # A port that nobody listens on may be given to the caller itself.
            return NoConnection(evidence=Evidence.REFUSED, detail="connected to itself")
        connecting = loop.create_connection(
            make, sock=sock, ssl=place.tls, server_hostname=place.name if place.tls else None
        )
        sock = None  # the transport owns it
        _, connection = await connecting
    except OSError as err:
        return _no_connection(err)
    finally:
        if sock is not None:
            sock.close()
    return connection


def _socket(family: socket.AddressFamily) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _begun(family: socket.AddressFamily, address: _Endpoint) -> socket.socket:
    """Return a socket that connects; OSError if that has failed already."""
    sock = _socket(family)
    code = sock.connect_ex(address)
    if code in (0, errno.EINPROGRESS, errno.EINTR):
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


def _no_connection(err: OSError) -> NoConnection:
    is_own = err.errno in _OWN_TROUBLE
    return NoConnection(evidence=evidence_of(err), detail=str(err), own=is_own)


def evidence_of(err: OSError) -> Evidence:
    """Return what an error of a connection is evidence of."""
    match err:
        case ssl.SSLError():
            return Evidence.TLS
        case socket.gaierror():
            return Evidence.DNS
        case ConnectionRefusedError():
            return Evidence.REFUSED
        case ConnectionResetError() | ConnectionAbortedError():
            return Evidence.RESET
        case BrokenPipeError():
            return Evidence.CLOSED
        case TimeoutError():
            return Evidence.OVERDUE
        case _:
            return Evidence.UNREACHABLE
