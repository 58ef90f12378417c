"""What every kind of link promises: one result for each probe, in time, and nothing left behind."""

import asyncio
import gzip
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.core.events import Evidence
from engine.runtime.seen import LATE_OWN_US, Answer, Failure, Interrupted, Link, Probed
from tests.contracts.looking import (
    GROUP,
    HELD,
    KINDS,
    SILENT,
    WELL,
    WELL_BEHAVED,
    Endless,
    at,
    black_hole,
    called,
    good,
    held,
    probe,
    ran,
    says,
    talks,
)
from tests.engine.runtime.certificates import certificate, serving
from tests.engine.runtime.links import evidence_of
from tests.engine.runtime.peers import LONG_US, SHORT_US, free_port, open_files, reset, server

GUARD_S = 20.0
HELD_BYTES_MAX = 16_777_216  # what sockets and transports hold on top of any limit of ours


async def ask(link: Link, *, fresh: bool = False, timeout_us: int = LONG_US) -> Probed:
    async with asyncio.timeout(GUARD_S):
        return await link.probe(fresh=fresh, timeout_us=timeout_us)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what nobody tells of: the ends of processes and of their sockets."""
    async with asyncio.timeout(GUARD_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0)


# Well-behaved masters.


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_well_answers_again_and_again(kind: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with WELL_BEHAVED[kind](tmp_path) as (link, ends):
            for fresh in (False, False, True, False):
                probed = await ask(link, fresh=fresh)
                assert isinstance(probed, Answer), probed
                assert not probed.degraded
                assert probed.latency_us >= 0
            assert ends.seen == []

    asyncio.run(body())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("tcp", "redis")])
def test_a_health_document_is_read_whatever_it_comes_by(kind: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with WELL_BEHAVED[kind](tmp_path) as (link, _):
            probed = await ask(link)
            assert isinstance(probed, Answer)
            assert probed.boot == "b"

    asyncio.run(body())


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_silent_is_overdue_in_time_each_time(kind: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with SILENT[kind](tmp_path) as (link, ends):
            for _ in range(3):
                probed = await ask(link, timeout_us=SHORT_US)
                assert evidence_of(probed) is Evidence.OVERDUE
                assert isinstance(probed, Failure)
                assert probed.waited_us >= SHORT_US
            assert ends.seen == []

    asyncio.run(body())


@pytest.mark.parametrize("kind", KINDS)
def test_closing_ends_the_probe_under_way_and_leaves_nothing_behind(
    kind: str, tmp_path: Path
) -> None:
    async def body() -> None:
        before = open_files()
        async with SILENT[kind](tmp_path) as (link, _):
            waiting = link.probe(fresh=False, timeout_us=LONG_US)
            await asyncio.sleep(0)
            await link.close()
            assert waiting.cancelled()
        await until(lambda: len(asyncio.all_tasks()) == 1 and open_files() <= before)

    asyncio.run(body())


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_that_was_given_up_makes_room_for_the_next(kind: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with WELL_BEHAVED[kind](tmp_path) as (link, _):
            link.probe(fresh=True, timeout_us=LONG_US).cancel()
            await asyncio.sleep(0)
            link.probe(fresh=True, timeout_us=LONG_US).cancel()
            await asyncio.sleep(0)
            probed = await ask(link, fresh=True)
            assert isinstance(probed, Answer), probed

    asyncio.run(body())


@pytest.mark.parametrize("kind", KINDS)
def test_who_asked_is_told_once_and_not_before_the_question_is_put(
    kind: str, tmp_path: Path
) -> None:
    async def body() -> None:
        async with WELL_BEHAVED[kind](tmp_path) as (link, _):
            for fresh in (False, False, True):
                told: list[Probed] = []
                link.ask(fresh=fresh, timeout_us=LONG_US, tell=told.append)
                assert not told
                await until(lambda told=told: bool(told))
                probed = await ask(link)
                assert isinstance(probed, Answer), probed
                assert [type(one) for one in told] == [Answer]

    asyncio.run(body())


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_told_of_a_probe_that_closing_ended(kind: str, tmp_path: Path) -> None:
    async def body() -> None:
        told: list[Probed] = []
        async with SILENT[kind](tmp_path) as (link, ends):
            link.ask(fresh=False, timeout_us=LONG_US, tell=told.append)
            await asyncio.sleep(0)
            await link.close()
            await asyncio.sleep(0)
            assert ends.seen == []
        assert not told

    asyncio.run(body())


# Connections.


@pytest.mark.parametrize("kind", HELD)
def test_where_nobody_listens_a_probe_is_refused(kind: str) -> None:
    async def body() -> None:
        async with at(f"{kind}://127.0.0.1:{free_port()}", probe(kind)) as (link, ends):
            assert evidence_of(await ask(link)) is Evidence.REFUSED
            assert ends.seen == []

    asyncio.run(body())


@pytest.mark.parametrize("kind", HELD)
def test_a_black_hole_is_overdue_in_time(kind: str) -> None:
    async def body() -> None:
        with black_hole() as port:
            async with at(f"{kind}://127.0.0.1:{port}", probe(kind)) as (link, _):
                for _ in range(3):
                    probed = await ask(link, timeout_us=SHORT_US)
                    assert isinstance(probed, Failure)
                    assert probed.evidence is Evidence.OVERDUE
                    assert probed.detail == "no connection"

    asyncio.run(body())


@pytest.mark.parametrize("kind", HELD)
def test_the_end_of_a_held_connection_is_a_question_at_once(kind: str, tmp_path: Path) -> None:
    async def body() -> None:
        gate = asyncio.Event()

        async def until_told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answering = asyncio.create_task(good(kind)(reader, writer))
            await gate.wait()
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)

        async with held(kind, tmp_path, until_told, good(kind)) as (link, ends):
            assert isinstance(await ask(link), Answer)
            gate.set()
            assert await ends.next() is Evidence.CLOSED
            assert isinstance(await ask(link), Answer)
            assert ends.seen == [Evidence.CLOSED]

    asyncio.run(body())


@pytest.mark.parametrize("kind", [kind for kind in HELD if kind != "tcp"])
def test_a_probe_under_which_the_held_connection_ends_has_no_verdict(
    kind: str, tmp_path: Path
) -> None:
    async def once(writer: asyncio.StreamWriter, count: int) -> None:
        if count:
            raise EOFError
        first = b"$12\r\nrun_id:abc\r\n\r\n" if kind == "redis" else b""
        writer.write(first + WELL[kind][1])

    async def body() -> None:
        async with held(kind, tmp_path, talks(kind, once), good(kind)) as (link, ends):
            assert isinstance(await ask(link), Answer)
            assert await ask(link) == Interrupted()
            assert ends.seen == [Evidence.CLOSED]
            assert isinstance(await ask(link, fresh=True), Answer)

    asyncio.run(body())


@pytest.mark.parametrize("kind", [kind for kind in HELD if kind != "https"])
@pytest.mark.parametrize("cut", ["closes", "resets"])
def test_a_fresh_connection_that_is_cut_is_tried_once_more(
    kind: str, cut: str, tmp_path: Path
) -> None:
    async def cuts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(WELL[kind][0])
        if cut == "resets":
            reset(writer)

    async def body() -> None:
        async with held(kind, tmp_path, cuts, good(kind)) as (link, ends):
            assert isinstance(await ask(link, fresh=True), Answer)
            assert ends.seen == []
        async with held(kind, tmp_path, cuts, cuts, good(kind)) as (link, _):
            expected = (Evidence.CLOSED, Evidence.RESET)
            assert evidence_of(await ask(link, fresh=True)) in expected

    asyncio.run(body())


# Bad masters: bounded in time and memory, and classified.

HTTP_BAD = {
    "garbage": (b"\xff\x00garbage", Evidence.PROTOCOL),
    "half an answer": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Evidence.CLOSED),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", Evidence.CLOSED),
    "a length of two": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        Evidence.PROTOCOL,
    ),
    "more than is taken": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        Evidence.PROTOCOL,
    ),
    "another coding": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxxxx",
        Evidence.PROTOCOL,
    ),
}
BAD = {
    "http": HTTP_BAD,
    "https": HTTP_BAD,
    "tcp": {
        "garbage": (b"\xff\x00garbage", Evidence.PROTOCOL),
        "half an answer": (b"+PO", Evidence.PROTOCOL),
        "nothing": (b"", Evidence.CLOSED),
    },
    "redis": {
        "garbage": (b"\xff\x00garbage", Evidence.PROTOCOL),
        "half an answer": (b"$12\r\nrun_id:abc\r\n\r\n$28\r\nrole:ma", Evidence.CLOSED),
        "another protocol": (b"HTTP/1.1 400 Bad Request\r\n\r\n", Evidence.PROTOCOL),
        "an array of a thousand million": (b"*1000000000\r\n", Evidence.PROTOCOL),
        "a string of a thousand million": (b"$1000000000\r\n", Evidence.PROTOCOL),
        "a server that says no": (b"-ERR no\r\n" * 4, Evidence.STATUS),
        "a sentinel": (
            b"$12\r\nrun_id:abc\r\n\r\n$15\r\nrole:sentinel\r\n\r\n$-1\r\n*0\r\n",
            Evidence.PROTOCOL,
        ),
    },
}


@pytest.mark.parametrize(
    ("kind", "said"), [(kind, said) for kind, table in BAD.items() for said in table]
)
def test_what_makes_no_sense_is_classified(kind: str, said: str, tmp_path: Path) -> None:
    data, evidence = BAD[kind][said]

    async def body() -> None:
        closes = evidence is not Evidence.STATUS and said != "a sentinel"
        async with held(kind, tmp_path, says(kind, data, closes=closes)) as (link, ends):
            for fresh in (False, True):
                probed = await ask(link, fresh=fresh)
                assert evidence_of(probed) is evidence, probed
            assert ends.seen == []

    asyncio.run(body())


ENDLESS = {
    "http": [
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 1_000),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4_096),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10\r\n" + b"x" * 16 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1", b"0" * 512),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    ],
    "redis": [
        (b"+", b"x" * 4_096),
        (b"$200000\r\n", b"x" * 4_096),
        (b"*60\r\n", b"$4000\r\n" + b"x" * 4_000 + b"\r\n"),
    ],
    "tcp": [(b"", b"-NOT YET\r\n" * 400)],
}
ENDLESS["https"] = ENDLESS["http"]


@pytest.mark.parametrize(
    ("kind", "number"),
    [(kind, place) for kind, row in ENDLESS.items() for place in range(len(row))],
)
def test_an_endless_answer_is_cut_off(kind: str, number: int, tmp_path: Path) -> None:
    peer = Endless(kind, *ENDLESS[kind][number])

    async def body() -> None:
        async with held(kind, tmp_path, peer.handler) as (link, _):
            assert evidence_of(await ask(link, timeout_us=SHORT_US * 20)) in (
                Evidence.PROTOCOL,
                Evidence.OVERDUE,
            )

    asyncio.run(body())
    assert peer.written < HELD_BYTES_MAX + 2_000_000


@pytest.mark.parametrize("kind", HELD)
def test_an_answer_that_comes_drop_by_drop_is_overdue_in_time(kind: str, tmp_path: Path) -> None:
    head = {"http": b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", "redis": b"$9000\r\n"}
    peer = Endless(kind, head.get(kind.rstrip("s"), head.get(kind, b"")), b"x", pause_s=0.005)

    async def body() -> None:
        async with held(kind, tmp_path, peer.handler) as (link, _):
            for _ in range(2):
                assert evidence_of(await ask(link, timeout_us=SHORT_US)) is Evidence.OVERDUE

    asyncio.run(body())


@pytest.mark.parametrize("kind", ["http", "https"])
def test_redirects_are_answers_and_are_not_followed(kind: str, tmp_path: Path) -> None:
    asked = 0

    async def moved(writer: asyncio.StreamWriter, count: int) -> None:
        nonlocal asked
        asked += 1
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    async def body() -> None:
        async with held(kind, tmp_path, talks(kind, moved)) as (link, _):
            probed = await ask(link)
            assert isinstance(probed, Answer)
            assert probed.status == 302

    asyncio.run(body())
    assert asked == 1


@pytest.mark.parametrize("kind", ["http", "https"])
def test_what_is_compressed_is_not_unpacked(kind: str, tmp_path: Path) -> None:
    packed = gzip.compress(b"0" * 100_000_000)
    fields = f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    data = b"HTTP/1.1 200 OK\r\n" + fields + packed

    async def body() -> None:
        async with held(kind, tmp_path, says(kind, data)) as (link, _):
            probed = await ask(link)
            assert isinstance(probed, Answer)  # a page that says nothing
            assert probed.boot == ""

    asyncio.run(body())


# TLS.


@pytest.mark.parametrize("kind", ["https", "redis"])
def test_who_cannot_show_who_it_is_is_no_answer(kind: str, tmp_path: Path) -> None:
    scheme = {"https": "https", "redis": "rediss"}[kind]
    mine = certificate(tmp_path)
    other = certificate(tmp_path, host="another.example")
    old = certificate(tmp_path, until=datetime(2021, 1, 1, tzinfo=UTC))

    async def seen(shown: Path, **settings: object) -> Probed:
        async with (
            server(good(kind), scheme=scheme, tls=serving(shown)) as address,
            at(address, probe(kind, **settings)) as (link, _),
        ):
            return await ask(link)

    async def body() -> None:
        assert isinstance(await seen(mine, ca=str(mine)), Answer)
        for shown, trusted in (
            (mine, ""),
            (mine, str(other)),
            (other, str(other)),
            (old, str(old)),
        ):
            failed = await seen(shown, ca=trusted)
            assert isinstance(failed, Failure)
            assert failed.evidence is Evidence.TLS
            assert "certificate" in failed.detail.lower()
        for shown in (mine, other, old):
            assert isinstance(await seen(shown, verify=False), Answer)

    asyncio.run(body())


def test_who_does_not_speak_tls_is_classified(tmp_path: Path) -> None:
    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def body() -> None:
        for handler, evidence in ((greets, Evidence.TLS), (ends, Evidence.RESET)):
            async with (
                server(handler, scheme="https") as address,
                at(address, probe("https")) as (link, _),
            ):
                assert evidence_of(await ask(link)) is evidence

    asyncio.run(body())


# Programs.


@pytest.mark.parametrize(
    ("text", "evidence", "detail"),
    [
        ("raise SystemExit(2)", Evidence.STATUS, "exit 2"),
        ("print('it is full'); raise SystemExit(3)", Evidence.STATUS, "exit 3: it is full"),
        ("import os; os.kill(os.getpid(), 9)", Evidence.STATUS, "signal 9"),
        ("print('x' * 10_000_000)", Evidence.PROTOCOL, "more than 65536 bytes of output"),
        ("while True: print('x' * 1000)", Evidence.PROTOCOL, "more than 65536 bytes of output"),
        ('print(\'{"status":"failing","reason":"lag"}\')', Evidence.STATUS, "lag"),
    ],
)
def test_a_program_that_says_no_or_too_much_is_classified(
    text: str, evidence: Evidence, detail: str
) -> None:
    async def body() -> None:
        async with ran(text) as (link, _):
            probed = await ask(link)
            assert isinstance(probed, Failure)
            assert (probed.evidence, probed.detail) == (evidence, detail)

    asyncio.run(body())


@pytest.mark.parametrize(
    ("text", "degraded"),
    [
        ("pass", ""),
        ("print('\\xff garbage {')", ""),
        ("print('disk 91 %'); raise SystemExit(1)", "disk 91 %"),
        ("raise SystemExit(1)", "exit 1"),
        ('print(\'{"status":"warn","reason":"slow"}\')', "slow"),
    ],
)
def test_a_program_that_ends_with_0_or_1_is_an_answer(text: str, degraded: str) -> None:
    async def body() -> None:
        async with ran(text) as (link, _):
            probed = await ask(link)
            assert isinstance(probed, Answer)
            assert probed.degraded == degraded

    asyncio.run(body())


def test_a_program_is_told_of_its_master_and_ends_with_its_children(tmp_path: Path) -> None:
    """Its child keeps the pipes and would live for long: it is killed with the group."""
    file = tmp_path / "child"
    text = (
        "import os, subprocess, sys, json\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        f"open({str(file)!r}, 'w').write(str(child.pid))\n"
        "print(json.dumps({'boot': os.environ['TANIST_MASTER'] + os.environ['TANIST_GROUP']}))\n"
    )

    async def body() -> None:
        async with ran(text) as (link, _):
            probed = await ask(link)
            assert isinstance(probed, Answer)
            assert probed.boot == f"m{GROUP}"
        pid = int(file.read_text())
        await until(lambda: not _is_alive(pid))

    asyncio.run(body())


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in ("Z", "X")


def test_a_program_that_cannot_be_started_says_nothing_of_the_master() -> None:
    async def body() -> None:
        settings = probe("command", command=("/no/such/program",))
        async with at("any://127.0.0.1:1", settings) as (link, _):
            probed = await ask(link)
            assert isinstance(probed, Failure)
            assert (probed.evidence, probed.late_us) == (Evidence.OVERDUE, LATE_OWN_US)
            assert probed.detail.startswith("the observer itself: ")

    asyncio.run(body())


# Functions.


def _raises(error: Exception) -> object:
    def check(_: object) -> object:
        raise error

    return check


async def _says_no(_: object) -> bool:
    return False


@pytest.mark.parametrize(
    ("check", "evidence", "detail"),
    [
        (_raises(ConnectionRefusedError("nobody")), Evidence.REFUSED, "nobody"),
        (_raises(ConnectionResetError()), Evidence.RESET, "ConnectionResetError"),
        (_raises(BrokenPipeError("b")), Evidence.CLOSED, "b"),
        (_raises(TimeoutError("slow")), Evidence.OVERDUE, "slow"),
        (_raises(KeyError("k")), Evidence.STATUS, "KeyError: 'k'"),
        (_says_no, Evidence.STATUS, "the check says no"),
        (lambda _: {"status": "down"}, Evidence.STATUS, "down"),
        (lambda _: object(), Evidence.PROTOCOL, "expected a health document"),
        (lambda _: "fine", Evidence.PROTOCOL, "expected a health document"),
    ],
)
def test_what_a_function_raises_or_returns_is_classified(
    check: object, evidence: Evidence, detail: str
) -> None:
    async def body() -> None:
        async with called(check) as (link, _):  # type: ignore[arg-type]
            probed = await ask(link)
            assert isinstance(probed, Failure)
            assert probed.evidence is evidence
            assert probed.detail.startswith(detail)

    asyncio.run(body())


def test_a_function_that_returns_nothing_or_true_says_that_all_is_well() -> None:
    async def later(_: object) -> None:
        await asyncio.sleep(0)

    async def body() -> None:
        for check in (lambda _: None, lambda _: True, later):
            async with called(check) as (link, _):
                assert isinstance(await ask(link), Answer)

    asyncio.run(body())


def test_while_a_function_has_not_ended_it_is_not_called_again() -> None:
    gate, calls = threading.Event(), []

    def check(_: object) -> None:
        calls.append(1)
        gate.wait()

    async def body() -> None:
        async with called(check) as (link, _):
            for _ in range(3):
                assert evidence_of(await ask(link, timeout_us=SHORT_US)) is Evidence.OVERDUE
            assert len(calls) == 1
            gate.set()
            async with asyncio.timeout(GUARD_S):
                while not isinstance(await ask(link), Answer):
                    pass
            assert len(calls) == 2

    try:
        asyncio.run(body())
    finally:
        gate.set()


@pytest.mark.parametrize("scheme", ["https", "rediss"])
def test_a_handshake_that_hangs_is_overdue_in_time_and_leaves_nothing_behind(scheme: str) -> None:
    async def reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await asyncio.get_running_loop().create_future()

    async def body() -> None:
        kind = {"https": "https", "rediss": "redis"}[scheme]
        before = open_files()
        async with (
            server(reads, scheme=scheme) as address,
            at(address, probe(kind)) as (link, ends),
        ):
            for _ in range(3):
                probed = await ask(link, timeout_us=SHORT_US)
                assert isinstance(probed, Failure)
                assert (probed.evidence, probed.detail) == (Evidence.OVERDUE, "no connection")
            waiting = link.probe(fresh=True, timeout_us=LONG_US)
            await asyncio.sleep(0)
            await link.close()
            assert waiting.cancelled()
            assert ends.seen == []
        await until(lambda: len(asyncio.all_tasks()) == 1 and open_files() <= before)

    asyncio.run(body())
