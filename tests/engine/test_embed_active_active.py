"""A group whose masters all serve, with real masters: messages are spread, and none is lost."""

import asyncio
import contextlib
import signal

import msgspec

from engine.core import events as ev
from engine.core.fleet import Mode, Role
from engine.core.policy import Automation
from engine.embed import Engine
from engine.log.memory import MemoryLog
from tests.engine.real import GROUP, Fleet, configuration, fleet, only, policy_of, run, seen

__all__ = ["fleet"]


def of(fleet: Fleet, log: MemoryLog) -> Engine:
    policy = msgspec.structs.replace(
        policy_of(Mode.ACTIVE_ACTIVE), effects="http", automation=Automation.AUTO
    )
    return Engine(configuration(fleet.addresses, policy=policy), log=log)


async def done(engine: Engine, count: int) -> None:
    async with contextlib.aclosing(engine.follow(0)) as following:
        found = 0
        async for recorded in following:
            found += isinstance(recorded.event, ev.MessageDone)
            if found == count:
                return


async def serving(engine: Engine, count: int) -> None:
    """Wait until so many masters serve and were told under which epochs."""

    def serve() -> int:
        masters = engine.state.groups[GROUP].masters.values()
        return sum(m.role is Role.ACTIVE and not m.promote_owed for m in masters)

    async with contextlib.aclosing(engine.follow(0)) as following:
        async for _ in following:
            if GROUP in engine.state.groups and serve() == count:
                return


def test_messages_are_done_once_by_masters_that_were_told_their_epochs(fleet: Fleet) -> None:
    log = MemoryLog()

    async def main() -> None:
        async with of(fleet, log) as engine:
            await serving(engine, 2)
            keys = [f"m-{number}" for number in range(40)]
            await asyncio.gather(
                *(engine.accept(GROUP, b"work", key=key, lane=key) for key in keys)
            )
            await done(engine, 40)
            assert sorted(await fleet.applied()) == sorted(keys)
            report = await fleet.report()
            assert (report["applied_twice"], report["refused_stale"]) == (0, 0)

    run(main())
    assigned = [r.subject for r in log.read() if isinstance(r.event, ev.MessagesAssigned)]
    assert set(assigned) == {"a", "b"}


def test_what_a_killed_one_had_is_done_by_the_other(fleet: Fleet) -> None:
    log = MemoryLog()

    async def main() -> None:
        async with of(fleet, log) as engine:
            await serving(engine, 2)
            fleet.masters["a"].process.send_signal(signal.SIGSTOP)
            keys = [f"m-{number}" for number in range(20)]
            for key in keys:
                await engine.accept(GROUP, b"work", key=key, lane=key)
            begun = engine.state.seq
            fleet.masters["a"].process.kill()
            await seen(engine, ev.MasterFenced, after=begun)
            await done(engine, 20)
            assert sorted(await fleet.applied()) == sorted(keys)
            assert (await fleet.report())["applied_twice"] == 0

    run(main())
    (fenced,) = only(log, ev.MasterFenced)
    assert fenced.requeued >= 1  # what it got before anybody knew
