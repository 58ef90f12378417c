import itertools
from pathlib import Path

from engine.bench import raw
from engine.bench.history import OUTAGE_PROBES, History, probes
from engine.core.events import MasterFailed, MasterHealthy, ProbeFailed, ProbeOk, Recorded
from engine.core.fleet import Health
from engine.core.replay import replay
from engine.log.codec import encode_rows
from engine.log.library import sound_library
from engine.log.protocol import Head
from engine.log.sqlite import open_log


def told(events: int) -> list[Recorded]:
    return [event for batch in History(masters=3).batches(events) for event in batch.events]


def test_the_same_arguments_give_the_same_history() -> None:
    assert told(300) == told(300)


def test_a_history_has_outages_that_are_failures_and_ends() -> None:
    events = told(300)
    kinds = [type(recorded.event) for recorded in events]
    assert kinds.count(ProbeFailed) == OUTAGE_PROBES
    assert kinds.count(ProbeOk) > 200
    assert MasterFailed in kinds
    healthy = [recorded for recorded in events if type(recorded.event) is MasterHealthy]
    assert {"m0", "m1", "m2"} == {recorded.subject for recorded in healthy}
    assert 300 <= len(events) < 310


def test_a_history_goes_on_where_it_was_left(tmp_path: Path) -> None:
    history = History(masters=3, groups=2)
    with open_log(tmp_path / "a.db", mode="write", create=True) as log:
        history.declare_to(log)
        declared = log.head.seq
        history.append_to(log, 100)
        history.append_to(log, 100)
        state = replay(log.read())
        assert 200 <= log.head.seq - declared < 220
    assert state == history.driver.durable_state
    assert {name: len(group.masters) for name, group in state.groups.items()} == {"g0": 2, "g1": 1}


def test_probes_take_turns_and_can_begin_anywhere() -> None:
    seen = list(itertools.islice(probes(3), 9))
    assert [probe.number for probe in seen] == [0, 1, 2] * 3
    assert [probe.n for probe in seen] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [probe.at_us for probe in seen] == sorted(probe.at_us for probe in seen)
    assert list(itertools.islice(probes(3, first=4), 5)) == seen[4:]


def test_the_floor_stores_the_rows_that_the_log_does_and_as_durably(tmp_path: Path) -> None:
    events = told(20)
    with open_log(tmp_path / "log.db", mode="write", create=True) as log:
        log.append(events)
        stored = list(log.rows())
    rows = encode_rows(events, head=Head(), crc=0)
    table = raw.RawTable(tmp_path / "raw.db")
    ((synchronous,),) = table._cursor.execute("PRAGMA synchronous")
    ((journal,),) = table._cursor.execute("PRAGMA journal_mode")
    assert (synchronous, journal) == (2, "wal")
    table.append_singly(rows[:5])
    table.append_together(rows[5:], each=4)
    table.close()
    connection = sound_library().module.connect(str(tmp_path / "raw.db"))
    assert connection.execute("SELECT * FROM events ORDER BY seq").fetchall() == stored
    connection.close()
    assert raw.fold(tmp_path / "log.db") == len(events)


def test_no_probe_of_a_history_leaves_a_master_unknown() -> None:
    history = History(masters=3)
    for _ in history.batches(60):
        pass
    (group,) = history.driver.durable_state.groups.values()
    assert {master.health for master in group.masters.values()} == {Health.HEALTHY}
