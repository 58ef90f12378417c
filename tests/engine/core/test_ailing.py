"""Gray failure: masters that answer and are not well."""

import pytest

from engine.core import events as ev
from engine.core.fleet import Health
from engine.core.load import is_worth_recording
from engine.core.policy import MS, SECOND, Degraded
from engine.core.replay import decide_again
from tests.engine.core.build import Story, kinds, offer, only, story

LIMITS = Degraded(
    cpu_ppm=900_000, memory_ppm=900_000, queue=100, errors_ppm=50_000, reports=3,
    silent_after_us=3 * SECOND,
)  # fmt: skip


def limited(**changes: object) -> Story:
    settings: dict[str, object] = {"fall": 3, "rise": 2, "degraded": LIMITS}
    return story(**{**settings, **changes})  # type: ignore[arg-type]


def says(tale: Story, name: str = "b", **said: object) -> list[ev.Recorded]:
    return tale.see(ev.LoadReported(**said), name)  # type: ignore[arg-type]


# Slow answers.


def test_slow_answers_in_a_row_make_degraded_and_quick_ones_healthy() -> None:
    tale = limited(slow_us=10 * MS)
    slow = 10 * MS + 1
    assert kinds(tale.ok("b", "b", latency_us=slow)) == []
    degraded = only(tale.ok("b", latency_us=slow), ev.MasterDegraded)
    assert degraded.rule == "slow"
    assert degraded.figures == (
        ("poor", 3), ("fall", 3), ("latency_us", slow), ("slow_us", 10 * MS),
    )  # fmt: skip
    assert kinds(tale.ok("b", latency_us=10 * MS)) == []
    assert kinds(tale.ok("b", latency_us=10 * MS)) == ["MasterHealthy"]


def test_a_quick_answer_starts_the_count_anew_and_a_slow_one_fails_nobody() -> None:
    tale = limited(slow_us=10 * MS)
    for _ in range(5):
        assert kinds(tale.ok("a", "a", latency_us=SECOND)) == []
        assert kinds(tale.ok("a")) == []
    taken = tale.ok("a", "a", "a", "a", "a", "a", "a", "a", latency_us=SECOND)
    assert kinds(taken) == ["MasterDegraded"]
    assert tale.group.saga is None


def test_a_quick_probe_is_quiet_where_slow_ones_are_asked_for() -> None:
    tale = limited(slow_us=10 * MS)
    tale.ok("b")
    assert "b" in tale.state.cache.places["b"].calm
    assert len(tale.ok("b")) == 1
    assert "b" in tale.state.cache.places["b"].calm
    tale.ok("b", latency_us=SECOND)
    assert "b" not in tale.state.cache.places["b"].calm


# What it says of itself.


@pytest.mark.parametrize(
    ("name", "value", "most"),
    [
        ("cpu_ppm", 900_001, 900_000), ("memory_ppm", 950_000, 900_000), ("queue", 101, 100),
        ("errors_ppm", 50_001, 50_000),
    ],
)  # fmt: skip
def test_reports_beyond_a_limit_in_a_row_make_degraded(name: str, value: int, most: int) -> None:
    tale = limited()
    assert kinds(says(tale, **{name: value})) == []
    assert kinds(says(tale, **{name: value})) == []
    degraded = only(says(tale, **{name: value}), ev.MasterDegraded)
    assert degraded.rule == "resource"
    assert degraded.figures == ((name, value), (f"{name}_max", most), ("reports", 3))
    assert len(degraded.evidence) == 3
    assert tale.group.saga is None


def test_at_the_limit_it_is_well_and_one_within_breaks_the_row() -> None:
    tale = limited()
    for _ in range(9):
        assert kinds(says(tale, queue=100)) == []
    for _ in range(5):
        says(tale, queue=101)
        says(tale, queue=101)
        assert kinds(says(tale, queue=99)) == []


def test_it_is_well_again_after_as_many_within_all_limits_and_a_good_answer() -> None:
    tale = limited()
    for _ in range(3):
        says(tale, queue=101)
    says(tale, queue=1)
    says(tale, queue=1)
    tale.ok("b", "b", "b")
    assert tale.master("b").health is Health.DEGRADED
    says(tale, queue=1)
    assert kinds(tale.ok("b")) == ["MasterHealthy"]


def test_one_within_one_limit_is_not_within_all() -> None:
    tale = limited()
    for _ in range(3):
        says(tale, queue=101)
    for _ in range(5):
        says(tale, errors_ppm=0)
    tale.ok("b", "b", "b")
    assert tale.master("b").health is Health.DEGRADED


def test_who_is_degraded_for_its_load_is_as_near_to_failing_as_before() -> None:
    tale = limited()
    tale.fails("b", "b")
    for _ in range(3):
        says(tale, queue=101)
    assert tale.master("b").health is Health.DEGRADED
    assert kinds(tale.fails("b")) == ["MasterFailed"]


def test_what_there_is_no_limit_for_counts_neither_way() -> None:
    tale = limited()
    says(tale, queue=101)
    says(tale, queue=101)
    says(tale, position=1)
    assert kinds(says(tale, queue=101)) == ["MasterDegraded"]


def test_who_recovers_over_a_limit_is_degraded() -> None:
    tale = limited(fall=1, rise=1)
    tale.fails("b")
    for _ in range(3):
        assert kinds(says(tale, cpu_ppm=999_999)) == []
    taken = tale.ok("b")
    assert kinds(taken) == ["MasterRecovering", "MasterDegraded"]
    assert only(taken, ev.MasterDegraded).rule == "resource"


def test_each_report_in_a_row_is_worth_recording() -> None:
    tale = limited()
    over, within = ev.LoadReported(queue=200), ev.LoadReported(queue=10)
    for event, times in ((over, 3), (within, 3)):
        for _ in range(times):
            assert is_worth_recording(tale.state, "b", event, tale.at_us)
            tale.see(event, "b")
        assert not is_worth_recording(tale.state, "b", event, tale.at_us)


def test_a_report_within_a_limit_that_was_broken_once_more_is_worth_recording() -> None:
    tale = limited()
    for queue in (200, 200, 200, 10):
        says(tale, queue=queue)
    assert is_worth_recording(tale.state, "b", ev.LoadReported(queue=200), tale.at_us)


def test_a_sign_of_life_is_recorded_each_third_of_the_silence() -> None:
    tale = limited()
    says(tale, queue=1)
    tale.wait(SECOND - 1)
    assert not is_worth_recording(tale.state, "b", ev.LoadReported(queue=1), tale.at_us)
    tale.wait(1)
    assert is_worth_recording(tale.state, "b", ev.LoadReported(queue=1), tale.at_us)
    assert not is_worth_recording(tale.state, "b", ev.LoadReported(errors_ppm=-1), tale.at_us)


# A load that is not spoken of any more.


def probed(tale: Story, seconds: int) -> list[ev.Recorded]:
    taken: list[ev.Recorded] = []
    for _ in range(seconds):
        tale.wait(SECOND)
        taken += tale.ok("a", "b", "c")
    return taken


def test_a_metric_that_falls_silent_makes_degraded_at_its_time() -> None:
    tale = limited()
    said_us = tale.at_us
    says(tale, queue=1)
    taken = probed(tale, 4)
    (fired,) = [seen for seen in taken if isinstance(seen.event, ev.DeadlinePassed)]
    assert (fired.event, fired.at_us) == (
        ev.DeadlinePassed(what="silent_after"),
        said_us + 3 * SECOND,
    )
    degraded = only(taken, ev.MasterDegraded)
    assert degraded.rule == "silent"
    assert degraded.figures == (("silent_us", 3 * SECOND), ("silent_after_us", 3 * SECOND))
    assert isinstance(tale.log[degraded.evidence[0] - 1].event, ev.LoadReported)
    says(tale, queue=1)
    assert kinds(tale.ok("b")) == ["MasterHealthy"]


def test_who_never_spoke_of_its_load_is_not_silent() -> None:
    tale = limited()
    says(tale, position=1, errors_ppm=0)
    assert kinds(probed(tale, 10)) == []


def test_silence_of_one_that_failed_is_only_noted() -> None:
    tale = limited(fall=1, rise=1)
    says(tale, queue=1)
    tale.fails("b")
    tale.wait(3 * SECOND)
    assert "MasterDegraded" not in kinds(tale.tick())
    taken = tale.ok("b")
    assert only(taken, ev.MasterDegraded).rule == "silent"


def test_a_log_of_all_this_is_decided_again_as_it_was() -> None:
    tale = limited(slow_us=10 * MS)
    says(tale, queue=1)
    probed(tale, 5)
    for _ in range(4):
        says(tale, queue=500)
    tale.ok("b", "b", "b", latency_us=SECOND)
    tale.restarts("c")
    tale.ok("c")
    assert list(decide_again(tale.log)) == tale.log


def test_silence_says_nothing_where_the_policy_does_not_ask() -> None:
    tale = limited()
    says(tale, queue=1)
    offer(tale, fall=3, rise=2)
    assert kinds(probed(tale, 10)) == []


# A restart is a fact among the figures.


def test_a_restart_is_counted_and_said() -> None:
    tale = limited(fall=1, rise=1)
    tale.fails("b")
    tale.restarts("b")
    taken = tale.ok("b")
    assert only(taken, ev.MasterRecovering).figures == (("restarts", 1),)
    assert dict(only(taken, ev.MasterHealthy).figures)["restarts"] == 1
    tale.fails("b")
    assert only(tale.ok("b"), ev.MasterRecovering).figures == ()
