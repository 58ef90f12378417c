"""Who may ask: the names this engine answers to, and what needs a token (access.py).

On loopback only names of loopback are answered, for a page in a browser could reach this engine by
a name of its own that resolves to 127.0.0.1 (DNS rebinding). An address is no such name: where the
engine listens beyond loopback, any address is taken as its own, beside the names of this machine.

Looking is free on loopback, unless a configuration says who may look. That goes by where the engine
listens, not by who asks: behind a proxy on this machine everybody comes from loopback.
"""

import ipaddress
import socket
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.service.access import Access, Role, needed, path_of

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
# Of an URL that goes on after its host: whoever puts the two together would read another path.
_NO_HOST: Final = frozenset("/?#@\\")


class Guard:
    """Refuses what a browser sends for somebody else's page, and looks of strangers."""

    def __init__(
        self, app: ASGIApp, *, host: str, access: Access, own_names: Iterable[str] | None = None
    ) -> None:
        """Let through to `app` what may go there.

        Args:
            app: The interface.
            host: The address that the engine listens on.
            access: Who has which token.
            own_names: What this machine is called; None: as it says itself. The name service is
                not asked: that could take long, and whoever answers there is not this machine.
        """
        self._app: Final = app
        self._access: Final = access
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
        name = "" if host is None or _NO_HOST & set(host) else _name(f"//{host}")
        if host is not None and not self._is_own(name):  # every browser sends one
            return 403, f"host {host!r} is not this engine's"
        if origin is not None and not self._is_same(_name(origin), name):
            return 403, f"origin {origin!r} is not this engine's"
        role = needed(request)
        if role is None:
            return None
        caller = self._access.caller(request)
        request.state.caller = caller
        if role is Role.READ and self._is_local and not self._access.has_names:
            return None
        return self._access.refused(caller, role, path_of(request))

    def _is_own(self, name: str) -> bool:
        return name in self._names or (not self._is_local and _address(name) is not None)

    def _is_same(self, origin: str, host: str) -> bool:
        """Return whether a page of `origin` is of the host that it asks.

        On loopback all its names are one. Beyond, an address is somebody's, and need not be ours.
        """
        if self._is_local:
            return origin in self._names
        return origin != "" and origin == host


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
