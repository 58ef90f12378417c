"""A log on a disk that is really full."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.errors import LogError, LogFull
from engine.log import open_log
from engine.log.connection import driver_connect
from engine.log.reserve import Reserve
from engine.log.sqlite import SqliteLog
from engine.log.verify import verify
from tests.engine.log.events import fill, probes
from tests.faults.disks import small_disk, take_all
from tests.faults.test_log_calls import FULL, IOERR, Faults

BALLAST_BYTES = 512 << 10
BATCH = 200  # events, some 20 KiB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a disk of 2 MiB."""
    with small_disk(tmp_path, mebibytes=2) as disk:
        yield disk


def test_a_full_disk_loses_nothing_and_a_freed_one_goes_on(disk: Path) -> None:
    path, ballast = disk / "log.db", disk / "ballast"
    ballast.write_bytes(bytes(BALLAST_BYTES))
    with open_log(path, mode="write", create=True) as log:
        head = fill(log, 50)
        assert head > 0
        with pytest.raises(LogFull):
            log.append(probes(head + 1, head + 50))
        assert log.head.seq == head
        assert list(log.read()) == probes(1, head)
        with open_log(path) as reader:
            assert reader.head.seq == head
        ballast.unlink()
        log.append(probes(head + 1, head + 50))
    with open_log(path, mode="write") as log:
        assert log.head.seq == head + 50
        assert list(log.read()) == probes(1, head + 50)
        assert verify(log).ok


def test_a_log_that_cannot_be_created_leaves_no_file(disk: Path) -> None:
    path, ballast = disk / "log.db", disk / "ballast"
    take_all(ballast)
    with pytest.raises(LogFull):
        open_log(path, mode="write", create=True)
    assert {entry.name for entry in disk.iterdir()} <= {"ballast", "log.db.lock"}
    ballast.unlink()
    with open_log(path, mode="write", create=True) as log:
        log.append(probes(1, 1))


def test_a_log_at_rest_on_a_full_disk_is_refused_to_writers_unharmed(disk: Path) -> None:
    path, ballast = disk / "log.db", disk / "ballast"
    with open_log(path, mode="write", create=True) as log:
        log.append(probes(1, 500))
    before = path.read_bytes()
    take_all(ballast)
    with pytest.raises(LogFull):
        open_log(path, mode="write")
    assert path.read_bytes() == before
    ballast.unlink()
    with open_log(path, mode="write") as log:
        assert list(log.read()) == probes(1, 500)


@pytest.mark.parametrize(("code", "is_late"), [(FULL, False), (IOERR, True)])
def test_whatever_call_fails_while_the_reserve_is_given_up_what_was_told_is_there(
    tmp_path: Path, code: int, is_late: bool
) -> None:
    with small_disk(tmp_path, mebibytes=10) as disk:
        for n in itertools.count(1):
            if not failed_at(disk, Faults(fails_at=n, code=code, is_late=is_late)):
                break
            for left in disk.iterdir():
                left.unlink()
    assert n > 20


def failed_at(disk: Path, faults: Faults) -> str:
    """Return the statement that failed; "" if none did."""
    path, ballast, told = disk / "log.db", disk / "ballast", 0
    reserve = Reserve(path, wanted=2 << 20)
    try:
        with SqliteLog(
            path, mode="write", create=True, connect=faults.connect, reserve=reserve
        ) as log:
            reserve.fill()
            take_all(ballast)
            for batch in range(4):
                log.append(probes(batch * BATCH + 1, (batch + 1) * BATCH))
                told += BATCH
    except LogError:
        assert faults.failed
    ballast.unlink(missing_ok=True)
    with open_log(path, mode="write", create=True, reserve=reserve) as log:
        head = log.head.seq
        assert head in {told, told + BATCH}
        assert list(log.read()) == (probes(1, head) if head else [])
        log.append(probes(head + 1, head + 1))
        assert verify(log).ok
    assert faults.failed or reserve.figures.left == 1 << 20
    return faults.failed


def test_what_a_crash_left_of_a_claim_is_no_harm_and_goes_with_the_next_one(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path, mebibytes=10) as disk:
        path = disk / "log.db"
        reserve = Reserve(path, wanted=2 << 20)
        with open_log(path, mode="write", create=True, reserve=reserve) as log:
            log.append(probes(1, 10))
        with contextlib.closing(driver_connect(path.as_uri())) as other:
            other.execute("CREATE TABLE claimed (pages BLOB NOT NULL) STRICT")
            other.execute("INSERT INTO claimed VALUES (zeroblob(100000))")
            other.commit()
        with open_log(path, mode="write", reserve=reserve) as log:
            assert verify(log).ok
            reserve.fill()
            take_all(disk / "ballast")
            seq = 10
            while not reserve.figures.is_short:
                seq += 1
                log.append(probes(seq, seq))
            assert verify(log).ok
        with contextlib.closing(driver_connect(path.as_uri())) as other:
            tables = other.execute("SELECT name FROM sqlite_master WHERE name = 'claimed'")
            assert tables.fetchall() == []
