"""The sums of doubt, against what others have published."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core import suspicion
from engine.core.policy import MS, SECOND
from engine.core.seen import Gaps


# memberlist, suspicion_test.go; Lifeguard, arXiv:1707.00788v2: k 3, from 2 s to 30 s.
@pytest.mark.parametrize(
    ("confirmations", "total_s"), [(0, 30), (1, 16), (2, 7.81), (3, 2), (4, 2), (9, 2)]
)
def test_memberlists_table(confirmations: int, total_s: float) -> None:
    got_us = suspicion.timeout_us(
        confirmations, expected=3, timeout_us_min=2 * SECOND, timeout_us_max=30 * SECOND
    )
    assert got_us == pytest.approx(total_s * SECOND, abs=5_000)
    assert got_us % MS == 0  # theirs floors to 1 ms


@given(st.integers(1, 9), st.integers(0, 60_000), st.integers(0, 60_000), st.integers(0, 20))
def test_who_confirms_never_lengthens_a_suspicion(
    expected: int, least_ms: int, more_ms: int, confirmations: int
) -> None:
    least_us, most_us = least_ms * MS, (least_ms + more_ms) * MS

    def lasts(count: int) -> int:
        return suspicion.timeout_us(
            count, expected=expected, timeout_us_min=least_us, timeout_us_max=most_us
        )

    assert lasts(0) == most_us
    assert lasts(expected) == least_us
    assert least_us <= lasts(confirmations + 1) <= lasts(confirmations) <= most_us


# Normally distributed intervals of 100 ms with a deviation of 10 ms, worked out exactly.
@pytest.mark.parametrize(("phi", "silence_ms"), [(1, 112.82), (3, 130.90), (8, 156.12)])
def test_the_silence_of_a_phi(phi: int, silence_ms: float) -> None:
    got_us = suspicion.silence_us(1_000 * phi, mean_us=100 * MS, deviation_us=10 * MS)
    assert got_us == pytest.approx(silence_ms * MS, abs=15)  # phi is rounded to a thousandth
    value = suspicion.phi_milli(got_us, mean_us=100 * MS, deviation_us=10 * MS)
    assert value == pytest.approx(1_000 * phi, abs=1)


@pytest.mark.parametrize("phi", [1, 2, 3])
def test_a_wrong_suspicion_is_as_rare_as_phi_says(phi: int) -> None:
    """Of exactly normal arrivals, one in 10 ** phi comes later than the silence of that phi."""
    silence_us = suspicion.silence_us(1_000 * phi, mean_us=100 * MS, deviation_us=10 * MS)
    later = 1 - statistics.NormalDist(100 * MS, 10 * MS).cdf(silence_us)
    assert later == pytest.approx(10**-phi, rel=2e-3)
    assert suspicion.one_in(1_000 * phi) == 10**phi


def test_a_phi_beyond_floats_goes_on_growing() -> None:
    found = [
        suspicion.phi_milli(seconds * SECOND, mean_us=SECOND, deviation_us=100 * MS)
        for seconds in (4, 5, 6, 9)
    ]
    assert found == sorted(found)
    assert found[0] == pytest.approx(1_000 * (900 / 2 / math.log(10) + 1.88), rel=1e-2)
    most = suspicion.phi_milli(3_600 * SECOND, mean_us=SECOND, deviation_us=1)
    assert most == 10_000_000
    assert suspicion.one_in(most) == suspicion.ONE_IN_MAX


@given(
    st.integers(0, 10 * SECOND), st.integers(0, 10 * SECOND), st.integers(MS, 2 * SECOND),
    st.integers(MS, SECOND),
)  # fmt: skip
def test_phi_grows_with_silence(one: int, other: int, mean_us: int, deviation_us: int) -> None:
    least, most = sorted((one, other))
    phis = [
        suspicion.phi_milli(us, mean_us=mean_us, deviation_us=deviation_us) for us in (least, most)
    ]
    assert 0 <= phis[0] <= phis[1] + 1


def noted(gaps: list[int]) -> Gaps:
    found = Gaps()
    for gap_us in gaps:
        suspicion.note_gap(found, gap_us, upto=20)
    return found


def test_steady_intervals_have_a_mean_and_no_deviation() -> None:
    found = noted([SECOND] * 100)
    assert (found.mean_us, found.variance, found.count) == (SECOND, 0, 20)
    assert suspicion.deviation_us(found, least_us=7) == 7


def test_few_intervals_are_averaged_alike() -> None:
    assert noted([100, 200, 300]).mean_us == 200


@given(st.lists(st.integers(1, 10 * SECOND), min_size=1, max_size=100))
def test_averages_stay_within_what_was_seen(gaps: list[int]) -> None:
    found = noted(gaps)
    # Each step rounds down by less than one.
    assert min(gaps) - suspicion.WEIGHT <= found.mean_us <= max(gaps)
    assert suspicion.deviation_us(found, least_us=1) <= 2 * (max(gaps) - min(gaps)) + 100


def test_the_averages_follow_a_change() -> None:
    found = noted([100 * MS] * 50 + [300 * MS] * 100)
    assert found.mean_us == pytest.approx(300 * MS, rel=0.01)
    jittery = noted([90 * MS, 110 * MS] * 100)
    assert suspicion.deviation_us(jittery, least_us=1) == pytest.approx(10 * MS, rel=0.1)
