"""Real Redis servers under an engine that watches them: what ends, what hangs, what comes back."""

import asyncio
import signal
from pathlib import Path

from engine.core import events as ev
from engine.core.events import Evidence
from engine.runtime.redis import epoch_key
from tests.engine.runtime.redises import needs_redis, redis_server
from tests.faults.reloading import policy
from tests.faults.watching import GROUP, watching

pytestmark = needs_redis


def test_a_primary_that_is_killed_has_failed_at_once(tmp_path: Path) -> None:
    async def body() -> None:
        with redis_server(tmp_path) as server:
            log = tmp_path / "t.db"
            async with watching(
                {"r": server.address}, log, group=policy("zone", "redis")
            ) as watched:
                await watched.next(ev.ProbeOk, after=0)
                server.process.kill()
                closed = await watched.next(ev.ConnectionClosed, after=0)
                failed = watched.log[await watched.next(ev.MasterFailed, after=closed)].event
                assert isinstance(failed, ev.MasterFailed)
                # Under the preset zone four failed probes would take three seconds.
                assert (failed.rule, failed.hard) == ("closed-then-refused", True)
                refused = watched.at(failed.evidence[-1])
                assert isinstance(refused, ev.ProbeFailed)
                assert refused.evidence is Evidence.REFUSED

    asyncio.run(body())


def test_a_server_that_hangs_is_overdue_and_recovers_when_it_goes_on(tmp_path: Path) -> None:
    async def body() -> None:
        with redis_server(tmp_path) as server:
            log = tmp_path / "t.db"
            async with watching(
                {"r": server.address}, log, group=policy("lan", "redis")
            ) as watched:
                server.process.send_signal(signal.SIGSTOP)
                try:
                    place = await watched.next(ev.MasterFailed, after=0)
                finally:
                    server.process.send_signal(signal.SIGCONT)
                failed = watched.log[place].event
                assert isinstance(failed, ev.MasterFailed)
                assert (failed.rule, failed.hard) == ("fall", False)
                await watched.next(ev.MasterHealthy, after=place)

    asyncio.run(body())


def test_what_a_primary_and_its_replica_say_is_in_the_log(tmp_path: Path) -> None:
    async def body() -> None:
        with redis_server(tmp_path) as one, redis_server(tmp_path) as two:
            await two.say("REPLICAOF", "127.0.0.1", str(one.port))
            await two.until("replication", "master_link_status:up")
            await one.say("SET", epoch_key(GROUP), "7")
            await two.until_it_has(epoch_key(GROUP), b"7")
            log = tmp_path / "t.db"
            both = {"a": one.address, "b": two.address}
            async with watching(both, log, group=policy("lan", "redis")) as watched:
                for name, role in (("a", "active"), ("b", "standby")):
                    place = await watched.next(ev.ProbeOk, after=0, subject=name)
                    answer = watched.log[place].event
                    assert isinstance(answer, ev.ProbeOk)
                    assert (answer.role, answer.epoch, len(answer.boot)) == (role, 7, 40)
                place = await watched.next(ev.LoadReported, after=0, subject="b")
                report = watched.log[place].event
                assert isinstance(report, ev.LoadReported)
                assert (report.follows, report.lag_us) == (f"127.0.0.1:{one.port}", 0)
                assert report.position > 0

    asyncio.run(body())
