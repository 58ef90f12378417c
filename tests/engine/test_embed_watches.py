"""A running engine watches who is there: masters come, go, move, or are looked at otherwise."""

import asyncio
import threading
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from engine.config import Configuration
from engine.core import events as ev
from engine.core.errors import CommandRefused, LogError
from engine.core.events import Recorded
from engine.core.policy import MS, Automation
from engine.core.terms import Keyed
from engine.embed import Engine
from engine.log.append_keys import Appended
from engine.log.memory import MemoryLog
from engine.log.protocol import NO_BODIES
from engine.runtime import watches
from tests.engine.real import GROUP, FullLog, configuration, of, only, policy_of, run, seen
from tests.engine.runtime.peers import answer, says, server

ONE = says(answer('{"status":"ok","boot":"one"}'))
TWO = says(answer('{"status":"ok","boot":"two"}'))


def declared(addresses: dict[str, str], **probe: object) -> Configuration:
    # Only who stands by may go or move; where the engine observes, all that say no role do.
    policy = msgspec.structs.replace(policy_of(), automation=Automation.OBSERVE)
    settings = msgspec.structs.replace(policy.probe, **probe)
    return configuration(addresses, policy=msgspec.structs.replace(policy, probe=settings))


async def adopt(engine: Engine, offered: Configuration) -> int:
    """Let the running engine take another configuration; return its seq."""
    loaded = ev.ConfigurationLoaded(
        digest=offered.digest, policy=offered.policy, masters=offered.masters
    )
    taken = await engine._turning.ask(loaded)
    assert taken.reasons == ()
    return taken.seq


def boots(log: MemoryLog, subject: str, *, after: int) -> set[str]:
    return {
        recorded.event.boot
        for recorded in log.read(after)
        if isinstance(recorded.event, ev.ProbeOk) and recorded.subject == subject
    }


def numbers(log: MemoryLog, subject: str) -> list[int]:
    return [
        recorded.event.n
        for recorded in log.read()
        if isinstance(recorded.event, ev.ProbeOk | ev.ProbeFailed) and recorded.subject == subject
    ]


def test_a_master_that_comes_is_watched_and_one_that_goes_is_not() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with server(ONE) as one, server(TWO) as two:
            async with Engine(declared({"a": one, "b": two}), log=log) as engine:
                await seen(engine, of(ev.ProbeOk, "a"))
                await seen(engine, of(ev.ProbeOk, "b"))
                seq = await adopt(engine, declared({"b": two, "c": one}))
                added = await seen(engine, of(ev.ProbeOk, "c"), after=seq)
                # Some more probes of those that are left, and none of the one that is gone.
                for _ in range(5):
                    added = await seen(engine, of(ev.ProbeOk, "b"), after=added.seq)
                assert set(engine.state.cache.places) == {"b", "c"}
                assert len(asyncio.all_tasks()) < 20
            gone = next(
                recorded.seq
                for recorded in log.read(seq)
                if isinstance(recorded.event, ev.MasterRemoved)
            )
            assert boots(log, "a", after=gone) == set()
            assert numbers(log, "b") == sorted(set(numbers(log, "b")))

    run(main())


def test_a_master_that_moves_is_watched_where_it_is_and_counted_on() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with server(ONE) as one, server(TWO) as two:  # noqa: SIM117
            async with Engine(declared({"a": one, "b": two}), log=log) as engine:
                await seen(engine, of(ev.ProbeOk, "a"))
                seq = await adopt(engine, declared({"a": two, "b": one}))
                moved = await seen(
                    engine,
                    lambda recorded: (
                        isinstance(recorded.event, ev.ProbeOk)
                        and recorded.subject == "a"
                        and recorded.event.boot == "two"
                    ),
                    after=seq,
                )
                await seen(engine, of(ev.ProbeOk, "a"), after=moved.seq)
        assert boots(log, "a", after=moved.seq) == {"two"}
        assert numbers(log, "a") == sorted(set(numbers(log, "a")))
        assert only(log, ev.MasterFailed) == []

    run(main())


def test_another_way_of_looking_takes_over_at_once() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with server(ONE) as one, Engine(declared({"a": one}), log=log) as engine:
            await seen(engine, of(ev.ProbeOk, "a"))
            changed = declared({"a": one}, kind="push", timeout_us=30 * MS)
            seq = await adopt(engine, changed)
            missed = await seen(engine, of(ev.ProbeFailed, "a"), after=seq)
            assert isinstance(missed.event, ev.ProbeFailed)
            assert missed.event.detail == "no beat"
            engine.hearing.beat("a", b'{"boot":"beat"}')
            beat = await seen(engine, of(ev.ProbeOk, "a"), after=missed.seq)
            assert isinstance(beat.event, ev.ProbeOk)
            assert beat.event.boot == "beat"
            await adopt(engine, declared({"a": one}))
            with pytest.raises(CommandRefused, match="a is probed by http"):
                engine.hearing.beat("a", b"")
        assert numbers(log, "a") == sorted(set(numbers(log, "a")))

    run(main())


def test_a_way_of_looking_that_lacks_something_is_said_and_stops_nobody() -> None:
    async def main() -> None:
        log = MemoryLog()
        said: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: said.append(context["message"]))
        async with server(ONE) as one, Engine(declared({"a": one}), log=log) as engine:
            await seen(engine, of(ev.ProbeOk, "a"))
            await adopt(engine, declared({"a": one}, kind="python"))
            seq = await adopt(engine, declared({"a": one}))
            await seen(engine, of(ev.ProbeOk, "a"), after=seq)
        assert [line for line in said if f'@engine.probe("{GROUP}")' in line]

    run(main())


def test_a_master_whose_way_of_looking_lacked_something_is_looked_at_when_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        log = MemoryLog()
        said: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: said.append(context["message"]))
        monkeypatch.setattr(watches, "RETRY_S", 0.01)
        async with server(ONE) as one, Engine(declared({"a": one}), log=log) as engine:
            await seen(engine, of(ev.ProbeOk, "a"))
            seq = await adopt(engine, declared({"a": one}, kind="python"))
            for _ in range(3):  # it is tried again, and said once
                retry = engine._watches._retry
                while engine._watches._retry is retry:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            engine.probe(GROUP)(lambda _: True)
            await seen(engine, of(ev.ProbeOk, "a"), after=seq)
        assert len(said) == 1

    run(main())


class Gated(FullLog):
    """A log that waits with each append until it may; after `passes` more of them it is full."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()
        self.may.set()
        self.passes = -1  # -1: any number

    def append(
        self,
        events: Sequence[Recorded],
        *,
        bodies: Mapping[bytes, bytes] = NO_BODIES,
        key: str = "",
        keyed: Sequence[Keyed] = (),
    ) -> Appended:
        self.may.wait()
        self.is_full = self.passes == 0
        self.passes -= self.passes > 0
        return super().append(events, bodies=bodies, key=key, keyed=keyed)


def test_a_master_whose_removal_was_lost_is_watched_again() -> None:
    async def main() -> None:
        log = Gated()
        async with server(ONE) as one, server(TWO) as two:  # noqa: SIM117
            async with Engine(declared({"a": one, "b": two}), log=log) as engine:
                await seen(engine, of(ev.ProbeOk, "a"))
                await seen(engine, of(ev.MasterHealthy, "b"))
                log.may.clear()
                adding = asyncio.create_task(
                    adopt(engine, declared({"a": one, "b": two, "c": "http://127.0.0.1:1"}))
                )
                while not (  # noqa: ASYNC110
                    engine._turning.driver.is_appending
                    and "c" in engine._turning.driver.working.cache.places
                ):
                    await asyncio.sleep(0)
                removing = asyncio.create_task(engine.remove_master("a", author="ann"))
                while "a" in engine._turning.driver.working.cache.places:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                log.passes = 1
                log.may.set()
                await adding
                with pytest.raises(LogError, match="no space"):
                    await removing
                log.passes = -1
                resumed = await seen(engine, ev.EngineResumed)
                assert "a" in engine.state.cache.places
                await seen(engine, of(ev.ProbeOk, "a"), after=resumed.seq)

    run(main())
