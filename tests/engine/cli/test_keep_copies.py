"""seal, backup, copy, upgrade: what they print, what they refuse, and what they leave."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from engine.core import events as ev
from engine.core.events import Recorded
from engine.log import open_log
from engine.log.connection import driver_connect
from engine.log.header import FORMAT
from tests.engine.answers.stories import failed_over
from tests.engine.cli.shell import answer, complaint, stored, tanist
from tests.engine.log.events import at

DATA = Path(__file__).parents[2] / "data" / "logs"
OLD: dict[str, Any] = json.loads((DATA / "format-1.json").read_text())


@pytest.fixture(scope="module")
def told() -> list[Recorded]:
    story = failed_over()
    story.probe(850)
    events = list(story.log.read())
    assert 2_000 < len(events) < 3_000
    return events


@pytest.fixture(scope="module")
def file(told: list[Recorded], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the file of a log of two blocks and more, none of them sealed."""
    path = tmp_path_factory.mktemp("file") / "x.db"
    with open_log(path, mode="write", create=True) as opened:
        opened.append(told)
    return path.read_bytes()


@pytest.fixture
def log(file: bytes, tmp_path: Path) -> Path:
    """Return where a log is of which no block is sealed."""
    path = tmp_path / "x.db"
    path.write_bytes(file)
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress((DATA / "format-1.db.gz").read_bytes()))
    return path


def head(path: Path) -> str:
    with open_log(path) as opened:
        return opened.chain_head().hex()


def files(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir() if not entry.name.endswith(".lock")}


def test_seal_packs_the_log_and_changes_no_digest(log: Path) -> None:
    before = head(log)
    found = answer("seal", "x.db", cwd=log.parent)
    assert (found["log"], found["sealed"], found["blocks"]) == (str(log), 2, 2)
    assert found["bytes_before"] > found["bytes_after"] == log.stat().st_size
    assert head(log) == before
    assert answer("verify", "x.db", cwd=log.parent)["head"] == before
    shown = tanist("seal", "--log", "x.db", cwd=log.parent)
    assert shown.stdout.startswith("0 blocks sealed, 2 in all; ")
    assert files(log) == {"x.db"}


def test_seal_leaves_a_log_to_who_writes_it(log: Path) -> None:
    with open_log(log, mode="write") as opened:
        said = complaint(tanist("seal", "x.db", cwd=log.parent), 1)
        assert "is being written by process" in said
        assert "seals its log by itself" in said
        assert opened.seals() == []


def test_seal_of_an_old_format_says_what_to_do_first(old: Path) -> None:
    before = old.read_bytes()
    said = complaint(tanist("seal", "old.db", cwd=old.parent), 1)
    assert "has format 1" in said
    assert said.endswith("tanist upgrade old.db")
    assert old.read_bytes() == before


@pytest.mark.parametrize("command", ["backup", "copy"])
def test_a_copy_says_what_it_holds(command: str, told: list[Recorded], log: Path) -> None:
    words = ("y.db", "--log", "x.db") if command == "backup" else ("x.db", "y.db")
    found = answer(command, *words, cwd=log.parent)
    copied, last = log.parent / "y.db", len(told)
    assert found == {
        "file": "y.db",
        "seq": last,
        "events": last,
        "head": head(log),
        "format": FORMAT,
        "bytes": copied.stat().st_size,
    }
    kept = f"{found['seq']}:{found['head']}"
    assert tanist("verify", "y.db", "--head", kept, cwd=log.parent).returncode == 0
    said = complaint(tanist(command, *words, cwd=log.parent), 2)
    assert "y.db exists already" in said
    again = tanist(command, *words, "--force", cwd=log.parent)
    assert f"head {kept}" in again.stdout
    assert files(log) == {"x.db", "y.db"}


def test_a_command_goes_into_a_backup_as_into_any_log(told: list[Recorded], log: Path) -> None:
    with open_log(log, mode="write"):
        tanist("backup", "y.db", "--log", "x.db", cwd=log.parent)
    before = head(log)
    found = answer("pause", "--reason", "tried out", "--log", "y.db", cwd=log.parent)
    assert found["seq"] > len(told)
    assert answer("status", "y.db", cwd=log.parent)["paused"]["reason"] == "tried out"
    assert head(log) == before


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("backup", "y.db", "--log", "none.db"), 3, "there is no log"),
        (("backup", "no/y.db", "--log", "x.db"), 3, "there is no directory"),
        (("backup", "x.db", "--log", "x.db"), 2, "the log itself"),
        (("backup", "x.db", "--log", "x.db", "--force"), 2, "the log itself"),
        (("backup", "y.db", "--log", "http://127.0.0.1:1"), 2, "reads the log itself"),
        (("backup",), 2, "FILE"),
        (("copy", "x.db"), 2, "expected LOG and DEST"),
        (("copy", "none.db", "y.db"), 3, "there is no log"),
        (("copy", "x.db", "x.db"), 2, "the log itself"),
        (("copy", "x.db", "y.db", "z.db"), 2, "z.db"),
        (("seal", "none.db"), 3, "there is no log"),
        (("upgrade", "none.db"), 3, "there is no log"),
        (("upgrade", "none.db", "--check"), 3, "there is no log"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    words: tuple[str, ...], code: int, says: str, log: Path
) -> None:
    assert says in complaint(tanist(*words, cwd=log.parent), code)
    assert files(log) == {"x.db"}


def test_upgrade_keeps_head_and_state_and_says_the_way_back(old: Path) -> None:
    checked = answer("upgrade", "old.db", "--check", cwd=old.parent)
    digest = answer("replay", "old.db", cwd=old.parent)["digest"]
    assert checked == {
        "ok": True,
        "from": 1,
        "to": FORMAT,
        "seq": OLD["events"],
        "head": OLD["head"],
        "digest": digest,
        "differences": 0,
        "first": [],
        "snapshots": [],
    }
    assert files(old) == {"old.db"}
    shown = tanist("upgrade", "old.db", cwd=old.parent)
    assert shown.returncode == 0
    backup = old.parent / "old.db.format-1"
    assert shown.stdout.splitlines() == [
        f"{old}: from format 1 to {FORMAT}; head and state are the same as before",
        f"head {OLD['events']}:{OLD['head']}",
        f"digest {digest}",
        f"the way back: stop the engine, and put {backup} in its place",
    ]
    assert answer("replay", "old.db", cwd=old.parent)["digest"] == digest
    backup.replace(old)
    found = answer("upgrade", "old.db", cwd=old.parent)
    assert (found["from"], found["to"], found["backup"]) == (1, FORMAT, str(backup))
    assert (found["head"], found["digest"]) == (OLD["head"], digest)
    again = tanist("upgrade", "old.db", cwd=old.parent)
    assert (again.returncode, "nothing was done" in again.stdout) == (0, True)
    assert answer("upgrade", "old.db", cwd=old.parent)["backup"] is None


def test_upgrade_of_a_log_that_is_written_is_refused_and_its_rehearsal_is_not(old: Path) -> None:
    with open_log(old, mode="write"):
        said = complaint(tanist("upgrade", "old.db", cwd=old.parent), 1)
        assert "stop the engine" in said
        assert answer("upgrade", "old.db", "--check", cwd=old.parent)["ok"] is True
    assert files(old) == {"old.db"}


def test_a_rehearsal_lists_what_this_release_would_decide(tmp_path: Path) -> None:
    story = failed_over()
    path = stored(story.log, tmp_path / "x.db")
    last = story.log.head
    with open_log(path, mode="write") as opened:
        seen = at(last.seq + 1, ev.ProbeOk(n=99, latency_us=5), subject="b", at_us=last.at_us)
        made_up = ev.MasterUnknown(rule="made up")
        opened.append(
            [seen, at(seen.seq + 1, made_up, subject="c", cause=seen.seq, at_us=last.at_us)]
        )
    done = tanist("upgrade", "x.db", "--check", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"], found["differences"]) == (1, False, 1)
    assert found["first"][0]["seq"] == seen.seq
    assert found["first"][0]["recorded"] == ["MasterUnknown c"]
    assert found["first"][0]["again"] == []
    shown = tanist("upgrade", "x.db", "--check", cwd=tmp_path)
    assert shown.returncode == 1
    assert "the log has MasterUnknown c; this release would decide nothing" in shown.stdout
    assert "1 decisions differ" in shown.stdout


def test_damage_is_exit_3_and_nothing_is_left(log: Path) -> None:
    connection = driver_connect(log.as_uri())
    connection.execute("UPDATE events SET crc = crc + 1 WHERE seq = 700")
    connection.commit()
    connection.close()
    for words in (("backup", "y.db", "--log", "x.db"), ("copy", "x.db", "y.db"), ("seal", "x.db")):
        assert "event 700" in complaint(tanist(*words, cwd=log.parent), 3)
    assert files(log) == {"x.db"}
