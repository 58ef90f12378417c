"""Flapping by the rule of Nagios (base/flapping.c), and what is made of it."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core import candidates, flapping
from engine.core import events as ev
from engine.core.fleet import Health
from engine.core.policy import MS
from engine.core.seen import Flaps
from tests.engine.core.build import Story, kinds, offer, only, story


def by_definition(checks: list[bool]) -> Fraction:
    """Return the percentage over the last 21 checks, place by place."""
    last = checks[-21:]
    changes = [before != after for before, after in itertools.pairwise(last)]
    changes = [False] * (20 - len(changes)) + changes
    weights = [Fraction(3, 4) + Fraction(x, 19) / 2 for x in range(20)]
    total = sum((w for w, changed in zip(weights, changes, strict=True) if changed), Fraction())
    return 100 * total / 20


def by_runs(checks: list[bool]) -> int:
    flaps, good = Flaps(), 0
    for is_good in checks:
        if is_good:
            if flaps.bad:
                flapping.noted_good(flaps)
                good = 0
            good += 1
        else:
            flapping.noted_bad(flaps, good)
            good = 0
    return flapping.percent_ppm(flaps, good)


STEADY, ANSWERED, FAILED = [True] * 21, [True], [False]


@pytest.mark.parametrize(
    ("checks", "percent_ppm"),
    [
        (STEADY, 0),
        ([True, False] * 11, 1_000_000),  # all alternating: 100 %
        ([*FAILED, *ANSWERED * 20], 37_500),  # one change, the oldest: 3.75 %
        ([*FAILED, *ANSWERED * 21], 0),
        ([*ANSWERED * 20, *FAILED], 62_500),  # one change, the newest: 6.25 %
    ],
)
def test_nagios_cases(checks: list[bool], percent_ppm: int) -> None:
    assert by_runs(checks) == percent_ppm
    assert by_definition(checks) == Fraction(percent_ppm, 10_000)


@given(st.lists(st.booleans(), min_size=1, max_size=80))
def test_runs_give_what_the_definition_gives(checks: list[bool]) -> None:
    assert by_runs(checks) == int(by_definition(checks) * 10_000)


def flappy(**changes: object) -> Story:
    settings = {"fall": 3, "rise": 2, "flap_high_ppm": 300_000, "flap_low_ppm": 200_000}
    return story(**{**settings, **changes})  # type: ignore[arg-type]


def flap(tale: Story, name: str, times: int) -> list[ev.Recorded]:
    taken: list[ev.Recorded] = []
    for _ in range(times):
        tale.wait(MS)
        taken += tale.fails(name)
        taken += tale.ok("a", "b", "c")
    return taken


def test_who_flaps_is_degraded_until_it_is_steady_and_both_are_said() -> None:
    tale = flappy()
    taken = flap(tale, "b", 3)
    started = only(taken, ev.FlappingStarted)
    assert started.percent_ppm >= 300_000
    assert started.figures == (("high_ppm", 300_000), ("low_ppm", 200_000))
    degraded = only(taken, ev.MasterDegraded)
    assert degraded.rule == "flapping"
    assert tale.log[degraded.evidence[0] - 1].event == started
    percents = []
    while tale.master("b").health is Health.DEGRADED:
        assert len(percents) < 40
        tale.wait(MS)
        taken = tale.ok("b")
        percents += [seen.event for seen in taken if isinstance(seen.event, ev.FlappingEnded)]
    (ended,) = percents
    assert ended.percent_ppm <= 200_000
    assert kinds(taken)[-2:] == ["FlappingEnded", "MasterHealthy"]
    tale.ok("b")
    assert "b" in tale.state.cache.places["b"].calm


def test_between_the_two_limits_it_stays_what_it_was() -> None:
    tale = flappy()
    flap(tale, "b", 2)
    assert tale.master("b").health is Health.HEALTHY
    assert flapping.percent_ppm(tale.master("b").flaps or Flaps(), 1) > 200_000
    flap(tale, "b", 1)
    for _ in range(3):
        tale.ok("b")
    percent_ppm = flapping.percent_ppm(tale.master("b").flaps or Flaps(), tale.master("b").good)
    assert 200_000 < percent_ppm < 400_000
    assert tale.master("b").health is Health.DEGRADED


def test_who_flaps_is_the_last_heir() -> None:
    tale = flappy()
    flap(tale, "b", 3)
    tale.degraded("c", "c", "c")
    assert tale.master("c").health is Health.DEGRADED
    rows = candidates.table(tale.state, tale.group, tale.at_us)
    assert [row.master for row in rows if row.fit] == ["c", "b"]
    assert ("flaps", 1) in rows[1].figures


def test_a_flapping_active_serves_on_and_is_replaced_when_it_fails() -> None:
    tale = flappy()
    assert not {"FailoverStarted", "MasterFenced"} & set(kinds(flap(tale, "a", 8)))
    tale.fails("a", "a")
    tale.ok("b", "c")
    assert only(tale.fails("a"), ev.AttemptStarted).heir == "b"


def test_who_comes_back_flapping_is_not_trusted_as_healthy() -> None:
    tale = flappy(fall=1, rise=1)
    taken = flap(tale, "b", 6)
    assert "FlappingStarted" in kinds(taken)
    well = [seen for seen in taken if isinstance(seen.event, ev.MasterHealthy | ev.MasterDegraded)]
    assert isinstance(well[0].event, ev.MasterHealthy)
    assert isinstance(well[-1].event, ev.MasterDegraded)
    assert well[-1].event.rule == "flapping"


def test_a_steady_master_has_nothing_kept_of_it() -> None:
    tale = flappy()
    tale.ok("b", "b", "b")
    assert tale.master("b").flaps is None


def test_nobody_flaps_where_the_policy_does_not_ask() -> None:
    tale = flappy(flap_high_ppm=0, flap_low_ppm=0)
    assert "FlappingStarted" not in kinds(flap(tale, "b", 30))
    assert tale.master("b").flaps is None


def test_it_ends_when_the_policy_asks_no_more() -> None:
    tale = flappy()
    flap(tale, "b", 5)
    offer(tale, fall=3, rise=2)
    assert "FlappingEnded" in kinds(tale.ok("b"))
