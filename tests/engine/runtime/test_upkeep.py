"""Behind an engine that writes, what is old is sealed, and a snapshot is stored now and then."""

from pathlib import Path

import pytest

from engine.core import state as st
from engine.core.errors import LogError
from engine.core.events import BodiesRemoved
from engine.core.replay import replay
from engine.log import MemoryLog, states
from engine.log.sqlite import SqliteLog
from engine.runtime import upkeep
from engine.simulation.schedule import draw
from engine.simulation.world import run
from tests.engine.log.events import START_US, at, probe, probes
from tests.engine.log.messaging import Messaging

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
    is_short = False
    turn = upkeep.snapshots(log, is_short=lambda: is_short)
    assert not turn()
    log.append(told[:499])
    assert not turn()
    assert log.snapshots.seqs() == []
    log.append(told[499:900])
    is_short = True
    assert not turn()
    assert log.snapshots.seqs() == []  # a cache is not worth its space on a full disk
    is_short = False
    assert not turn()
    assert log.snapshots.seqs() == [900]
    assert st.digest(states.state_at(log)) == st.digest(replay(told[:900]))
    log.append(told[900:])
    turn()
    assert log.snapshots.seqs() == [900, len(told)]


def test_keys_go_by_the_time_of_the_log_and_by_their_number() -> None:
    log = MemoryLog()
    for seq in range(1, 21):
        log.append(probes(seq, seq), key=f"k{seq}")

    def known() -> list[int]:
        return [seq for seq in range(1, 21) if log.append_keys.find(f"k{seq}") is not None]

    assert not upkeep.keys(log)()
    assert len(known()) == 20
    assert not upkeep.keys(log, keep_us=100)()
    assert known() == list(range(10, 21))  # ten events are 100 us
    assert not upkeep.keys(log, keep_max=3)()
    assert known() == [18, 19, 20]
    assert list(log.read()) == probes(1, 20)


def test_keys_are_kept_for_a_week() -> None:
    log = MemoryLog()
    log.append(probes(1, 1), key="k1")
    log.append([at(2, probe(2).event, at_us=START_US + upkeep.KEYS_US + 10)], key="k2")
    upkeep.keys(log)()
    assert log.append_keys.find("k1") is not None
    log.append([at(3, probe(3).event, at_us=START_US + upkeep.KEYS_US + 11)])
    upkeep.keys(log)()
    assert log.append_keys.find("k1") is None
    assert log.append_keys.find("k2") is not None


def test_a_log_of_the_first_format_stays_as_it_is(tmp_path: Path) -> None:
    with SqliteLog(tmp_path / "x.db", mode="write", create=True, version=1) as log:
        log.append(probes(1, 1_500))
        assert not upkeep.sealing(log, after_us=0, at_us=lambda: 1 << 60)()
        assert not upkeep.snapshots(log, is_short=lambda: False)()
        assert not upkeep.keys(log, keep_us=0, keep_max=0)()
        assert log.seals() == []


def test_bodies_are_removed_in_portions_until_there_is_nothing_more_to_remove() -> None:
    told = Messaging(MemoryLog())
    for number in range(5):
        told.through(str(number), b"%d" % number)
    fails = True

    def remove(digests: tuple[bytes, ...]) -> None:
        if fails:
            raise LogError("no space is left")
        told.see(BodiesRemoved(digests=digests, why="keep_bodies"))

    turn = upkeep.removing(told.log, keep_us=0, remove=remove)
    with pytest.raises(LogError):
        turn()
    assert len(told.there()) == 5
    fails = False
    assert [turn(), turn()] == [True, False]
    assert told.there() == set()
