import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.balancing.priority import Priority
from engine.core.balancing.smooth_weighted import SmoothWeighted

# Sequences seen on nginx 1.22.1 (ngx_http_upstream_round_robin.c).
NGINX = {
    (5, 1, 1): "aabacaa",
    (3, 2, 1): "abacba",
    (10, 1): "aaaaabaaaaa",
}

WEIGHTS = st.lists(st.integers(0, 12), min_size=1, max_size=6)


def named(weights: list[int] | tuple[int, ...]) -> dict[str, int]:
    return dict(zip("abcdef", weights, strict=False))


@pytest.mark.parametrize("weights", NGINX)
def test_the_order_is_that_of_nginx_and_the_period_repeats(weights: tuple[int, ...]) -> None:
    picker = SmoothWeighted(named(weights))
    picks = "".join(picker.pick() for _ in range(2 * sum(weights)))
    assert picks == 2 * NGINX[weights]


@given(WEIGHTS)
def test_one_period_gives_everyone_exactly_its_weight(weights: list[int]) -> None:
    picker = SmoothWeighted(named(weights))
    picks = [picker.pick() for _ in range(sum(weights))]
    assert {name: picks.count(name) for name in named(weights)} == named(weights)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=3), st.integers(1, 3))
def test_no_prefix_of_up_to_three_is_a_whole_pick_away_from_the_exact_share(
    weights: list[int], periods: int
) -> None:
    """|count_i(k) - k * w_i / W| < 1 for every prefix k, in integers.

    From five masters on the algorithm itself reaches more: 1.1 with the weights 1, 1, 1, 9, 9, 9.
    """
    total = sum(weights)
    picker, counts = SmoothWeighted(named(weights)), dict.fromkeys(named(weights), 0)
    for k in range(1, periods * total + 1):
        counts[picker.pick()] += 1
        for name, weight in named(weights).items():
            assert abs(counts[name] * total - k * weight) < total


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": 0, "b": 0}])
def test_nobody_is_picked_where_nobody_has_weight(weights: dict[str, int]) -> None:
    picker = SmoothWeighted(weights)
    assert [picker.pick(), picker.pick()] == ["", ""]


@pytest.mark.parametrize(
    ("priorities", "weights", "expected"),
    [
        ((1, 2, 2), (1, 1, 1), "aaaa"),
        ((1, 2, 2), (0, 1, 1), "bcbc"),
        ((3, 2, 1), (1, 1, 1), "cccc"),
        ((1, 1, 2), (3, 1, 9), "aaba"),
        ((7,), (1,), "aaaa"),
    ],
)
def test_priority_spreads_among_the_first_that_have_weight(
    priorities: tuple[int, ...], weights: tuple[int, ...], expected: str
) -> None:
    picker = Priority(named(priorities), named(weights))
    assert "".join(picker.pick() for _ in range(4)) == expected


def test_priority_picks_nobody_where_nobody_has_weight() -> None:
    assert Priority({"a": 1, "b": 2}, {"a": 0, "b": 0}).pick() == ""
    assert Priority({}, {}).pick() == ""


@given(WEIGHTS, st.lists(st.integers(1, 3), min_size=6, max_size=6))
def test_priority_never_picks_past_a_better_one(weights: list[int], numbers: list[int]) -> None:
    shares = named(weights)
    priorities = dict(zip(shares, numbers, strict=False))
    able = {name: priorities[name] for name, weight in shares.items() if weight}
    picker = Priority(priorities, shares)
    for name in itertools.islice(iter(picker.pick, None), 10):
        assert (name == "") == (not able)
        if able:
            assert priorities[name] == min(able.values())
