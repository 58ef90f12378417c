import asyncio
import signal

import pytest

from engine.core import events as ev
from engine.core.errors import (
    CommandRefused,
    LogError,
)
from engine.embed import Engine
from engine.log.memory import MemoryLog
from tests.engine.real import (
    GROUP,
    Fleet,
    configuration,
    fleet,
    kinds,
    nobody,
    of,
    only,
    run,
    seen,
    served_by,
)

__all__ = ["fleet"]


def test_a_switchover_changes_the_active_master_as_planned(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(fleet.addresses), log=log, author="ann") as engine:
            await served_by(engine, "a")
            seq = await engine.switchover(GROUP, to="b")
            route = engine.pick(GROUP)
            assert route is not None
            assert route.master == "b"
            (asked,) = log.read(after=seq - 1, until=seq)
            assert asked.event == ev.SwitchoverAsked(to="b", author="ann")
            assert "DrainStarted" in kinds(log)

    run(main())


def test_a_refused_switchover_says_why_and_changes_nothing(fleet: Fleet) -> None:
    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
            await served_by(engine, "a")
            with pytest.raises(CommandRefused) as refused:
                await engine.switchover(GROUP, to="a")
            assert refused.value.reasons == ("a: serving (epoch 1)",)
            with pytest.raises(CommandRefused, match="c is no master of g: expected one of a, b"):
                await engine.failover(GROUP, to="c")
            route = engine.pick(GROUP)
            assert route is not None
            assert route.master == "a"

    run(main())


def test_a_switchover_whose_target_dies_on_the_way_is_told_to_who_waits(fleet: Fleet) -> None:
    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
            await served_by(engine, "a")
            fleet.masters["b"].process.send_signal(signal.SIGSTOP)  # its preflight has no answer
            waiting = asyncio.create_task(engine.switchover(GROUP, to="b"))
            await seen(engine, lambda r: r.event == ev.SwitchoverAsked(to="b", author="embedded"))
            fleet.masters["b"].process.kill()
            with pytest.raises(CommandRefused):
                await waiting
            route = engine.pick(GROUP)
            assert route is not None
            assert route.master == "a"

    run(main())


def test_a_forced_failover_needs_no_failure(fleet: Fleet) -> None:
    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
            await served_by(engine, "a")
            await engine.failover(GROUP)
            route = engine.pick(GROUP)
            assert route is not None
            assert route.master == "b"
            await seen(engine, of(ev.MasterRejoined, "a"))

    run(main())


def test_who_waits_for_a_failover_is_told_when_the_engine_ends_first(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
            fleet.masters["b"].process.send_signal(signal.SIGSTOP)
            waiting = asyncio.create_task(engine.switchover(GROUP, to="b"))
            await seen(engine, lambda r: isinstance(r.event, ev.SwitchoverAsked))
        with pytest.raises(LogError, match="goes on at its next start"):
            await waiting
        fleet.masters["b"].process.send_signal(signal.SIGCONT)
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "b")

    run(main())


def test_a_rollback_goes_back_to_the_master_of_then(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
            position = await engine.checkpoint("before")
            await engine.switchover(GROUP, to="b")
            await seen(engine, of(ev.MasterRejoined, "a"))
            await engine.rollback(position, group=GROUP)
            route = engine.pick(GROUP)
            assert route is not None
            assert route.master == "a"
            (ended,) = only(log, ev.RollbackEnded)
            assert ended.result == "complete"

    run(main())


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        (0, "expected a seq up to"),
        (10**12, "expected a seq up to"),
        (1, "there was no group g at position 1"),
    ],
)
def test_a_rollback_to_nowhere_is_refused(position: int, reason: str) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            with pytest.raises(CommandRefused, match=reason):
                await engine.rollback(position, group=GROUP)

    run(main())


def test_while_paused_a_dead_master_is_left_alone_until_resumed(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
            paused = await engine.pause(reason="work on the rack", author="bob")
            fleet.masters["a"].process.kill()
            failed = await seen(engine, of(ev.MasterFailed, "a"))
            await seen(engine, of(ev.ProbeOk, "b"), after=failed.seq + 4)
            resumed = await engine.resume(author="bob")
            await served_by(engine, "b")
            (event,) = log.read(after=paused - 1, until=paused)
            assert event.event == ev.Paused(until_us=0, reason="work on the rack", author="bob")
        started = [r.seq for r in log.read() if isinstance(r.event, ev.FailoverStarted)]
        assert min(seq for seq in started if seq > paused) > resumed

    run(main())


def test_a_pause_with_an_end_ends_by_itself() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            seq = await engine.pause(GROUP, for_us=1_000_000, reason="short")
        (recorded,) = log.read(after=seq - 1, until=seq)
        assert isinstance(recorded.event, ev.Paused)
        assert recorded.subject == GROUP
        assert 0 <= recorded.at_us + 1_000_000 - recorded.event.until_us < 1_000_000

    run(main())


def test_approving_where_nothing_waits_is_refused() -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            with pytest.raises(CommandRefused, match="no failover of g waits for an approval"):
                await engine.approve(GROUP)

    run(main())


def test_a_checkpoint_has_one_place() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            seq = await engine.checkpoint("monday")
            with pytest.raises(CommandRefused, match=f"it marks {seq}"):
                await engine.checkpoint("monday")
        (recorded,) = log.read(after=seq - 1, until=seq)
        assert recorded.event == ev.CheckpointMarked(name="monday", author="embedded")

    run(main())
