"""Once a minute the core is told what was counted beside it: requests, latencies, disk, views.

What is ordinary is not recorded; `gauges.is_worth_recording` says what is not.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, TypeAlias

from engine.core import events as ev
from engine.core import gauges
from engine.core.errors import LogError
from engine.core.events import FLEET, Figures, FiguresDerived, Recorded
from engine.core.state import State
from engine.runtime.latencies import Latencies
from engine.runtime.loop import Turning

# After these a group may not be served: its budget is looked at then, and while it burns.
_LEFT: Final = (ev.MasterFailed, ev.MasterFenced, ev.ActivationLost, ev.DrainEnded)
MINUTE_S: Final = 60.0
MASTERS_AT_ONCE: Final = 200  # between two of them whatever else is to be done is done [count]

# Looks at something of the engine itself, which may take a while; None: it does not say.
Look: TypeAlias = Callable[[], Awaitable[Figures | None]]


class Figuring:
    """Counts for one engine."""

    def __init__(
        self,
        turning: Turning,
        *,
        traffic: Callable[[], Mapping[str, tuple[int, int]]],
        looks: Mapping[str, Look],
        budgets: Callable[[], Awaitable[Mapping[str, Figures]]] | None = None,
        minute_s: float = MINUTE_S,
    ) -> None:
        """Begin to count.

        Args:
            turning: What figures are told to.
            traffic: Returns the calls and the errors of each master since it was last asked.
            looks: What is asked about the engine itself, by what the figures are of.
            budgets: Returns the figures of the budget of each group; None: nobody knows them.
            minute_s: How long a minute is [s].
        """
        self._turning: Final = turning
        self._traffic: Final = traffic
        self._looks: Final = looks
        self._budgets: Final = budgets
        self._minute_s: Final = minute_s
        self._is_burning = True  # or may be: it was not looked at since a master was left
        self._latencies: Final = Latencies()
        self._task: asyncio.Task[None] | None = None
        turning.listen(self._published)

    def start(self) -> None:
        """Begin to tell, after each minute."""
        self._task = asyncio.create_task(self._run(), name="figures")

    async def close(self) -> None:
        """Count and tell no more."""
        self._turning.unlisten(self._published)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _published(self, events: tuple[Recorded, ...]) -> None:
        self._latencies.take(self._turning.state, events)
        if not self._is_burning:
            self._is_burning = any(type(recorded.event) in _LEFT for recorded in events)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._minute_s)
            try:
                await self.turn()
            except Exception as err:  # a mistake of ours, of which nothing that is decided hangs
                said = {"message": "the figures of a minute failed", "exception": err}
                asyncio.get_running_loop().call_exception_handler(said)

    async def turn(self) -> None:
        """Tell of the minute that is over."""
        self._tell_traffic()
        await self._tell_latencies()
        for what, look in self._looks.items():
            # A log that cannot be read says so elsewhere.
            with contextlib.suppress(LogError, OSError):
                figures = await look()
                if figures is not None:
                    self._tell(FLEET, what, figures)
        if self._budgets is not None and (self._is_burning or any(self._begun(gauges.BUDGET))):
            with contextlib.suppress(LogError):
                await self._tell_budgets(self._budgets)

    async def _tell_budgets(self, look: Callable[[], Awaitable[Mapping[str, Figures]]]) -> None:
        self._is_burning = False
        try:
            found = await look()
        except BaseException:
            self._is_burning = True  # or may be: nobody has seen it
            raise
        for group, figures in found.items():
            if group in self._working.groups:
                self._is_burning |= dict(figures)["burn_5m"] > 0
                self._tell(group, gauges.BUDGET, figures)

    def _tell_traffic(self) -> None:
        counted = self._traffic()
        places = self._working.cache.places
        totals: dict[str, int] = {}
        for name, (calls, _) in counted.items():
            if name in places:
                group = places[name].group.id
                totals[group] = totals.get(group, 0) + calls
        for name in {**counted, **dict.fromkeys(self._begun(gauges.TRAFFIC))}:
            if name in places:
                calls, errors = counted.get(name, (0, 0))
                of_group = totals.get(places[name].group.id, 0)
                figures = (("calls", calls), ("errors", errors), ("group_calls", of_group))
                self._tell(name, gauges.TRAFFIC, figures)

    async def _tell_latencies(self) -> None:
        begun = set(self._begun(gauges.LATENCY))
        for number, (name, minute) in enumerate(self._latencies.turn(self._working), start=1):
            if minute.is_slow or name in begun:
                figures = minute.figures()
                if figures is not None:
                    self._tell(name, gauges.LATENCY, figures)
            if number % MASTERS_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _begun(self, what: str) -> Iterable[str]:
        """Return the masters with an alert, perhaps only pending, that rests on such figures."""
        for group in self._working.groups.values():
            for alert in group.alerts.values():
                if alert.kind in gauges.KINDS[what]:
                    yield alert.subject

    def _tell(self, subject: str, what: str, figures: Figures) -> None:
        if gauges.is_worth_recording(self._working, subject, what, figures):
            self._turning.record(FiguresDerived(what=what, figures=figures), subject=subject)

    @property
    def _working(self) -> State:
        return self._turning.driver.working
