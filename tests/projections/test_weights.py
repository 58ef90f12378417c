"""Weights and shares, case by case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.events import FLEET, MasterRemoved, StrategyChanged
from projections import weights
from projections.base import fold
from projections.weights import WEIGHTS, WHOLE_PPM, Row, Weights, rows, shares
from tests.projections import logs
from tests.projections.logs import (
    ACTIVATED,
    DEGRADED,
    DRAIN_CANCELLED,
    DRAIN_ENDED,
    DRAIN_STARTED,
    FAILED,
    FENCED,
    HEALTHY,
    LOST,
    RECOVERING,
    SWITCHED,
    UNKNOWN,
)

REMOVED = MasterRemoved(group="g")


def folded(*lines) -> Weights:
    return fold(WEIGHTS, logs.log(*logs.OPENING, *lines))


def rows_of(view: Weights) -> dict[str, Row]:
    return {row.subject: row for row in rows(view)}


@pytest.mark.parametrize(
    ("events", "weight"),
    [
        ([], 0),
        ([HEALTHY], 0),
        ([HEALTHY, ACTIVATED], 2),
        ([HEALTHY, SWITCHED], 2),
        ([HEALTHY, ACTIVATED, DEGRADED], 2),
        ([HEALTHY, ACTIVATED, UNKNOWN], 2),
        ([HEALTHY, ACTIVATED, FAILED], 0),
        ([HEALTHY, ACTIVATED, FAILED, RECOVERING], 0),
        ([HEALTHY, ACTIVATED, FAILED, UNKNOWN], 0),
        ([HEALTHY, ACTIVATED, FAILED, RECOVERING, DEGRADED], 2),
        ([HEALTHY, ACTIVATED, FENCED], 0),
        ([HEALTHY, ACTIVATED, LOST], 0),
        ([HEALTHY, ACTIVATED, DRAIN_STARTED], 0),
        ([HEALTHY, ACTIVATED, DRAIN_STARTED, DRAIN_CANCELLED], 2),
        ([HEALTHY, ACTIVATED, DRAIN_STARTED, DRAIN_ENDED], 0),
        ([HEALTHY, ACTIVATED, DRAIN_STARTED, DRAIN_ENDED, ACTIVATED], 2),
        ([HEALTHY, ACTIVATED, REMOVED, logs.added("a", "g", weight=2)], 0),
    ],
)
def test_a_master_has_its_base_weight_while_it_may_serve(events, weight):
    row = rows_of(folded(*((10, "a", event) for event in events)))["a"]
    assert (row.weight, row.base_weight) == (weight, 2)


BOTH_SERVE = [(10, name, event) for name in "ab" for event in (HEALTHY, ACTIVATED)]


def shares_of(view: Weights) -> dict[str, int]:
    return {name: row.share_ppm for name, row in rows_of(view).items()}


def test_shares_are_of_the_group_and_of_those_that_serve():
    assert shares_of(folded(*BOTH_SERVE)) == {"a": 666_667, "b": 333_333, "c": 0}
    assert shares_of(folded(*BOTH_SERVE, (20, "c", SWITCHED))) == {
        "a": 666_667,
        "b": 333_333,
        "c": WHOLE_PPM,
    }
    assert shares_of(folded(*BOTH_SERVE, (20, "a", FAILED))) == {"a": 0, "b": WHOLE_PPM, "c": 0}


def test_under_priority_only_the_best_that_have_weight_share():
    ranked = [
        *((5, name, logs.added(name, "g", priority=rank)) for name, rank in (("a", 1), ("b", 2))),
        (5, "d", logs.added("d", "g", priority=2, weight=3)),
        *BOTH_SERVE,
        (10, "d", ACTIVATED),
        (10, "g", StrategyChanged(strategy="priority")),
    ]
    assert shares_of(folded(*ranked)) == {"a": WHOLE_PPM, "b": 0, "c": 0, "d": 0}
    fallen = folded(*ranked, (20, "a", FAILED))
    assert shares_of(fallen) == {"a": 0, "b": 250_000, "c": 0, "d": 750_000}
    none = folded(*ranked, *((20, name, FAILED) for name in "abd"))
    assert shares_of(none) == dict.fromkeys("abcd", 0)


@pytest.mark.parametrize(
    ("of", "parts"),
    [
        ({}, {}),
        ({"a": 0}, {"a": 0}),
        ({"a": 5}, {"a": 1_000_000}),
        ({"a": 1, "b": 1, "c": 1}, {"a": 333_334, "b": 333_333, "c": 333_333}),
        ({"c": 1, "b": 1, "a": 1}, {"a": 333_334, "b": 333_333, "c": 333_333}),
        # Exact parts 142857.142.. and 857142.857..: the larger remainder takes what is left.
        ({"a": 1, "b": 6}, {"a": 142_857, "b": 857_143}),
        ({"a": 0, "b": 3, "c": 4}, {"a": 0, "b": 428_571, "c": 571_429}),
    ],
)
def test_shares_by_largest_remainder(of, parts):
    assert shares(of) == parts


@given(st.dictionaries(st.text(max_size=2), st.integers(0, 10**9), max_size=9))
def test_shares_add_up_and_are_within_one_part_of_exact(of):
    total, parts = sum(of.values()), shares(of)
    assert sum(parts.values()) == (WHOLE_PPM if total else 0)
    for name, weight in of.items():
        assert abs(parts[name] * total - weight * WHOLE_PPM) < max(total, 1)


def test_the_strategy_in_force_is_the_last_that_was_adopted_chosen_or_rolled_back_to():
    chosen = (10, "g", StrategyChanged(strategy="priority"))
    same = (20, FLEET, logs.adopted(g=logs.ACTIVE, h=logs.STANDBY))
    back = (30, "g", logs.rolled_back("g", "priority"))
    for lines, strategy, seq in [
        ([], "round-robin", 1),
        ([chosen], "priority", 5),
        ([same], "round-robin", 1),
        ([chosen, same], "round-robin", 6),
        ([chosen, back], "priority", 5),
        ([chosen, same, back], "priority", 7),
    ]:
        view = folded(*lines)
        assert rows_of(view)["a"].strategy == strategy
        assert view.groups["g"].strategy_seq == seq


def test_a_rollback_brings_base_weights_back_but_not_a_master_that_is_gone():
    serving = [(10, "a", HEALTHY), (10, "a", ACTIVATED)]
    back = (30, "g", logs.rolled_back("g", "round-robin", a=7, b=3))
    found = rows_of(folded(*serving, (20, "b", REMOVED), back))
    assert (found["a"].base_weight, found["a"].weight) == (7, 7)
    assert "b" not in found


def test_a_master_declared_anew_has_its_new_weight_at_once():
    view = folded(
        (10, "a", HEALTHY), (10, "a", ACTIVATED), (20, "a", logs.added("a", "g", weight=5))
    )
    assert rows_of(view)["a"].weight == 5


def test_every_change_of_a_weight_is_noted_with_its_event():
    view = folded(
        (10, "a", HEALTHY), (11, "a", ACTIVATED), (20, "a", FAILED), (21, "a", FENCED),
        (30, "b", HEALTHY), (31, "b", ACTIVATED), (40, "b", REMOVED),
    )  # fmt: skip
    assert [
        (change.seq, change.at_us, change.master, change.before, change.after, change.kind)
        for change in view.changes
    ] == [
        (6, 11, "a", 0, 2, "Activated"),
        (7, 20, "a", 2, 0, "MasterFailed"),
        (10, 31, "b", 0, 1, "Activated"),
        (11, 40, "b", 1, 0, "MasterRemoved"),
    ]


def test_the_list_of_changes_is_bounded():
    flapping = [(10, "a", event) for _ in range(weights.CHANGES_MAX) for event in (HEALTHY, FAILED)]
    view = folded((1, "a", ACTIVATED), *flapping)
    assert len(view.changes) == weights.CHANGES_MAX
    assert view.changes[-1].seq == view.position


def test_what_the_log_never_declared_is_passed_over():
    view = folded((10, "x", HEALTHY), (10, "y", StrategyChanged(strategy="priority")))
    assert (set(view.members), set(view.groups)) == ({"a", "b", "c"}, {"g", "h"})
