"""Laws of the accounting: no second is lost or counted twice, and what is applied twice is once."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.events import Recorded
from engine.core.policy import SECOND
from engine.simulation.schedule import draw
from engine.simulation.world import run
from projections.base import Fold, fold
from projections.uptime import UPTIME, By, Row, Uptime, answer

FAST = settings(max_examples=25, derandomize=True, deadline=None)
BY: tuple[By, ...] = ("master", "group", "fleet")
SEEDS = st.integers(0, 5_000)


def log_of(seed: int) -> list[Recorded]:
    return run(draw(seed, turns=15), within_us=2 * SECOND).log


def spent(row: Row) -> tuple[int, int, int, int, int]:
    return row.up_us, row.degraded_us, row.down_us, row.maintenance_us, row.unknown_us


Answer = Callable[..., list[Row]]


def seconds_are_conserved(
    view: Uptime, from_us: int, to_us: int, *, answer: Answer = answer
) -> None:
    for by in BY:
        for row in answer(view, by=by, from_us=from_us, to_us=to_us):
            assert row.elapsed_us == to_us - from_us
            assert sum(spent(row)) == row.elapsed_us
            assert min(spent(row)) >= 0


def parts_add_up(view: Uptime, cuts: list[int], *, answer: Answer = answer) -> None:
    for by in BY:
        whole = answer(view, by=by, from_us=cuts[0], to_us=cuts[-1])
        parts = [answer(view, by=by, from_us=a, to_us=b) for a, b in pairwise(cuts)]
        for row, *pieces in zip(whole, *parts, strict=True):
            assert spent(row) == tuple(map(sum, zip(*map(spent, pieces), strict=True)))


@FAST
@given(seed=SEEDS, ends=st.tuples(st.integers(0, 3 * SECOND), st.integers(0, 3 * SECOND)))
def test_every_microsecond_is_in_one_bucket(seed: int, ends: tuple[int, int]) -> None:
    view = fold(UPTIME, log_of(seed))
    from_us, to_us = (view.first_us + end for end in sorted(ends))
    seconds_are_conserved(view, from_us, to_us)


@FAST
@given(seed=SEEDS, cuts=st.lists(st.integers(0, 3 * SECOND), min_size=2, max_size=5))
def test_windows_side_by_side_add_up_to_one(seed: int, cuts: list[int]) -> None:
    view = fold(UPTIME, log_of(seed))
    parts_add_up(view, [view.first_us + cut for cut in sorted(cuts)])


@FAST
@given(seed=SEEDS)
def test_what_is_applied_twice_counts_once(seed: int) -> None:
    log = log_of(seed)
    once, twice = UPTIME.new(), UPTIME.new()
    for recorded in log:
        UPTIME.project(once, recorded)
        UPTIME.project(twice, recorded)
        UPTIME.project(twice, recorded)
    fold(UPTIME, log, twice)
    assert UPTIME.dump(once) == UPTIME.dump(twice)


@FAST
@given(seed=SEEDS, cut=st.integers(0, 200))
def test_a_stored_view_is_taken_up_where_it_ended(seed: int, cut: int) -> None:
    log = log_of(seed)
    stored = UPTIME.restore(UPTIME.dump(fold(UPTIME, log[:cut])))
    assert UPTIME.dump(fold(UPTIME, log, stored)) == UPTIME.dump(fold(UPTIME, log))


# A mutant for each law.


def test_a_projection_without_a_position_is_caught() -> None:
    def count(view: Uptime, recorded: Recorded) -> None:
        view.last_us += 1

    counting: Fold[Uptime] = Fold(name="count", version=1, view=Uptime, apply=count)
    once, twice = counting.new(), counting.new()
    for recorded in log_of(1)[:5]:
        counting.project(once, recorded)
        counting.project(twice, recorded)
        twice.position = 0
        counting.project(twice, recorded)
    assert counting.dump(once) != counting.dump(twice)


def test_a_second_that_is_counted_twice_is_caught() -> None:
    def generous(view: Uptime, **window: Any) -> list[Row]:
        rows = answer(view, **window)
        return [msgspec.structs.replace(row, down_us=row.down_us + row.unknown_us) for row in rows]

    view = fold(UPTIME, log_of(1))
    seconds_are_conserved(view, view.first_us - 1, view.last_us)
    with pytest.raises(AssertionError):
        seconds_are_conserved(view, view.first_us - 1, view.last_us, answer=generous)


def test_an_end_that_is_rounded_is_caught() -> None:
    def rounded(view: Uptime, *, by: By, from_us: int, to_us: int) -> list[Row]:
        return answer(view, by=by, from_us=from_us, to_us=to_us - to_us % 1_000)

    view = fold(UPTIME, log_of(1))
    cuts = [view.first_us, view.first_us + 5_432, view.first_us + 9_000]
    parts_add_up(view, cuts)
    with pytest.raises(AssertionError):
        parts_add_up(view, cuts, answer=rounded)
