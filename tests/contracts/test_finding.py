"""Events are found by their kind, sealed or not, in order or the newest first."""

import pytest

from engine.core.events import KINDS, OBSERVATIONS, ProbeOk, Recorded
from engine.log.reading import FOUND_EVENTS
from engine.log.schema import PASSING
from engine.simulation.schedule import draw
from engine.simulation.world import run
from tests.contracts.places import Place
from tests.engine.log.events import approvals

APPROVAL = 113
CODES = {kind: code for code, kind in KINDS.items()}


@pytest.fixture(scope="module")
def told() -> list[Recorded]:
    return run(draw(34, turns=200), within_us=3_000_000).log


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("sealed", [0, 1, 99])
def test_what_is_found_is_what_reading_everything_finds(
    place: Place, told: list[Recorded], sealed: int, newest_first: bool
) -> None:
    place.log.append(told)
    place.log.seal(blocks_max=sealed) if sealed else None
    last = len(told)
    some = [code for code in KINDS if code > 100]
    for kinds in ([112], some, [*some, CODES[ProbeOk]], [4], []):
        for subject in ("", "a", "g", "nobody"):
            for after, until in ((0, None), (300, 1_234), (999, 1_001), (last - 5, last)):
                found = place.log.seqs_of(
                    kinds, after, until, subject=subject, newest_first=newest_first
                )
                expected = [
                    recorded.seq
                    for recorded in told[after:until]
                    if CODES[type(recorded.event)] in kinds and subject in ("", recorded.subject)
                ]
                assert list(found) == (expected[::-1] if newest_first else expected)


@pytest.mark.parametrize("newest_first", [False, True])
def test_more_than_one_look_is_taken_if_there_are_more(place: Place, newest_first: bool) -> None:
    last = 1_000 + 2 * FOUND_EVENTS + 1
    place.log.append(approvals(1, last))
    assert place.log.seal() == 1
    found = list(place.log.seqs_of((APPROVAL,), newest_first=newest_first))
    assert found == (list(range(last, 0, -1)) if newest_first else list(range(1, last + 1)))


def test_what_is_sealed_while_somebody_looks_is_found(place: Place, told: list[Recorded]) -> None:
    place.log.append(told)
    expected = [r.seq for r in told if CODES[type(r.event)] not in PASSING]
    kinds = [code for code in KINDS if code not in PASSING]
    for newest_first in (False, True):
        found = []
        for count, seq in enumerate(place.log.seqs_of(kinds, newest_first=newest_first)):
            found.append(seq)
            if count % 40 == 7:
                place.log.seal()
        assert found == (expected[::-1] if newest_first else expected)


def test_the_kinds_that_pass_are_frozen_with_the_format() -> None:
    assert PASSING == (4, 5, 6, 7, 8, 9, 11, 23, 123, 124, 136)
    assert {KINDS[code] for code in PASSING} - OBSERVATIONS == {KINDS[123], KINDS[124], KINDS[136]}
