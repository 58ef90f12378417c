import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from engine.core import events as ev
from engine.core.events import Evidence
from engine.core.fleet import Mode
from engine.core.policy import GroupPolicy
from engine.log.memory import MemoryLog
from engine.runtime.watch import Watch
from tests.engine.real import At, configuration, only, policy_of, run, turning_on
from tests.engine.runtime.peers import (
    Handler,
    answer,
    closes,
    free_port,
    resets,
    says,
    says_then_closes,
    server,
)

WELL = answer('{"status":"ok","boot":"b1","epoch":0,"role":"standby"}')
POORLY = answer('{"status":"degraded","boot":"b1","epoch":0,"role":"standby"}')


@contextlib.asynccontextmanager
async def watching(log: MemoryLog, address: str) -> AsyncIterator[tuple[At, Watch]]:
    declared = configuration({"a": address}, policy=policy_of(Mode.ACTIVE_ACTIVE))
    async with turning_on(log, declared) as at:
        watch = Watch(at.turning, "a")
        try:
            yield at, watch
        finally:
            await watch.close()


async def first(kind: type[ev.AnyEvent], *handlers: Handler) -> ev.AnyEvent:
    """Return the first event of that kind that watching a master gives."""
    log = MemoryLog()
    async with server(*handlers) as address, watching(log, address) as (at, _):
        return (await at.published.kind(kind)).event


def test_a_good_answer_is_recorded_with_what_it_says() -> None:
    seen = run(first(ev.ProbeOk, says(WELL)))
    assert isinstance(seen, ev.ProbeOk)
    assert (seen.n, seen.boot, seen.epoch, seen.role) == (1, "b1", 0, "standby")
    assert seen.latency_us > 0


def test_a_poor_answer_is_recorded_with_its_reason() -> None:
    seen = run(first(ev.ProbeDegraded, says(POORLY)))
    assert isinstance(seen, ev.ProbeDegraded)
    assert seen.reason
    assert seen.boot == "b1"


def test_an_answer_that_says_no_is_a_failed_probe() -> None:
    seen = run(first(ev.ProbeFailed, says(answer(status=500))))
    assert isinstance(seen, ev.ProbeFailed)
    assert seen.evidence is Evidence.STATUS


def test_where_nobody_listens_the_probe_is_refused() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with watching(log, f"http://127.0.0.1:{free_port()}") as (at, _):
            failed = await at.published.kind(ev.ProbeFailed)
            assert isinstance(failed.event, ev.ProbeFailed)
            assert failed.event.evidence is Evidence.REFUSED

    run(main())


def test_a_look_that_breaks_is_said_and_is_not_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: broken.append(context.get("exception"))
        )
        async with (
            server(says(WELL)) as address,
            watching(MemoryLog(), address) as (at, watch),
        ):
            ask = watch._link.ask

            def breaks(**asked: Any) -> None:
                monkeypatch.setattr(watch._link, "ask", ask)
                raise ZeroDivisionError

            monkeypatch.setattr(watch._link, "ask", breaks)
            seen = await at.published.kind(ev.ProbeOk)
            assert isinstance(seen.event, ev.ProbeOk)
            assert seen.event.n == 2

    run(main())
    assert [type(each) for each in broken] == [ZeroDivisionError]


def test_probes_are_numbered_on_by_the_engine_that_starts_next() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with server(says(WELL)) as address:
            for _ in range(2):
                seq = log.head.seq
                async with watching(log, address) as (at, _watch):
                    first = await at.published.kind(ev.ProbeOk, after=seq)
                    await at.published.kind(ev.ProbeOk, after=first.seq)
        numbers = [seen.n for seen in only(log, ev.ProbeOk)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 4

    run(main())


def test_the_end_of_a_connection_is_a_question_and_the_next_probe_is_sent_at_once() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with (
            server(says_then_closes(WELL), says(WELL)) as address,
            watching(log, address) as (at, _),
        ):
            closed = await at.published.kind(ev.ConnectionClosed)
            assert closed.event == ev.ConnectionClosed(evidence=Evidence.CLOSED)
            again = await at.published.kind(ev.ProbeOk, after=closed.seq)
            assert again.at_us >= closed.at_us
        assert only(log, ev.MasterFailed) == []

    run(main())


def test_a_connection_that_is_reset_is_a_question_too() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with (
            server(resets, closes, says(WELL)) as address,
            watching(log, address) as (at, _),
        ):
            await at.published.kind(ev.ProbeOk)
        assert only(log, ev.MasterFailed) == []

    run(main())


def test_traffic_that_met_the_end_of_a_connection_makes_the_watch_look_at_once() -> None:
    async def main() -> None:
        log = MemoryLog()
        slow = slow_probe(policy_of(Mode.ACTIVE_ACTIVE))
        async with server(says(WELL)) as address:
            declared = configuration({"a": address}, policy=slow)
            async with turning_on(log, declared) as at:
                watch = Watch(at.turning, "a")
                first = await at.published.kind(ev.ProbeOk)
                watch.look(Evidence.RESET)
                watch.look(Evidence.RESET)  # asked already: it is not asked twice
                asked = await at.published.kind(ev.ConnectionClosed)
                assert asked.event == ev.ConnectionClosed(
                    evidence=Evidence.RESET, observer="traffic"
                )
                again = await at.published.kind(ev.ProbeOk, after=asked.seq)
                assert again.seq > first.seq
                await watch.close()
        assert len(only(log, ev.ConnectionClosed)) == 1

    run(main())


def slow_probe(policy: GroupPolicy) -> GroupPolicy:
    probe = msgspec.structs.replace(policy.probe, interval_us=3_600_000_000)
    return msgspec.structs.replace(policy, probe=probe)


def test_a_watch_begins_after_its_turn_within_the_interval() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with server(says(WELL)) as address:
            declared = configuration({"a": address}, policy=policy_of(Mode.ACTIVE_ACTIVE))
            async with turning_on(log, declared) as at:
                late = Watch(at.turning, "a", phase_s=3_600.0)
                await asyncio.sleep(0)
                soon = Watch(at.turning, "a")
                seen = await at.published.kind(ev.ProbeOk)
                assert isinstance(seen.event, ev.ProbeOk)
                assert seen.event.n == 1
                await soon.close()
                await late.close()

    run(main())


def test_closing_twice_is_closing() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with server(says(WELL)) as address, watching(log, address) as (at, watch):
            await at.published.kind(ev.ProbeOk)
            await watch.close()
            seq = at.turning.driver.working.seq  # the log may not have all of it yet
            await at.turning.ask(ev.CheckpointMarked(name="c", author="ann"))
            assert log.head.seq == seq + 1

    run(main())
