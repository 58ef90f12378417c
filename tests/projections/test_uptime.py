"""Time in the right bucket, and counted as the question says."""

import pytest

from engine.core.errors import ConfigurationError
from engine.core.events import FLEET, ConnectionClosed, Evidence, MasterRemoved, Refused
from projections.base import fold
from projections.tracks import Bucket
from projections.uptime import UPTIME, Row, Uptime, answer
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
    PROBE_FAILED,
    PROBE_OK,
    RECOVERING,
    SWITCHED,
    UNKNOWN,
    maintenance,
)

ABSENT, DOWN, UP = Bucket.ABSENT, Bucket.DOWN, Bucket.UP
REMOVED = MasterRemoved(group="g")
CLOSED = ConnectionClosed(evidence=Evidence.CLOSED)


def folded(*lines, opening=logs.OPENING) -> Uptime:
    return fold(UPTIME, logs.log(*opening, *lines))


def row_of(view: Uptime, subject: str, **question) -> Row:
    by = "fleet" if subject == FLEET else "group" if subject in view.groups else "master"
    (row,) = [row for row in answer(view, by=by, **question) if row.subject == subject]
    return row


def buckets(row: Row) -> tuple[int, ...]:
    return row.up_us, row.degraded_us, row.down_us, row.maintenance_us, row.unknown_us


# Each state begins at its time and lasts until the next; the window is [0, 100).
@pytest.mark.parametrize(
    ("lines", "up_degraded_down_maintenance_unknown"),
    [
        ([], (0, 0, 0, 0, 100)),
        ([(40, HEALTHY)], (60, 0, 0, 0, 40)),
        ([(40, DEGRADED)], (0, 60, 0, 0, 40)),
        ([(40, FAILED)], (0, 0, 60, 0, 40)),
        ([(10, FAILED), (40, RECOVERING)], (0, 0, 90, 0, 10)),
        ([(10, FAILED), (40, RECOVERING), (70, HEALTHY)], (30, 0, 60, 0, 10)),
        ([(10, HEALTHY), (40, UNKNOWN)], (30, 0, 0, 0, 70)),
        ([(10, HEALTHY), (40, DEGRADED), (60, FAILED)], (30, 20, 40, 0, 10)),
        ([(10, HEALTHY), (40, PROBE_FAILED), (60, FAILED)], (50, 0, 40, 0, 10)),
        ([(0, HEALTHY), (40, REMOVED)], (40, 0, 0, 0, 60)),
        ([(0, HEALTHY), (40, REMOVED), (50, logs.added("a", "g"))], (40, 0, 0, 0, 60)),
        ([(0, HEALTHY), (40, FAILED), (40, RECOVERING), (40, HEALTHY)], (100, 0, 0, 0, 0)),
        ([(0, HEALTHY), (60, maintenance(10, 30))], (80, 0, 0, 20, 0)),
        ([(0, FAILED), (60, maintenance(10, 30))], (0, 0, 80, 20, 0)),
        ([(60, maintenance(10, 30))], (0, 0, 0, 20, 80)),
        ([(0, HEALTHY), (1, maintenance(10, 30)), (2, maintenance(20, 40))], (70, 0, 0, 30, 0)),
        ([(0, HEALTHY), (1, maintenance(10, 40)), (2, maintenance(20, 30))], (70, 0, 0, 30, 0)),
        ([(0, HEALTHY), (1, maintenance(-50, 10)), (2, maintenance(95, 900))], (85, 0, 0, 15, 0)),
        ([(0, HEALTHY), (1, maintenance(200, 300))], (100, 0, 0, 0, 0)),
    ],
)
def test_a_masters_time_is_in_the_right_bucket(lines, up_degraded_down_maintenance_unknown):
    view = folded(*((at_us, "a", event) for at_us, event in lines))
    row = row_of(view, "a", from_us=0, to_us=100)
    assert buckets(row) == up_degraded_down_maintenance_unknown


BOTH_SERVE = [("a", HEALTHY), ("a", ACTIVATED), ("b", HEALTHY), ("b", ACTIVATED)]


# Masters a and b are of group g; what is not said of b is that nothing is known.
@pytest.mark.parametrize(
    ("lines", "last"),
    [
        ([], "absent"),
        ([("a", PROBE_OK)], "unknown"),
        ([("a", CLOSED)], "unknown"),
        ([("a", HEALTHY)], "down"),
        ([("a", HEALTHY), ("a", ACTIVATED)], "up"),
        ([("a", HEALTHY), ("a", SWITCHED)], "up"),
        ([("a", HEALTHY), ("a", ACTIVATED), ("a", DEGRADED)], "degraded"),
        ([("a", HEALTHY), ("a", ACTIVATED), ("a", UNKNOWN)], "unknown"),
        ([("a", HEALTHY), ("a", ACTIVATED), ("a", FAILED)], "down"),
        ([("a", HEALTHY), ("a", ACTIVATED), ("a", FAILED), ("a", RECOVERING)], "down"),
        ([("a", HEALTHY), ("a", ACTIVATED), ("a", FENCED)], "down"),
        ([("a", HEALTHY), ("a", ACTIVATED), ("a", LOST)], "down"),
        ([("a", HEALTHY), ("a", ACTIVATED), ("a", DRAIN_STARTED)], "up"),
        ([("a", HEALTHY), ("a", ACTIVATED), ("a", DRAIN_STARTED), ("a", DRAIN_CANCELLED)], "up"),
        ([("a", HEALTHY), ("a", ACTIVATED), ("a", DRAIN_STARTED), ("a", DRAIN_ENDED)], "down"),
        ([("a", HEALTHY), ("a", ACTIVATED), ("a", REMOVED)], "absent"),
        ([("a", FAILED), ("a", UNKNOWN)], "unknown"),
        ([("a", HEALTHY), ("a", ACTIVATED), ("a", FAILED), ("a", FENCED), ("b", HEALTHY)], "down"),
        (
            [("a", HEALTHY), ("a", ACTIVATED), ("a", FENCED), ("b", HEALTHY), ("b", SWITCHED)],
            "up",
        ),
        (
            [*BOTH_SERVE, ("a", DEGRADED)],
            "up",
        ),
        (
            [*BOTH_SERVE, ("a", DEGRADED), ("b", FAILED)],
            "degraded",
        ),
        (
            [*BOTH_SERVE, ("a", UNKNOWN), ("b", FAILED)],
            "unknown",
        ),
    ],
)
def test_a_group_is_as_well_as_the_best_master_that_serves(lines, last):
    view = folded(*((10, subject, event) for subject, event in lines))
    track = view.groups["g"].track
    assert (track[-1][1] if track else ABSENT) is Bucket(last)
    assert [at_us for at_us, _ in track] == [10] * len(track)


@pytest.mark.parametrize(
    ("g", "h", "last"),
    [
        (None, None, "absent"),
        (HEALTHY, None, "unknown"),
        (FAILED, None, "down"),
        (HEALTHY, UNKNOWN, "unknown"),
        (DEGRADED, UNKNOWN, "unknown"),
        (FAILED, UNKNOWN, "down"),
        (HEALTHY, HEALTHY, "up"),
        (HEALTHY, DEGRADED, "degraded"),
        (FAILED, DEGRADED, "down"),
    ],
)
def test_the_fleet_is_as_well_as_its_worst_group(g, h, last):
    lines = [
        (10, subject, event)
        for subject, health in (("a", g), ("c", h))
        if health
        for event in (HEALTHY, ACTIVATED, health)
    ]
    view = folded(*lines)
    assert (view.fleet[-1][1] if view.fleet else ABSENT) is Bucket(last)


def test_a_group_whose_masters_are_gone_is_not_part_of_the_fleet():
    view = folded((10, "a", HEALTHY), (10, "a", ACTIVATED), (20, "c", REMOVED))
    assert view.fleet == [(10, Bucket.UNKNOWN), (20, UP)]


# Up 10-40, unknown 40-60, degraded 60-70, down 70-80, unknown 80-100; maintenance 35-45 and 75-85.
# Counted: up 25, unknown after up 15, degraded 10, down 5, unknown after down 15, maintenance 20.
ACCOUNTED = [
    (10, "a", HEALTHY),
    (40, "a", UNKNOWN),
    (60, "a", DEGRADED),
    (70, "a", FAILED),
    (80, "a", UNKNOWN),
    (90, "a", maintenance(35, 45)),
    (90, "a", maintenance(75, 85)),
]


@pytest.mark.parametrize(
    ("unknown", "degraded", "maintained", "good", "of"),
    [
        ("exclude", "up", "exclude", 25 + 10, 40),
        ("exclude", "down", "exclude", 25, 40),
        ("exclude", "up", "up", 25 + 10 + 20, 60),
        ("exclude", "up", "down", 25 + 10, 60),
        ("hold", "up", "exclude", 25 + 15 + 10, 70),
        ("hold", "down", "exclude", 25 + 15, 70),
        ("hold", "up", "up", 25 + 15 + 10 + 20, 90),
        ("up", "up", "exclude", 25 + 15 + 10 + 15, 70),
        ("up", "down", "up", 25 + 15 + 15 + 20, 90),
        ("down", "up", "exclude", 25 + 10, 70),
        ("down", "down", "down", 25, 90),
    ],
)
def test_what_counts_is_an_argument_of_the_question(unknown, degraded, maintained, good, of):
    row = row_of(
        folded(*ACCOUNTED),
        "a",
        from_us=0,
        to_us=100,
        unknown=unknown,
        degraded=degraded,
        maintenance=maintained,
    )
    assert buckets(row) == (25, 10, 5, 20, 40)
    assert row.availability == good / of


@pytest.mark.parametrize("unknown", ["exclude", "hold", "up", "down"])
def test_time_before_the_first_observation_never_counts(unknown):
    view = folded((50, "a", HEALTHY))
    row = row_of(view, "a", from_us=0, to_us=100, unknown=unknown)
    assert (row.unknown_us, row.availability) == (50, 1.0)


@pytest.mark.parametrize(
    ("unknown", "availability"), [("exclude", 1), ("hold", 1), ("up", 1), ("down", 50 / 80)]
)
def test_between_the_first_observation_and_the_first_verdict_is_unknown_and_may_count(
    unknown, availability
):
    view = folded((20, "a", PROBE_OK), (50, "a", HEALTHY))
    row = row_of(view, "a", from_us=0, to_us=100, unknown=unknown)
    assert (row.unknown_us, row.availability) == (50, availability)


@pytest.mark.parametrize("unknown", ["exclude", "hold", "up", "down"])
def test_time_after_the_removal_never_counts(unknown):
    view = folded((0, "a", HEALTHY), (50, "a", REMOVED))
    row = row_of(view, "a", from_us=0, to_us=100, unknown=unknown)
    assert (row.unknown_us, row.availability) == (50, 1.0)


def test_hold_takes_the_state_from_before_the_window():
    view = folded((0, "a", FAILED), (10, "a", UNKNOWN))
    assert row_of(view, "a", from_us=50, to_us=90, unknown="hold").availability == 0.0


def test_hold_sees_no_state_through_an_absence():
    view = folded((0, "a", HEALTHY), (10, "a", REMOVED), (20, "a", PROBE_OK))
    assert row_of(view, "a", from_us=20, to_us=90, unknown="hold").availability is None


@pytest.mark.parametrize(
    ("declared", "covered"),
    [("a", {"a"}), ("g", {"a", "b", "g"}), (FLEET, {"a", "b", "c", "g", "h", FLEET})],
)
def test_maintenance_covers_what_is_below_its_subject_and_nothing_above(declared, covered):
    view = folded((50, declared, maintenance(10, 30)))
    maintained = {
        subject: row_of(view, subject, from_us=0, to_us=50).maintenance_us
        for subject in ("a", "b", "c", "g", "h", FLEET)
    }
    assert maintained == {subject: 20 * (subject in covered) for subject in maintained}


def test_a_later_declaration_with_the_same_beginning_replaces_the_one_before():
    first = (50, "a", maintenance(10, 30))
    assert row_of(folded(first, (51, "a", maintenance(10, 15))), "a").maintenance_us == 5
    assert row_of(folded(first, (51, "a", maintenance(10, 10))), "a").maintenance_us == 0
    assert row_of(folded(first, (51, "b", maintenance(10, 10))), "a").maintenance_us == 20


def test_a_refused_declaration_does_not_count_and_brings_the_one_before_back():
    refused = Refused(what="maintenance", reasons=("unknown subject",))
    view = folded(
        (50, "a", maintenance(10, 30)),
        (51, "a", maintenance(10, 50)),
        (51, "a", refused, len(logs.OPENING) + 2),
    )
    assert row_of(view, "a").maintenance_us == 20


def test_the_window_is_by_default_from_the_first_event_to_the_last():
    view = folded((10, "a", HEALTHY), (70, "b", HEALTHY), opening=[(5, *OPENED[1:])])
    assert buckets(row_of(view, "a")) == (60, 0, 0, 0, 5)
    assert row_of(view, "b").elapsed_us == 65


OPENED = logs.OPENING[1]


def test_a_window_that_ends_before_it_begins_is_refused():
    with pytest.raises(ConfigurationError, match="ends 5 us before"):
        answer(folded(), from_us=10, to_us=5)


def test_an_empty_window_and_an_empty_log_count_nothing():
    assert answer(UPTIME.new()) == []
    (row,) = answer(UPTIME.new(), by="fleet")
    assert (row.elapsed_us, buckets(row), row.availability) == (0, (0, 0, 0, 0, 0), None)


def test_rows_are_ordered_and_have_one_for_each_subject():
    view = folded()
    assert [row.subject for row in answer(view, by="master")] == ["a", "b", "c"]
    assert [row.subject for row in answer(view, by="group")] == ["g", "h"]
    assert [row.subject for row in answer(view, by="fleet")] == [FLEET]


def test_a_master_that_the_log_never_declared_has_its_time_but_no_group():
    view = folded((10, "a", HEALTHY), (20, "a", REMOVED), opening=[])
    assert buckets(row_of(view, "a", from_us=0, to_us=30)) == (10, 0, 0, 0, 20)
    assert (view.groups, view.fleet) == ({}, [])


def test_a_master_declared_anew_keeps_its_time():
    view = folded((10, "a", HEALTHY), (20, "a", logs.added("a", "g", weight=9)), (30, "a", FAILED))
    assert buckets(row_of(view, "a")) == (20, 0, 0, 0, 10)


def test_an_event_of_another_group_that_comes_late_does_not_turn_time_back():
    view = folded((20, "a", HEALTHY), (10, "a", FAILED))
    assert view.masters["a"].track == [(20, DOWN)]
    assert view.last_us == 20


def test_the_worked_window_of_the_conformance_tables():
    """A window of 30 days: 2 h maintenance, 1 h unknown, 30 min down, 10 min of it maintained."""
    second = 1_000_000
    view = folded(
        (0, "a", HEALTHY),
        (100_000 * second, "a", FAILED),
        (101_800 * second, "a", HEALTHY),
        (200_000 * second, "a", UNKNOWN),
        (203_600 * second, "a", HEALTHY),
        (300_000 * second, "a", maintenance(101_200 * second, 108_400 * second)),
    )
    for unknown, percent in (("exclude", 99.953510), ("down", 99.814299)):
        row = row_of(view, "a", to_us=2_592_000 * second, unknown=unknown)
        assert 100 * row.availability == pytest.approx(percent, abs=5e-7)
        assert row.down_us == 1_200 * second
