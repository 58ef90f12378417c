"""Behind an engine that writes, what is old is sealed, and a snapshot is stored now and then."""

from pathlib import Path

import pytest

from engine.core import state as st
from engine.core.replay import replay
from engine.log import MemoryLog, states
from engine.log.sqlite import SqliteLog
from engine.runtime import upkeep
from engine.simulation.schedule import draw
from engine.simulation.world import run
from tests.engine.log.events import START_US, probes

MINUTE_US = 60_000_000


def filled() -> MemoryLog:
    """Return a log of 3,500 events, one each 10 us."""
    log = MemoryLog()
    log.append(probes(1, 3_500))
    return log


def test_only_blocks_whose_events_are_all_old_enough_are_sealed() -> None:
    log = filled()
    now_us = START_US + 2_500 * 10 + MINUTE_US
    turn = upkeep.sealing(log, after_us=MINUTE_US, at_us=lambda: now_us)
    assert [turn() for _ in range(3)] == [True, True, False]
    assert [seal.seq for seal in log.seals()] == [1_000, 2_000]


def test_nothing_is_sealed_before_its_time() -> None:
    log = filled()
    assert not upkeep.sealing(log, after_us=MINUTE_US, at_us=lambda: START_US)()
    assert log.seals() == []


def test_a_snapshot_is_stored_when_enough_was_appended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "EACH_EVENTS", 500)
    told = run(draw(34, turns=60), within_us=3_000_000).log
    log = MemoryLog()
    turn = upkeep.snapshots(log)
    assert not turn()
    log.append(told[:499])
    assert not turn()
    assert log.snapshots.seqs() == []
    log.append(told[499:900])
    assert not turn()
    assert log.snapshots.seqs() == [900]
    assert st.digest(states.state_at(log)) == st.digest(replay(told[:900]))
    log.append(told[900:])
    turn()
    assert log.snapshots.seqs() == [900, len(told)]


def test_a_log_of_the_first_format_stays_as_it_is(tmp_path: Path) -> None:
    with SqliteLog(tmp_path / "x.db", mode="write", create=True, version=1) as log:
        log.append(probes(1, 1_500))
        assert not upkeep.sealing(log, after_us=0, at_us=lambda: 1 << 60)()
        assert not upkeep.snapshots(log)()
        assert log.seals() == []
