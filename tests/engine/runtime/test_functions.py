"""Functions of a service that misbehave: each look and step ends all the same, and the engine."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from engine.core.events import Evidence, Result
from engine.core.fleet import Master
from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.runtime import ending
from engine.runtime.carriers.asked import Asked, Carried
from engine.runtime.carriers.function import Functions
from engine.runtime.seen import Failure
from engine.runtime.tasked import FunctionLink
from tests.engine.real import GROUP, run
from tests.engine.test_embed_probes import looked_at

PATIENCE_US = 10_000_000
MASTER = Master(id="a", group=GROUP, address="bot://a")


class Stubborn:
    """A function that goes on although it is cancelled, until it may end."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.has_ended = asyncio.Event()

    async def __call__(self) -> None:
        self.has_begun.set()
        while not self.may_end.is_set():
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                continue
        self.has_ended.set()
        raise ValueError("nobody hears that")


def asked(timeout_us: int = PATIENCE_US) -> Asked:
    return Asked(
        step="promote",
        group=GROUP,
        mode="active-standby",
        master="a",
        address="bot://a",
        failover=1,
        epoch=2,
        timeout_us=timeout_us,
    )


def functions(function: Callable[[], Awaitable[None]]) -> Functions:
    found = Functions()

    async def promote(_: Asked) -> None:
        await function()

    found.register(GROUP, "promote", promote)
    return found


async def ended_elsewhere() -> None:
    """Wait for what somebody else has cancelled, as a closed connection does with its reads."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


def test_a_check_that_is_cancelled_by_its_own_has_failed() -> None:
    async def main() -> None:
        async def look(_: Master) -> None:
            await ended_elsewhere()

        link = FunctionLink(look, MASTER)
        for _ in range(2):  # and is made again
            said = await link.probe(fresh=False, timeout_us=PATIENCE_US)
            assert isinstance(said, Failure)
            assert said.evidence is Evidence.STATUS
            assert said.detail == "CancelledError: what it waited for was ended"
        await link.close()

    run(main())


def test_a_look_that_is_given_up_says_nothing_of_its_master() -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def look(_: Master) -> None:
            begun.set()
            await asyncio.Event().wait()

        link = FunctionLink(look, MASTER)
        probe = link.probe(fresh=False, timeout_us=PATIENCE_US)
        await begun.wait()
        assert link._looking is not None
        link._looking.cancel()  # as a loop does that ends with all its tasks
        with pytest.raises(asyncio.CancelledError):
            await probe
        await link.close()

    run(main())


def test_a_step_that_is_cancelled_by_its_own_has_an_outcome() -> None:
    async def main() -> None:
        carried = await functions(ended_elsewhere).carry(asked())
        detail = "CancelledError: what it waited for was ended"
        assert carried == Carried(result=Result.UNKNOWN, detail=detail)

    run(main())


def test_a_step_that_does_not_end_has_an_outcome_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "ENDS_S", 0.0)

    async def main() -> None:
        stubborn = Stubborn()
        carried = await functions(stubborn).carry(asked(timeout_us=1))
        assert carried == Carried(result=Result.UNKNOWN, detail="no answer in time")
        stubborn.may_end.set()
        await left()

    run(main())


def test_a_step_that_is_given_up_is_ended() -> None:
    async def main() -> None:
        begun = asyncio.Event()
        ended = asyncio.Event()

        async def work() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        carrying = asyncio.ensure_future(functions(work).carry(asked()))
        await begun.wait()
        carrying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await carrying
        assert ended.is_set()

    run(main())


def test_an_engine_ends_although_a_check_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "ENDS_S", 0.0)

    async def main() -> None:
        engine, stubborn = Engine(looked_at(kind="python"), log=MemoryLog()), Stubborn()

        @engine.probe(GROUP)
        async def look(_: Master) -> None:
            await stubborn()

        async with engine:
            await stubborn.has_begun.wait()
        assert not stubborn.has_ended.is_set()
        stubborn.may_end.set()
        await left()

    run(main())


async def left() -> None:
    """Wait for what was left to itself."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
