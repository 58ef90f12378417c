"""Who may ask: the names this engine answers to, and where looking needs the token.

On loopback only names of loopback are answered, for a page in a browser could reach this engine by
a name of its own that resolves to 127.0.0.1 (DNS rebinding). An address is no such name: where the
engine listens beyond loopback, any address is taken as its own, beside the names of this machine.

Whether looking is free goes by where the engine listens, not by who asks: behind a proxy on this
machine everybody comes from loopback.
"""

import ipaddress
import secrets
import socket
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
NO_TOKEN: Final = "expected the token that lies beside the log"  # noqa: S105
# What checks of load balancers ask for; it says nothing of the fleet.
OPEN: Final = frozenset({"/livez", "/readyz"})


class Guard:
    """Refuses what a browser sends for somebody else's page, and looks of strangers."""

    def __init__(
        self, app: ASGIApp, *, host: str, token: str, own_names: Iterable[str] | None = None
    ) -> None:
        """Let through to `app` what may go there.

        Args:
            app: The interface.
            host: The address that the engine listens on.
            token: What a look has to carry if that is not loopback.
            own_names: What this machine is called; None: as it says itself. The name service is
                not asked: that could take long, and whoever answers there is not this machine.
        """
        self._app: Final = app
        self._token: Final = token
        self._is_local: Final = is_loopback(host)
        own = machine_names() if own_names is None else own_names
        others = () if self._is_local else (name.lower() for name in own)
        self._names: Final = LOOPBACK | {host.lower(), *others}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it in one line."""
        refused = None
        if scope["type"] == "http":
            refused = self._refused(Request(scope))
        if refused is None:
            await self._app(scope, receive, send)
        else:
            code, text = refused
            answer = JSONResponse({"error": text}, status_code=code)
            await answer(scope, receive, send)

    def _refused(self, request: Request) -> tuple[int, str] | None:
        host, origin = request.headers.get("host"), request.headers.get("origin")
        name = _name(f"//{host}") if host is not None else ""
        if host is not None and not self._is_own(name):  # every browser sends one
            return 403, f"host {host!r} is not this engine's"
        if origin is not None and not self._is_same(_name(origin), name):
            return 403, f"origin {origin!r} is not this engine's"
        is_open = self._is_local or request.url.path in OPEN
        return None if is_open or carries(request, self._token) else (401, NO_TOKEN)

    def _is_own(self, name: str) -> bool:
        return name in self._names or (not self._is_local and _address(name) is not None)

    def _is_same(self, origin: str, host: str) -> bool:
        """Return whether a page of `origin` is of the host that it asks.

        On loopback all its names are one. Beyond, an address is somebody's, and need not be ours.
        """
        if self._is_local:
            return origin in self._names
        return origin != "" and origin == host


def carries(request: Request, token: str) -> bool:
    """Return whether a request carries the token."""
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return secrets.compare_digest(given.encode(), token.encode())


def is_loopback(host: str) -> bool:
    """Return whether nobody but this machine reaches the address `host`."""
    address = _address(host)
    return address.is_loopback if address is not None else host in LOOPBACK


def machine_names() -> tuple[str, ...]:
    """Return what this machine calls itself, whole and without its domain."""
    name = socket.gethostname()
    return name, name.partition(".")[0]


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _name(url: str) -> str:
    """Return the host that `url` names; "" if it names none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
