import asyncio
import os
import threading
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import (
    ConfigurationError,
    LogConflict,
    LogError,
    LogFull,
)
from engine.core.replay import replay
from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.log.sqlite import SqliteLog, open_log
from engine.runtime.failpoints import NAMES
from projections.audit import AUDIT
from projections.base import Projection, V, fold
from projections.uptime import UPTIME
from projections.weights import WEIGHTS
from tests.engine.real import (
    GROUP,
    NOBODY,
    Fleet,
    configuration,
    fleet,
    kinds,
    nobody,
    only,
    policy_of,
    run,
    seen,
    served_by,
)

__all__ = ["fleet"]


# Following.


def test_following_misses_nothing_and_repeats_nothing_however_slow() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            for number in range(1_500):  # more than one read of the log
                engine._turning.record(ev.CheckpointMarked(name=f"early-{number}", author="a"))
            await engine.checkpoint("begin")
            seqs: dict[str, list[int]] = {"quick": [], "slow": [], "late": []}

            async def follow(name: str, after: int) -> None:
                async for recorded in engine.follow(after):
                    seqs[name].append(recorded.seq)
                    if name == "slow" and recorded.seq % 7 == 0:
                        await asyncio.sleep(0.001)  # what it is slow at; nothing waits for it

            begin = engine.state.seq
            tasks = [
                asyncio.create_task(follow("quick", 0)),
                asyncio.create_task(follow("slow", 0)),
                asyncio.create_task(follow("late", begin)),
            ]
            for number in range(300):
                await engine.checkpoint(f"c-{number}")
            end = engine.state.seq
        await asyncio.gather(*tasks)  # following ends with the engine, after the last event
        last = log.head.seq
        assert last >= end
        assert seqs["quick"] == list(range(1, last + 1))
        assert seqs["late"] == list(range(begin + 1, last + 1))
        assert seqs["slow"] == list(range(1, last + 1))

    run(main())


def test_who_is_too_far_behind_to_be_held_reads_the_log() -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            following = engine.follow(0, held_max=10)
            seqs = [(await anext(following)).seq]
            for number in range(40):
                await engine.checkpoint(f"c-{number}")
            while len(seqs) < engine.state.seq:
                seqs.append((await anext(following)).seq)
            await following.aclose()
            assert seqs == list(range(1, len(seqs) + 1))

    run(main())


def test_following_from_beyond_the_end_waits_for_what_comes_there() -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            beyond = engine.state.seq + 5
            following = asyncio.create_task(seen(engine, lambda _: True, after=beyond))
            await asyncio.sleep(0)
            for number in range(10):
                await engine.checkpoint(f"c-{number}")
            assert (await following).seq == beyond + 1

    run(main())


def test_reading_gives_what_was_asked_for() -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            for number in range(5):
                await engine.checkpoint(f"c-{number}")
            found = await engine.read(after=2, count_max=3)
            assert [recorded.seq for recorded in found] == [3, 4, 5]
            assert await engine.read(after=engine.state.seq, count_max=3) == []

    run(main())


# Starting and ending.


def test_the_same_configuration_is_adopted_once_and_another_one_again() -> None:
    async def main() -> None:
        log = MemoryLog()
        for _ in range(2):
            async with Engine(nobody(), log=log) as engine:
                assert engine.refused == ()
                assert engine.policy == nobody().policy
        assert kinds(log).count("PolicyAdopted") == 1
        assert kinds(log).count("ConfigurationLoaded") == 2
        other = configuration(NOBODY, policy=policy_of(hold_down_us=1_000))
        async with Engine(other, log=log) as engine:
            assert engine.refused == ()
            assert engine.policy == other.policy != nobody().policy
        async with Engine(log=log) as engine:  # without one, what the log holds is in force
            assert engine.policy == other.policy
        assert kinds(log).count("PolicyAdopted") == 2

    run(main())


def test_a_refused_configuration_is_reported_at_every_start_and_changes_nothing(
    fleet: Fleet,
) -> None:
    async def main() -> None:
        log = MemoryLog()
        declared = configuration(fleet.addresses)
        async with Engine(declared, log=log) as engine:
            await served_by(engine, "a")
        unfit = configuration({"b": fleet.addresses["b"]})  # without the active master
        for _ in range(2):
            async with Engine(unfit, log=log) as engine:
                assert engine.refused == ("master a of g is active",)
                assert engine.policy == declared.policy
                assert set(engine.state.groups[GROUP].masters) == {"a", "b"}
        async with Engine(declared, log=log) as engine:
            assert engine.refused == ()
        assert kinds(log).count("PolicyAdopted") == 1

    run(main())


def test_an_engine_needs_a_log_or_a_configuration() -> None:
    with pytest.raises(ConfigurationError):
        Engine()


def test_an_engine_that_starts_again_takes_up_what_the_log_says(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
        assert st.digest(replay(log.read())) == engine.digest()
        last_us = log.head.at_us
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
            started = only(log, ev.EngineStarted)[-1]
            assert started.stopped_at_us == last_us
        assert kinds(log).count("Switched") == 1

    run(main())


def test_what_was_observed_is_durable_when_the_engine_has_ended(tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "t.db")
        declared = configuration(NOBODY, flush_us=3_600_000_000)
        async with Engine(declared, log=path) as engine:
            await engine.accept(GROUP, b"work", key="m")
            seq = engine._turning.record(ev.CheckpointMarked(name="last", author="a"))
        with open_log(path) as log:
            (recorded,) = log.read(after=seq - 1, until=seq)
            assert recorded.event == ev.CheckpointMarked(name="last", author="a")
            assert st.digest(replay(log.read())) == engine.digest()

    run(main())


def test_nothing_can_be_asked_of_an_engine_that_has_ended() -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            pass
        with pytest.raises(LogError, match="the engine has ended"):
            await engine.accept(GROUP, b"work", key="m")
        with pytest.raises(LogError, match="the engine has ended"):
            await engine.checkpoint("late")
        assert engine.failure == "the engine has ended"

    run(main())


def test_an_engine_whose_body_fails_ends_all_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "t.db")
        with pytest.raises(ZeroDivisionError):
            async with Engine(nobody(), log=path):
                raise ZeroDivisionError
        async with Engine(nobody(), log=path) as engine:
            assert engine.failure == ""

    run(main())


def test_every_failpoint_is_passed_by_a_run_with_a_failover_and_messages(fleet: Fleet) -> None:
    async def main() -> None:
        passed: set[str] = set()
        words: set[str] = set()

        def hit(name: str, detail: str) -> None:
            passed.add(name)
            if name == "log.after_commit":
                words.update(detail.split())

        async with Engine(configuration(fleet.addresses), log=MemoryLog(), failpoint=hit) as engine:
            await served_by(engine, "a")
            await engine.accept(GROUP, b"work", key="m")
            await seen(engine, ev.MessageDone)
            await engine.failover(GROUP)
        assert passed == set(NAMES)
        assert {"MessageAccepted", "MasterFenced", "Switched"} <= words

    run(main())


def test_an_engine_whose_log_another_took_over_ends_and_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "t.db"
        async with Engine(nobody(), log=str(path)) as engine:
            followed = asyncio.create_task(anext(engine.follow(engine.state.seq + 1_000), None))
            await engine.checkpoint("mine")
            assert not engine.ended.is_set()
            os.unlink(f"{path}.lock")  # what an operator should not do
            with open_log(path, mode="write") as other:
                with pytest.raises(LogConflict):
                    await engine.checkpoint("lost")
                await engine.ended.wait()
                assert "another writer took the log over" in engine.failure
                assert await followed is None  # who follows is told that nothing comes any more
                with pytest.raises(LogConflict):
                    await engine.accept(GROUP, b"work", key="m")
                head = other.head
        with open_log(path) as log:
            assert log.head == head

    run(main())


# Stored views.


def is_whole(log: SqliteLog, projection: Projection[V]) -> None:
    """Assert that the stored view is that of the whole log, byte by byte."""
    stored = log.load_view(projection.name)
    assert stored is not None
    assert (stored.version, stored.position) == (projection.version, log.head.seq)
    assert stored.data == projection.dump(fold(projection, log.read()))


def test_after_a_run_the_stored_views_are_those_of_a_fresh_fold(
    fleet: Fleet, tmp_path: Path
) -> None:
    path = str(tmp_path / "t.db")

    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=path) as engine:
            await served_by(engine, "a")
            await engine.accept(GROUP, b"work", key="m")
            fleet.masters["a"].process.kill()
            await served_by(engine, "b")

    run(main())
    with open_log(path) as log:
        is_whole(log, AUDIT)
        is_whole(log, UPTIME)
        is_whole(log, WEIGHTS)


def test_a_view_that_cannot_be_stored_stops_nothing() -> None:
    class Viewless(MemoryLog):
        def catch_up(self, name: str, *, limit_events: int = 1) -> int:
            raise LogFull("no room for a view")

    async def main() -> None:
        log = Viewless()
        async with Engine(nobody(), log=log) as engine:
            await engine.checkpoint("c")
        assert log.load_view(AUDIT.name) is None
        assert "CheckpointMarked" in kinds(log)

    run(main())


def test_an_engine_whose_log_was_deleted_ends_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "t.db"

    async def main() -> None:
        async with Engine(nobody(), log=str(path)) as engine:
            await engine.checkpoint("before")
            path.unlink()
            with pytest.raises(LogError, match="deleted, moved or replaced"):
                await engine.checkpoint("after")
            await engine.ended.wait()
            assert "deleted, moved or replaced" in engine.failure

    run(main())


def test_questions_that_take_long_leave_what_is_owed_its_threads() -> None:
    async def main() -> None:
        free = threading.Event()
        async with Engine(nobody(), log=MemoryLog()) as engine:
            asked = [asyncio.create_task(engine.look(lambda _: free.wait())) for _ in range(40)]
            try:
                # Bodies and kept state are read in these.
                assert await asyncio.to_thread(lambda: "read") == "read"
            finally:
                free.set()
            assert await asyncio.gather(*asked) == [True] * 40

    run(main())
