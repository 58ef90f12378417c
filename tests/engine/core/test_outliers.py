"""Who is an outlier, for how long it is out, and how many may be; against published figures."""

import pytest

from engine.core import events as ev
from engine.core.facts import Calls
from engine.core.fleet import Mode
from engine.core.outliers import lasts_us, outliers, room
from engine.core.policy import EJECTION, SECOND, Balance
from engine.core.serving import weights
from tests.engine.core.build import Story, kinds, story

WINDOW_US = 10 * SECOND


def serving(names: str = "abcde") -> Story:
    """Return a group whose masters all serve."""
    tale = story(
        names=names,
        mode=Mode.ACTIVE_ACTIVE,
        balance=Balance(slow_start_us=0, ejection=EJECTION),
        unknown_after_us=0,
    )
    tale.ok(*names)
    tale.ok(*names)
    return tale


def counted(*of: tuple[str, int, int]) -> ev.CallsCounted:
    calls = tuple(Calls(master=name, calls=calls, failed=failed) for name, calls, failed in of)
    return ev.CallsCounted(window_us=WINDOW_US, calls=calls)


def later(tale: Story, us: int) -> list[str]:
    tale.wait(us)
    return kinds(tale.tick())


def window(tale: Story, bad: str = "a", *, good: str = "bcde", calls: int = 100) -> list[str]:
    """Take a window in which all requests to `bad` fail, and none to `good`."""
    rows = [*((name, calls, calls) for name in bad), *((name, calls, 0) for name in good)]
    return kinds(tale.see(counted(*rows), subject="g"))


def test_published_durations() -> None:
    # Envoy, outlier detection: base_ejection_time 30 s, max_ejection_time 300 s; gRPC A50.
    found = [lasts_us(EJECTION, times) // SECOND for times in (1, 2, 3, 4)]
    assert found == [30, 60, 90, 120]
    assert lasts_us(EJECTION, 11) == 300 * SECOND


@pytest.mark.parametrize(
    ("masters", "serving_now", "out", "left"),
    [
        (1, 1, 0, 0),
        (2, 2, 0, 1),
        (2, 1, 1, 0),
        (3, 3, 0, 1),
        (3, 2, 0, 0),  # one is down already
        (4, 4, 0, 2),
        (4, 3, 1, 1),
        (5, 5, 0, 1),
        (5, 4, 1, 0),
        (19, 19, 0, 1),
        (20, 20, 0, 2),
        (20, 19, 1, 1),
    ],
)
def test_how_many_may_be_out(masters: int, serving_now: int, out: int, left: int) -> None:
    assert room(EJECTION, masters, serving_now, out) == left


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        ([("a", 50, 43), ("b", 50, 0), ("c", 50, 0)], "failures"),  # 86 %
        ([("a", 100, 85), ("b", 50, 0)], "failures"),  # 85 % is too much
        ([("a", 50, 42), ("b", 50, 0)], ""),  # 84 % is not
        ([("a", 49, 49), ("b", 50, 0), ("c", 50, 0)], ""),  # too few requests
        ([("a", 50, 50), ("b", 49, 0)], ""),  # nobody to be beside
        ([("a", 100, 30), *((name, 100, 0) for name in "bcde")], "successes"),
        ([("a", 99, 30), *((name, 100, 0) for name in "bcde")], ""),  # four have enough
        ([(name, 100, 30) for name in "abcde"], ""),  # all alike
        ([("a", 100, 30), *((name, 100, 0) for name in "bcd")], ""),  # four are no population
    ],
)
def test_who_is_an_outlier(rows: list[tuple[str, int, int]], rule: str) -> None:
    found = list(outliers(EJECTION, counted(*rows).calls))
    assert [(each.master, each.rule) for each in found] == ([("a", rule)] if rule else [])


def test_a_success_rate_is_compared_with_the_mean_less_1_9_deviations() -> None:
    # Successes 70 % and four times 100 %: mean 94, deviation 12, so 71.2 % at least.
    rows = [("a", 100, 30), *((name, 100, 0) for name in "bcde")]
    (found,) = outliers(EJECTION, counted(*rows).calls)
    assert dict(found.figures)["success_ppm_least"] == 712_000


def test_an_outlier_gets_no_traffic_for_its_time_and_is_no_failure() -> None:
    tale = serving()
    before = tale.master("a").health, tale.master("a").role, tale.master("a").epoch
    assert window(tale) == ["MasterEjected"]
    assert weights(tale.state, tale.group) == {"a": 0, "b": 1, "c": 1, "d": 1, "e": 1}
    assert (tale.master("a").health, tale.master("a").role, tale.master("a").epoch) == before
    assert later(tale, 30 * SECOND - 1) == []
    assert later(tale, 1) == ["MasterReadmitted"]
    assert weights(tale.state, tale.group)["a"] == 1


def test_the_next_time_in_a_row_it_is_out_for_longer() -> None:
    tale = serving()
    for times in (1, 2, 3):
        window(tale)
        ejected = tale.master("a").ejected
        assert ejected is not None
        assert (ejected.times, ejected.until_us - tale.at_us) == (times, times * 30 * SECOND)
        later(tale, ejected.until_us - tale.at_us)
        later(tale, WINDOW_US)
    # It served for longer than it was out.
    later(tale, 90 * SECOND)
    window(tale)
    ejected = tale.master("a").ejected
    assert ejected is not None
    assert ejected.times == 1


def test_of_a_large_group_a_tenth_is_out_and_one_at_least() -> None:
    tale = serving()
    assert window(tale, "ab", good="cde").count("MasterEjected") == 1
    assert "MasterEjected" not in window(tale, "b", good="cde")


def test_of_a_small_group_a_half_serves_on() -> None:
    tale = serving("abcd")
    assert window(tale, "abc", good="d").count("MasterEjected") == 2
    assert sum(weights(tale.state, tale.group).values()) == 2


def test_who_rests_is_none_that_has_to_serve_on_or_makes_a_group_large() -> None:
    tale = serving("abcd")
    for name in "cd":
        tale.see(ev.ExclusionAsked(excluded=True, reason="x", author="y"), name)
    assert window(tale, "a", good="b") == ["MasterEjected"]  # the half of two
    names = "abcdefghijklmnopqrst"
    tale = serving(names)
    for name in names[3:]:
        tale.see(ev.ExclusionAsked(excluded=True, reason="x", author="y"), name)
    assert window(tale, "ab", good="c").count("MasterEjected") == 1


def test_a_reset_lets_who_is_out_serve_and_the_next_time_is_the_first_in_a_row() -> None:
    tale = serving()
    window(tale)
    later(tale, 30 * SECOND)
    window(tale)
    assert kinds(tale.see(ev.ResetAsked(author="x"), "a")) == ["MasterReadmitted"]
    assert weights(tale.state, tale.group)["a"] == 1
    assert kinds(tale.see(ev.ResetAsked(author="x"), "g")) == []
    window(tale)
    ejected = tale.master("a").ejected
    assert ejected is not None
    assert (ejected.times, ejected.until_us - tale.at_us) == (1, 30 * SECOND)


def test_who_is_out_is_not_judged_again() -> None:
    tale = serving("abcd")
    window(tale, "a", good="bcd")
    assert window(tale, "a", good="bcd") == []


def test_when_all_others_are_gone_who_is_out_serves() -> None:
    tale = serving("ab")
    window(tale, "a", good="b")
    assert weights(tale.state, tale.group) == {"a": 0, "b": 1}
    tale.crashes("b")
    assert weights(tale.state, tale.group) == {"a": 1, "b": 0}


def test_who_goes_out_of_the_group_comes_back_as_anybody() -> None:
    tale = serving("abc")
    window(tale, "a", good="bc")
    tale.crashes("a")
    assert later(tale, 30 * SECOND) == ["MasterReadmitted"]


@pytest.mark.parametrize("balance", [None, Balance(slow_start_us=SECOND)])
def test_where_nobody_is_ejected_counts_are_only_noted(balance: Balance | None) -> None:
    tale = story(names="abc", mode=Mode.ACTIVE_ACTIVE, balance=balance, unknown_after_us=0)
    tale.ok("a", "b", "c")
    tale.ok("a", "b", "c")
    assert window(tale, "a", good="bc") == []


def test_a_group_with_one_active_ejects_nobody() -> None:
    balance = Balance(slow_start_us=0, ejection=EJECTION)
    tale = story(names="abc", balance=balance, unknown_after_us=0)
    assert "MasterEjected" not in window(tale, "a", good="bc")
