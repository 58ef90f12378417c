"""Figuring: what a minute tells the core, and what it leaves out."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from engine.core import events as ev
from engine.core.errors import LogError
from engine.core.events import FLEET, Figures, Observation, Recorded
from engine.core.fleet import Mode
from engine.core.policy import MINUTE, SECOND
from engine.runtime.figuring import Figuring, Look
from engine.runtime.latencies import SAMPLE_MINUTES, SAMPLES_MIN
from engine.runtime.loop import Turning
from tests.engine.core.test_alerts import alerts, standing, watched

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")

Told = list[tuple[str, str, Figures]]


class Desk:
    """A story whose figures are counted; what the engine's turning would be."""

    def __init__(
        self,
        *,
        looks: Mapping[str, Look] | None = None,
        budgets: Callable[[], Awaitable[Mapping[str, Figures]]] | None = None,
        minute_s: float = 60,
    ) -> None:
        self.tale = watched(mode=Mode.ACTIVE_ACTIVE, effects="none", timeout_us=40_000)
        self.calls: dict[str, tuple[int, int]] = {}
        self.told: Told = []
        self.listeners: list[Any] = []
        turning = SimpleNamespace(
            driver=SimpleNamespace(working=self.tale.state),
            state=self.tale.state,
            record=self._record,
            listen=self.listeners.append,
            unlisten=self.listeners.remove,
        )
        self.figuring = Figuring(
            cast("Turning", turning),
            traffic=lambda: self.calls,
            looks=looks or {},
            budgets=budgets,
            minute_s=minute_s,
        )

    def _record(self, event: Observation, *, subject: str) -> None:
        assert isinstance(event, ev.FiguresDerived)
        self.told.append((subject, event.what, event.figures))
        self.tale.see(event, subject)

    def minute(self) -> Told:
        """Return what is told of the minute that is over."""
        self.told.clear()
        self.tale.wait(MINUTE)
        asyncio.run(self.figuring.turn())
        return list(self.told)

    def answers(self, name: str, *latencies_us: int) -> None:
        for latency_us in latencies_us:
            event = ev.ProbeOk(n=1, latency_us=latency_us)
            recorded = Recorded(seq=1, at_us=self.tale.at_us, subject=name, cause=0, event=event)
            self.listeners[0]((recorded,))


def test_requests_are_told_while_too_many_fail_and_once_more() -> None:
    desk = Desk()
    desk.calls = {"a": (30, 0), "b": (30, 3), "gone": (100, 100)}
    assert desk.minute() == [("b", "traffic", (("calls", 30), ("errors", 3), ("group_calls", 60)))]
    assert standing(desk.tale)["errors"] == "warning"
    desk.calls = {}
    assert desk.minute() == [("b", "traffic", (("calls", 0), ("errors", 0), ("group_calls", 0)))]
    assert standing(desk.tale) == {}
    assert desk.minute() == []


def test_slow_answers_are_told_once_something_is_usual() -> None:
    desk = Desk()
    for _ in range(SAMPLE_MINUTES * SAMPLES_MIN - 1):
        desk.answers("a", *[90_000] * 30)
        desk.answers("b", *[500] * 30)
        assert desk.minute() == []
    desk.answers("b", *[500] * 30)
    assert desk.minute() == []
    desk.answers("b", *[500] * 29, 20_000)
    slow = ("b", "latency", (("p99_us", 20_000), ("usual_us", 500)))
    assert desk.minute() == [slow]
    assert standing(desk.tale) == {"latency": ""}
    desk.answers("b", *[500] * 29, 20_000)
    assert desk.minute() == [slow]
    assert standing(desk.tale) == {"latency": "warning"}
    desk.answers("b", *[600] * 30)
    assert desk.minute() == [("b", "latency", (("p99_us", 600), ("usual_us", 500)))]
    assert standing(desk.tale) == {}


def test_the_engine_itself_is_asked_and_may_say_nothing() -> None:
    said: list[Figures | None] = [None, (("behind_us", 6 * SECOND),), (("behind_us", 0),)]

    async def views() -> Figures | None:
        return said.pop(0)

    async def disk() -> Figures | None:
        raise LogError("closed")

    desk = Desk(looks={"disk": disk, "views": views})
    assert desk.minute() == []
    assert desk.minute() == [(FLEET, "views", (("behind_us", 6 * SECOND),))]
    assert alerts(desk.tale.log[-1:]) == [("warning", "view-behind", FLEET)]
    assert desk.minute() == [(FLEET, "views", (("behind_us", 0),))]
    assert alerts(desk.tale.log[-1:]) == [("cleared", "view-behind", FLEET)]


def test_a_budget_is_looked_at_when_somebody_was_left_and_while_it_burns() -> None:
    burning = (*((f"{what}_{name}", 0) for what in ("burn", "failures") for name in WINDOWS),)
    looks = 0
    said = {"burn_5m": 0, "uptime_ppm": 1_000_000}

    async def budgets() -> dict[str, Figures]:
        nonlocal looks
        looks += 1
        figures = tuple({**dict(burning), **said}.items())
        return {"g": figures, "gone": figures}

    desk = Desk(budgets=budgets)
    for _ in range(3):
        assert desk.minute() == []
    assert looks == 1  # at the start, for nobody had looked before
    failed = ev.MasterFailed(evidence=(1,), hard=True, rule="fall")
    recorded = Recorded(seq=1, at_us=desk.tale.at_us, subject="a", cause=0, event=failed)
    desk.listeners[0]((recorded,))
    said["burn_5m"] = 1
    assert desk.minute() == []
    said.update(burn_5m=0, uptime_ppm=1)
    assert [(subject, what) for subject, what, _ in desk.minute()] == [("g", "budget")]
    assert standing(desk.tale) == {"objective": "warning"}
    said["uptime_ppm"] = 1_000_000
    assert len(desk.minute()) == 1
    assert standing(desk.tale) == {}
    assert desk.minute() == []
    assert looks == 4


def test_a_budget_that_could_not_be_looked_at_is_looked_at_in_the_next_minute() -> None:
    looks = 0

    async def budgets() -> dict[str, Figures]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise LogError("the log cannot be read, as the test wants it")
        return {}

    desk = Desk(budgets=budgets)
    for _ in range(3):
        assert desk.minute() == []
    assert looks == 2


def test_a_minute_that_fails_is_told_and_the_next_one_is_counted() -> None:
    async def main() -> None:
        looks: list[str] = []
        again = asyncio.Event()

        async def views() -> Figures | None:
            looks.append("")
            if len(looks) == 1:
                raise RuntimeError("a mistake")
            again.set()
            return None

        said: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: said.append(str(context["exception"]))
        )
        desk = Desk(looks={"views": views}, minute_s=0)
        desk.figuring.start()
        await again.wait()
        await desk.figuring.close()
        assert said == ["a mistake"]

    asyncio.run(main())


def test_it_ends_when_it_is_closed() -> None:
    async def main() -> None:
        desk = Desk()
        desk.figuring.start()
        await desk.figuring.close()
        assert desk.listeners == []

    asyncio.run(main())
