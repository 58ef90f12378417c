import asyncio

import msgspec
import pytest

from engine.config import Configuration
from engine.core import events as ev
from engine.core.errors import LogError
from engine.core.events import Evidence
from engine.core.fleet import Mode, Role
from engine.core.policy import Automation
from engine.log.memory import Failure, MemoryLog
from engine.runtime.routes import Route, Routes
from tests.engine.real import GROUP, At, configuration, policy_of, run, turning_on

ADDRESSES = {"a": "http://h:1", "b": "http://h:2", "c": "http://h:3"}
LONG_S = 50.0  # never reached


def declared(**weights: int) -> Configuration:
    return configuration(ADDRESSES, policy=policy_of(Mode.ACTIVE_ACTIVE), weights=weights)


def picks(routes: Routes, count: int) -> str:
    found = [routes.pick(GROUP) for _ in range(count)]
    return "".join(route.master if route is not None else "-" for route in found)


async def failed(at: At, name: str, *, times: int = 3) -> None:
    for _ in range(times):
        n = at.turning.driver.working.cache.places[name].master.observers.get("", 0) + 1
        await at.turning.ask(ev.ProbeFailed(n=n, evidence=Evidence.STATUS), subject=name)


def test_nobody_is_picked_before_somebody_serves() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), declared()) as at:
            routes = Routes(at.turning)
            assert routes.pick(GROUP) is None
            with pytest.raises(KeyError):
                routes.pick("nothing")

    run(main())


def test_a_route_names_the_master_its_address_and_its_activation() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), declared()) as at:
            routes = Routes(at.turning)
            await at.answered("b")
            epoch = at.turning.state.groups[GROUP].masters["b"].epoch
            expected = Route(group=GROUP, master="b", address="http://h:2", epoch=epoch)
            assert routes.pick(GROUP) == expected
            assert epoch > 0
            assert routes.is_valid(expected)

    run(main())


def test_picks_are_spread_by_weight_as_the_strategy_says() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), declared(a=5)) as at:
            routes = Routes(at.turning)
            await at.answered("a", "b", "c")
            assert picks(routes, 14) == "aabacaa" * 2
            await at.turning.ask(ev.StrategyAsked(strategy="priority", author="ann"), subject=GROUP)
            assert picks(routes, 3) == "aaa"

    run(main())


def test_what_changes_no_share_does_not_begin_the_round_anew() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), declared()) as at:
            routes = Routes(at.turning)
            await at.answered("a", "b", "c")
            found = ""
            for number in range(6):
                await at.turning.ask(ev.CheckpointMarked(name=f"c{number}", author="ann"))
                found += picks(routes, 1)
            assert found == "abcabc"

    run(main())


def test_a_master_that_fails_is_picked_no_more_once_that_is_durable() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with turning_on(log, declared()) as at:
            routes = Routes(at.turning)
            await at.answered("a", "b", "c")
            route = next(r for _ in range(3) if (r := routes.pick(GROUP)) and r.master == "b")
            await failed(at, "b")
            assert set(picks(routes, 6)) == {"a", "c"}
            assert not routes.is_valid(route)

    run(main())


def test_routes_stay_while_nothing_can_be_written() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with turning_on(log, declared()) as at:
            routes = Routes(at.turning)
            await at.answered("a", "b", "c")
            await failed(at, "b", times=2)
            log.fail_next(Failure.FAILED)
            with pytest.raises(LogError):
                await failed(at, "b", times=1)
            assert set(picks(routes, 3)) == {"a", "b", "c"}  # its failure is not durable
            await at.published.kind(ev.EngineResumed)
            assert set(picks(routes, 3)) == {"a", "b", "c"}

    run(main())


def test_who_waits_is_woken_by_the_first_master_that_serves() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), declared()) as at:
            routes = Routes(at.turning)
            waiting = asyncio.create_task(routes.wait(GROUP, timeout_s=LONG_S))
            await at.answered("c")
            assert (await waiting).master == "c"

    run(main())


def test_who_waits_for_another_than_this_one_is_woken_by_another() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), declared()) as at:
            routes = Routes(at.turning)
            await at.answered("a")
            first = routes.pick(GROUP)
            waiting = asyncio.create_task(routes.wait(GROUP, timeout_s=LONG_S, other_than=first))
            await at.answered("b")
            await failed(at, "a")
            assert (await waiting).master == "b"

    run(main())


def test_waiting_has_an_end() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), declared()) as at:
            with pytest.raises(TimeoutError):
                await Routes(at.turning).wait(GROUP, timeout_s=0.01)

    run(main())


@pytest.mark.parametrize(
    "route",
    [
        Route(group="gone", master="a", address="", epoch=1),
        Route(group=GROUP, master="gone", address="", epoch=1),
        Route(group=GROUP, master="a", address="", epoch=99),
        Route(group=GROUP, master="b", address="", epoch=0),
    ],
)
def test_a_route_of_no_activation_is_not_valid(route: Route) -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), declared()) as at:
            await at.answered("a")
            assert not Routes(at.turning).is_valid(route)

    run(main())


def test_a_master_that_lost_its_activation_is_gone_from_the_routes_before_it_is_fenced() -> None:
    """An engine that only observes fences nobody, and sends nobody there all the same."""

    async def main() -> None:
        observing = msgspec.structs.replace(policy_of(), automation=Automation.OBSERVE)
        async with turning_on(MemoryLog(), configuration(ADDRESSES, policy=observing)) as at:
            routes = Routes(at.turning)
            await at.answered("b", "c")
            for n in (1, 2):  # the first answer of an activation is not judged
                active = ev.ProbeOk(n=n, latency_us=1, boot="a", epoch=7, role="active")
                await at.turning.ask(active, subject="a")
            route = routes.pick(GROUP)
            assert route is not None
            assert routes.is_valid(route)
            other = ev.ProbeOk(n=3, latency_us=1, boot="a", epoch=0, role="standby")
            await at.turning.ask(other, subject="a")
            await at.published.kind(ev.ActivationLost)
            assert at.turning.state.groups[GROUP].masters["a"].role is Role.ACTIVE
            assert not routes.is_valid(route)
            assert routes.pick(GROUP) is None

    run(main())
