"""An engine that looks by functions of its service, and what calls say of the masters."""

import asyncio
import contextlib
import errno
from collections.abc import Callable

import msgspec
import pytest

from engine.config import Configuration
from engine.core import events as ev
from engine.core.errors import ConfigurationError
from engine.core.events import Evidence, Recorded
from engine.core.fleet import Master, Mode
from engine.core.policy import EJECTION, HOUR, Balance, Secret
from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.runtime import traffic
from engine.runtime.routes import Route
from tests.engine.real import GROUP, Fleet, configuration, fleet, of, only, policy_of, run, seen

__all__ = ["fleet"]


def looked_at(address: str = "bot://127.0.0.1:1", **probe: object) -> Configuration:
    policy = policy_of(Mode.ACTIVE_ACTIVE)
    settings = msgspec.structs.replace(policy.probe, **probe)
    return configuration({"a": address}, policy=msgspec.structs.replace(policy, probe=settings))


def test_a_function_of_the_service_looks_at_its_masters() -> None:
    async def main() -> None:
        log = MemoryLog()
        engine = Engine(looked_at(kind="python"), log=log)
        asked: list[Master] = []

        @engine.probe(GROUP)
        async def look(master: Master) -> object:
            asked.append(master)
            if len(asked) == 1:
                return {"status": "ok", "boot": "b1", "freshness": 7}
            raise ConnectionRefusedError("nobody is there")

        async with engine:
            well = (await seen(engine, of(ev.ProbeOk, "a"))).event
            assert isinstance(well, ev.ProbeOk)
            assert well.boot == "b1"
            failed = (await seen(engine, of(ev.ProbeFailed, "a"))).event
            assert isinstance(failed, ev.ProbeFailed)
            assert (failed.evidence, failed.detail) == (Evidence.REFUSED, "nobody is there")
        assert asked[0].id == "a"
        assert only(log, ev.LoadReported)[0].position == 7

    run(main())


@pytest.mark.parametrize(
    ("declared", "word"),
    [
        (looked_at(kind="python"), '@engine.probe("g")'),
        (looked_at("https://a:1", kind="https", ca="/no/such.pem"), "groups.g.probe.ca: expected"),
        (
            looked_at("redis://a:1", kind="redis", password=Secret(env="TANIST_NO_SUCH")),
            "groups.g.probe.password: expected a password in $TANIST_NO_SUCH",
        ),
        (looked_at(kind="from a later release"), "looks by no probe of the kind"),
    ],
)
def test_what_a_probe_lacks_is_said_at_the_start(declared: Configuration, word: str) -> None:
    async def main() -> None:
        with pytest.raises(ConfigurationError, match=r"^(?s:.*)") as caught:
            async with Engine(declared, log=MemoryLog()):
                raise AssertionError("it looks at nobody")
        (mistake,) = caught.value.mistakes
        assert word in mistake

    run(main())


def test_the_share_of_calls_that_failed_is_reported(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "TELL_S", 0.01)
    declared = configuration(fleet.addresses, policy=policy_of(Mode.ACTIVE_ACTIVE))

    async def main() -> None:
        async with Engine(declared, log=MemoryLog()) as engine:

            async def send(route: Route) -> None:
                if route.master == "b":
                    raise TimeoutError

            await seen(engine, of(ev.Activated, "a"))
            await seen(engine, of(ev.Activated, "b"))
            for _ in range(8):
                with contextlib.suppress(TimeoutError):
                    await engine.call(GROUP, send)
            of_a = (await seen(engine, of_traffic("a"))).event
            of_b = (await seen(engine, of_traffic("b"))).event
            assert of_a == ev.LoadReported(errors_ppm=0, observer="traffic")
            assert of_b == ev.LoadReported(errors_ppm=1_000_000, observer="traffic")

    run(main())


def of_traffic(master: str) -> Callable[[Recorded], bool]:
    return lambda recorded: (
        isinstance(recorded.event, ev.LoadReported)
        and recorded.event.observer == "traffic"
        and recorded.subject == master
    )


def test_a_master_that_fails_its_requests_gets_none_for_a_while(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "WINDOW_S", 0.2)
    for_long = msgspec.structs.replace(EJECTION, first_us=HOUR, most_us=HOUR)
    balance = Balance(slow_start_us=0, ejection=for_long)
    policy = msgspec.structs.replace(policy_of(Mode.ACTIVE_ACTIVE), balance=balance)
    declared = configuration(fleet.addresses, policy=policy)

    async def main() -> None:
        async with Engine(declared, log=MemoryLog()) as engine:

            async def send(route: Route) -> str:
                if route.master == "b":
                    raise OSError(errno.ETIMEDOUT, "of the caller's own work")
                return route.master

            async def calls() -> None:
                while True:
                    with contextlib.suppress(OSError):
                        await engine.call(GROUP, send)
                    await asyncio.sleep(0)

            await seen(engine, of(ev.Activated, "a"))
            await seen(engine, of(ev.Activated, "b"))
            calling = asyncio.create_task(calls())
            ejected = (await seen(engine, of(ev.MasterEjected, "b"))).event
            calling.cancel()
            assert isinstance(ejected, ev.MasterEjected)
            (seq,) = ejected.evidence
            counted = (await seen(engine, lambda recorded: recorded.seq == seq)).event
            assert isinstance(counted, ev.CallsCounted)
            failed = {each.master: each.failed for each in counted.calls}
            assert failed == {"a": 0, "b": dict(ejected.figures)["failed"]}
            assert failed["b"] >= 50
            async with engine.route(GROUP) as one, engine.route(GROUP) as other:
                assert (one.master, other.master) == ("a", "a")

    run(main())
