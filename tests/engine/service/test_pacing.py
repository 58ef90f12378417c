from engine.service.pacing import CHEAP_US, ROUNDS, Paced


class Costly:
    """A clock, and what takes its time."""

    def __init__(self, cost_us: int) -> None:
        self.us = 0
        self.cost_us = cost_us
        self.count = 0

    def make(self) -> int:
        self.us += self.cost_us
        self.count += 1
        return self.count

    def clock(self) -> int:
        return self.us


def test_what_is_cheap_is_made_anew_each_time() -> None:
    costly = Costly(CHEAP_US)
    paced = Paced(costly.make, clock=costly.clock)
    assert [paced.get() for _ in range(3)] == [1, 2, 3]


def test_what_is_dear_stands_for_as_many_times_as_it_took() -> None:
    costly = Costly(CHEAP_US + 1)
    paced = Paced(costly.make, clock=costly.clock)
    assert paced.get() == 1
    costly.us += ROUNDS * costly.cost_us - 1
    assert paced.get() == 1
    costly.us += 1
    assert paced.get() == 2
    assert paced.get() == 2


def test_however_many_ask_a_twentieth_of_the_time_goes_into_it() -> None:
    costly = Costly(100_000)
    paced = Paced(costly.make, clock=costly.clock)
    while costly.us < 60_000_000:
        paced.get()
        costly.us += 1_000
    assert costly.count * costly.cost_us <= costly.us / ROUNDS + costly.cost_us
