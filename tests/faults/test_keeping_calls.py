"""Each call into the database fails in its turn while what a log keeps is made anew or let go.

A view is rebuilt, observations are dropped, space is given back. Each time there is one clear
error, nothing that was told is lost, and the next try does what was to be done.
"""

import functools
from pathlib import Path

import pytest

from engine.cli.verifying import verified
from engine.core.errors import LogError, LogFull, LogLocked
from engine.core.events import Recorded
from engine.log import MemoryLog, open_log, thinning
from engine.log.sqlite import SqliteLog
from engine.log.states import keep, state_at
from engine.log.views import Views
from tests.engine.log.events import SeenFold, folded
from tests.engine.log.kept import BODIES, SNAPSHOT, digest_of, events, in_a_file
from tests.engine.log.thinned import drop, thin
from tests.faults.test_copying_calls import BUSY, WAYS, quiet, rounds
from tests.faults.test_log_calls import FULL, IOERR, Faults

DROPPED = 2_000  # until that seq: two blocks


@functools.cache
def seen(version: int) -> object:
    return folded(events(), version)


@functools.cache
def left(blocks: int) -> list[Recorded]:
    """Return the events of the log when so many of its blocks are thinned."""
    log = MemoryLog()
    log.append(events())
    assert log.seal(blocks_max=9) == 2
    drop(log, DROPPED)
    thin(log, blocks)
    return list(log.read())


def whole(path: Path) -> SqliteLog:
    """Return the log, open for writing, after all but its events was checked."""
    log = open_log(path, mode="write")
    found = verified(log, quiet)
    assert found["ok"], found["problems"]
    assert [log.body(digest_of(body)) for body in BODIES] == list(BODIES)
    return log


@WAYS
def test_rebuilding_a_view(tmp_path: Path, code: int, is_late: bool) -> None:
    told: list[int] = []

    def work(path: Path, faults: Faults) -> None:
        told.clear()
        with SqliteLog(path, mode="write", connect=faults.connect) as log:
            # It stores twice on the way how far it has come.
            told.append(Views(log, log.shelf, keep_events=900).rebuild(SeenFold(2), None))

    versions = set()
    for path, error in rounds(tmp_path, in_a_file(), work, code=code, is_late=is_late):
        with whole(path) as log:
            assert list(log.read()) == events()
            stored = log.load_view("seen")
            assert stored is not None
            assert stored.position == events()[-1].seq
            assert SeenFold().restore(stored.data) == seen(stored.version)
            assert (error is None) == bool(told)
            assert stored.version == 2 or not told
            versions.add(stored.version)
            assert log.rebuild(SeenFold(2)) == stored.position
            assert log.shelf.load_rebuild("seen") is None
            log.attach(SeenFold(2))
            assert log.catch_up("seen") == 0
            assert log.view(SeenFold(2)) == (seen(2), stored.position)
    assert versions == ({1, 2} if code == IOERR else {1})


@WAYS
def test_dropping_observations(tmp_path: Path, code: int, is_late: bool) -> None:
    """The event that says so, the snapshots before it, and then a block after the other."""
    told: list[int] = []
    last = events()[-1].seq
    state = thinning.dropped_in(left(0)[-1]).state

    def work(path: Path, faults: Faults) -> None:
        told.clear()
        with SqliteLog(path, mode="write", connect=faults.connect) as log:
            told.append(drop(log, DROPPED).seq)
            told.extend(thin(log))

    reached = set()
    for path, error in rounds(tmp_path, in_a_file(), work, code=code, is_late=is_late):
        assert error is not None or told == [last + 1, 1_000, 2_000]
        with whole(path) as log:
            dropped = thinning.last_dropped(log)
            assert dropped is not None or not told
            thinned = sum(block.is_thinned for block in log.blocks())
            assert thinned >= len(told) - 1
            assert list(log.read()) == (events() if dropped is None else left(thinned))
            assert not thinned or log.snapshots.seqs() == []
            reached.add((dropped is not None, bool(log.snapshots.seqs()), thinned))
            if dropped is None:
                drop(log, DROPPED)
            assert len(thin(log)) == 2 - thinned
        with open_log(path) as log:
            dropped = thinning.last_dropped(log)
            assert dropped is not None
            assert thinning.dropped_in(dropped).state == state
            assert all(block.is_thinned for block in log.blocks(until=DROPPED))
            assert list(log.read()) == left(2)
            assert log.snapshots.seqs() == []
    stages = {(False, True, 0), (True, True, 0), (True, False, 0), (True, False, 1)}
    assert stages <= reached


@WAYS
def test_storing_and_dropping_snapshots(tmp_path: Path, code: int, is_late: bool) -> None:
    states = [state_at(_in_a_memory(), seq) for seq in (SNAPSHOT, 1_700, events()[-1].seq)]

    def work(path: Path, faults: Faults) -> None:
        with SqliteLog(path, mode="write", connect=faults.connect) as log:
            for state in states:  # the second is spare once the third is there
                keep(log, state)

    found = set()
    wanted = [SNAPSHOT, events()[-1].seq]
    for path, error in rounds(tmp_path, in_a_file(), work, code=code, is_late=is_late):
        with whole(path) as log:
            assert list(log.read()) == events()
            seqs = log.snapshots.seqs()
            assert error is not None or seqs == wanted
            found.add(len(seqs))
            keep(log, states[-1])
            assert log.snapshots.seqs() == wanted
    assert found == {1, 2, 3}


def _in_a_memory() -> MemoryLog:
    log = MemoryLog()
    log.append(events())
    return log


@pytest.mark.parametrize(
    ("code", "is_late", "expected"),
    [
        (IOERR, False, LogError),
        (IOERR, True, LogError),
        (FULL, False, LogFull),
        (BUSY, False, LogLocked),
    ],
)
def test_giving_back(tmp_path: Path, code: int, is_late: bool, expected: type[LogError]) -> None:
    """The log that failed to goes on, gives back what is left to give, and keeps what is told."""
    more = left(2)[-1]
    failed = set()
    for fails_at in range(1, 100):
        path = tmp_path / f"{fails_at}.db"
        path.write_bytes(in_a_file())
        faults = Faults(fails_at=0, code=code, is_late=is_late)
        with SqliteLog(path, mode="write", connect=faults.connect) as log:
            before = log.size()
            assert before.used < before.file
            faults.fails_at = faults.calls + fails_at
            error = None
            try:
                assert log.give_back(2)
            except LogError as err:
                error = err
            statement, faults.fails_at = faults.failed, 0
            if error is not None:
                assert type(error) is expected
                assert "\n" not in str(error)
                assert statement
            assert log.head.seq == events()[-1].seq
            log.append([more])
            log.give_back()
            size = log.size()
            assert size.file == size.used < before.file
        with whole(path) as log:
            assert list(log.read()) == [*events(), more]
        if not statement:
            break
        failed.add(statement)
    assert not statement
    assert "PRAGMA incremental_vacuum(2)" in failed
