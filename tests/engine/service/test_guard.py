"""Who is answered, by the address that the engine listens on."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.service.access import Access, path_of
from engine.service.guard import Guard, is_loopback, machine_names
from engine.service.running import served
from tests.engine.real import nobody, run
from tests.engine.service.api import Api

TOKEN = {"Authorization": "Bearer secret"}


async def interface(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("come in")(scope, receive, send)


def asked(host: str, *, path: str = "/api/status", **headers: str) -> int:
    """Return the status of the answer where the engine listens on `host`."""
    guard = Guard(interface, host=host, access=Access("secret"), own_names=("Box.lan", "Box"))
    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": fields}
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize("listen", ["0.0.0.0", "::", "10.0.0.5"])
@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("10.0.0.5:8600", 200),
        ("192.168.1.7", 200),  # this machine may have addresses that it does not know of
        ("[fd00::1]:8600", 200),
        ("localhost:8600", 200),
        ("box", 200),
        ("BOX.lan:8600", 200),
        ("evil.example", 403),
        ("10.0.0.5.evil.example", 403),
        ("box.evil.example", 403),
        ("", 403),
    ],
)
def test_beyond_loopback_any_address_is_answered_and_no_foreign_name(
    listen: str, host: str, code: int
) -> None:
    assert asked(listen, Host=host, **TOKEN) == code


@pytest.mark.parametrize("host", ["10.0.0.5:8600", "box", "0.0.0.0", "[fd00::1]"])
def test_on_loopback_only_names_of_loopback_are_answered(host: str) -> None:
    assert asked("127.0.0.1", Host=host, **TOKEN) == 403


@pytest.mark.parametrize(
    ("host", "origin", "code"),
    [
        ("10.0.0.5:8600", "http://10.0.0.5:8600", 200),
        ("box:8600", "http://box:8600", 200),
        ("10.0.0.5:8600", "http://10.0.0.6", 403),  # an address, but of somebody else
        ("10.0.0.5:8600", "http://localhost:3000", 403),  # of whoever looks
        ("10.0.0.5:8600", "null", 403),
    ],
)
def test_beyond_loopback_a_page_may_ask_only_where_it_came_from(
    host: str, origin: str, code: int
) -> None:
    assert asked("0.0.0.0", Host=host, Origin=origin, **TOKEN) == code


def test_a_page_of_nowhere_is_not_of_a_request_that_names_no_host() -> None:
    assert asked("0.0.0.0", Origin="null", **TOKEN) == 403


@pytest.mark.parametrize(
    ("listen", "path", "code"),
    [
        ("127.0.0.1", "/api/status", 200),
        ("::1", "/api/status", 200),
        ("localhost", "/api/status", 200),
        ("0.0.0.0", "/api/status", 401),
        ("10.0.0.5", "/api/events", 401),
        ("0.0.0.0", "/livez", 200),
        ("0.0.0.0", "/readyz", 200),
    ],
)
def test_looking_is_free_on_loopback_and_needs_the_token_elsewhere(
    listen: str, path: str, code: int
) -> None:
    assert asked(listen, path=path, Host="localhost") == code
    assert asked(listen, path=path, Host="localhost", Authorization="Bearer guess") == code
    assert asked(listen, path=path, Host="localhost", **TOKEN) == 200


@pytest.mark.parametrize(
    "host",
    ["localhost/livez?", "localhost/api/config#", "127.0.0.1\\livez", "me@localhost", "localhost?"],
)
@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])
def test_a_host_that_says_a_path_too_is_no_host(listen: str, host: str) -> None:
    assert asked(listen, Host=host) == asked(listen, Host=host, **TOKEN) == 403


def test_what_is_asked_for_is_the_path_and_not_what_host_makes_of_it() -> None:
    scope = {"type": "http", "path": "/api/status", "query_string": b"", "method": "GET"}
    headers = [(b"host", b"localhost/livez?")]
    assert path_of(Request({**scope, "headers": headers})) == "/api/status"


def test_all_of_127_is_loopback() -> None:
    assert is_loopback("127.8.9.10")
    assert not is_loopback("evil.example")


def test_this_machine_has_a_name() -> None:
    whole, short = machine_names()
    assert whole.startswith(short)


def test_an_engine_that_listens_everywhere_is_used_by_address(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            Engine(nobody(), log=MemoryLog()) as engine,
            aiohttp.ClientSession() as http,
            served(engine, tmp_path / "t.db", "0.0.0.0:0") as url,
        ):
            token = (tmp_path / "tanist.token").read_text().strip()
            api = Api(engine, url.replace("0.0.0.0", "127.0.0.1"), token, http)
            there = {"Host": "192.0.2.1:8600"}
            assert (await api.get("/api/status", **there))[0] == 401
            known = {**there, "Authorization": f"Bearer {token}"}
            assert (await api.get("/api/status", **known))[0] == 200
            body = {"name": "monday", "author": "ann"}
            assert (await api.post("/api/commands/checkpoint", body, **there))[0] == 200
            stranger = {"Host": "evil.example", "Authorization": f"Bearer {token}"}
            assert (await api.get("/api/status", **stranger))[0] == 403

    run(main())
