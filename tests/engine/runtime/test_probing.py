import asyncio
import os
import socket
from pathlib import Path

import pytest

from engine.core.events import Evidence, LoadReported
from engine.runtime import http1
from engine.runtime.dialects import BODY_BYTES_MAX, read_answer
from engine.runtime.probing import SHORT_MAX
from engine.runtime.seen import TEXT_MAX, Answer, Failure, Interrupted, Probed, shortened
from tests.engine.runtime.links import HEALTH, ask, boot_of, evidence_of, http_link, link_to
from tests.engine.runtime.peers import (
    LONG_US,
    Handler,
    answer,
    closes,
    counted,
    free_port,
    open_files,
    request,
    reset,
    resets,
    says,
    says_nothing,
    says_then_closes,
    server,
)

# What an answer says.


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            200,
            HEALTH,
            Answer(
                latency_us=7,
                status=200,
                boot="b1",
                epoch=5,
                role="active",
                report=LoadReported(active=1),
            ),
        ),
        (200, "<html>nginx</html>", Answer(latency_us=7, status=200)),
        (200, "{broken", Answer(latency_us=7, status=200)),
        (204, "", Answer(latency_us=7, status=204)),
        (302, "moved", Answer(latency_us=7, status=302)),
        (200, '{"status":"pass"}', Answer(latency_us=7, status=200)),
        (200, '{"status":1,"epoch":"x","boot":[]}', Answer(latency_us=7, status=200)),
        (200, '{"epoch":true}', Answer(latency_us=7, status=200)),
        (200, '{"epoch":-1}', Answer(latency_us=7, status=200)),
        (200, '{"status":"degraded"}', Answer(latency_us=7, status=200, degraded="degraded")),
        (
            200,
            '{"status":"degraded","reason":"disk"}',
            Answer(latency_us=7, status=200, degraded="disk"),
        ),
    ],
)
def test_what_a_master_says_is_read(status: int, body: str, expected: Answer) -> None:
    response = http1.Response(status=status, body=body.encode(), keep=True)
    assert read_answer(response, latency_us=7) == expected


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, ""), (503, HEALTH), (200, '{"status":"failing"}'), (200, '{"status":"FAILED"}')],
)
def test_an_answer_that_says_no_is_a_failure(status: int, body: str) -> None:
    response = http1.Response(status=status, body=body.encode(), keep=True)
    assert evidence_of(read_answer(response, latency_us=7)) is Evidence.STATUS


def test_what_a_master_says_is_cut_to_a_length() -> None:
    body = b'{"boot":"%b"}' % (b"x" * 5_000)
    read = read_answer(http1.Response(status=200, body=body, keep=True), latency_us=7)
    assert isinstance(read, Answer)
    assert len(read.boot) == TEXT_MAX


# Connections.


def test_probes_share_the_held_connection_until_a_fresh_one_takes_its_place() -> None:
    async def body() -> None:
        async with server(counted) as address, link_to(address) as (link, ends):
            first = await boot_of(link)
            assert await boot_of(link) == first
            second = await boot_of(link, fresh=True)
            assert second != first
            assert await boot_of(link) == second
            assert ends.seen == []

    asyncio.run(body())


def test_without_holding_every_probe_has_a_connection_of_its_own() -> None:
    async def body() -> None:
        async with server(counted) as address, link_to(address, hold_open=False) as (link, ends):
            assert await boot_of(link) != await boot_of(link)
            assert ends.seen == []

    asyncio.run(body())


def test_a_connection_that_ends_by_agreement_is_no_news() -> None:
    async def body() -> None:
        last = says_then_closes(answer(HEALTH, fields="Connection: close\r\n"))
        async with server(last, last, counted) as address, link_to(address) as (link, ends):
            for _ in range(3):
                assert isinstance(await ask(link), Answer)
            assert ends.seen == []

    asyncio.run(body())


def test_no_connection_is_held_to_a_server_that_closes_each_after_its_first_answer() -> None:
    async def body() -> None:
        closing = says_then_closes(answer(HEALTH))
        async with server(closing) as address, link_to(address) as (link, ends):
            for _ in range(SHORT_MAX):
                assert isinstance(await ask(link), Answer)
                assert await ends.next() is Evidence.CLOSED
            for _ in range(5):
                assert isinstance(await ask(link), Answer)
                assert link._held is None
            assert len(ends.seen) == SHORT_MAX

    asyncio.run(body())


def test_a_connection_that_answers_twice_before_it_ends_is_held_again() -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await request(reader)
            writer.write(answer(HEALTH))

    async def body() -> None:
        async with server(twice) as address, link_to(address) as (link, ends):
            for _ in range(2 * SHORT_MAX):
                assert isinstance(await ask(link), Answer)
                assert isinstance(await ask(link), Answer)
                assert await ends.next() is Evidence.CLOSED
            assert len(ends.seen) == 2 * SHORT_MAX

    asyncio.run(body())


def test_the_end_of_an_idle_connection_is_told_and_a_fresh_one_works() -> None:
    async def once_then_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer(HEALTH))
        await writer.drain()
        reset(writer)

    async def body() -> None:
        for handler, evidence in (
            (says_then_closes(answer(HEALTH)), Evidence.CLOSED),
            (once_then_reset, Evidence.RESET),
        ):
            async with server(handler, counted) as address, link_to(address) as (link, ends):
                assert isinstance(await ask(link), Answer)
                assert await ends.next() is evidence
                assert isinstance(await ask(link, fresh=True), Answer)
                assert ends.seen == [evidence]

    asyncio.run(body())


def test_a_probe_on_a_held_connection_that_ends_has_no_verdict() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer(HEALTH))
        await request(reader)

    async def body() -> None:
        async with server(once, counted) as address, link_to(address) as (link, ends):
            assert isinstance(await ask(link), Answer)
            assert await ask(link) == Interrupted()
            assert ends.seen == [Evidence.CLOSED]
            assert isinstance(await ask(link, fresh=True), Answer)

    asyncio.run(body())


def test_a_probe_can_be_started_from_within_on_closed() -> None:
    async def body() -> None:
        started: list[asyncio.Future[Probed]] = []

        def again(evidence: Evidence) -> None:
            started.append(link.probe(fresh=True, timeout_us=LONG_US))

        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            writer.write(answer(HEALTH))
            await request(reader)

        async with server(once, counted) as address:
            link = http_link(address, again)
            assert isinstance(await ask(link), Answer)
            assert await ask(link) == Interrupted()
            assert isinstance(await started[0], Answer)
            await link.close()

    asyncio.run(body())


# Failures.


@pytest.mark.parametrize(
    ("handler", "evidence"),
    [
        pytest.param(closes, Evidence.CLOSED, id="closed"),
        pytest.param(resets, Evidence.RESET, id="reset"),
        pytest.param(says(b"garbage"), Evidence.PROTOCOL, id="garbage"),
        pytest.param(says(answer(status=500)), Evidence.STATUS, id="status"),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"),
            Evidence.PROTOCOL,
            id="long body",
        ),
        pytest.param(
            says_then_closes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
            Evidence.CLOSED,
            id="half an answer",
        ),
    ],
)
def test_a_fresh_probe_fails_with_its_evidence(handler: Handler, evidence: Evidence) -> None:
    async def body() -> None:
        async with server(handler) as address, link_to(address) as (link, ends):
            assert evidence_of(await ask(link)) is evidence
            assert evidence_of(await ask(link, fresh=True)) is evidence
            assert ends.seen == []

    asyncio.run(body())


@pytest.mark.parametrize("cut", [closes, resets])
def test_a_fresh_connection_that_is_cut_is_tried_once_more(cut: Handler) -> None:
    async def body() -> None:
        async with server(cut, counted) as address, link_to(address) as (link, ends):
            assert isinstance(await ask(link, fresh=True), Answer)
            assert ends.seen == []
        async with server(cut, cut, counted) as address, link_to(address) as (link, ends):
            assert evidence_of(await ask(link)) in (Evidence.CLOSED, Evidence.RESET)

    asyncio.run(body())


@pytest.mark.parametrize(
    ("host", "evidence"),
    [
        ("127.0.0.1", Evidence.REFUSED),
        ("255.255.255.255", Evidence.UNREACHABLE),
        ("a..b", Evidence.DNS),
    ],
)
def test_a_probe_without_a_connection_fails_with_its_evidence(
    host: str, evidence: Evidence
) -> None:
    async def body() -> None:
        async with link_to(f"http://{host}:{free_port()}") as (link, _):
            assert evidence_of(await ask(link)) is evidence

    asyncio.run(body())


@pytest.mark.parametrize("piece", [b"a: b\r\n" * 1_000, b"\r\n\r\n" + b"x" * 4_096])
def test_an_endless_answer_is_cut_off(piece: bytes) -> None:
    written = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(piece)
            written += len(piece)
            await writer.drain()

    async def body() -> None:
        async with server(endless) as address, link_to(address) as (link, _):
            assert evidence_of(await ask(link)) is Evidence.PROTOCOL

    asyncio.run(body())
    # What the sockets and the transports hold comes on top of the limit.
    assert written < BODY_BYTES_MAX + 16_777_216


def test_garbage_on_the_held_connection_is_a_failure_and_no_end() -> None:
    async def then_garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer(HEALTH))
        await request(reader)
        writer.write(b"garbage")
        await reader.read()

    async def body() -> None:
        async with server(then_garbage, counted) as address, link_to(address) as (link, ends):
            assert isinstance(await ask(link), Answer)
            assert evidence_of(await ask(link)) is Evidence.PROTOCOL
            assert isinstance(await ask(link), Answer)
            assert ends.seen == []

    asyncio.run(body())


@pytest.mark.skipif(os.name != "posix", reason="the event loop connects in a way of its own")
def test_a_refusal_that_is_known_at_once_is_told_at_once() -> None:
    async def body() -> None:
        link, told = http_link(f"http://127.0.0.1:{free_port()}", lambda _: None), list[Probed]()
        for count in (1, 2):
            link.ask(fresh=True, timeout_us=LONG_US, tell=told.append)
            assert [evidence_of(each) for each in told] == [Evidence.REFUSED] * count
        assert evidence_of(await ask(link)) is Evidence.REFUSED
        await link.close()

    asyncio.run(body())


# Ends.


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to count open files")
def test_closing_leaves_no_socket_and_no_task_behind() -> None:
    async def body() -> None:
        async with server(counted, says_nothing) as address:
            before = open_files(), len(asyncio.all_tasks())
            link = http_link(address, lambda evidence: None)
            await ask(link)
            waiting = link.probe(fresh=True, timeout_us=LONG_US)
            await link.close()
            assert waiting.cancelled()
            with socket.create_server(("127.0.0.1", 0)) as nobody:  # who takes no connection
                port = nobody.getsockname()[1]
                unopened = http_link(f"http://127.0.0.1:{port}", lambda evidence: None)
                unopened.probe(fresh=True, timeout_us=LONG_US)
                await unopened.close()
        # The server's ends are closed with it; what is left are ours.
        assert open_files() < before[0]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(body())


def test_a_cancelled_probe_makes_room_for_the_next() -> None:
    async def body() -> None:
        async with server(counted) as address, link_to(address) as (link, _):
            link.probe(fresh=True, timeout_us=LONG_US).cancel()
            link.probe(fresh=True, timeout_us=LONG_US).cancel()
            assert isinstance(await ask(link, fresh=True), Answer)

    asyncio.run(body())


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ('{"status":"fail","reason":"disk\\nfull"}', "status 503: disk full"),
        ('{"status":"fail"}', "status 503: fail"),
        ('{"status":1}', "status 503"),
        ("{broken", "status 503"),
        ("<html>", "status 503"),
    ],
)
def test_a_status_that_says_no_is_told_with_its_reason(body: str, detail: str) -> None:
    response = http1.Response(status=503, body=body.encode(), keep=True)
    found = read_answer(response, latency_us=1)
    assert isinstance(found, Failure)
    assert (found.evidence, found.detail) == (Evidence.STATUS, detail)


def test_what_is_told_can_always_be_logged() -> None:
    assert shortened(" a\n\udc80b " + "x" * 300).startswith("a ?b xxx")
    assert len(shortened("x" * 300)) == TEXT_MAX


@pytest.mark.parametrize(
    ("reported", "epoch"),
    [(0, 0), (2**48, 2**48), (2**48 + 1, None), (2**64 - 1, None), (2**70, None), (-1, None)],
)
def test_an_epoch_that_none_could_be_drawn_above_is_none(reported: int, epoch: int | None) -> None:
    body = b'{"epoch": %d}' % reported
    found = read_answer(http1.Response(status=200, body=body, keep=True), latency_us=1)
    assert isinstance(found, Answer)
    assert found.epoch == epoch
