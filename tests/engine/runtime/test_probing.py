import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from engine.core.events import Evidence
from engine.runtime import http1, probing
from engine.runtime.clock import monotonic_us
from engine.runtime.probing import Answer, Failure, Interrupted, Link, Probed, read_answer
from tests.engine.runtime.peers import (
    LONG_US,
    SHORT_US,
    Ends,
    Handler,
    answer,
    closes,
    free_port,
    open_files,
    request,
    reset,
    resets,
    sample,
    says,
    says_nothing,
    says_then_closes,
    server,
)

HEALTH = '{"status":"ok","boot":"b1","epoch":5,"role":"active","load":{"active":1}}'


@contextlib.asynccontextmanager
async def link_to(address: str, *, hold_open: bool = True) -> AsyncIterator[tuple[Link, Ends]]:
    ends = Ends()
    link = Link(address, "/health", ends, hold_open=hold_open)
    try:
        yield link, ends
    finally:
        await link.close()


async def ask(link: Link, *, fresh: bool = False, timeout_us: int = LONG_US) -> Probed:
    return await link.probe(fresh=fresh, timeout_us=timeout_us)


def evidence_of(probed: Probed) -> Evidence:
    assert isinstance(probed, Failure), probed
    return probed.evidence


# What an answer says.


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, HEALTH, Answer(latency_us=7, status=200, boot="b1", epoch=5, role="active")),
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
    assert len(read.boot) == probing.TEXT_MAX


# Connections.


async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say in `boot` which connection this is, by the caller's port."""
    while True:
        await request(reader)
        port = writer.get_extra_info("peername")[1]
        writer.write(answer(f'{{"boot":"{port}"}}'))


async def boot_of(link: Link, *, fresh: bool = False) -> str:
    probed = await ask(link, fresh=fresh)
    assert isinstance(probed, Answer), probed
    return probed.boot


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
            link = Link(address, "/health", again)
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
    assert written < probing.BODY_BYTES_MAX + 16_777_216


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


# Time.


def test_silence_is_overdue_after_the_time_out() -> None:
    async def body() -> None:
        async with server(says_nothing) as address, link_to(address) as (link, _):
            probed = await ask(link, timeout_us=SHORT_US)
            assert isinstance(probed, Failure)
            assert probed.evidence is Evidence.OVERDUE
            assert probed.waited_us >= SHORT_US

    asyncio.run(body())


def test_after_a_time_out_the_next_probe_is_fresh_and_the_old_connection_is_still_watched() -> None:
    gate = asyncio.Event()

    async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer(HEALTH))
        await request(reader)
        await gate.wait()

    async def body() -> None:
        async with (
            server(hangs, says_nothing) as address,
            link_to(address) as (link, ends),
        ):
            assert isinstance(await ask(link), Answer)
            for _ in range(2):
                assert evidence_of(await ask(link, timeout_us=SHORT_US)) is Evidence.OVERDUE
            assert ends.seen == []
            gate.set()
            assert await ends.next() is Evidence.CLOSED

    asyncio.run(body())


def test_a_late_answer_is_not_taken_for_that_of_another_probe() -> None:
    async def body() -> None:
        gate, sent = asyncio.Event(), asyncio.Event()

        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            writer.write(answer(HEALTH))
            await request(reader)
            await gate.wait()
            writer.write(answer('{"boot":"late"}'))
            await request(reader)
            writer.write(answer('{"boot":"again"}'))
            await reader.read()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            gate.set()
            sent.set()
            await reader.read()

        async with server(late, slow) as address, link_to(address) as (link, ends):
            assert isinstance(await ask(link), Answer)
            assert evidence_of(await ask(link, timeout_us=SHORT_US)) is Evidence.OVERDUE
            assert evidence_of(await ask(link, timeout_us=SHORT_US)) is Evidence.OVERDUE
            assert sent.is_set()
            assert await boot_of(link) == "again"  # on the old one, which owes nothing any more
            assert ends.seen == []

    asyncio.run(body())


def stall(us: int) -> None:
    """Keep the loop from turning, as a busy thread or a stopped observer does."""
    until_us = monotonic_us() + us
    while monotonic_us() < until_us:
        pass


def test_an_answer_that_is_there_is_read_before_a_time_out_is_judged() -> None:
    with sample("master") as master:

        async def body() -> None:
            async with link_to(master.address) as (link, _):
                await ask(link)
                probe = link.probe(fresh=False, timeout_us=SHORT_US)
                # The answer comes while the loop stands still, past the time-out.
                asyncio.get_running_loop().call_soon(stall, 3 * SHORT_US)
                assert isinstance(await probe, Answer)

        asyncio.run(body())


def test_an_answer_is_read_even_if_the_loop_stalls_in_the_turn_of_the_time_out() -> None:
    with sample("master") as master:

        async def body() -> None:
            async with link_to(master.address) as (link, _):
                await ask(link)
                os.kill(master.process.pid, signal.SIGSTOP)
                loop = asyncio.get_running_loop()

                def go_on() -> None:
                    os.kill(master.process.pid, signal.SIGCONT)
                    stall(2 * SHORT_US)

                # Due in the same turn as the time-out, and called before it.
                due_s = loop.time() + SHORT_US / 1e6
                loop.call_at(due_s - 0.001, stall, 20_000)
                loop.call_at(due_s - 0.0005, go_on)
                assert isinstance(await link.probe(fresh=False, timeout_us=SHORT_US), Answer)

        asyncio.run(body())


def test_an_observer_that_was_late_says_by_how_much() -> None:
    async def body() -> None:
        async with server(says_nothing) as address, link_to(address) as (link, _):
            for fresh in (False, True):
                probe = link.probe(fresh=fresh, timeout_us=SHORT_US)
                asyncio.get_running_loop().call_later(SHORT_US / 2e6, stall, 2 * SHORT_US)
                probed = await probe
                assert isinstance(probed, Failure)
                assert probed.late_us >= SHORT_US

    asyncio.run(body())


def test_a_stall_before_the_request_went_out_counts_as_lateness() -> None:
    async def body() -> None:
        async with server(says_nothing) as address, link_to(address) as (link, _):
            probe = link.probe(fresh=True, timeout_us=2 * SHORT_US)
            asyncio.get_running_loop().call_soon(stall, SHORT_US)
            probed = await probe
            assert isinstance(probed, Failure)
            assert probed.evidence is Evidence.OVERDUE
            assert probed.late_us >= SHORT_US // 2

    asyncio.run(body())


def test_an_observer_without_files_blames_itself_beyond_every_limit() -> None:
    resource = pytest.importorskip("resource", reason="this system has no limits to set")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def body() -> None:
        async with link_to(f"http://127.0.0.1:{free_port()}") as (link, _):
            resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
            try:
                probed = await ask(link)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert isinstance(probed, Failure)
            assert probed.evidence is Evidence.OVERDUE
            assert probed.late_us == probing.LATE_OWN_US

    asyncio.run(body())


# Ends.


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to count open files")
def test_closing_leaves_no_socket_and_no_task_behind() -> None:
    async def body() -> None:
        async with server(counted, says_nothing) as address:
            before = open_files(), len(asyncio.all_tasks())
            link = Link(address, "/health", lambda evidence: None)
            await ask(link)
            waiting = link.probe(fresh=True, timeout_us=LONG_US)
            await link.close()
            assert waiting.cancelled()
            unopened = Link(address, "/health", lambda evidence: None)
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


# Real processes.


def test_a_killed_master_is_seen_at_once_and_then_refused() -> None:
    with sample("master", "--boot", "b7") as master:

        async def body() -> None:
            async with link_to(master.address) as (link, ends):
                probed = await ask(link)
                assert isinstance(probed, Answer)
                assert (probed.boot, probed.epoch, probed.role) == ("b7", 0, "standby")
                master.process.kill()
                assert await ends.next() in (Evidence.CLOSED, Evidence.RESET)
                assert evidence_of(await ask(link, fresh=True)) is Evidence.REFUSED
                assert len(ends.seen) == 1

        asyncio.run(body())


def test_a_stopped_master_is_overdue_and_its_death_is_still_seen() -> None:
    with sample("master") as master:

        async def body() -> None:
            async with link_to(master.address) as (link, ends):
                assert isinstance(await ask(link), Answer)
                master.process.send_signal(signal.SIGSTOP)
                for fresh in (False, True):
                    probed = await ask(link, fresh=fresh, timeout_us=SHORT_US)
                    assert evidence_of(probed) is Evidence.OVERDUE
                assert ends.seen == []
                master.process.kill()
                assert await ends.next() in (Evidence.CLOSED, Evidence.RESET)

        asyncio.run(body())


def test_a_master_that_goes_on_answers_again() -> None:
    with sample("master") as master:

        async def body() -> None:
            async with link_to(master.address) as (link, _):
                await ask(link)
                master.process.send_signal(signal.SIGSTOP)
                assert evidence_of(await ask(link, timeout_us=SHORT_US)) is Evidence.OVERDUE
                master.process.send_signal(signal.SIGCONT)
                assert isinstance(await ask(link), Answer)

        asyncio.run(body())


NGINX = """
daemon off; master_process on; worker_processes 1; error_log stderr crit; pid {root}/pid;
events {{ worker_connections 64; }}
http {{
  access_log off; keepalive_timeout {keep_s}s; client_body_temp_path {root};
  proxy_temp_path {root}; fastcgi_temp_path {root}; uwsgi_temp_path {root}; scgi_temp_path {root};
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "well"; }} }}
}}
"""


@contextlib.contextmanager
def nginx(root: Path, *, keep_s: int) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    config = root / "nginx.conf"
    config.write_text(NGINX.format(root=root, port=port, keep_s=keep_s))
    with subprocess.Popen([program, "-p", str(root), "-c", str(config)]) as process:
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def until_up(link: Link) -> None:
    """Ask until somebody listens."""
    while not isinstance(await ask(link, fresh=True), Answer):
        pass


def test_a_reload_of_nginx_is_a_question_that_a_fresh_connection_answers(tmp_path: Path) -> None:
    with nginx(tmp_path, keep_s=60) as (process, address):

        async def body() -> None:
            async with link_to(address) as (link, ends):
                await until_up(link)
                for count in (1, 2, 3):
                    process.send_signal(signal.SIGHUP)
                    assert await ends.next() is Evidence.CLOSED
                    assert isinstance(await ask(link, fresh=True), Answer)
                    assert len(ends.seen) == count

        asyncio.run(body())


def test_a_keep_alive_time_out_of_nginx_is_a_question_too(tmp_path: Path) -> None:
    with nginx(tmp_path, keep_s=1) as (_, address):

        async def body() -> None:
            async with link_to(address) as (link, ends):
                await until_up(link)
                assert await ends.next() is Evidence.CLOSED
                assert isinstance(await ask(link), Answer)

        asyncio.run(body())
