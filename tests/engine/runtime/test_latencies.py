"""Latencies: what a minute adds up to, what is usual, and what is not counted."""

import msgspec
import pytest

from engine.core import events as ev
from engine.core.events import Recorded
from engine.core.policy import ALERTS, MS, SECOND, Policy
from engine.runtime.latencies import (
    COUNT_MIN,
    LATENCY_US_MAX,
    SAMPLE_MINUTES,
    SAMPLES_MAX,
    SAMPLES_MIN,
    Latencies,
    Minute,
)
from tests.engine.core.build import Story, made


def minute(*latencies_us: int, samples: int = SAMPLES_MIN, usual_us: int = 1_000) -> Minute:
    found = Minute(quick_us=10_000)
    found.samples.extend([usual_us] * samples)
    for latency_us in latencies_us:
        found.take(latency_us)
    return found


@pytest.mark.parametrize(
    ("latencies_us", "is_slow", "p99_us"),
    [
        ([500] * 20, False, 500),
        ([500] * 19 + [10_000], False, 10_000),
        ([500] * 19 + [10_001], True, 10_001),
        ([500] * 99 + [50_000], False, 10_000),  # one of a hundred may be; at most so long
        ([500] * 98 + [50_000, 20_000], True, 20_000),
        ([500] * 197 + [30_000, 50_000, 20_000], True, 20_000),
        ([], False, 0),
    ],
)
def test_the_slowest_but_one_in_a_hundred(
    latencies_us: list[int], is_slow: bool, p99_us: int
) -> None:
    found = minute(*latencies_us)
    assert (found.is_slow, found.p99_us()) == (is_slow, p99_us)


def test_few_answers_or_a_short_past_say_nothing() -> None:
    assert minute(*[20_000] * (COUNT_MIN - 1)).figures() is None
    assert minute(*[20_000] * COUNT_MIN, samples=SAMPLES_MIN - 1).figures() is None
    figures = minute(*[20_000] * COUNT_MIN).figures()
    assert figures == (("p99_us", 20_000), ("usual_us", 1_000))


def test_a_day_of_samples_is_kept_and_an_endless_answer_is_one() -> None:
    found = minute(samples=0)
    found.sample()
    assert len(found.samples) == 0
    for count in range(SAMPLES_MAX + 5):
        found.take(count)
        found.sample()
    assert list(found.samples) == list(range(5, SAMPLES_MAX + 5))
    found.take(1 << 40)
    found.sample()
    assert found.samples[-1] == LATENCY_US_MAX


def story(**changes: object) -> Story:
    alerts = msgspec.structs.replace(ALERTS, **changes)
    return Story(Policy(groups={"g": made(timeout_us=40 * MS)}, alerts=alerts))


def told(tale: Story, latencies: Latencies, event: ev.AnyEvent, name: str = "a") -> None:
    recorded = Recorded(seq=1, at_us=tale.at_us, subject=name, cause=0, event=event)
    latencies.take(tale.state, (recorded,))


def test_answers_to_the_engines_own_probes_are_counted_and_nothing_else() -> None:
    tale, latencies = story(), Latencies()
    told(tale, latencies, ev.ProbeOk(n=1, latency_us=11 * MS))
    told(tale, latencies, ev.ProbeDegraded(n=2, latency_us=12 * MS, reason="slow"))
    told(tale, latencies, ev.ProbeOk(n=1, latency_us=13 * MS, observer="o2"))
    told(tale, latencies, ev.ProbeFailed(n=3, evidence=ev.Evidence.OVERDUE, waited_us=SECOND))
    ((name, found),) = ((name, minute.slow) for name, minute in latencies.turn(tale.state))
    assert (name, found) == ("a", [11 * MS, 12 * MS])
    ((_, after),) = latencies.turn(tale.state)
    assert (after.count, after.slow, after.quick_us) == (0, [], 10 * MS)


def test_where_nobody_hears_of_latencies_nothing_is_kept() -> None:
    tale, latencies = story(latency_times=0), Latencies()
    told(tale, latencies, ev.ProbeOk(n=1, latency_us=1))
    assert list(latencies.turn(tale.state)) == []


def test_one_answer_in_ten_minutes_is_kept_and_who_is_gone_is_forgotten() -> None:
    tale, latencies = story(), Latencies()
    for count in range(3 * SAMPLE_MINUTES):
        told(tale, latencies, ev.ProbeOk(n=1, latency_us=count))
        told(tale, latencies, ev.ProbeOk(n=1, latency_us=count), "gone")
        found = dict(latencies.turn(tale.state))
    assert list(found) == ["a"]
    assert list(found["a"].samples) == [9, 19, 29]
