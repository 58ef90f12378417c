"""A process is killed over an upgrade, and a log is backed up while another process writes it."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from engine.core.errors import LogFull
from engine.log import open_log
from engine.log.copying import back_up, chain_at, copy
from engine.log.header import FORMAT
from engine.log.upgrading import backup_path, upgrade
from engine.log.verify import verify
from tests.engine.log.events import probes
from tests.faults.test_log_disk_full import disk as disk
from tests.faults.test_log_disk_full import take_all
from tests.faults.test_log_kill import start

ROOT: Final = Path(__file__).parents[2]
DATA: Final = ROOT / "tests" / "data" / "logs"
OLD: Final[dict[str, Any]] = json.loads((DATA / "format-1.json").read_text())
TURNS: Final = ("PRAGMA user_version = ", "COMMIT", "VACUUM INTO", "CREATE INDEX", "PRAGMA journal")
LEFT_BYTES: Final = 90_000  # what SQLite needs beside a log, but no copy of it


def quiet(_done: int, _total: int) -> None:
    pass


def child(path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.upgrade_child", path, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=120,
    )


def fresh(directory: Path) -> Path:
    directory.mkdir()
    path = directory / "log.db"
    path.write_bytes(gzip.decompress((DATA / "format-1.db.gz").read_bytes()))
    return path


def test_an_upgrade_killed_at_any_turn_leaves_the_old_log_or_the_new_one(tmp_path: Path) -> None:
    done = child(fresh(tmp_path / "0"))
    assert done.returncode == 0, done.stderr
    turns = [
        (number, when)
        for number, statement in enumerate(done.stdout.splitlines(), 1)
        if statement.startswith(TURNS)
        for when in ("before", "after")
    ]
    formats = []
    for number, when in turns:
        path = fresh(tmp_path / f"{number}-{when}")
        assert child(path, str(number), when).returncode == -9
        with open_log(path, mode="write") as log:
            formats.append(log.format)
            found = verify(log)
            assert (found.ok, found.head) == (True, OLD["head"])
        backup = backup_path(path, 1)
        assert backup.exists() or formats[-1] == 1
        assert (upgrade(path, progress=quiet) is None) == (formats[-1] == FORMAT)
        with open_log(path) as log, open_log(backup) as kept:
            assert (log.format, kept.format) == (FORMAT, 1)
            assert log.chain_head().hex() == kept.chain_head().hex() == OLD["head"]
        assert not list(path.parent.glob("*.part*"))
    assert formats == sorted(formats)
    assert set(formats) == {1, FORMAT}


def test_a_backup_is_made_while_another_process_writes(tmp_path: Path) -> None:
    path, told = tmp_path / "log.db", 0
    with start(path) as writer:
        assert writer.stdout is not None
        for round_ in range(5):
            for _ in range(50):
                told = int(writer.stdout.readline())
            with open_log(path) as log:
                found = back_up(log, tmp_path / f"{round_}.db", progress=quiet)
                assert found.seq >= told
                assert chain_at(log, found.seq).hex() == found.head
        copied = tmp_path / "copy.db"
        with open_log(path) as log:
            assert copy(log, copied, release="0", progress=quiet).seq >= told
        told = int(writer.stdout.readline())  # it goes on
        writer.kill()
        writer.stdout.read()
    for backup in (*(tmp_path / f"{round_}.db" for round_ in range(5)), copied):
        with open_log(backup, mode="write") as log:
            assert verify(log).ok
            log.append(
                [
                    type(recorded)(recorded.seq, log.head.at_us, "m1", 0, recorded.event)
                    for recorded in probes(log.head.seq + 1, log.head.seq + 5)
                ]
            )


def test_a_full_disk_leaves_no_half_copy(disk: Path, tmp_path: Path) -> None:
    path, ballast = fresh(tmp_path / "logs"), disk / "ballast"
    take_all(ballast)
    os.truncate(ballast, ballast.stat().st_size - LEFT_BYTES)
    with open_log(path) as log:
        with pytest.raises(LogFull):
            back_up(log, disk / "copy.db", progress=quiet)
        with pytest.raises(LogFull):
            copy(log, disk / "copy.db", release="0", progress=quiet)
        assert [entry.name for entry in disk.iterdir()] == ["ballast"]
        ballast.unlink()
        assert back_up(log, disk / "copy.db", progress=quiet).head == OLD["head"]


def test_an_upgrade_for_whose_backup_there_is_no_space_leaves_the_old_log(disk: Path) -> None:
    path, ballast = fresh(disk / "logs"), disk / "ballast"
    take_all(ballast)
    os.truncate(ballast, ballast.stat().st_size - LEFT_BYTES)
    with pytest.raises(LogFull):
        upgrade(path, progress=quiet)
    assert {entry.name for entry in path.parent.iterdir()} == {"log.db", "log.db.lock"}
    with open_log(path) as log:
        assert (log.format, log.chain_head().hex()) == (1, OLD["head"])
    ballast.unlink()
    assert upgrade(path, progress=quiet) is not None
