"""A block folded by its columns is the block folded event by event, to the byte; laws and cases."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core import events as ev
from engine.core.events import FLEET, KINDS, AnyEvent, Recorded
from engine.log.memory import MemoryLog
from projections import histories, weights
from projections.audit import AUDIT
from projections.base import DECODED_SINGLY_MAX, Fold, decoded, fold, places_of
from projections.uptime import UPTIME, Uptime
from projections.weights import WEIGHTS
from tests.projections import logs

ALL = [UPTIME, WEIGHTS, AUDIT]
CODES = {kind: code for code, kind in KINDS.items()}


class Cut:
    """The columns of some events that follow one another; it counts what is decoded."""

    def __init__(self, lines: list[Recorded]) -> None:
        self.first, self.last = lines[0].seq, lines[-1].seq
        self.last_at_us = lines[-1].at_us
        self.seqs = [line.seq for line in lines]
        codes = [CODES[type(line.event)] for line in lines]
        self.codes = tuple(dict.fromkeys(codes))
        self.kinds = bytes(self.codes.index(code) for code in codes)
        self.times = [line.at_us for line in lines]
        self.subjects = [line.subject for line in lines]
        self.names = tuple(dict.fromkeys(self.subjects))
        self.decoded: list[int] = []
        self._lines = lines

    def event(self, index: int) -> Recorded:
        self.decoded.append(self.seqs[index])
        return self._lines[index]

    def events(self) -> list[Recorded]:
        self.decoded += self.seqs
        return self._lines


def by_columns_is_one_by_one(log: list[Recorded], cuts: list[int], projection: Fold[Any]) -> None:
    """Assert that for the parts of `log` between `cuts`, each of which is a block."""
    whole, view = projection.new(), projection.new()
    ends = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    for begin, end in itertools.pairwise(ends):
        assert projection.project_block(view, Cut(log[begin:end]))
        fold(projection, log[begin:end], whole)
        assert projection.dump(view) == projection.dump(whole)


@pytest.mark.parametrize("projection", ALL, ids=lambda projection: projection.name)
@given(log=logs.drawn_logs(), cuts=st.lists(st.integers(1, 60)))
def test_a_block_by_its_columns_is_its_events_one_by_one(
    projection: Fold[Any], log: list[Recorded], cuts: list[int]
) -> None:
    by_columns_is_one_by_one(log, cuts, projection)


def probes(*subjects: str) -> list[tuple[int, str, AnyEvent]]:
    return [(50 + at_us, name, logs.PROBE_OK) for at_us, name in enumerate(subjects)]


def seen(*lines: tuple[int, str, AnyEvent]) -> tuple[Uptime, Cut]:
    """Return the view of a and b observed, and the block of `lines`, which follow."""
    log = logs.log(*logs.OPENING, *probes("a", "b"), *lines)
    before = len(logs.OPENING) + 2
    return fold(UPTIME, log[:before]), Cut(log[before:])


def folded(view: Uptime, block: Cut) -> bytes:
    """Return the view one by one."""
    return UPTIME.dump(fold(UPTIME, block.events(), UPTIME.restore(UPTIME.dump(view))))


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(probes("a", "b", "a"), id="of masters that were observed before"),
        pytest.param(probes("c", "a", "c"), id="the first one of a master"),
        pytest.param(probes("x", "y", "x"), id="of masters that nobody declared"),
        pytest.param([*probes("a"), (60, "g", logs.started()), *probes("b")], id="and a failover"),
    ],
)
def test_observations_are_never_decoded_for_uptime(lines: list[tuple[int, str, AnyEvent]]) -> None:
    lines = [(max(at_us, 60), name, event) for at_us, name, event in lines]
    view, block = seen(*lines)
    expected, block.decoded = folded(view, block), []
    assert UPTIME.project_block(view, block)
    assert block.decoded == []
    assert UPTIME.dump(view) == expected


@pytest.mark.parametrize("projection", ALL, ids=lambda projection: projection.name)
def test_the_payloads_of_a_block_of_probes_are_never_looked_at(projection: Fold[Any]) -> None:
    log = MemoryLog()
    log.append(logs.log(*probes(*itertools.islice(itertools.cycle("abc"), 1_001))))
    expected = projection.dump(fold(projection, log.read()))
    assert log.seal() == 1
    (stored,) = log._blocks
    log._blocks[0] = (*stored[:5], b"damaged")
    view, position = log.view(projection)
    assert (projection.dump(view), position) == (expected, 1_001)


def test_transitions_are_not_decoded_for_uptime_either() -> None:
    kinds = [logs.HEALTHY, logs.ACTIVATED, logs.FAILED, logs.FENCED, ev.MasterRemoved(group="g")]
    view, block = seen(*[(60 + at_us, "a", event) for at_us, event in enumerate(kinds)])
    expected, block.decoded = folded(view, block), []
    assert UPTIME.project_block(view, block)
    assert block.decoded == []
    assert UPTIME.dump(view) == expected


def test_a_master_observed_after_its_removal_in_the_same_block_is_unknown_from_then_on() -> None:
    view, block = seen(
        (60, "a", ev.MasterRemoved(group="g")), (70, "a", logs.PROBE_OK), (80, "a", logs.PROBE_OK)
    )
    assert UPTIME.project_block(view, block)
    assert [since for since, _ in view.masters["a"].track][-2:] == [60, 70]


def test_the_first_block_says_when_time_begins() -> None:
    log = logs.log((7, FLEET, logs.started()), (9, FLEET, logs.started()))
    view = UPTIME.new()
    assert UPTIME.project_block(view, Cut(log))
    assert (view.first_us, view.last_us, view.position) == (7, 9, 2)


@pytest.mark.parametrize("projection", ALL, ids=lambda projection: projection.name)
def test_a_block_that_the_view_is_in_is_not_taken(projection: Fold[Any]) -> None:
    log = logs.log(*logs.OPENING, (10, "a", logs.HEALTHY))
    for position in (1, 3, len(log)):
        view = fold(projection, log[:position])
        before = projection.dump(view)
        assert not projection.project_block(view, Cut(log))
        assert projection.dump(view) == before


@pytest.mark.parametrize("projection", ALL, ids=lambda projection: projection.name)
def test_a_block_with_a_kind_of_a_newer_release_is_not_taken(projection: Fold[Any]) -> None:
    block, view = Cut(logs.log(*logs.OPENING)), projection.new()
    block.codes = (*block.codes, 9_999)
    assert not projection.project_block(view, block)
    assert view == projection.new()


def test_places_are_those_of_the_kinds_in_order() -> None:
    block = Cut(logs.log(*probes("a", "b"), (60, "a", logs.FAILED), *probes("c")))
    assert places_of(block, (ev.ProbeOk,)) == [0, 1, 3]
    assert places_of(block, {ev.MasterFailed: 1, ev.MasterHealthy: 2}) == [2]
    assert places_of(block, (ev.ProbeOk, ev.MasterFailed)) == [0, 1, 2, 3]
    assert places_of(block, (ev.Refused,)) == []


@pytest.mark.parametrize("places", [[], [2], [0, 3], [0, 1, 3], [0, 1, 2, 3]])
def test_few_events_are_decoded_singly_and_many_at_once(places: list[int]) -> None:
    log = logs.log(*probes("a", "b", "c", "d"))
    block = Cut(log)
    assert decoded(block, places) == [log[place] for place in places]
    few = len(places) <= DECODED_SINGLY_MAX
    assert block.decoded == ([place + 1 for place in places] if few else [1, 2, 3, 4])


def blind(view: Uptime, block: Any) -> None:
    """Look at decisions only: the mutant that takes no observation for the first."""
    for recorded in block.events():
        if not isinstance(recorded.event, ev.ProbeOk | ev.ProbeFailed):
            UPTIME.project(view, recorded)


def unsorted(view: Uptime, block: Any) -> None:
    """Apply what observations say after all decisions of the block."""
    for recorded in sorted(block.events(), key=lambda line: isinstance(line.event, ev.ProbeOk)):
        histories._apply(view, recorded)


def deaf(kind: type[AnyEvent]) -> Fold[Any]:
    """Return weights that pass over one kind in a block."""
    kinds = weights._APPLY.keys() - {kind}
    return Fold(name="w", version=1, view=weights.Weights, apply=weights._apply, kinds=kinds)


STORY = logs.log(
    *logs.OPENING,
    (5, "a", logs.PROBE_OK),
    (10, "a", logs.HEALTHY),
    (10, "a", logs.ACTIVATED),
    (11, "a", logs.FAILED),
    (12, "a", logs.HEALTHY),
    (20, "a", ev.MasterRemoved(group="g")),
    (30, "a", logs.PROBE_OK),
    (40, "b", logs.HEALTHY),
    (40, "b", logs.SWITCHED),
)


@pytest.mark.parametrize(
    "mutant",
    [
        Fold(name="u", version=1, view=Uptime, apply=histories._apply, apply_block=blind),
        Fold(name="u", version=1, view=Uptime, apply=histories._apply, apply_block=unsorted),
        deaf(ev.MasterHealthy),
        deaf(ev.MasterRemoved),
        deaf(ev.PolicyAdopted),
    ],
)
def test_the_law_catches_its_mutants(mutant: Fold[Any]) -> None:
    with pytest.raises(AssertionError):
        by_columns_is_one_by_one(STORY, [6], mutant)
