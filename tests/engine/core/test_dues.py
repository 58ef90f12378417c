"""Deadlines: the first is found without a walk, and one that does not clear keeps up nobody."""

from collections.abc import Iterator
from typing import Any

import pytest

from engine.core import deadlines, decider
from engine.core import events as ev
from engine.core.deadlines import SILENCE, next_due_us
from engine.core.decider import decide, step
from engine.core.driver import Driver
from engine.core.dues import FAR_US, Due, Earliest
from engine.core.events import Evidence, Observation, Recorded
from engine.core.fleet import Health
from engine.core.policy import SECOND, Degraded
from engine.core.seen import SILENT
from engine.core.step import Step
from tests.engine.core.build import START_US, Story, declared, loaded, made, only

SILENT_US = 5 * SECOND


def test_the_earliest_time_is_first_and_what_is_not_so_any_more_is_passed_over() -> None:
    times = Earliest()
    assert times.first() == (FAR_US, "")
    times.note("g", 30)
    times.note("h", 20)
    times.note("i", FAR_US)
    assert times.first() == (20, "h")
    times.forget("h")
    assert times.first() == (30, "g")
    times.note("h", 40)
    times.note("g", 50)
    assert times.first() == (40, "h")
    times.note("g", 35)
    assert times.upto(39) == ["g"]
    assert times.upto(39) == []
    assert times.upto(40) == ["h"]
    times.note("g", 10)
    times.clear()
    assert times.first() == (FAR_US, "")


def test_times_that_move_again_and_again_leave_nothing_behind() -> None:
    times = Earliest()
    times.note("h", FAR_US)
    for number in range(1_000):
        times.note("g", 1_000 + number % 2)
        assert times.first() == (1_000 + number % 2, "g")
    assert len(times._heap) < 100


# A rule that clears nothing.


def deaf(step: Step, event: Observation) -> None:
    """A mutant: that x and y are silent is nothing to it."""
    if isinstance(event, ev.DeadlinePassed) and step.subject in ("x", "y"):
        return
    decide(step, event)


def two_groups() -> Story:
    policy = made(unknown_after_us=SILENT_US)
    masters = (*declared("abc"), *declared("xyz", group="h"))
    tale = Story({"g": policy, "h": policy}, masters=masters)
    tale.ok(*"abcxyz")
    tale.work()
    tale.ok(*"abcxyz")
    return tale


def passed(taken: list[Recorded]) -> list[str]:
    """Return whose silence was acted upon."""
    due = ev.DeadlinePassed(what=SILENCE)
    return [one.subject for one in taken if one.event == due]


def silent(tale: Story) -> set[str]:
    places = tale.state.cache.places.items()
    return {name for name, place in places if place.master.health is Health.UNKNOWN}


def test_a_deadline_that_does_not_clear_is_acted_upon_once_and_the_others_are_too() -> None:
    tale = two_groups()
    tale.wait(SILENT_US)
    taken = step(tale.state, None, at_us=tale.at_us, decide=deaf)
    assert sorted(passed(taken)) == sorted("abcxyz")
    assert silent(tale) == set("abcz")
    assert {due[3] for due in tale.state.cache.dues.spent["h"]} == {"x", "y"}
    assert next_due_us(tale.state) is None
    assert step(tale.state, None, at_us=tale.at_us, decide=deaf) == []


def test_it_is_acted_upon_again_when_something_else_happens_in_its_part() -> None:
    tale = two_groups()
    tale.wait(SILENT_US)
    step(tale.state, None, at_us=tale.at_us, decide=deaf)
    tale.wait(1)
    failed = ev.ProbeFailed(n=tale.n + 1, evidence=Evidence.REFUSED)
    assert passed(step(tale.state, failed, subject="a", at_us=tale.at_us, decide=deaf)) == []
    taken = step(tale.state, failed, subject="z", at_us=tale.at_us, decide=deaf)
    assert sorted(passed(taken)) == ["x", "y"]
    assert sorted(passed(step(tale.state, None, at_us=tale.at_us))) == []
    tale.refuses("z")  # by now the rule is mended
    assert silent(tale) >= {"x", "y"}
    assert tale.state.cache.dues.spent == {}


def test_after_a_stop_what_does_not_clear_keeps_up_no_start() -> None:
    tale = two_groups()
    stopped_us = tale.state.at_us
    tale.wait(10 * SILENT_US)
    started = ev.EngineStarted(release="1", stopped_at_us=stopped_us)
    taken = step(tale.state, started, at_us=tale.at_us, decide=deaf)
    assert silent(tale) == set("abcz")
    assert sorted(passed(taken)) == sorted("abcxyzxy")  # with the start everything is asked anew


def test_after_a_stop_a_large_group_is_looked_at_master_by_master(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"m{number:02}" for number in range(50)]
    tale = Story(made("bench", unknown_after_us=SILENT_US), masters=declared(names))
    tale.ok(*names)
    asked = 0
    staleness = deadlines.staleness

    def counted(*args: Any) -> Iterator[tuple[bool, Due]]:
        nonlocal asked
        for each in staleness(*args):
            asked += 1
            yield each

    for module in (deadlines, decider):
        monkeypatch.setattr(module, "staleness", counted)
    stopped_us = tale.state.at_us
    tale.wait(10 * SILENT_US)
    taken = tale.see(ev.EngineStarted(release="1", stopped_at_us=stopped_us))
    assert passed(taken) == names
    assert silent(tale) == set(names)
    assert len(names) <= asked < 10 * len(names)


def test_after_a_stop_all_that_became_stale_of_one_master_is_said_in_its_order() -> None:
    limits = Degraded(queue=5, silent_after_us=2 * SILENT_US)
    tale = Story(made("bench", unknown_after_us=SILENT_US, degraded=limits), names="ab")
    tale.ok("a", "b")
    tale.see(ev.LoadReported(queue=1), "a")
    stopped_us = tale.state.at_us
    tale.wait(10 * SILENT_US)
    taken = tale.see(ev.EngineStarted(release="1", stopped_at_us=stopped_us))
    due = [
        (one.subject, one.event.what) for one in taken if isinstance(one.event, ev.DeadlinePassed)
    ]
    assert due == [("a", SILENCE), ("b", SILENCE), ("a", SILENT)]


def test_the_other_group_fails_over_meanwhile() -> None:
    tale = two_groups()
    tale.wait(SILENT_US - 1)
    tale.ok(*"abc")
    tale.wait(1)
    step(tale.state, None, at_us=tale.at_us, decide=deaf)
    assert {due[3] for due in tale.state.cache.dues.spent["h"]} == {"x", "y"}
    taken: list[Recorded] = []
    for event in (
        ev.ConnectionClosed(evidence=Evidence.CLOSED),
        ev.ProbeFailed(n=tale.n + 1, evidence=Evidence.REFUSED),
    ):
        taken += step(tale.state, event, subject="a", at_us=tale.at_us, decide=deaf)
    assert only(taken, ev.AttemptStarted).heir == "b"


def test_the_driver_says_what_is_spent_and_waits_for_it_no_more() -> None:
    driver = Driver(decide=deaf)
    masters = declared("xyz")
    driver.observe(loaded(made(unknown_after_us=SILENT_US), masters), at_us=START_US)
    for name in "xyz":
        driver.observe(ev.ProbeOk(n=1, latency_us=1), subject=name, at_us=START_US)
    assert driver.spent == []
    at_us = START_US + SILENT_US
    driver.tick(at_us)
    assert driver.spent == [(at_us, "g", SILENCE, "x"), (at_us, "g", SILENCE, "y")]
    driver.take_batch(at_us)
    assert driver.wake_at_us() is None


@pytest.mark.parametrize("names", ["abc", "cba"])
def test_what_is_due_at_one_time_fires_in_the_order_of_names(names: str) -> None:
    policy = made(unknown_after_us=SILENT_US)
    masters = tuple(one for name in names for one in declared([f"{name}1"], group=name))
    tale = Story(dict.fromkeys(names, policy), masters=masters)
    tale.ok(*(f"{name}1" for name in names))
    tale.wait(SILENT_US)
    assert passed(tale.tick()) == ["a1", "b1", "c1"]
