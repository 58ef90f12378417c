import asyncio
import os
import socket

import pytest

from engine.core.events import Evidence
from engine.runtime.connection import Address, Connection, NoConnection, Place, begin, dial
from engine.runtime.http1 import Parser, Response, get
from tests.engine.runtime.peers import answer, closes, free_port, resets, says, server

GET = get("/", host="x")


class Calls:
    """What a connection told its owner, as it comes."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[Response | Evidence] = asyncio.Queue()

    def make(self) -> Connection[Response]:
        return Connection(
            on_answer=lambda _, response: self.seen.put_nowait(response),
            on_end=lambda _, evidence, __: self.seen.put_nowait(evidence),
            parser=Parser(body_bytes_max=100),
        )


class TwoAddresses(Place):
    """A name that stands for more than one address."""

    def __init__(self, both: list[Address]) -> None:
        super().__init__("http://both:1")
        self.both = both

    async def addresses(self) -> list[Address]:
        return self.both


async def dialled(address: str, calls: Calls) -> Connection[Response]:
    connection = await dial(Place(address), calls.make)
    assert isinstance(connection, Connection)
    return connection


@pytest.mark.parametrize("address", ["ftp://a:1", "a:1", "http://", "tcp://a", "http://a:port"])
def test_an_address_that_is_no_http_url_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Place(address)


@pytest.mark.parametrize(
    ("host", "evidence"),
    [
        ("127.0.0.1", Evidence.REFUSED),
        ("localhost", Evidence.REFUSED),
        ("255.255.255.255", Evidence.UNREACHABLE),
        ("a..b", Evidence.DNS),
    ],
)
def test_no_connection_comes_with_its_evidence(host: str, evidence: Evidence) -> None:
    async def body() -> None:
        found = await dial(Place(f"http://{host}:{free_port()}"), Calls().make)
        assert isinstance(found, NoConnection)
        assert found.evidence is evidence
        assert found.detail
        assert not found.own

    asyncio.run(body())


@pytest.mark.skipif(os.name != "posix", reason="the event loop connects in a way of its own")
def test_a_refusal_that_is_near_is_known_before_any_turn_of_the_loop() -> None:
    found = begin(Place(f"http://127.0.0.1:{free_port()}"))
    assert isinstance(found, NoConnection)
    assert found.evidence is Evidence.REFUSED
    assert found.detail


@pytest.mark.skipif(os.name != "posix", reason="the event loop connects in a way of its own")
def test_what_was_begun_is_gone_on_with() -> None:
    async def body() -> None:
        async with server(says(answer("1"))) as address:
            calls, begun = Calls(), begin(Place(address))
            assert isinstance(begun, socket.socket)
            connection = await dial(Place(address), calls.make, begun=begun)
            assert isinstance(connection, Connection)
            connection.send(GET)
            assert await calls.seen.get() == Response(status=200, body=b"1", keep=True)
            connection.drop()

    asyncio.run(body())


def test_nothing_is_begun_where_a_name_is_looked_up_first() -> None:
    assert begin(Place("http://localhost:1")) is None


def test_a_refusal_outweighs_what_the_other_addresses_say() -> None:
    async def body() -> None:
        one = await Place(f"http://127.0.0.1:{free_port()}").addresses()
        other = await Place(f"http://255.255.255.255:{free_port()}").addresses()
        for both in (one + other, other + one):
            found = await dial(TwoAddresses(both), Calls().make)
            assert isinstance(found, NoConnection)
            assert found.evidence is Evidence.REFUSED

    asyncio.run(body())


def test_every_address_of_a_name_is_tried() -> None:
    async def body() -> None:
        async with server(says(answer("1"))) as address:
            calls = Calls()
            connection = await dialled(address.replace("127.0.0.1", "localhost"), calls)
            connection.send(GET)
            assert await calls.seen.get() == Response(status=200, body=b"1", keep=True)
            connection.drop()

    asyncio.run(body())


def test_an_observer_without_means_says_that_it_is_itself() -> None:
    resource = pytest.importorskip("resource", reason="this system has no limits to set")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def body() -> NoConnection | Connection:
        place = Place(f"http://127.0.0.1:{free_port()}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            return await dial(place, Calls().make)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    found = asyncio.run(body())
    assert isinstance(found, NoConnection)
    assert found.own


def test_the_end_is_told_once_and_with_how() -> None:
    async def body() -> None:
        for handler, evidence in ((closes, Evidence.CLOSED), (resets, Evidence.RESET)):
            async with server(handler) as address:
                calls = Calls()
                connection = await dialled(address, calls)
                connection.send(GET)
                assert await calls.seen.get() is evidence
                assert not connection.is_open
                connection.drop()
            assert calls.seen.empty()

    asyncio.run(body())


def test_a_dropped_connection_tells_nothing() -> None:
    async def body() -> None:
        async with server(closes) as address:
            calls = Calls()
            connection = await dialled(address, calls)
            connection.send(GET)
            connection.drop()
        assert calls.seen.empty()

    asyncio.run(body())


def test_bytes_that_nobody_asked_for_end_a_connection() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 408 Request Time-out\r\n\r\n")
        await reader.read()

    async def body() -> None:
        async with server(handler, says(answer("1") + answer("2"))) as address:
            calls = Calls()
            await dialled(address, calls)
            assert await calls.seen.get() is Evidence.CLOSED
            (await dialled(address, calls)).send(GET)
            assert await calls.seen.get() == Response(status=200, body=b"1", keep=True)
            assert await calls.seen.get() is Evidence.CLOSED

    asyncio.run(body())


def test_requests_are_answered_in_order_and_at_once() -> None:
    async def body() -> None:
        async with server(says(answer("1"))) as address:
            calls = Calls()
            connection = await dialled(address, calls)
            connection.send(GET)
            connection.send(GET)
            assert connection.owing == 2
            await calls.seen.get()
            await calls.seen.get()
            assert connection.owing == 0
            connection.drop()

    asyncio.run(body())


def test_one_look_up_serves_all_who_wait_for_it() -> None:
    async def body() -> None:
        place = Place("http://localhost:1")
        one, two = await asyncio.gather(place.addresses(), place.addresses())
        assert one is two
        assert (socket.AF_INET, ("127.0.0.1", 1)) in one
        await place.close()

    asyncio.run(body())
