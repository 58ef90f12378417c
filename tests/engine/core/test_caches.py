"""What is only a cache changes no result: a restored state decides and folds as the live one."""

from collections.abc import Callable

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.decider import step
from engine.core.events import FLEET, Recorded
from engine.core.fleet import Mode, Role
from engine.core.policy import SECOND, Policy, Recover
from tests.engine.core.build import Story, declared, kinds, made

HOUR_US = 3600 * SECOND


def two_groups() -> Story:
    policy = made(mode=Mode.ACTIVE_ACTIVE, unknown_after_us=0, effects="http")
    tale = Story(
        Policy(groups={"g": policy, "h": policy}),
        masters=(*declared("abc"), *declared("xyz", group="h")),
    )
    for _ in range(4):
        tale.ok(*"abcxyz")
        tale.work()
    return tale


@pytest.mark.parametrize("subjects", [(FLEET,), ("g", "h"), ("b", "y")])
def test_windows_that_begin_at_one_time_begin_everywhere(subjects: tuple[str, ...]) -> None:
    tale = two_groups()
    begins_us = tale.at_us + 10 * SECOND
    window = ev.MaintenanceDeclared(
        from_us=begins_us, to_us=begins_us + HOUR_US, author="x", reason=""
    )
    for subject in subjects:
        tale.see(window, subject)
    tale.ok(*"abcxyz")
    tale.wait(10 * SECOND)
    drained = {one.subject for one in tale.tick() if isinstance(one.event, ev.DrainStarted)}
    assert drained == ({"b", "y"} if "b" in subjects else set("abcxyz"))
    assert kinds(tale.tick()) == []
    tale.at_us = begins_us + HOUR_US
    tale.tick()
    roles = {place.master.role for place in tale.state.cache.places.values()}
    assert roles == {Role.ACTIVE}


def test_a_group_that_comes_during_a_window_of_the_fleet_is_in_it() -> None:
    tale = two_groups()
    window = ev.MaintenanceDeclared(
        from_us=tale.at_us, to_us=tale.at_us + HOUR_US, author="x", reason=""
    )
    tale.see(window, FLEET)
    tale.wait(SECOND)
    groups = dict(tale.state.fleet.policy.groups)
    policy = Policy(groups={**groups, "i": groups["g"]})
    masters = (*declared("abc"), *declared("xyz", group="h"), *declared("v", group="i"))
    tale.see(ev.ConfigurationLoaded(digest="d", policy=policy, masters=masters), FLEET)
    assert "DeadlinePassed" not in kinds(tale.ok("v"))
    assert tale.state.groups["i"].masters["v"].role is Role.STANDBY


def test_a_run_of_bad_results_ends_with_the_same_answer_live_and_restored() -> None:
    tale = Story(
        made(flap_high_ppm=300_000, flap_low_ppm=200_000, fall=3, unknown_after_us=5 * SECOND),
        names="ab",
    ).serve()
    tale.wait(SECOND)
    tale.fails("b")
    tale.ok("a")
    tale.wait(6 * SECOND)
    tale.tick()
    tale.ok("a")
    tale.closes("b")
    tale.ok("b")  # that answers a question, and is no check of its own
    restored = st.copy(tale.state)
    tale.wait(SECOND)
    answer = ev.ProbeOk(n=tale.n + 1, latency_us=500, boot="b1", epoch=0)
    for state in (tale.state, restored):
        step(state, answer, subject="b", at_us=tale.at_us)
    assert st.digest(restored) == st.digest(tale.state)


def healed_after_a_pause() -> Story:
    recover = Recover(command=("x",), attempts=3, backoff_us=SECOND, timeout_us=SECOND)
    tale = Story(made(recover=recover, unknown_after_us=0), names="abc").serve()
    tale.ask(ev.Paused(until_us=tale.at_us + 60 * SECOND, reason="", author="x"))
    tale.crashes("c")
    tale.ok("a", "b")
    tale.ok("a", "b")
    return tale


def test_the_end_of_a_pause_is_when_healing_begins() -> None:
    tale = healed_after_a_pause()
    assert kinds(tale.tick()) == []
    tale.wait(60 * SECOND)
    assert "RecoveryStarted" in kinds(tale.tick())


def test_a_pause_without_an_end_ends_by_no_time() -> None:
    tale = healed_after_a_pause()
    tale.ask(ev.Paused(until_us=0, reason="", author="x"))
    tale.wait(HOUR_US)
    assert "RecoveryStarted" not in kinds(tale.tick())
    assert "RecoveryStarted" in kinds(tale.ask(ev.Resumed(author="x")) + tale.tick())


def test_who_answers_and_fails_again_is_counted_alike_live_and_restored() -> None:
    tale = Story(made(fall=1, rise=3, unknown_after_us=0), names="abc").serve()
    tale.crashes("c")
    tale.ok("c")
    tale.fails("c")
    assert tale.state.cache.failing == st.copy(tale.state).cache.failing


TOLD: tuple[Callable[[Story], list[Recorded]], ...] = (
    lambda tale: tale.fails("a"),
    lambda tale: tale.refuses("b"),
    lambda tale: tale.closes("c"),
    lambda tale: tale.ok("a"),
    lambda tale: tale.ok("b", "c"),
)


@pytest.mark.parametrize("first", TOLD)
@pytest.mark.parametrize("second", TOLD)
@pytest.mark.parametrize("third", TOLD)
def test_three_things_that_are_seen_leave_the_caches_of_a_restored_state(
    first: Callable[[Story], list[Recorded]],
    second: Callable[[Story], list[Recorded]],
    third: Callable[[Story], list[Recorded]],
) -> None:
    tale = Story(made(fall=2, rise=2, unknown_after_us=0), names="abc").serve()
    for told in (first, second, third):
        tale.wait(SECOND)
        told(tale)
    assert tale.state.cache.failing == st.copy(tale.state).cache.failing
