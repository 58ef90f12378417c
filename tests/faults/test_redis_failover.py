"""Real Redis servers: a primary that is lost is replaced, and cannot come back as one."""

import asyncio
import contextlib
import signal
from pathlib import Path

import pytest

from engine.answers.status import status
from engine.core import events as ev
from engine.core.events import Result
from engine.core.evolve import evolve
from engine.core.leasing import unleased
from engine.core.policy import SECOND, Fence, FenceKind, lease_wait_us
from engine.core.state import State
from engine.log.sqlite import open_log
from engine.log.verify import verify
from engine.runtime.carriers.redis_facts import key_of
from engine.runtime.resp import Refusal
from tests.engine.redis import RedisProcess, needs_redis, redis_servers, until
from tests.faults.replicas import GROUP, patient_policy, redis_policy, replicated, synced

pytestmark = needs_redis


def test_a_primary_that_is_killed_is_replaced_and_follows_when_it_returns(tmp_path: Path) -> None:
    log = tmp_path / "tanist.db"

    async def main(servers: dict[str, RedisProcess]) -> None:
        async with replicated(servers, log, patient_policy()) as at:
            await at.at_rest("a")
            await synced(servers, "a")
            a, b, c = servers.values()
            assert a.ask("GET", key_of(GROUP, "epoch")) == b"1"
            assert a.ask("SET", "k", "v") == b"OK"
            until(lambda: b.ask("GET", "k") == b"v")
            a.kill()
            place = await at.next(ev.Switched, subject="b")
            await at.until(lambda: at.master("c").follows == "b")
            assert b.ask("SET", "k", "w") == b"OK"
            until(lambda: c.ask("GET", "k") == b"w")
            # It comes back as what it was configured to be, a primary, without its data.
            a.start_again()
            await at.at_rest("b")
            until(lambda: a.ask("GET", "k") == b"w")
            assert a.info()["role"] == "slave"
            assert isinstance(a.ask("SET", "k", "x"), Refusal)
            kinds = at.kinds(place)
            assert kinds.count("Switched") == 1
            outcomes = [each.event for each in at.log if isinstance(each.event, ev.Outcome)]
            steps = {each.step for each in outcomes if each.result is Result.OK}
            assert steps >= {"transfer", "promote", "verify", "switch", "fence", "follow"}

    with redis_servers(tmp_path, ["a", "b", "c"]) as servers:
        asyncio.run(main(servers))
    with open_log(log) as reading:
        state = State()
        assert verify(reading, lambda recorded: evolve(state, recorded)).ok


@pytest.mark.alone
def test_a_primary_that_hangs_is_replaced_and_fenced_when_it_goes_on(tmp_path: Path) -> None:
    async def main(servers: dict[str, RedisProcess]) -> None:
        async with replicated(servers, tmp_path / "tanist.db", redis_policy()) as at:
            await at.at_rest("a")
            await synced(servers, "a")
            a = servers["a"]
            a.strike(signal.SIGSTOP)
            # On soft evidence it is whoever was heard since: b, or c if that was asked first.
            heir = at.log[await at.next(ev.Switched)].subject
            b = servers[heir]
            assert b.ask("SET", "k", "w") == b"OK"
            a.strike(signal.SIGCONT)
            await at.at_rest(heir)
            until(lambda: a.ask("GET", "k") == b"w")
            assert isinstance(a.ask("SET", "k", "x"), Refusal)
            assert b.ask("GET", key_of(GROUP, "epoch")) == str(at.master(heir).epoch).encode()

    with redis_servers(tmp_path, ["a", "b", "c"]) as servers:
        asyncio.run(main(servers))


def test_a_planned_change_loses_nothing(tmp_path: Path) -> None:
    async def main(servers: dict[str, RedisProcess]) -> None:
        async with replicated(servers, tmp_path / "tanist.db", patient_policy()) as at:
            await at.at_rest("a")
            await synced(servers, "a")
            a, b, c = servers.values()
            written = 0
            is_over = asyncio.Event()

            def writes() -> int:
                """Count what a client that holds the primary's address was told is written."""
                count = 0
                with a.client() as client:
                    while not is_over.is_set():
                        try:
                            said = client.ask("SET", f"n{count}", "x")
                        except ConnectionError:
                            return count  # it was sent away
                        if said != b"OK":
                            return count
                        count += 1
                return count

            writing = asyncio.create_task(asyncio.to_thread(writes))
            await at.until(lambda: True)
            await at.engine.switchover(GROUP, to="b")
            await at.at_rest("b")
            is_over.set()
            written = await writing
            assert written > 0
            for server in (a, b, c):
                until(
                    lambda server=server: all(
                        server.ask("GET", f"n{n}") == b"x" for n in (0, written - 1)
                    )
                )
            assert int(b.ask("DBSIZE")) >= written  # type: ignore[call-overload]

    with redis_servers(tmp_path, ["a", "b", "c"]) as servers:
        asyncio.run(main(servers))


def test_an_heir_with_older_data_is_passed_over_for_the_one_that_has_it(tmp_path: Path) -> None:
    async def main(servers: dict[str, RedisProcess]) -> None:
        async with replicated(servers, tmp_path / "tanist.db", patient_policy()) as at:
            await at.at_rest("a")
            await synced(servers, "a")
            a, b, c = servers.values()
            # The first choice gets nothing any more, which the engine has no time to see.
            b.ask("REPLICAOF", "127.0.0.1", "1")
            until(lambda: a.info()["connected_slaves"] == "1")
            with a.client() as client:
                assert client.ask("SET", "k", "v") == b"OK"
                assert client.ask("WAIT", "1", "0") == 1
            a.kill()
            place = await at.next(ev.Switched)
            assert at.log[place].subject == "c"
            assert c.ask("GET", "k") == b"v"
            refused = next(
                each.event
                for each in at.log
                if isinstance(each.event, ev.Outcome) and each.event.result is Result.REFUSED
            )
            assert refused.step == "transfer"
            assert "c has" in refused.detail
            assert "bytes more" in refused.detail
            await at.at_rest("c", without="a")
            until(lambda: b.ask("GET", "k") == b"v")

    with redis_servers(tmp_path, ["a", "b", "c"]) as servers:
        asyncio.run(main(servers))


LEASED = Fence(kind=FenceKind.LEASE, clients="direct", lease_us=4 * SECOND)


@pytest.mark.alone
def test_by_lease_nobody_is_promoted_before_the_old_primary_has_stopped_by_itself(
    tmp_path: Path,
) -> None:
    async def main(servers: dict[str, RedisProcess]) -> None:
        policy = redis_policy(fence=LEASED)
        async with replicated(servers, tmp_path / "tanist.db", policy) as at:
            await at.at_rest("a")
            await synced(servers, "a")
            a = servers["a"]
            await at.until(lambda: unleased(at.engine.state, at.group) == [])
            a.strike(signal.SIGSTOP)
            fenced = at.log[await at.next(ev.MasterFenced, subject="a")]
            place = await at.next(ev.Switched)
            switched = at.log[place]
            assert switched.at_us - fenced.at_us >= lease_wait_us(policy)
            how = [each.event.how for each in at.log if isinstance(each.event, ev.FenceConfirmed)]
            assert how == ["lease"]
            # Its replicas have left, so it takes no writes even before it has read its fence.
            a.strike(signal.SIGCONT)
            with contextlib.suppress(ConnectionError):  # or the fence has sent us away
                assert isinstance(a.ask("SET", "k", "x"), Refusal)
            await at.at_rest(switched.subject)
            heir = servers[switched.subject]
            assert heir.setting("min-replicas-to-write") == "1"
            until(lambda: heir.ask("SET", "k", "w") == b"OK")
            until(lambda: a.ask("GET", "k") == b"w")

    demands = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "1")
    with redis_servers(tmp_path, ["a", "b", "c"], *demands) as servers:
        asyncio.run(main(servers))


def test_without_a_lease_to_rely_on_the_group_waits_and_a_person_may_vouch(tmp_path: Path) -> None:
    async def main(servers: dict[str, RedisProcess]) -> None:
        policy = patient_policy(fence=LEASED)
        async with replicated(servers, tmp_path / "tanist.db", policy) as at:
            await at.at_rest("a")
            await synced(servers, "a")
            with servers["a"].client() as client:
                assert client.ask("SET", "k", "v") == b"OK"
                assert client.ask("WAIT", "2", "0") == 2  # both have it, and b is the first choice
            servers["a"].kill()
            await at.until(lambda: at.group.saga is not None and at.master("c").follow_epoch == 2)
            waits = status(at.engine.state)["groups"][GROUP]["waits"]  # type: ignore[index]
            assert waits["reason"] == "fence"
            assert "a, b, c says of none that is short" in waits["says"]
            await at.engine.release("a")
            await at.next(ev.Switched, subject="b")

    with redis_servers(tmp_path, ["a", "b", "c"]) as servers:
        asyncio.run(main(servers))


def test_a_primary_that_comes_back_empty_takes_nobodys_data_while_its_fence_is_waited_for(
    tmp_path: Path,
) -> None:
    async def main(servers: dict[str, RedisProcess]) -> None:
        policy = patient_policy(fence=Fence(kind=FenceKind.CONFIRMED, clients="direct"))
        async with replicated(servers, tmp_path / "tanist.db", policy) as at:
            await at.at_rest("a")
            await synced(servers, "a")
            a, b, c = servers.values()
            with a.client() as client:
                assert client.ask("SET", "k", "v") == b"OK"
                assert client.ask("WAIT", "2", "0") == 2
            a.kill()
            await at.until(lambda: all(at.master(name).follow_epoch == 2 for name in "bc"))
            a.start_again("--rename-command", "CONFIG", "")  # it cannot be fenced
            await at.next(ev.MasterRecovering, subject="a")
            for replica in (b, c):
                assert replica.info()["master_port"] != str(a.port)
                assert replica.ask("GET", "k") == b"v"
            a.kill()
            await at.engine.release("a")
            await at.next(ev.Switched, subject="b")
            assert b.ask("GET", "k") == b"v"

    with redis_servers(tmp_path, ["a", "b", "c"]) as servers:
        asyncio.run(main(servers))


def test_a_standby_that_restarts_knows_nothing_and_is_told_again_each_time(tmp_path: Path) -> None:
    async def main(servers: dict[str, RedisProcess]) -> None:
        async with replicated(servers, tmp_path / "tanist.db", patient_policy()) as at:
            await at.at_rest("a")
            await synced(servers, "a")
            a, _, c = servers.values()
            assert a.ask("SET", "k", "v") == b"OK"
            for _ in range(3):
                place = len(at.log)
                c.kill()
                c.start_again()  # as a primary of its own, without data
                await at.next(ev.FollowChanged, after=place, subject="c")
                await at.at_rest("a")
                await synced(servers, "a")
                until(lambda: c.ask("GET", "k") == b"v")
                assert c.info()["master_port"] == str(a.port)
            assert at.kinds().count("Switched") == 0

    with redis_servers(tmp_path, ["a", "b", "c"]) as servers:
        asyncio.run(main(servers))
