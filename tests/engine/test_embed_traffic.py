import errno
import socket

import pytest

from engine.core import events as ev
from engine.core.errors import (
    CommandRefused,
    NoMaster,
    StaleEpoch,
)
from engine.core.events import Evidence, Recorded
from engine.core.policy import ALERTS
from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.runtime.routes import Route
from tests.engine.real import (
    GROUP,
    Fleet,
    configuration,
    fleet,
    nobody,
    of,
    only,
    run,
    seen,
    served_by,
)

__all__ = ["fleet"]


async def asks(route: Route) -> str:
    return route.master


def test_a_call_goes_to_the_active_master_under_its_epoch(fleet: Fleet) -> None:
    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:

            async def send(route: Route) -> Route:
                return route

            route = await engine.call(GROUP, send)  # waits for the first active
            assert (route.master, route.address) == ("a", fleet.addresses["a"])
            assert route.epoch == engine.state.groups[GROUP].masters["a"].epoch > 0
            assert engine.pick(GROUP) == route
            async with engine.route(GROUP) as same:
                assert same == route

    run(main())


def test_where_nobody_serves_there_is_no_master_in_time() -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            assert engine.pick(GROUP) is None
            with pytest.raises(NoMaster, match=r"nobody of g could serve within 0\.02 s"):
                await engine.call(GROUP, asks, timeout_s=0.02)
            with pytest.raises(NoMaster):
                async with engine.route(GROUP, timeout_s=0.02):
                    raise AssertionError("nobody serves")

    run(main())


def test_a_group_that_is_not_there_is_refused_with_those_that_are() -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            expected = "no group 'h': expected one of g"
            with pytest.raises(CommandRefused, match=expected):
                engine.pick("h")
            with pytest.raises(CommandRefused, match=expected):
                await engine.call("h", asks)
            with pytest.raises(CommandRefused, match=expected):
                await engine.switchover("h")
            with pytest.raises(CommandRefused, match=expected):
                await engine.pause("h", reason="none")

    run(main())


def test_an_idempotent_call_is_issued_again_to_the_master_that_took_over(fleet: Fleet) -> None:
    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
            await served_by(engine, "a")
            sent: list[str] = []

            async def send(route: Route) -> str:
                sent.append(route.master)
                if route.master == "a":
                    fleet.masters["a"].process.kill()
                    raise ConnectionResetError("it died under the call")
                return route.master

            assert await engine.call(GROUP, send, idempotent=True) == "b"
            assert sent == ["a", "b"]

    run(main())


def test_a_call_that_may_not_run_twice_fails_as_its_connection_did(fleet: Fleet) -> None:
    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
            await served_by(engine, "a")

            async def send(route: Route) -> str:
                raise ConnectionResetError("cut")

            with pytest.raises(ConnectionResetError, match="cut"):
                await engine.call(GROUP, send)

    run(main())


def test_an_idempotent_call_is_issued_at_most_twice(fleet: Fleet) -> None:
    async def main() -> None:
        declared = configuration(fleet.addresses)
        async with Engine(declared, log=MemoryLog()) as engine:
            await served_by(engine, "a")
            sent: list[str] = []

            async def send(route: Route) -> str:
                sent.append(route.master)
                raise ConnectionResetError("cut")

            with pytest.raises(ConnectionResetError):
                await engine.call(GROUP, send, idempotent=True)
            assert sent == ["a", "a"]  # it answers its probes, so nobody took its place
            asked = await seen(engine, ev.ConnectionClosed)
            await seen(engine, ev.ConnectionClosed, after=asked.seq)  # it was asked both times

    run(main())


@pytest.mark.parametrize("is_idempotent", [True, False])
def test_what_was_done_under_a_revoked_activation_does_not_count(
    fleet: Fleet, *, is_idempotent: bool
) -> None:
    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
            await served_by(engine, "a")
            sent: list[str] = []

            async def send(route: Route) -> str:
                sent.append(route.master)
                if route.master == "a":
                    await engine.failover(GROUP, to="b")
                return route.master

            if is_idempotent:
                assert await engine.call(GROUP, send, idempotent=True) == "b"
                assert sent == ["a", "b"]
            else:
                with pytest.raises(StaleEpoch, match="a served g under"):
                    await engine.call(GROUP, send)
                assert sent == ["a"]

    run(main())


def test_a_route_is_compared_on_leaving(fleet: Fleet) -> None:
    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
            await served_by(engine, "a")
            with pytest.raises(StaleEpoch):
                async with engine.route(GROUP):
                    await engine.failover(GROUP, to="b")
            ended = engine.state.seq

            async def fails() -> None:
                async with engine.route(GROUP):
                    await engine.failover(GROUP, to="a")
                    raise ZeroDivisionError

            def is_back(recorded: Recorded) -> bool:
                # An answer that was on its way since before the fence has it fenced once more.
                return (
                    isinstance(recorded.event, ev.ProbeOk)
                    and (recorded.subject, recorded.event.role) == ("a", "fenced")
                    and engine.state.groups[GROUP].masters["a"].fence is None
                )

            await seen(engine, is_back, after=ended)
            with pytest.raises(ZeroDivisionError):  # what went wrong inside is not covered up
                await fails()

    run(main())


@pytest.mark.parametrize(
    ("error", "evidence"),
    [(ConnectionResetError(), Evidence.RESET), (BrokenPipeError(), Evidence.CLOSED)],
)
def test_traffic_whose_connection_failed_is_a_question_to_the_master(
    fleet: Fleet, error: OSError, evidence: Evidence
) -> None:
    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
            await served_by(engine, "a")
            with pytest.raises(type(error)):
                async with engine.route(GROUP):
                    raise error
            asked = await seen(engine, ev.ConnectionClosed)
            assert asked.subject == "a"
            assert asked.event == ev.ConnectionClosed(evidence=evidence, observer="traffic")
            await seen(engine, of(ev.ProbeOk, "a"), after=asked.seq)
            route = engine.pick(GROUP)
            assert route is not None
            assert route.master == "a"

    run(main())


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EHOSTUNREACH, "no way there"),
        OSError(errno.ENETUNREACH, "no way there"),
        OSError(errno.ETIMEDOUT, "the system gave up"),
        socket.gaierror(socket.EAI_NONAME, "no such name"),
    ],
)
def test_whatever_kept_a_connection_from_the_master_is_a_question(
    fleet: Fleet, error: OSError
) -> None:
    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
            await served_by(engine, "a")
            with pytest.raises(OSError, match=str(error.strerror)):
                async with engine.route(GROUP):
                    raise error
            await seen(engine, of(ev.ConnectionClosed, "a"))

    run(main())


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "no such file"),
        PermissionError(errno.EACCES, "not yours"),
        OSError(errno.ENOSPC, "no space"),
        OSError("of no number"),
        ValueError("no error of the system"),
    ],
)
def test_what_goes_wrong_in_a_callers_own_work_is_no_question_and_is_not_tried_again(
    fleet: Fleet, error: Exception
) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
            sent: list[str] = []

            async def send(route: Route) -> str:
                sent.append(route.master)
                raise error

            with pytest.raises(type(error)):
                await engine.call(GROUP, send, idempotent=True)
            with pytest.raises(type(error)):
                async with engine.route(GROUP):
                    raise error
            await seen(engine, of(ev.ProbeOk, "a"), after=engine.state.seq)
            assert sent == ["a"]
        assert only(log, ev.ConnectionClosed) == []

    run(main())


def test_a_call_that_ran_out_of_time_is_issued_again_and_asks_nothing(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
            sent: list[str] = []

            async def send(route: Route) -> str:
                sent.append(route.master)
                if len(sent) == 1:
                    raise TimeoutError
                return route.master

            assert await engine.call(GROUP, send, idempotent=True) == "a"
            assert sent == ["a", "a"]
        assert only(log, ev.ConnectionClosed) == []

    run(main())


def test_traffic_that_is_slow_is_no_question(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
            with pytest.raises(TimeoutError):
                async with engine.route(GROUP):
                    raise TimeoutError
            await seen(engine, of(ev.ProbeOk, "a"), after=engine.state.seq)
        assert only(log, ev.ConnectionClosed) == []

    run(main())


def test_what_calls_add_up_to_in_a_minute_becomes_an_alert(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(fleet.addresses, alerts=ALERTS), log=log) as engine:

            async def late(route: Route) -> None:
                raise TimeoutError

            await engine.call(GROUP, asks)
            for _ in range(19):
                with pytest.raises(TimeoutError):
                    await engine.call(GROUP, late)
            await engine._figuring.turn()
            await engine._figuring.turn()
        counted = only(log, ev.FiguresDerived)
        assert [event.figures[:2] for event in counted if event.what == "traffic"] == [
            (("calls", 20), ("errors", 19)),
            (("calls", 0), ("errors", 0)),
        ]
        kinds = [event.kind for event in only(log, ev.AlertRaised)]
        assert "errors" in kinds

    run(main())
