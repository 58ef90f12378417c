from engine.runtime.clock import Clock


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
