"""What others have published about detection, by models that draw what chance decides.

The suspicion, phi and flapping have their own tests beside their code.
"""

import math
import random
import statistics
from collections.abc import Iterator

import pytest

from engine.core import events as ev
from engine.core import suspicion
from engine.core.detection import pace
from engine.core.fleet import Health
from engine.core.policy import MS, SECOND, GroupPolicy, sums
from tests.engine.core.build import Story, made

# The bound: interval + (fall - 1) * recheck + timeout, when every probe of a failing master times
# out, re-checks are scheduled from the start of the probe before and no shorter than the time-out.
BOUNDS = [(1_000, 1_000, 3, 1_000, 4_000), (1_000, 200, 3, 200, 1_600)]  # [ms]


def bounded(interval_ms: int, recheck_ms: int, fall: int, timeout_ms: int) -> GroupPolicy:
    return made(
        interval_us=interval_ms * MS, recheck_us=recheck_ms * MS, fall=fall,
        timeout_us=timeout_ms * MS, unknown_after_us=0,
    )  # fmt: skip


@pytest.mark.parametrize(("interval", "recheck", "fall", "timeout", "bound"), BOUNDS)
def test_the_bound_is_the_sum_of_the_policy(
    interval: int, recheck: int, fall: int, timeout: int, bound: int
) -> None:
    assert sums(bounded(interval, recheck, fall, timeout)).detect_us == bound * MS


def detected_us(policy: GroupPolicy, *, hangs_us: int) -> int:
    """Return how long after it hangs a master has failed, probed as the core says."""
    tale = Story(policy, names="ab")
    tale.ok("a", "b")
    began_us, hung_us = tale.at_us, tale.at_us + hangs_us
    while True:
        place = tale.state.cache.places["b"]
        if tale.at_us < hung_us:
            tale.ok("b")  # answered at once
        else:
            tale.wait(policy.probe.timeout_us)
            tale.fails("b")
            if tale.master("b").health is Health.FAILED:
                return tale.at_us - hung_us
        after_us, _ = pace(tale.state, place.group, place.master)
        began_us = max(tale.at_us, began_us + after_us)
        tale.at_us = began_us


@pytest.mark.parametrize(("interval", "recheck", "fall", "timeout", "bound"), BOUNDS)
def test_no_phase_is_worse_than_the_bound_and_one_comes_up_to_it(
    interval: int, recheck: int, fall: int, timeout: int, bound: int
) -> None:
    policy = bounded(interval, recheck, fall, timeout)
    taken = [
        detected_us(policy, hangs_us=10 * interval * MS + phase_us)
        for phase_us in (1, *range(10 * MS, interval * MS, 10 * MS), interval * MS - 1)
    ]
    assert max(taken) == bound * MS - 1
    assert min(taken) >= sums(policy).blip_us


# SWIM (Das, Gupta, Motivala, 2002): each member pings one random other in a period. The first that
# pings a crashed one comes after 1 / (1 - (1 - 1 / (N - 1)) ** (N - 1)) periods, expectedly.
@pytest.mark.parametrize(("members", "periods"), [(8, 1.515), (28, 1.565), (128, 1.578)])
def test_the_first_ping_of_a_crashed_member(members: int, periods: float) -> None:
    others = members - 1
    expected = 1 / (1 - (1 - 1 / others) ** others)
    assert expected == pytest.approx(periods, abs=1e-3)
    rng = random.Random(members)

    def first() -> int:
        period = 1
        while all(rng.randrange(others) for _ in range(others)):
            period += 1
        return period

    drawn = statistics.fmean(first() for _ in range(4_000))
    assert drawn == pytest.approx(expected, rel=0.03)


def test_the_limit_of_the_first_ping() -> None:
    others = 10**9
    found = 1 / (1 - math.exp(others * math.log1p(-1 / others)))
    assert found == pytest.approx(1.582, abs=5e-4)


# Lifeguard (arXiv:1707.00788v2), the row of SWIM in the table of first detections: 128 members,
# alpha 5, a probe each second.
ROW_S = {0.5: 12.44, 0.99: 16.96, 0.999: 19.40}


def first_detections_s(trials: int) -> Iterator[float]:
    """Yield when the first member knows that another has crashed.

    Each pings one random other in a period of a second, at a phase of its own. The ping that finds
    nobody waits for its time-out, half a period, then a period for those that ping in its place;
    then the suspicion lasts 5 * log10(128) periods, which nobody shortens in this row.
    """
    rng = random.Random(128)
    others = 127
    counts = range(9)  # of those that ping it in one period; more are too rare to matter
    chances = [
        math.comb(others, count) * (others - 1) ** (others - count) / others**others
        for count in counts
    ]
    lasts_us = round(5 * math.log10(128) * SECOND)
    suspected_us = suspicion.timeout_us(
        0, expected=3, timeout_us_min=lasts_us, timeout_us_max=lasts_us
    )
    for _ in range(trials):
        period = 0
        while not (pinging := rng.choices(counts, chances)[0]):
            period += 1
        first_s = period + min(rng.random() for _ in range(pinging))
        yield first_s + 0.5 + 1 + suspected_us / SECOND


def test_the_row_of_lifeguards_table() -> None:
    drawn = sorted(first_detections_s(100_000))
    for share, published_s in ROW_S.items():
        assert drawn[int(share * len(drawn))] == pytest.approx(published_s, rel=0.03)


def test_a_probe_that_is_refused_is_no_time_out() -> None:
    """The bound is for hangs: what refuses has failed after `fall` refusals, at most as late."""
    policy = bounded(1_000, 200, 3, 200)
    tale = Story(policy, names="ab")
    tale.ok("a", "b")
    began_us = tale.at_us
    for _ in range(3):
        tale.wait(200 * MS)
        tale.refuses("b")
    assert isinstance(tale.log[-1].event, ev.MasterFailed)
    assert tale.at_us - began_us <= sums(policy).detect_us
