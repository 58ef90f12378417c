"""Effects on real Redis servers."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from engine.core.events import Result
from engine.core.fleet import Health, Role
from engine.core.leasing import REDIS_SLACK_US
from engine.core.policy import MS, SECOND
from engine.runtime.carriers.access import Access
from engine.runtime.carriers.asked import Asked, Carried, Member
from engine.runtime.carriers.redis import RedisCarrier
from engine.runtime.carriers.redis_facts import key_of
from engine.runtime.redis import FENCED
from engine.runtime.resp import Refusal
from tests.engine.redis import RedisProcess, free_port, needs_redis, redis_servers, until

pytestmark = needs_redis
LONG_US = 20 * SECOND
SHORT_US = 300 * MS
Servers = dict[str, RedisProcess]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with redis_servers(tmp_path, ["a", "b", "c"]) as servers:
        yield servers


@contextlib.asynccontextmanager
async def carrier() -> AsyncIterator[RedisCarrier]:
    carrier = RedisCarrier()
    try:
        yield carrier
    finally:
        await carrier.close()


def asked(
    servers: Servers,
    step: str,
    master: str,
    *,
    epoch: int = 2,
    active: str = "",
    failover: int = 7,
    timeout_us: int = LONG_US,
    healths: dict[str, Health] | None = None,
    roles: dict[str, Role] | None = None,
    allow_loss: bool = False,
    served: int = 0,
) -> Asked:
    members = {
        name: Member(
            id=name,
            address=server.address,
            health=(healths or {}).get(name, Health.HEALTHY),
            role=(roles or {}).get(name, Role.ACTIVE if name == active else Role.STANDBY),
        )
        for name, server in servers.items()
    }
    return Asked(
        step=step, group="g", mode="active-standby", master=master,
        address=servers[master].address, failover=failover, epoch=epoch, timeout_us=timeout_us,
        active=members.get(active), members=tuple(members.values()), digest="d",
        allow_loss=allow_loss, served=served,
    )  # fmt: skip


def carried(servers: Servers, step: str, master: str, **more: object) -> Carried:
    async def main() -> Carried:
        async with carrier() as at:
            return await at.carry(asked(servers, step, master, **more))  # type: ignore[arg-type]

    return asyncio.run(main())


def test_a_fenced_primary_takes_no_write_and_its_clients_are_gone(servers: Servers) -> None:
    a = servers["a"]
    a.ask("CONFIG", "SET", "min-replicas-to-write", "1")
    with a.client() as client:
        assert client.ask("SET", "k", "1") == b"OK"
        assert carried(servers, "fence", "a").result is Result.OK
        with pytest.raises(ConnectionError):
            client.ask("SET", "k", "2")
    said = a.ask("SET", "k", "2")
    assert isinstance(said, Refusal)
    assert said.text.startswith("NOREPLICAS")
    assert a.setting("min-replicas-to-write") == str(FENCED + 1)
    assert a.info()["role"] == "master"
    assert a.info()["connected_slaves"] == "2"  # they still get what it has


def test_a_lag_that_would_switch_the_fence_off_is_set(servers: Servers) -> None:
    a = servers["a"]
    a.ask("CONFIG", "SET", "min-replicas-max-lag", "0")
    a.ask("CONFIG", "SET", "min-replicas-to-write", "3")
    assert a.ask("SET", "k", "1") == b"OK"  # so nothing was demanded
    assert carried(servers, "fence", "a").result is Result.OK
    assert isinstance(a.ask("SET", "k", "2"), Refusal)
    assert a.setting("min-replicas-to-write") == str(FENCED)


def test_a_fence_twice_is_a_fence_once_and_what_it_demanded_is_not_lost(servers: Servers) -> None:
    a = servers["a"]
    a.ask("CONFIG", "SET", "min-replicas-to-write", "1")
    for _ in range(3):
        assert carried(servers, "fence", "a").result is Result.OK
    assert a.setting("min-replicas-to-write") == str(FENCED + 1)
    promoted(servers, "b")
    assert carried(servers, "follow", "a", active="b").result is Result.OK
    assert a.setting("min-replicas-to-write") == "1"


def test_who_is_fenced_while_another_serves_replicates_from_there(servers: Servers) -> None:
    promoted(servers, "b")
    assert carried(servers, "fence", "a", active="b").result is Result.OK
    assert follows(servers["a"], servers["b"])


def test_a_whole_change_loses_nothing_and_ends_with_all_replicas_at_the_new_primary(
    servers: Servers,
) -> None:
    a, b, c = servers.values()
    a.ask("CONFIG", "SET", "min-replicas-to-write", "1")
    for n in range(100):
        a.ask("SET", f"k{n}", "x" * 100)
    roles = {"a": Role.FENCED}

    async def main() -> None:
        async with carrier() as at:
            for step, master in (
                ("preflight", "b"), ("fence", "a"), ("transfer", "b"), ("promote", "b"),
                ("verify", "b"), ("switch", "b"),
            ):  # fmt: skip
                done = await at.carry(asked(servers, step, master, roles=roles))
                assert done.result is Result.OK, (step, done)
            for standby in ("a", "c"):
                done = await at.carry(asked(servers, "follow", standby, active="b"))
                assert done.result is Result.OK, done

    asyncio.run(main())
    for other in (a, c):
        until(lambda other=other: follows(other, b))
        until(lambda other=other: other.ask("DBSIZE") == b.ask("DBSIZE"))
        assert other.ask("GET", key_of("g", "epoch")) == b"2"
    assert b.info()["role"] == "master"
    assert b.ask("SET", "k", "v") == b"OK"


def test_what_a_primary_demanded_is_demanded_by_the_next_one_after_the_switch(
    servers: Servers,
) -> None:
    b = servers["b"]
    b.ask("CONFIG", "SET", "min-replicas-to-write", "1")
    assert carried(servers, "promote", "b").result is Result.OK
    assert b.setting("min-replicas-to-write") == "0"  # nobody replicates from it yet
    assert carried(servers, "verify", "b").result is Result.OK
    assert carried(servers, "switch", "b").result is Result.OK
    assert b.setting("min-replicas-to-write") == "1"
    assert b.ask("GET", key_of("g", "replicas")) is None
    assert carried(servers, "switch", "b").result is Result.OK
    assert b.setting("min-replicas-to-write") == "1"


def test_a_promotion_with_an_epoch_that_is_not_the_newest_is_refused_and_changes_nothing(
    servers: Servers,
) -> None:
    servers["a"].ask("SET", key_of("g", "epoch"), "5")
    until(lambda: servers["b"].ask("GET", key_of("g", "epoch")) == b"5")
    found = carried(servers, "promote", "b", epoch=4)
    assert (found.result, found.detail) == (Result.REFUSED, "stale epoch: it knows 5")
    assert servers["b"].info()["role"] == "slave"
    assert carried(servers, "promote", "b", epoch=5).result is Result.OK
    assert carried(servers, "promote", "b", epoch=5).result is Result.OK
    assert servers["b"].ask("GET", key_of("g", "epoch")) == b"5"
    assert carried(servers, "promote", "b", epoch=4).result is Result.REFUSED
    assert servers["b"].ask("GET", key_of("g", "epoch")) == b"5"


def test_a_primary_that_serves_already_is_told_its_epoch_and_nothing_else(
    servers: Servers,
) -> None:
    a = servers["a"]
    a.ask("CONFIG", "SET", "min-replicas-to-write", "1")
    assert carried(servers, "promote", "a", epoch=1, failover=0).result is Result.OK
    assert a.ask("GET", key_of("g", "epoch")) == b"1"
    assert a.setting("min-replicas-to-write") == "1"
    assert a.info()["connected_slaves"] == "2"


@pytest.mark.parametrize(
    ("how", "detail"),
    [
        (lambda servers: None, "it is a replica of"),
        (lambda servers: promoted(servers, "b", epoch=3), "it acts under epoch 3"),
    ],
    ids=["replica", "epoch"],
)
def test_a_verification_that_fails_says_why(
    servers: Servers, how: Callable[[Servers], None], detail: str
) -> None:
    how(servers)
    found = carried(servers, "verify", "b", epoch=2)
    assert found.result is Result.REFUSED
    assert detail in found.detail or "READONLY" in found.detail


def test_an_heir_that_has_less_than_another_is_refused_with_figures(servers: Servers) -> None:
    a, b, c = servers.values()
    b.strike(signal.SIGSTOP)
    for n in range(20):
        a.ask("SET", f"k{n}", "x" * 100)
    until(lambda: c.info()["slave_repl_offset"] == a.info()["master_repl_offset"])
    a.kill()
    b.strike(signal.SIGCONT)
    # What is in its socket still counts as its own once it was read; so cut it off from that.
    until(lambda: b.info()["master_link_status"] == "down")
    healths = {"a": Health.FAILED}
    found = carried(servers, "transfer", "b", healths=healths)
    mine, theirs = (int(each.info()["slave_repl_offset"]) for each in (b, c))
    if theirs == mine:
        assert found.result is Result.OK  # it had it all in its socket
        return
    assert found.result is Result.REFUSED
    assert found.detail == f"c has {theirs - mine} bytes more: {theirs}, {mine}"
    positions = {name: report.position for name, report in found.reports}
    assert positions == {"b": mine, "c": theirs}
    assert carried(servers, "transfer", "c", healths=healths).result is Result.OK


@pytest.mark.parametrize("has_file", [False, True])
@pytest.mark.parametrize("epoch", ["", "1"])
def test_a_replica_that_has_lost_its_data_does_not_stand_in_for_one_that_has_them(
    servers: Servers, epoch: str, has_file: bool
) -> None:
    a, b, c = servers.values()
    if epoch:
        a.ask("SET", key_of("g", "epoch"), epoch)
    for n in range(20):
        a.ask("SET", f"k{n}", "x" * 100)
    until(lambda: c.info()["slave_repl_offset"] == a.info()["master_repl_offset"])
    a.kill()
    b.kill()
    if not has_file:  # that of its first copy, from before the writes
        (b.directory / "dump.rdb").unlink(missing_ok=True)
    b.start_again()
    b.ask("REPLICAOF", "127.0.0.1", str(a.port))
    healths = {"a": Health.FAILED}
    found = carried(servers, "transfer", "b", healths=healths)
    mine, theirs = (int(each.info()["slave_repl_offset"]) for each in (b, c))
    assert mine <= 1
    assert found.result is Result.REFUSED
    assert found.detail in (
        f"c has data of another history: {theirs}, {mine}",
        f"c has {theirs - mine} bytes more: {theirs}, {mine}",
    )
    assert {name: report.position for name, report in found.reports} == {"b": mine, "c": theirs}
    # The other one is not kept from it by one that has nothing.
    assert carried(servers, "transfer", "c", healths=healths).result is Result.OK
    assert carried(servers, "transfer", "b", healths=healths, allow_loss=True).result is Result.OK


def test_one_that_has_lost_its_data_does_not_stand_in_for_those_that_do_not_answer(
    servers: Servers,
) -> None:
    a, b, c = servers.values()
    a.ask("SET", key_of("g", "epoch"), "1")
    until(lambda: b.info()["slave_repl_offset"] == a.info()["master_repl_offset"])
    for each in (a, b, c):
        each.kill()
        (each.directory / "dump.rdb").unlink(missing_ok=True)
    b.start_again()
    healths = {"a": Health.FAILED}
    found = carried(servers, "transfer", "b", healths=healths, served=1, timeout_us=SECOND)
    assert found.result is Result.REFUSED
    assert found.detail == "it has no data, and a and c may have some: no answer from there"
    for more in ({"served": 0}, {"served": 1, "allow_loss": True}):
        found = carried(servers, "transfer", "b", healths=healths, timeout_us=SECOND, **more)
        assert found.result is Result.OK
    for each in (a, c):
        each.start_again()  # nobody has any: there is nothing to lose
    assert carried(servers, "transfer", "b", served=1).result is Result.OK


def test_a_primary_that_was_started_again_counts_from_0_and_has_its_data(servers: Servers) -> None:
    a, b = servers["a"], servers["b"]
    a.kill()
    a.start_again("--appendonly", "yes")
    a.ask("SET", key_of("g", "epoch"), "1")
    until(lambda: b.ask("GET", key_of("g", "epoch")) == b"1")
    b.ask("REPLICAOF", "127.0.0.1", "1")
    a.ask("SET", "k", "written since")
    a.kill()
    a.start_again("--appendonly", "yes")
    assert (a.info()["master_repl_offset"], a.ask("GET", "k")) == ("0", b"written since")
    found = carried(servers, "transfer", "b", served=1)
    mine = b.info()["slave_repl_offset"]
    assert found.result is Result.REFUSED
    assert found.detail == f"a has data of another history: 0, {mine}"


def test_data_from_before_a_promotion_are_no_other_history(servers: Servers) -> None:
    a, b, c = servers.values()
    healths = {"a": Health.FAILED}
    for n in range(20):
        a.ask("SET", f"k{n}", "x" * 100)
    for each in (b, c):
        until(lambda e=each: e.info()["slave_repl_offset"] == a.info()["master_repl_offset"])
    a.kill()
    for promoted in (b, c):
        promoted.ask("REPLICAOF", "NO", "ONE")
        for heir in ("b", "c"):
            found = carried(servers, "transfer", heir, healths=healths)
            assert found.result is Result.OK, (heir, found)


def test_what_was_written_under_an_older_epoch_keeps_nobody_from_serving(servers: Servers) -> None:
    a, b, c = servers.values()
    a.kill()
    b.ask("REPLICAOF", "NO", "ONE")
    b.ask("SET", key_of("g", "epoch"), "3")
    (a.directory / "dump.rdb").unlink(missing_ok=True)
    a.start_again()  # without its data, and writes go on
    a.ask("SET", key_of("g", "epoch"), "2")
    c.ask("REPLICAOF", "127.0.0.1", str(a.port))
    until(lambda: int(c.info()["slave_repl_offset"]) > 1)
    a.kill()
    healths = {"a": Health.FAILED}
    found = carried(servers, "transfer", "b", healths=healths, served=3)
    assert found.result is Result.OK


def test_an_heir_catches_up_with_a_source_that_is_fenced(servers: Servers) -> None:
    a, b = servers["a"], servers["b"]
    roles = {"a": Role.FENCED}
    found = carried(servers, "transfer", "b", roles=roles, timeout_us=SHORT_US)
    assert (found.result, found.detail) == (Result.REFUSED, "a takes writes still")

    async def main() -> Carried:
        async with carrier() as at:
            waiting = asyncio.create_task(at.carry(asked(servers, "transfer", "b", roles=roles)))
            b.strike(signal.SIGSTOP)
            for n in range(100):
                a.ask("SET", f"k{n}", "x" * 1000)
            await at.carry(asked(servers, "fence", "a"))
            b.strike(signal.SIGCONT)
            return await waiting

    found = asyncio.run(main())
    assert (found.result, found.digest) == (Result.OK, "d")
    assert b.ask("DBSIZE") == a.ask("DBSIZE")


def test_an_heir_that_left_its_source_takes_from_there_what_came_since(servers: Servers) -> None:
    a, b = servers["a"], servers["b"]
    roles = {"a": Role.FENCED}
    carried(servers, "fence", "a")
    assert carried(servers, "transfer", "b", roles=roles).result is Result.OK
    assert b.info()["master_link_status"] == "down"
    before = int(b.info()["slave_repl_offset"])
    # A primary sends on although nobody writes: a PING every second here.
    until(lambda: int(a.info()["master_repl_offset"]) > before)
    found = carried(servers, "transfer", "b", roles=roles)
    assert found.result is Result.OK, found
    assert int(b.info()["slave_repl_offset"]) > before
    assert b.info()["master_link_status"] == "down"


def test_a_fence_waits_in_the_socket_of_a_server_that_hangs(servers: Servers) -> None:
    a, b = servers["a"], servers["b"]
    a.ask("CONFIG", "SET", "min-replicas-to-write", "1")

    async def main() -> tuple[Carried, Carried]:
        async with carrier() as at:
            first = asked(servers, "fence", "a", timeout_us=SHORT_US)
            at.attach("g", first.members)
            server = at.server("g", "a", a.address)
            while server.settings is None:  # noqa: ASYNC110 it is a matter of a round trip
                await asyncio.sleep(0.001)
            a.strike(signal.SIGSTOP)
            unknown = await at.carry(first)
            done = asyncio.create_task(at.carry(asked(servers, "fence", "a")))
            await asyncio.sleep(0)
            # A client that was faster than the engine to its socket, but not than the fence.
            with a.client() as client:
                late = asyncio.create_task(asyncio.to_thread(client.ask, "SET", "k", "leak"))
                a.strike(signal.SIGCONT)
                with contextlib.suppress(OSError):
                    assert isinstance(await late, Refusal)
            return unknown, await done

    unknown, done = asyncio.run(main())
    assert (unknown.result, unknown.detail) == (Result.UNKNOWN, "no answer in time")
    assert done.result is Result.OK
    assert a.setting("min-replicas-to-write") == str(FENCED + 1)
    assert a.ask("GET", "k") is None
    assert b.ask("GET", "k") is None
    # It was sent once, however often it was asked for.
    assert commandstats(a, "multi") == 1


def test_a_replica_that_is_detached_has_what_it_had_and_can_be_promoted(servers: Servers) -> None:
    a, b = servers["a"], servers["b"]
    a.ask("SET", "k", "v")
    until(lambda: b.ask("GET", "k") == b"v")
    position = b.info()["slave_repl_offset"]
    assert carried(servers, "detach", "b").result is Result.OK
    until(lambda: a.info()["connected_slaves"] == "1")
    assert b.info()["role"] == "slave"
    assert int(b.info()["slave_repl_offset"]) >= int(position)
    assert isinstance(b.ask("SET", "k", "w"), Refusal)
    promoted(servers, "b")
    assert b.ask("GET", "k") == b"v"
    assert b.ask("SET", "k", "w") == b"OK"


def test_a_server_that_is_not_there_has_done_nothing(servers: Servers) -> None:
    servers["b"].kill()
    for step in ("fence", "promote", "verify", "follow", "switch", "transfer", "detach"):
        found = carried(servers, step, "b", active="a", timeout_us=SHORT_US)
        assert found.result is Result.FAILED, (step, found)
        assert found.detail in ("connection refused", "no connection in time")


def test_a_server_that_dies_under_a_fence_may_have_taken_it(servers: Servers) -> None:
    async def main() -> Carried:
        async with carrier() as at:
            servers["a"].strike(signal.SIGSTOP)
            task = asyncio.create_task(at.carry(asked(servers, "fence", "a", timeout_us=SECOND)))
            await asyncio.sleep(0.1)
            servers["a"].kill()
            return await task

    assert asyncio.run(main()).result is Result.UNKNOWN


def test_passwords_are_said_first_and_a_wrong_one_is_a_refusal(tmp_path: Path) -> None:
    with redis_servers(tmp_path, ["a"], "--requirepass", "s3", replicas=False) as servers:

        async def main(password: str) -> Carried:
            at = RedisCarrier(lambda group: Access(password=password))
            try:
                return await at.carry(asked(servers, "promote", "a", timeout_us=SHORT_US))
            finally:
                await at.close()

        assert asyncio.run(main("s3")).result is Result.OK
        wrong = asyncio.run(main("s4"))
        assert wrong.result is Result.REFUSED
        assert wrong.detail.startswith(("NOAUTH", "WRONGPASS"))
        assert "s4" not in wrong.detail


def test_a_fence_holds_over_a_restart_of_a_server_that_has_a_file(tmp_path: Path) -> None:
    file = tmp_path / "redis.conf"
    file.write_text(
        f'port {free_port()}\nbind 127.0.0.1\ndir {tmp_path}\nsave ""\nmin-replicas-to-write 1\n'
    )
    process = RedisProcess(
        tmp_path, port=int(file.read_text().split()[1]), file=file, is_sentinel=False
    )
    servers = {"a": process}
    try:
        assert carried(servers, "fence", "a").result is Result.OK
        process.kill()
        process.start_again()
        assert process.info()["role"] == "master"
        assert process.setting("min-replicas-to-write") == str(FENCED + 1)
        assert isinstance(process.ask("SET", "k", "v"), Refusal)
        # It may serve again under another epoch, and so it does after the next restart.
        promoted(servers, "a")
        assert process.setting("min-replicas-to-write") == "1"
        process.kill()
        process.start_again()
        assert process.setting("min-replicas-to-write") == "1"
    finally:
        process.end()


@pytest.mark.alone
def test_a_primary_without_acknowledgements_stops_within_what_is_counted_on_top_of_its_lease(
    servers: Servers,
) -> None:
    a, b, c = servers.values()
    a.ask("CONFIG", "SET", "min-replicas-to-write", "1")
    a.ask("CONFIG", "SET", "min-replicas-max-lag", "1")
    until(lambda: a.ask("SET", "k", "v") == b"OK")
    for replica in (b, c):
        replica.strike(signal.SIGSTOP)  # silent, and their connections stay open
    began = time.monotonic()
    until(lambda: isinstance(a.ask("SET", "k", "v"), Refusal))
    lasted_us = (time.monotonic() - began) * 1_000_000
    assert lasted_us < SECOND + REDIS_SLACK_US + SECOND // 2  # half a second for this machine


# Stories.


def promoted(servers: Servers, master: str, *, epoch: int = 2) -> None:
    found = carried(servers, "promote", master, epoch=epoch)
    assert found.result is Result.OK, found
    # As a replica it demanded what it was configured to; that is a matter of the switch.
    assert carried(servers, "switch", master, epoch=epoch).result is Result.OK


def follows(server: RedisProcess, primary: RedisProcess) -> bool:
    info = server.info()
    return (info["role"], f"{info.get('master_host')}:{info.get('master_port')}") == (
        "slave",
        primary.place,
    )


def commandstats(server: RedisProcess, name: str) -> int:
    """Return how often a command was called."""
    fields = server.info("commandstats")[f"cmdstat_{name}"].split(",")
    return int(fields[0].removeprefix("calls="))


def test_an_heir_keeps_what_it_has_although_its_primary_comes_back_without_data(
    servers: Servers,
) -> None:
    a, b, c = servers.values()
    for n in range(20):
        a.ask("SET", f"k{n}", "x" * 100)
    for each in (b, c):
        until(lambda e=each: e.info()["slave_repl_offset"] == a.info()["master_repl_offset"])
    had = b.ask("DBSIZE")
    a.kill()
    assert carried(servers, "transfer", "b", healths={"a": Health.FAILED}).result is Result.OK
    (a.directory / "dump.rdb").unlink(missing_ok=True)
    a.start_again()
    until(lambda: c.ask("DBSIZE") == 0)  # which is what would have befallen the heir as well
    assert b.ask("DBSIZE") == had
    assert carried(servers, "promote", "b", epoch=2).result is Result.OK
    assert b.ask("GET", "k1") == b"x" * 100


def test_an_heir_whose_data_are_taken_away_while_others_are_waited_for_is_none(
    servers: Servers,
) -> None:
    a, b, c = servers.values()
    for n in range(20):
        a.ask("SET", f"k{n}", "x" * 100)
    for each in (b, c):
        until(lambda e=each: e.info()["slave_repl_offset"] == a.info()["master_repl_offset"])
    a.kill()
    (a.directory / "dump.rdb").unlink(missing_ok=True)
    c.strike(signal.SIGSTOP)

    async def main() -> Carried:
        async with carrier() as at:
            roles, healths = {"a": Role.FENCED}, {"a": Health.FAILED}
            waiting = asyncio.create_task(
                at.carry(
                    asked(
                        servers, "transfer", "b", roles=roles, healths=healths,
                        timeout_us=9 * SECOND, served=1,
                    )
                )
            )  # fmt: skip
            await asyncio.to_thread(a.start_again)
            await asyncio.to_thread(until, lambda: b.ask("DBSIZE") == 0)
            return await waiting

    try:
        found = asyncio.run(main())
    finally:
        c.strike(signal.SIGCONT)
    said = "its data were taken away while it was held against others"
    assert (found.result, found.detail) == (Result.REFUSED, said)
