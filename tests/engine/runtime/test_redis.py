"""What a Redis server says of itself, by real servers."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.core.events import Evidence, LoadReported
from engine.runtime.connection import Place
from engine.runtime.probing import HeldLink
from engine.runtime.redis import Redis, epoch_key
from engine.runtime.resp import Refusal, Replies, Value
from engine.runtime.seen import Answer, Failure, Probed
from tests.engine.runtime.links import evidence_of
from tests.engine.runtime.peers import LONG_US, SHORT_US, Ends, free_port
from tests.engine.runtime.redises import needs_redis, redis_server

GROUP = "cache"
REPLICATION = b"# Replication\r\nrole:master\r\nmaster_repl_offset:70\r\n"
SERVER = b"# Server\r\nrun_id:abc\r\n"


@contextlib.asynccontextmanager
async def link_to(
    address: str, *, user: str = "", password: str = "", told: str = ""
) -> AsyncIterator[tuple[HeldLink[Replies], Ends]]:
    ends = Ends()
    link = HeldLink(Place(address), Redis(GROUP, user=user, password=password, told=told), ends)
    try:
        yield link, ends
    finally:
        await link.close()


async def ask(link: HeldLink[Replies], *, timeout_us: int = LONG_US) -> Probed:
    return await link.probe(fresh=False, timeout_us=timeout_us)


async def answer_of(link: HeldLink[Replies]) -> Answer:
    probed = await ask(link)
    assert isinstance(probed, Answer), probed
    return probed


@needs_redis
def test_a_primary_and_its_replica_say_who_they_are(tmp_path: Path) -> None:
    async def body() -> None:
        with redis_server(tmp_path) as first, redis_server(tmp_path) as second:
            await second.say("REPLICAOF", "127.0.0.1", str(first.port))
            await second.until("replication", "master_link_status:up")
            await first.say("SET", epoch_key(GROUP), "7")
            await first.say("CONFIG", "SET", "min-replicas-to-write", "1")
            await first.say("CONFIG", "SET", "min-replicas-max-lag", "5")
            await second.until_it_has(epoch_key(GROUP), b"7")
            async with link_to(first.address) as (link, _):
                one = await answer_of(link)
                again = await answer_of(link)
            async with link_to(second.address) as (link, _):
                other = await answer_of(link)
            assert (one.role, one.epoch, other.role, other.epoch) == ("active", 7, "standby", 7)
            assert len(one.boot) == len(other.boot) == 40
            assert one.boot == again.boot != other.boot
            assert one.report is not None
            assert other.report is not None
            assert (one.report.lag_us, other.report.lag_us) == (-1, 0)
            assert (one.report.lease_us, other.report.lease_us) == (5_000_000, 0)
            assert (one.report.follows, other.report.follows) == ("", f"127.0.0.1:{first.port}")
            assert one.report.position >= other.report.position > 0

    asyncio.run(body())


@needs_redis
def test_a_replica_whose_primary_is_gone_says_how_long(tmp_path: Path) -> None:
    async def body() -> None:
        with redis_server(tmp_path) as second:
            await second.say("REPLICAOF", "127.0.0.1", str(free_port()))
            async with link_to(second.address) as (link, _):
                answer = await answer_of(link)
            assert answer.role == "standby"
            assert answer.report is not None
            assert answer.report.lag_us != 0

    asyncio.run(body())


@needs_redis
def test_one_that_was_told_an_epoch_and_lost_it_without_a_restart_says_nothing(
    tmp_path: Path,
) -> None:
    async def body() -> None:
        with redis_server(tmp_path) as server:
            async with link_to(server.address) as (link, _):
                new = await answer_of(link)
                assert new.epoch == 0  # it was never told one
                await server.say("SET", epoch_key(GROUP), "3")
                assert (await answer_of(link)).epoch == 3
                await server.say("FLUSHALL")
                assert (await answer_of(link)).epoch is None
            async with link_to(server.address, told=new.boot) as (link, _):
                assert (await answer_of(link)).epoch is None
            async with link_to(server.address, told="another process") as (link, _):
                assert (await answer_of(link)).epoch == 0

    asyncio.run(body())


@needs_redis
def test_a_restart_is_another_boot(tmp_path: Path) -> None:
    async def body() -> None:
        boots = []
        for _ in range(2):
            with redis_server(tmp_path) as server:
                async with link_to(server.address) as (link, _):
                    boots.append((await answer_of(link)).boot)
        assert boots[0] != boots[1]

    asyncio.run(body())


@needs_redis
def test_a_password_is_asked_for_and_given(tmp_path: Path) -> None:
    async def body() -> None:
        with redis_server(tmp_path, password="open sesame") as server:
            async with link_to(server.address, password="open sesame") as (link, _):
                assert (await answer_of(link)).role == "active"
            for password, word in (("", "NOAUTH"), ("wrong", "WRONGPASS")):
                async with link_to(server.address, password=password) as (link, _):
                    for _ in range(2):
                        refused = await ask(link)
                        assert evidence_of(refused) is Evidence.STATUS
                        assert isinstance(refused, Failure)
                        assert refused.detail.startswith((word, "NOAUTH"))
            await server.say("ACL", "SETUSER", "eye", "on", ">secret", "~*", "+info", "+auth")
            async with link_to(server.address, user="eye", password="secret") as (link, _):
                seen = await answer_of(link)  # what it may not ask is not said
                assert (seen.role, seen.epoch) == ("active", None)
                assert seen.report is not None
                assert seen.report.lease_us == -1

    asyncio.run(body())


@needs_redis
def test_a_held_connection_tells_at_once_that_it_was_killed(tmp_path: Path) -> None:
    async def body() -> None:
        with redis_server(tmp_path) as server:
            async with link_to(server.address) as (link, ends):
                await answer_of(link)
                await server.say("CLIENT", "KILL", "TYPE", "normal")
                assert await ends.next() is Evidence.CLOSED
                await answer_of(link)

    asyncio.run(body())


@needs_redis
def test_one_that_hangs_is_overdue(tmp_path: Path) -> None:
    async def body() -> None:
        with redis_server(tmp_path) as server:
            async with link_to(server.address) as (link, _):
                await answer_of(link)
                server.process.send_signal(signal.SIGSTOP)
                try:
                    for _ in range(2):
                        assert evidence_of(await ask(link, timeout_us=SHORT_US)) is Evidence.OVERDUE
                finally:
                    server.process.send_signal(signal.SIGCONT)

    asyncio.run(body())


def read(*values: Value, first: bool = True) -> Answer | Failure:
    return Redis(GROUP).read(Replies(values=values, is_first=first), latency_us=7)


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (b"5", 5),
        (b"0", 0),
        (None, 0),
        (b"-1", None),
        (b"five", None),
        (b"", None),
        (b"281474976710656", 2**48),
        (b"281474976710657", None),
        (b"9" * 30, None),
        ([], None),
        (Refusal(text="NOPERM"), None),
        (Refusal(text="MASTERDOWN Link with MASTER is down"), None),
    ],
)
def test_an_epoch_is_a_number_that_another_could_be_drawn_above(
    epoch: Value, expected: int | None
) -> None:
    answer = read(SERVER, REPLICATION, epoch, [])
    assert isinstance(answer, Answer)
    assert (answer.epoch, answer.boot, answer.role) == (expected, "abc", "active")


@pytest.mark.parametrize(
    ("lease", "expected"),
    [
        ([b"min-replicas-to-write", b"1", b"min-replicas-max-lag", b"10"], 10_000_000),
        ([b"min-replicas-max-lag", b"10", b"min-replicas-to-write", b"0"], 0),
        ([b"min-replicas-to-write", b"1", b"min-replicas-max-lag", b"0"], 0),
        ([b"min-replicas-to-write", b"1"], -1),
        ([b"min-replicas-to-write"], -1),
        ([b"min-replicas-to-write", b"x", b"min-replicas-max-lag", 3], -1),
        ([], -1),
        (None, -1),
        (Refusal(text="ERR unknown command"), -1),
    ],
)
def test_the_lease_is_what_a_primary_goes_on_for_without_replicas(
    lease: Value, expected: int
) -> None:
    answer = read(SERVER, REPLICATION, None, lease)
    assert isinstance(answer, Answer)
    assert answer.report == LoadReported(position=70, lease_us=expected)


@pytest.mark.parametrize(
    ("values", "evidence", "word"),
    [
        ((SERVER, Refusal(text="BUSY script"), None, []), Evidence.STATUS, "BUSY"),
        ((Refusal(text="NOAUTH x"), REPLICATION, None, []), Evidence.STATUS, "NOAUTH"),
        (
            (SERVER, REPLICATION, Refusal(text="LOADING Redis is"), []),
            Evidence.STATUS,
            "LOADING",
        ),
        ((SERVER, b"role:sentinel\r\n", None, []), Evidence.PROTOCOL, "role"),
        ((SERVER, None, None, None), Evidence.PROTOCOL, "role"),
        ((None, [b"role:master"], 3, 4), Evidence.PROTOCOL, "role"),
    ],
)
def test_replies_that_say_no_or_nothing_are_failures(
    values: tuple[Value, ...], evidence: Evidence, word: str
) -> None:
    failure = read(*values)
    assert isinstance(failure, Failure)
    assert failure.evidence is evidence
    assert word in failure.detail


def test_what_cannot_be_read_in_a_report_is_not_said() -> None:
    said = b"role:slave\r\nmaster_host:h\r\nmaster_link_status:down\r\nslave_repl_offset:x\r\n"
    answer = read(SERVER, said + b"master_link_down_since_seconds:3\r\nnonsense\r\n", None, None)
    assert isinstance(answer, Answer)
    assert answer.report == LoadReported(lag_us=3_000_000)


@pytest.mark.parametrize(
    ("info", "demands", "role"),
    [
        (REPLICATION, b"1000000000", "fenced"),
        (REPLICATION, b"1000000002", "fenced"),
        (REPLICATION, b"999999999", "active"),
        (b"role:slave\r\nslave_repl_offset:70\r\n", b"1000000002", "standby"),
    ],
)
def test_a_primary_that_was_told_to_take_no_writes_does_not_act(
    info: bytes, demands: bytes, role: str
) -> None:
    lease: Value = [b"min-replicas-max-lag", b"10", b"min-replicas-to-write", demands]
    answer = read(SERVER, info, b"7", lease)
    assert isinstance(answer, Answer)
    assert answer.role == role
    assert answer.report is not None
    assert answer.report.position == 70
