"""The file: what may be opened, how, and what is left of what may not."""

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, Literal

import pytest

from engine.core.errors import (
    LogConflict,
    LogCorrupted,
    LogError,
    LogForeign,
    LogLocked,
    LogTooNew,
)
from engine.core.events import KINDS, RETIRED
from engine.log import open_log
from engine.log.connection import driver_connect
from engine.log.header import APPLICATION_ID, FORMAT, Found, examine
from engine.log.protocol import Head
from tests.engine.log.events import SeenFold, at, folded, message, probes

OPENINGS: Final[tuple[tuple[Literal["read", "write"], bool], ...]] = (
    ("read", False),
    ("write", False),
    ("write", True),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a log at rest with two events."""
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True, release="1.2") as log:
        log.append(probes(1, 2))
    return path


def files(directory: Path) -> dict[str, bytes]:
    """Return everything in the directory but locks, which are no part of a log."""
    return {
        entry.name: entry.read_bytes()
        for entry in directory.iterdir()
        if entry.is_file() and entry.suffix != ".lock"
    }


def ask(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """Return the rows of the last statement, as any other program would get them."""
    connection = driver_connect(path.as_uri())
    try:
        for statement in statements:
            rows: list[tuple[object, ...]] = connection.execute(statement).fetchall()
        connection.commit()
        return rows
    finally:
        connection.close()


def refused(path: Path, error: type[LogError]) -> str:
    """Return the line that reading and writing are both refused with; nothing may change."""
    before = files(path.parent)
    lines = set()
    for mode, create in OPENINGS:
        with pytest.raises(LogError) as caught:
            open_log(path, mode=mode, create=create)
        assert type(caught.value) is error
        lines.add(str(caught.value))
        assert files(path.parent) == before
    (line,) = lines
    assert "\n" not in line
    assert str(path) in line
    return line


def test_the_file_says_what_it_is_before_anything_opens_it(path: Path) -> None:
    head = path.read_bytes()[:100]
    assert struct.unpack_from(">II", head, 60) == (FORMAT, 1)
    assert struct.unpack_from(">I", head, 68) == (APPLICATION_ID,)
    assert head[68:72] == b"TANI"
    assert examine(path) is Found.LOG


def test_a_log_at_rest_is_one_file_and_its_lock(path: Path) -> None:
    assert {entry.name for entry in path.parent.iterdir()} == {"log.db", "log.db.lock"}


def test_reading_a_log_at_rest_changes_nothing(path: Path) -> None:
    before = files(path.parent)
    with open_log(path) as log:
        assert list(log.read()) == probes(1, 2)
        assert log.view(SeenFold()) == (folded(probes(1, 2)), 2)
    assert files(path.parent) == before


def test_an_absent_log_is_not_created_by_looking_for_it(tmp_path: Path) -> None:
    for mode in ("read", "write"):
        with pytest.raises(LogError, match="there is no log"):
            open_log(tmp_path / "log.db", mode=mode)
    with pytest.raises(LogError, match="there is no log"):
        open_log(tmp_path / "log.db", create=True)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=f"there is no directory {tmp_path / 'no'}"):
        open_log(tmp_path / "no" / "log.db", mode="write", create=True)


def test_an_empty_file_is_a_log_only_to_who_may_create_one(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()
    for mode in ("read", "write"):
        with pytest.raises(LogError, match="the file is empty, not a log"):
            open_log(path, mode=mode)
        assert path.read_bytes() == b""
    with open_log(path, mode="write", create=True) as log:
        log.append(probes(1, 1))


def test_a_log_is_not_created_over_another(path: Path) -> None:
    with open_log(path, mode="write", create=True, release="9") as log:
        assert list(log.read()) == probes(1, 2)
    assert ask(path, "SELECT created_release FROM meta") == [("1.2",)]


@pytest.mark.parametrize("text", ["x", "SQLite", "hello\n" * 100, "SQLite format 3 of mine" * 9])
def test_a_text_file_is_foreign(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    if text == "SQLite":  # a beginning of the magic, and nothing more
        assert "truncated to 6 bytes" in refused(path, LogCorrupted)
    else:
        assert "nor any SQLite database" in refused(path, LogForeign)


def test_another_database_is_foreign(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    ask(path, "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")
    assert "an SQLite database, but not a log" in refused(path, LogForeign)


def test_what_is_not_a_file_is_foreign(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        assert refused(path, LogForeign) == f"{path} is not a file"


def test_a_log_of_a_newer_release_is_left_alone(path: Path) -> None:
    ask(path, f"PRAGMA user_version = {FORMAT + 1}")
    line = refused(path, LogTooNew)
    assert f"format {FORMAT + 1} of a newer release; this one knows {FORMAT}" in line


def test_a_newer_format_that_only_the_write_ahead_log_knows_is_seen_too(path: Path) -> None:
    other = driver_connect(path.as_uri())
    other.execute(f"PRAGMA user_version = {FORMAT + 1}")
    assert struct.unpack_from(">I", path.read_bytes(), 60) == (FORMAT,)
    for mode in ("read", "write"):
        with pytest.raises(LogTooNew):
            open_log(path, mode=mode)
    other.close()


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.999])
def test_a_truncated_file_says_so(path: Path, kept: float) -> None:
    size = path.stat().st_size
    os.truncate(path, int(size * kept))
    line = refused(path, LogCorrupted)
    assert f"truncated: expected {size} bytes, found {int(size * kept)}" in line


def test_a_log_without_the_epoch_of_its_writer_says_so(path: Path) -> None:
    other = driver_connect(path.as_uri())
    other.execute("DELETE FROM meta")
    other.commit()
    other.close()
    with pytest.raises(LogError, match=r"damaged: expected the epoch of its writer"):
        open_log(path, mode="write")


def test_a_file_truncated_in_its_header_says_so(path: Path) -> None:
    os.truncate(path, 99)
    assert "truncated to 99 bytes" in refused(path, LogCorrupted)


def test_a_page_of_noise_is_one_clear_line(path: Path) -> None:
    with open_log(path, mode="write") as log:
        log.append(probes(3, 3_000))
    data = path.read_bytes()
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(bytes(range(256)) * ((len(data) - 4096) // 256))
    with pytest.raises(LogCorrupted, match=r"log\.db: database disk image is malformed"):
        open_log(path)


def test_a_second_writer_is_refused_with_the_pid_of_the_first(path: Path) -> None:
    with open_log(path, mode="write") as log:
        with pytest.raises(LogLocked, match=f"is being written by process {os.getpid()}$"):
            open_log(path, mode="write")
        log.append(probes(3, 3))
    with open_log(path, mode="write") as log:
        log.append(probes(4, 4))


def test_a_writer_in_another_process_is_refused_too(path: Path) -> None:
    program = (
        "import sys\nfrom engine.log import open_log\n"
        "try:\n    open_log(sys.argv[1], mode='write')\n"
        "except Exception as err:\n    print(type(err).__name__, err)\n"
    )
    with open_log(path, mode="write"):
        done = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
        )
    assert done.stdout == f"LogLocked {path} is being written by process {os.getpid()}\n"


def test_a_link_leads_to_the_same_lock(path: Path) -> None:
    link = path.parent / "link.db"
    link.symlink_to(path)
    with open_log(path, mode="write"), pytest.raises(LogLocked):
        open_log(link, mode="write")


def test_a_log_with_two_names_is_not_written(path: Path) -> None:
    os.link(path, path.parent / "second.db")
    with pytest.raises(LogError, match="has a second name"):
        open_log(path, mode="write")


def test_readers_see_what_is_durable_while_it_is_written(path: Path) -> None:
    with open_log(path, mode="write") as writer, open_log(f"sqlite:///{path}") as reader:
        for seq in range(3, 6):
            writer.append(probes(seq, seq))
            assert reader.head.seq == seq
            assert list(reader.read()) == probes(1, seq)


def test_a_reader_half_way_through_a_read_delays_nobody(path: Path) -> None:
    with open_log(path, mode="write") as writer, open_log(path) as reader:
        reading = reader.read(chunk=1)
        next(reading)
        writer.append(probes(3, 3))
        # Would be busy if the reader held a transaction open.
        assert ask(path, "PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)]
        assert list(reading) == probes(2, 2)


def test_a_reader_cannot_write(path: Path) -> None:
    with open_log(path) as reader:
        reader.attach(SeenFold())
        with pytest.raises(LogError, match="is not open for writing"):
            reader.append(probes(3, 3))
        with pytest.raises(LogError, match="is not open for writing"):
            reader.catch_up("seen")
        assert reader.view(SeenFold()) == (folded(probes(1, 2)), 2)


def test_a_closed_log_says_so(path: Path) -> None:
    log = open_log(path, mode="write")
    log.close()
    with pytest.raises(LogError, match="is closed"):
        list(log.read())
    with pytest.raises(LogError, match="is not open for writing"):
        log.append(probes(3, 3))


def test_a_writer_that_was_replaced_is_told_by_its_epoch(path: Path) -> None:
    with open_log(path, mode="write") as old:
        os.unlink(f"{path}.lock")  # what an operator should not do
        with open_log(path, mode="write") as new:
            with pytest.raises(LogConflict, match="another writer took the log over"):
                old.append(probes(3, 3))
            new.append(probes(3, 3))
        with pytest.raises(LogConflict, match="another writer took the log over"):
            old.append(probes(4, 4))
        assert old.head.seq == 3


def test_events_that_someone_else_put_in_are_a_conflict(path: Path) -> None:
    with open_log(path, mode="write") as log:
        ask(
            path,
            "INSERT INTO events SELECT 3, at_us, kind, subject, 0, payload, 0 FROM events LIMIT 1",
        )
        with pytest.raises(LogConflict, match="expected event 2 to be the last, found 3"):
            log.append(probes(3, 3))
        assert log.head.seq == 3


def test_another_program_that_holds_the_database_is_named_as_such(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.log.connection._BUSY_TIMEOUT_S", 0.0)
    other = driver_connect(path.as_uri())
    with open_log(path, mode="write") as log:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogLocked, match="is held by another program"):
            log.append(probes(3, 3))
        other.rollback()
        log.append(probes(3, 3))
    other.close()


def test_a_directory_that_may_not_be_written_is_one_clear_line(path: Path) -> None:
    # Opened once with all rights, so that everything is loaded before they are given up.
    program = (
        "import os, sys\nfrom engine.log import open_log\nopen_log(sys.argv[1]).close()\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n    open_log(sys.argv[2])\n"
        "except Exception as err:\n    print(type(err).__name__, err)\n"
    )
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        place = Path(name)
        shutil.copy(path, place)
        place.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", program, path, place / path.name],
            capture_output=True,
            text=True,
            check=True,
        )
        place.chmod(0o755)
    assert done.stdout.startswith(f"LogError {place / path.name}: ")
    assert done.stdout.endswith("; its directory has to be writable, even for reading\n")


def test_a_body_that_was_changed_is_not_handed_out(path: Path) -> None:
    event, bodies = message(3, b"hello")
    with open_log(path, mode="write") as log:
        log.append([event], bodies=bodies)
    ask(path, "UPDATE bodies SET body = x'00'")
    with open_log(path) as log, pytest.raises(LogError, match="has another digest"):
        log.body(next(iter(bodies)))


def test_the_view_is_readable_by_any_program(path: Path) -> None:
    assert ask(path, "SELECT seq, time, kind, subject, cause FROM log") == [
        (1, "2023-11-14T22:13:20.000010Z", "ProbeOk", "m1", 0),
        (2, "2023-11-14T22:13:20.000020Z", "ProbeOk", "m2", 0),
    ]
    names = [(code, kind.__name__) for code, kind in KINDS.items()]
    names += [(code, before.name) for code, before in RETIRED.items()]
    assert ask(path, "SELECT kind, name FROM kinds ORDER BY kind") == sorted(names)


def test_kinds_that_a_later_release_of_the_same_format_knows_get_their_names(path: Path) -> None:
    ask(path, "DELETE FROM kinds WHERE kind = 4")
    assert ask(path, "SELECT kind FROM log WHERE seq = 1") == [(4,)]
    open_log(path, mode="write").close()
    assert ask(path, "SELECT kind FROM log WHERE seq = 1") == [("ProbeOk",)]


def test_the_stored_row_is_the_same_for_ever(path: Path) -> None:
    rows = ask(path, "SELECT *, typeof(payload) FROM events WHERE seq = 1")
    assert rows == [
        (
            1,
            1_700_000_000_000_010,
            4,
            "m1",
            0,
            bytes.fromhex("9601cd03e9a0c0a0a0"),
            1_078_952_152,
            "blob",
        )
    ]


def test_a_value_of_another_type_cannot_be_stored(path: Path) -> None:
    with pytest.raises(Exception, match="cannot store TEXT value in INTEGER column"):
        ask(path, "UPDATE events SET at_us = 'yesterday'")


def test_the_hot_path_is_durable(path: Path) -> None:
    with open_log(path, mode="write") as log:
        assert log._writer is not None
        assert log._writer.fetch("PRAGMA synchronous") == [(2,)]
        assert log._writer.fetch("PRAGMA journal_mode") == [("wal",)]


def test_times_far_ahead_fit(path: Path) -> None:
    far = at(3, probes(3, 3)[0].event, at_us=(1 << 63) - 1)
    with open_log(path, mode="write") as log:
        log.append([far])
        assert log.head == Head(seq=3, at_us=(1 << 63) - 1)
        assert list(log.read(2)) == [far]


@pytest.mark.parametrize("is_replaced", [False, True])
def test_nothing_is_written_to_a_file_that_nobody_would_find(
    tmp_path: Path, is_replaced: bool
) -> None:
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True) as log:
        log.append(probes(1, 3))
        path.rename(tmp_path / "elsewhere")
        if is_replaced:
            path.write_bytes((tmp_path / "elsewhere").read_bytes())
        for _ in range(2):
            with pytest.raises(LogConflict, match="deleted, moved or replaced"):
                log.append(probes(4, 5))
        (tmp_path / "elsewhere").replace(path)
        log.append(probes(4, 5))
    with open_log(path) as log:
        assert list(log.read()) == probes(1, 5)
