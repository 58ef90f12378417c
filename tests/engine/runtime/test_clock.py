from pathlib import Path

import pytest

from engine.runtime.clock import STEP_US, WRONG_BY, Clock


class Hands:
    """Two clocks that are set by hand."""

    def __init__(self, *, wall_us: int, boot_us: int) -> None:
        self.wall_us = wall_us
        self.boot_us = boot_us

    def clock(self, last_at_us: int = 0) -> Clock:
        return Clock(last_at_us=last_at_us, wall=lambda: self.wall_us, boot=lambda: self.boot_us)


def test_engine_time_starts_at_the_wall_clock() -> None:
    assert Hands(wall_us=5_000, boot_us=70).clock(last_at_us=4_000).at_us() == 5_000


def test_a_wall_clock_behind_the_log_changes_nothing() -> None:
    hands = Hands(wall_us=3_000, boot_us=70)
    clock = hands.clock(last_at_us=4_000)
    assert clock.at_us() == 4_000
    assert clock.wall_offset_us() == -1_000


def test_engine_time_runs_with_the_boot_clock_whatever_the_wall_clock_does() -> None:
    hands = Hands(wall_us=5_000, boot_us=70)
    clock = hands.clock()
    hands.boot_us, hands.wall_us = 170, 1_000
    assert clock.at_us() == 5_100
    assert clock.wall_offset_us() == -4_100


def test_the_real_clocks_go_on() -> None:
    clock = Clock()
    first_us, first_monotonic_us = clock.at_us(), clock.monotonic_us()
    assert clock.at_us() >= first_us > 1_600_000_000 * 1_000_000
    assert clock.monotonic_us() >= first_monotonic_us


def test_a_step_of_the_wall_clock_is_said_once() -> None:
    hands = Hands(wall_us=10_000_000, boot_us=70)
    clock = hands.clock()
    assert clock.stepped() is None
    hands.wall_us += STEP_US
    assert clock.stepped() is None
    hands.wall_us += 1
    assert clock.stepped() == (STEP_US + 1, STEP_US + 1)
    assert clock.stepped() is None
    hands.wall_us -= 5_000_000
    assert clock.stepped() == (STEP_US + 1 - 5_000_000, -5_000_000)
    assert clock.stepped() is None
    assert clock.at_us() == 10_000_000


def test_a_clock_that_drifts_is_said_when_that_amounts_to_a_step() -> None:
    hands = Hands(wall_us=10_000_000, boot_us=70)
    clock = hands.clock()
    said = 0
    for _ in range(1_000):
        hands.boot_us += 1_000
        hands.wall_us += 1_001
        said += clock.stepped() is not None
    assert said == 0
    hands.wall_us += STEP_US
    assert clock.stepped() == (1_000 + STEP_US, 1_000 + STEP_US)


def test_a_wall_clock_behind_the_log_is_said_at_the_start() -> None:
    assert Hands(wall_us=3_000, boot_us=70).clock(last_at_us=9_000_000).stepped() == (
        3_000 - 9_000_000,
        3_000 - 9_000_000,
    )


def test_a_test_may_set_the_wall_clock_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "offset"
    monkeypatch.setenv(WRONG_BY, str(file))
    clock = Clock()
    assert clock.stepped() is None
    file.write_text("-3600000000")
    before_us = clock.at_us()
    offset_us, step_us = clock.stepped() or (0, 0)
    assert offset_us == step_us == pytest.approx(-3_600_000_000, abs=STEP_US)
    assert clock.at_us() - before_us < STEP_US
    file.write_text("nothing yet")
    assert clock.stepped() is not None
