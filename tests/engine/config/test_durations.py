"""Durations: what is read, what is refused, and that what is spelt is read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config.durations import DURATION_US_MAX, microseconds, spell


@pytest.mark.parametrize(
    ("written", "expected_us"),
    [
        ("0s", 0),
        ("7us", 7),
        ("10ms", 10_000),
        ("1.5s", 1_500_000),
        ("0.000001s", 1),
        ("10m", 600_000_000),
        ("2h", 7_200_000_000),
        ("7d", 604_800_000_000),
        ("3650d", DURATION_US_MAX),
    ],
)
def test_a_duration_is_read_to_the_microsecond(written: str, expected_us: int) -> None:
    assert microseconds(written) == expected_us


@pytest.mark.parametrize(
    "written",
    ["", "5", "s", "5 s", "-1s", "+1s", "1e3s", "1,5s", "1S", "1h30m", "0.5us", "3651d", "٣s",
     "1s\n", ".5s", "5.s", "999999999999999999s"],
)  # fmt: skip
def test_what_is_no_duration_is_not_guessed(written: str) -> None:
    assert microseconds(written) is None


@pytest.mark.parametrize(
    ("duration_us", "expected"),
    [
        (0, "0s"),
        (7, "7us"),
        (1_500, "1.5ms"),
        (50_000, "50ms"),
        (1_000_001, "1000.001ms"),
        (10_500_000, "10.5s"),
        (90_000_000, "90s"),
        (60_000_000, "1m"),
        (5_400_000_000, "90m"),
        (30 * 86_400_000_000, "30d"),
    ],
)
def test_a_duration_is_spelt_as_people_write_it(duration_us: int, expected: str) -> None:
    assert spell(duration_us) == expected


@given(st.integers(0, DURATION_US_MAX) | st.integers(0, 10_000_000))
def test_what_is_spelt_is_read_back(duration_us: int) -> None:
    assert microseconds(spell(duration_us)) == duration_us
