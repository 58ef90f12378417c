"""Sizes: what is read, what is refused, and that what is spelt is read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config.sizes import SIZE_BYTES_MAX, in_bytes, spell_size


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0", 0),
        ("0B", 0),
        ("7B", 7),
        ("4KiB", 4_096),
        ("64MiB", 67_108_864),
        ("1.5GiB", 1_610_612_736),
        ("1TiB", 1_099_511_627_776),
        ("1024TiB", SIZE_BYTES_MAX),
    ],
)
def test_a_size_is_read_to_the_byte(written: str, expected: int) -> None:
    assert in_bytes(written) == expected


@pytest.mark.parametrize(
    "written",
    ["", "5", "64MB", "64M", "64 MiB", "64mib", "-1MiB", "+1MiB", "1e3B", "1,5MiB", "0.3B",
     "1025TiB", "٣MiB", "1MiB\n", ".5MiB", "5.MiB", "99999999999999999B"],
)  # fmt: skip
def test_what_is_no_size_is_not_guessed(written: str) -> None:
    assert in_bytes(written) is None


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0"), (1, "1B"), (1_000, "1000B"), (1_536, "1536B"), (3 << 19, "1536KiB"),
     (64 << 20, "64MiB"), (10 << 30, "10GiB"), (SIZE_BYTES_MAX, "1024TiB")],
)  # fmt: skip
def test_a_size_is_spelt_in_the_largest_unit_without_a_fraction(size: int, expected: str) -> None:
    assert spell_size(size) == expected


@given(st.integers(0, SIZE_BYTES_MAX))
def test_what_is_spelt_is_read_back(size: int) -> None:
    assert in_bytes(spell_size(size)) == size
