"""Budgets: how fast they burn, how often a group was down, and what its objective comes to."""

import pytest

from projections.budgets import (
    MINUTE_US,
    PPM,
    WINDOWS_US,
    Objective,
    Spending,
    objectives_of,
    spent,
)
from projections.histories import GroupTime, Uptime
from projections.tracks import Bucket, Track
from tests.engine.core.build import story

NOW_US = 100 * 24 * 60 * MINUTE_US
DAY_US = 24 * 60 * MINUTE_US


def figures(
    *downs: tuple[int, int],
    objective_ppm: int = 995_000,
    days: int = 90,
    window_us: int = 30 * DAY_US,
) -> dict[str, int]:
    """Return the figures of a group that was down from so many minutes ago for so many."""
    begun_us = NOW_US - days * DAY_US
    track: Track = [(begun_us, Bucket.UP)]
    for ago, lasted in downs:
        track.append((NOW_US - ago * MINUTE_US, Bucket.DOWN))
        if lasted < ago:
            track.append((NOW_US - (ago - lasted) * MINUTE_US, Bucket.UP))
    view = Uptime(first_us=begun_us, last_us=NOW_US, groups={"g": GroupTime(track=track)})
    objectives = {"g": Objective(objective_ppm=objective_ppm, window_us=window_us)}
    (found,) = spent(view, {**objectives, "none": objectives["g"]}, at_us=NOW_US).values()
    return dict(found)


def test_who_was_never_down_burns_nothing() -> None:
    found = figures()
    assert found.pop("uptime_ppm") == PPM
    assert set(found.values()) == {0}
    assert set(found) == {f"{what}_{name}" for what in ("burn", "failures") for name in WINDOWS_US}


def test_the_burn_is_the_share_that_is_down_over_the_share_that_may_be() -> None:
    found = figures((3, 3))  # of five minutes, three
    assert found["burn_5m"] == 3 * 1_000 * 200 // 5
    assert found["burn_1h"] == 3 * 1_000 * 200 // 60
    assert found["burn_3d"] == 3 * 1_000 * 200 // 4_320
    assert figures((3, 3), objective_ppm=900_000)["burn_5m"] == 6_000


def test_failures_are_counted_that_lasted_into_the_window() -> None:
    found = figures((200, 10), (61, 2), (50, 1), (4, 1))
    assert [found[f"failures_{name}"] for name in ("5m", "30m", "1h", "2h", "6h")] == [
        1,
        1,
        3,
        3,
        4,
    ]
    assert figures((61, 1))["failures_1h"] == 0
    assert figures((2, 2))["failures_5m"] == 1  # it lasts


@pytest.mark.parametrize(("days", "uptime_ppm"), [(90, 999_000), (2, 999_000)])
def test_a_young_log_is_held_against_a_whole_window(days: int, uptime_ppm: int) -> None:
    down = 30 * 24 * 60 // 1_000 + 1
    found = figures((1_000, down), days=days)["uptime_ppm"]
    assert found == pytest.approx(uptime_ppm, abs=30)


def test_time_that_nobody_knows_of_is_no_budget() -> None:
    view = Uptime(groups={"g": GroupTime(track=[(0, Bucket.UNKNOWN)])}, last_us=NOW_US)
    objective = Objective(objective_ppm=995_000, window_us=DAY_US)
    found = dict(spent(view, {"g": objective}, at_us=NOW_US)["g"])
    assert (found["burn_3d"], found["uptime_ppm"]) == (0, PPM)


def test_what_is_spent_is_accounted_for_as_events_come() -> None:
    tale = story()
    spending = Spending(Uptime())
    for recorded in tale.log:
        spending.take(recorded)
    fresh = dict(spending.figures(tale.state.fleet.policy, tale.at_us)["g"])
    tale.crashes("a")
    for recorded in tale.log:  # what was taken before counts once
        spending.take(recorded)
    later_us = tale.at_us + MINUTE_US
    found = dict(spending.figures(tale.state.fleet.policy, later_us)["g"])
    assert (fresh["failures_5m"], found["failures_5m"]) == (0, 1)
    assert found["burn_5m"] > fresh["burn_5m"] == 0


def test_what_was_promised_of_each_group_is_in_the_policy() -> None:
    policy = story().state.fleet.policy
    slo = policy.groups["g"].slo
    expected = Objective(objective_ppm=slo.objective_ppm, window_us=slo.window_us)
    assert objectives_of(policy) == {"g": expected}
