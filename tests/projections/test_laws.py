"""Laws that every projection keeps, each with the mutant that it must catch."""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.events import Recorded
from projections import uptime
from projections.audit import AUDIT
from projections.base import Fold, fold
from projections.incidents import INCIDENTS
from projections.tracks import Bucket
from projections.uptime import UPTIME, Uptime
from projections.weights import WEIGHTS
from tests.projections import logs

ALL = [UPTIME, WEIGHTS, AUDIT, INCIDENTS]
Project = Callable[[Any, Recorded], None]


class Projected:
    """A projection with another `project`, so that a mutant is passed in and nothing is patched."""

    def __init__(self, base: Fold[Any], project: Project) -> None:
        self.name, self.version = base.name, base.version
        self.new, self.dump, self.restore = base.new, base.dump, base.restore
        self.project = project


def applied_twice_changes_nothing(log: list[Recorded], base: Fold[Any], project: Project) -> None:
    once = fold(Projected(base, project), log)
    one_by_one = fold(Projected(base, project), [line for line in log for _ in range(2)])
    assert one_by_one == once
    assert fold(Projected(base, project), [*log, *log]) == once


def a_stored_middle_goes_on_as_the_whole(
    log: list[Recorded], base: Fold[Any], project: Project
) -> None:
    projection = Projected(base, project)
    whole = fold(projection, log)
    for cut in range(len(log) + 1):
        stored = projection.dump(fold(projection, log[:cut]))
        view = projection.restore(stored)
        assert projection.dump(view) == stored
        assert fold(projection, log[cut:], view) == whole


def rebuilt_is_incremental(log: list[Recorded], base: Fold[Any], project: Project) -> None:
    projection, view = Projected(base, project), base.new()
    for position, recorded in enumerate(log, 1):
        project(view, recorded)
        assert view.position == recorded.seq
        assert fold(projection, log[:position]) == view


def every_microsecond_is_in_one_bucket(
    log: list[Recorded], base: Fold[Any], project: Project
) -> None:
    view = base.new()
    for recorded in log:
        project(view, recorded)
        for by in ("master", "group", "fleet"):
            cuts = sorted({-5, view.first_us, view.last_us // 2, view.last_us, view.last_us + 5})
            whole = uptime.answer(view, by=by, from_us=cuts[0], to_us=cuts[-1])
            parts = [
                uptime.answer(view, by=by, from_us=from_us, to_us=to_us)
                for from_us, to_us in itertools.pairwise(cuts)
            ]
            for row, *of_parts in zip(whole, *parts, strict=True):
                assert sum(_buckets(row)) == row.elapsed_us == cuts[-1] - cuts[0]
                assert _buckets(row) == [
                    sum(each) for each in zip(*map(_buckets, of_parts), strict=True)
                ]
                assert all(spent_us >= 0 for part in of_parts for spent_us in _buckets(part))
                assert (row.availability == 1) <= (row.down_us == 0)


def _buckets(row: uptime.Row) -> list[int]:
    return [getattr(row, f"{name}_us") for name in BUCKETS]


BUCKETS = ("up", "degraded", "down", "maintenance", "unknown")
LAWS = [applied_twice_changes_nothing, a_stored_middle_goes_on_as_the_whole, rebuilt_is_incremental]


@pytest.mark.parametrize("base", ALL, ids=lambda base: base.name)
@pytest.mark.parametrize("law", LAWS)
@given(log=logs.drawn_logs())
def test_law(law: Callable[..., None], base: Fold[Any], log: list[Recorded]) -> None:
    law(log, base, base.project)


@given(log=logs.drawn_logs())
def test_time_is_conserved_at_every_event_and_every_cut(log: list[Recorded]) -> None:
    every_microsecond_is_in_one_bucket(log, UPTIME, UPTIME.project)


@given(
    log=logs.drawn_logs(),
    span=st.tuples(st.integers(-9, 99), st.integers(0, 99)),
    unknown=st.sampled_from(["exclude", "hold", "up", "down"]),
    degraded=st.sampled_from(["up", "down"]),
    maintenance=st.sampled_from(["exclude", "up", "down"]),
)
def test_a_policy_of_accounting_moves_nothing_between_buckets(
    log: list[Recorded], span: tuple[int, int], **policies: Any
) -> None:
    view = fold(UPTIME, log)
    spans = {"from_us": span[0], "to_us": sum(span)}
    for plain, row in zip(
        uptime.answer(view, **spans), uptime.answer(view, **spans, **policies), strict=True
    ):
        assert row == msgspec.structs.replace(plain, availability=row.availability)
        assert row.availability is None or 0 <= row.availability <= 1


def repeating(base: Fold[Any]) -> Project:
    """Return a `project` that does not look at the position."""

    def project(view: Any, recorded: Recorded) -> None:
        view.position = 0
        base.project(view, recorded)

    return project


def remembering(base: Fold[Any]) -> Project:
    """Return a `project` that keeps something beside the view: it warms up on each one."""
    seen: list[object] = []

    def project(view: Any, recorded: Recorded) -> None:
        if any(view is known for known in seen):
            base.project(view, recorded)
        else:
            seen.append(view)
            view.position = recorded.seq

    return project


def dropping(base: Fold[Any]) -> Project:
    """Return a `project` that loses every seventh event, counted over all views."""
    count = itertools.count()

    def project(view: Any, recorded: Recorded) -> None:
        if next(count) % 7:
            base.project(view, recorded)
        else:
            view.position = recorded.seq

    return project


def untidy(view: Uptime, recorded: Recorded) -> None:
    """Let the fleet's transitions fall out of order."""
    UPTIME.project(view, recorded)
    view.fleet.append((recorded.at_us // 2, (Bucket.UP, Bucket.DOWN)[recorded.seq % 2]))


STORY = logs.log(
    *logs.OPENING,
    (10, "a", logs.HEALTHY),
    (10, "a", logs.ACTIVATED),
    (20, "a", logs.maintenance(12, 18)),
    (30, "a", logs.FAILED),
    (30, "g", logs.started()),
    (30, "g", logs.attempt("b")),
    (30, "a", logs.FENCED),
    (40, "b", logs.HEALTHY),
    (40, "b", logs.SWITCHED),
    (40, "g", logs.ended("completed")),
)


@pytest.mark.parametrize("base", ALL, ids=lambda base: base.name)
@pytest.mark.parametrize(
    ("law", "mutant"), list(zip(LAWS, (repeating, remembering, dropping), strict=True))
)
def test_each_law_catches_its_mutant(
    law: Callable[..., None], mutant: Callable[[Fold[Any]], Project], base: Fold[Any]
) -> None:
    with pytest.raises(AssertionError):
        law(STORY, base, mutant(base))


def test_conservation_catches_transitions_out_of_order() -> None:
    with pytest.raises(AssertionError):
        every_microsecond_is_in_one_bucket(STORY, UPTIME, untidy)
