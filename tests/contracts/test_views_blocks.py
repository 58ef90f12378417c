"""What views promise on every log about projections that fold sealed blocks by columns."""

from typing import Any

import pytest

from engine.core.events import Recorded
from engine.log import MemoryLog
from engine.log.connection import driver_connect
from engine.log.protocol import ViewParked
from tests.contracts.folds import parked
from tests.contracts.places import Place
from tests.engine.log.events import Seen, SeenFold, based, folded, probes


class Blockwise(SeenFold):
    """A projection that is offered blocks, and notes those that it took."""

    def __init__(self, *, takes: bool = True, fails_at: int = 0) -> None:
        super().__init__()
        self.takes = takes
        self.fails_at = fails_at
        self.blocks: list[int] = []

    def project(self, view: Seen, recorded: Recorded) -> None:
        super().project(view, recorded)
        if recorded.seq == self.fails_at:
            raise ZeroDivisionError

    def project_block(self, view: Seen, block: Any) -> bool:
        if self.takes:
            self.blocks.append(block.first)
            for recorded in block.events():
                self.project(view, recorded)
        return self.takes


@pytest.mark.parametrize(
    ("portion", "blocks"),
    [(999, []), (1_000, [1, 1_001, 2_001]), (1_500, [1, 2_001]), (9_000, [1, 1_001, 2_001])],
)
def test_whole_blocks_are_offered_as_far_as_the_portion_goes(
    place: Place, portion: int, blocks: list[int]
) -> None:
    log, fold = place.log, Blockwise()
    log.append(probes(1, 3_400))
    log.seal(blocks_max=9)
    log.attach(fold)
    applied = 0
    while found := log.catch_up("seen", limit_events=portion):
        applied += found
    assert (applied, fold.blocks) == (3_400, blocks)
    assert log.view(SeenFold()) == (folded(probes(1, 3_400)), 3_400)


def test_a_block_that_is_not_taken_is_folded_event_by_event(place: Place) -> None:
    log = place.log
    log.append(probes(1, 2_400))
    log.seal(blocks_max=9)
    log.attach(Blockwise(takes=False))
    assert log.catch_up("seen") == 2_400
    assert log.view(SeenFold()) == (folded(probes(1, 2_400)), 2_400)


@pytest.mark.parametrize("begun", [0, 900])
@pytest.mark.parametrize("seq", [999, 1_000, 1_001, 1_500, 2_000, 2_399])
def test_a_view_as_of_a_position_in_a_block_has_only_what_is_before_it(
    place: Place, seq: int, begun: int
) -> None:
    log = place.log
    log.attach(SeenFold())
    log.append(probes(1, begun))
    log.catch_up("seen")
    log.append(probes(begun + 1, 2_400))
    log.seal(blocks_max=9)
    fold = Blockwise()
    assert log.as_of(fold, seq) == folded(probes(1, seq))
    assert fold.blocks == [first for first in (1, 1_001) if begun < first <= seq - 999]


def test_a_log_that_goes_on_from_a_base_offers_its_blocks_after_it(place: Place) -> None:
    events, fold = [based(5_000), *probes(5_001, 7_100)], Blockwise()
    place.log.append(events)
    assert place.log.seal(blocks_max=9) == 2
    assert place.log.view(fold) == (folded(events), 7_100)
    assert fold.blocks == [5_001, 6_001]


@pytest.mark.parametrize("seq", [1, 700, 1_000, 1_001, 1_999, 2_300])
def test_a_failure_within_a_block_is_named_by_its_event(place: Place, seq: int) -> None:
    log, fold = place.log, Blockwise(fails_at=seq)
    log.append(probes(1, 2_400))
    log.seal(blocks_max=9)
    log.attach(fold)
    assert parked(log).seq == seq
    stored = log.load_view("seen")
    assert stored is not None
    assert (fold.restore(stored.data), stored.position) == (folded(probes(1, seq - 1)), seq - 1)
    for ask in (log.view, log.rebuild):
        with pytest.raises(ViewParked, match=f"before event {seq}: ZeroDivisionError"):
            ask(fold)


def test_a_block_whose_columns_are_damaged_parks_before_it(place: Place) -> None:
    log = place.log
    log.append(probes(1, 2_400))
    log.seal(blocks_max=9)
    if isinstance(log, MemoryLog):
        log._blocks[1] = (*log._blocks[1][:4], b"x", log._blocks[1][5])
    else:
        connection = driver_connect(log.path.as_uri())
        connection.execute("UPDATE blocks SET columns = x'78' WHERE first = 1001")
        connection.commit()
        connection.close()
    log.attach(Blockwise())
    found = parked(log)
    assert (found.seq, found.reason.startswith("LogCorrupted: ")) == (1_001, True)
    stored = log.load_view("seen")
    assert stored is not None
    assert stored.position == 1_000
