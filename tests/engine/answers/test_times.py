import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.answers.times import iso, microseconds
from engine.core.errors import ConfigurationError

END_US = 253_402_300_799_999_999  # the last microsecond of the year 9999


@given(st.integers(0, END_US))
def test_a_time_written_and_read_is_the_same_to_the_microsecond(at_us: int) -> None:
    assert microseconds(iso(at_us)) == at_us


@given(st.integers(0, END_US), st.integers(0, END_US))
def test_times_sort_as_text_as_they_do_as_numbers(one_us: int, other_us: int) -> None:
    assert (iso(one_us) < iso(other_us)) == (one_us < other_us)


@pytest.mark.parametrize(
    ("text", "at_us"),
    [
        ("2020-09-13T12:26:40Z", 1_600_000_000_000_000),
        ("2020-09-13T14:26:40+02:00", 1_600_000_000_000_000),
        ("2020-09-13 12:26:40.000001Z", 1_600_000_000_000_001),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_a_zone_is_counted_in(text: str, at_us: int) -> None:
    assert microseconds(text) == at_us


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2020-09-13T12:26:40", "2020-09-13", "1969-12-31T23:59:59Z", "1600000000"],
)
def test_what_is_no_time_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="with its zone"):
        microseconds(text)
