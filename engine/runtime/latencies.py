"""How long answers to this engine's own probes took in the last minute, and what is usual.

Probes are many, so of each no more is kept than its count and what is needed for the few that are
slow. What is usual for a master is the median of a day, of one answer in ten minutes; before there
was an hour of them nothing is usual. It is not kept over a restart.
"""

from array import array
from collections.abc import Iterator
from typing import Final

from engine.core import events as ev
from engine.core.events import Figures, Recorded
from engine.core.gauges import TIMEOUT_PARTS
from engine.core.state import State

SAMPLE_MINUTES: Final = 10  # between two answers that are kept for a day
SAMPLES_MAX: Final = 144  # a day of them [count]
SAMPLES_MIN: Final = 6  # an hour of them, before anything is usual [count]
COUNT_MIN: Final = 20  # answers in a minute, of which one in a hundred says something [count]
LATENCY_US_MAX: Final = (1 << 32) - 1  # what a sample holds


class Minute:
    """The answers of one master in the last minute, and the day's samples."""

    __slots__ = ("count", "last_us", "longest_us", "quick_us", "samples", "slow")

    def __init__(self, quick_us: int) -> None:
        self.samples = array("I")
        self.begin(quick_us)

    def begin(self, quick_us: int) -> None:
        """Begin another minute, in which answers up to `quick_us` are quick enough [us]."""
        self.count = self.last_us = self.longest_us = 0
        self.quick_us = quick_us
        self.slow: list[int] = []

    def take(self, latency_us: int) -> None:
        """Count an answer."""
        self.count += 1
        self.last_us = latency_us
        if latency_us > self.longest_us:
            self.longest_us = latency_us
        if latency_us > self.quick_us:
            self.slow.append(latency_us)

    def sample(self) -> None:
        """Keep the last answer for a day."""
        if self.count:
            self.samples.append(min(self.last_us, LATENCY_US_MAX))
            del self.samples[:-SAMPLES_MAX]

    def p99_us(self) -> int:
        """Return how long the slowest but one in a hundred took [us]; if quick, at most so long."""
        beyond = self.count // 100  # that may be slower
        if beyond >= len(self.slow):
            return min(self.longest_us, self.quick_us)
        return sorted(self.slow)[-1 - beyond]

    def figures(self) -> Figures | None:
        """Return the figures of the minute; None: they say nothing."""
        if self.count < COUNT_MIN or len(self.samples) < SAMPLES_MIN:
            return None
        usual_us = sorted(self.samples)[len(self.samples) // 2]
        return ("p99_us", self.p99_us()), ("usual_us", usual_us)

    @property
    def is_slow(self) -> bool:
        """Return whether one answer in a hundred was not quick."""
        return len(self.slow) > self.count // 100


class Latencies:
    """The answers of all masters."""

    def __init__(self) -> None:
        self._minutes: Final[dict[str, Minute]] = {}  # by master
        self._minute = 0

    def take(self, state: State, events: tuple[Recorded, ...]) -> None:
        """Count what of `events` are answers; `state` says how long they may take."""
        alerts = state.fleet.policy.alerts
        if alerts is None or not alerts.latency_times:
            return
        for recorded in events:
            event = recorded.event
            if type(event) not in (ev.ProbeOk, ev.ProbeDegraded):
                continue
            assert isinstance(event, ev.ProbeOk | ev.ProbeDegraded)
            if event.observer:
                continue
            minute = self._minutes.get(recorded.subject)
            if minute is None:
                minute = self._minutes[recorded.subject] = Minute(_quick(state, recorded.subject))
            minute.take(event.latency_us)

    def turn(self, state: State) -> Iterator[tuple[str, Minute]]:
        """Yield each master with its last minute, and begin the next one after it."""
        self._minute += 1
        for name in list(self._minutes):
            if name not in state.cache.places:
                del self._minutes[name]
                continue
            minute = self._minutes[name]
            if self._minute % SAMPLE_MINUTES == 0:
                minute.sample()
            yield name, minute
            minute.begin(_quick(state, name))


def _quick(state: State, name: str) -> int:
    place = state.cache.places.get(name)
    return 0 if place is None else state.policy_of(place.group).probe.timeout_us // TIMEOUT_PARTS
