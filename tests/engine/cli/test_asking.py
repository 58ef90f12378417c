"""`why-not`, `diff`, `messages`, `weights`, `config`, and the other faces of `status`."""

import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from engine.core import events as ev
from tests.engine.answers.stories import GROUP, Story, failed_over
from tests.engine.cli.shell import COMMAND, answer, complaint, environment, stored, tanist


@pytest.fixture
def story() -> Story:
    told = failed_over()
    told.see(ev.MessageAccepted(key="k", lane="l", size=1, digest=b"d"), GROUP)
    return told


@pytest.fixture
def log(story: Story, tmp_path: Path) -> Path:
    return stored(story.log, tmp_path / "x.db")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("why-not", "x.db", "a"), "every rule it fails"),
        (("why-not", "c"), "c had rank 2, behind by priority"),
        (("diff", "x.db", "5", "40"), "from event 5"),
        (("diff", "x.db", "40"), "events between them"),
        (("diff", "7", "7"), "nothing differs"),
        (("messages", "x.db"), "under way"),
        (("weights", "x.db"), "priority 2 is the best: 1 of 1"),
        (("config", "x.db"), "no file to compare with"),
        (("status", "x.db", "--brief"), "What you can type"),
        (("status", "x.db"), "c takes over at once"),
        (("status", "x.db"), "newest epoch"),
    ],
)
def test_people_are_told(words: tuple[str, ...], says: str, log: Path) -> None:
    log.with_name("tanist.db").write_bytes(log.read_bytes())
    done = tanist(*words, cwd=log.parent)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("why-not", "x.db"), "expected a master"),
        (("why-not", "x.db", "z"), "no master 'z'"),
        (("diff", "x.db"), "expected a position or two"),
        (("diff", "x.db", "1", "9999"), "the log ends at"),
        (("messages", "x.db", "--group", "z"), "no group 'z'"),
        (("config", "x.db", "--file", "z.toml"), "z.toml"),
        (("status", "x.db", "--seconds", "1"), "--seconds goes with --watch"),
        (("status", "x.db", "--watch", "--json"), "leave out --at and --json"),
    ],
)
def test_what_cannot_be_answered_is_one_line(words: tuple[str, ...], says: str, log: Path) -> None:
    assert says in complaint(tanist(*words, cwd=log.parent), 2)


def test_the_documents_have_their_keys(log: Path) -> None:
    there = {
        ("why-not", "x.db", "a"): {"fails", "rank", "ahead", "then", "says"},
        ("diff", "x.db", "5"): {"from", "to", "changes", "decisions"},
        ("messages", "x.db"): {"groups", "rows", "omitted"},
        ("weights", "x.db"): {"groups"},
        ("config", "x.db"): {"groups", "adopted", "drift", "file"},
        ("status", "x.db", "--brief"): {"wrong", "done", "next", "type"},
    }
    for words, keys in there.items():
        assert keys <= set(answer(*words, cwd=log.parent)), words
    found = answer("status", "x.db", cwd=log.parent)["groups"][GROUP]["if_failed"]
    assert (found["b"]["heir"], found["b"]["ends"]) == ("c", "served")


def test_a_watch_of_no_time_draws_the_status_once(log: Path) -> None:
    done = tanist("status", "x.db", "--watch", "--brief", "--seconds", "0", cwd=log.parent)
    assert done.returncode == 0
    assert done.stdout.count("What is wrong") == 1


@pytest.mark.alone
def test_the_status_is_drawn_again_until_q_which_gives_the_terminal_back(log: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "status", "x.db", "--watch"],
        cwd=log.parent,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm", COLUMNS="120"),
    )
    os.close(theirs)
    seen = b""
    ends_s = time.monotonic() + 60
    try:
        while seen.count(b"q ends this") < 2 and time.monotonic() < ends_s:
            seen += _read(ours)
        assert b"if it failed now" in seen
        os.write(ours, b"q")
        while process.poll() is None and time.monotonic() < ends_s:
            seen += _read(ours)
        seen += _read(ours)
        assert process.wait(timeout=10) == 0
        assert seen.startswith(b"\x1b[?1049h")
        assert seen.rstrip().endswith(b"\x1b[?1049l")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(file: int) -> bytes:
    ready, _, _ = select.select([file], [], [], 0.2)
    try:
        return os.read(file, 65_536) if ready else b""
    except OSError:  # its other end is closed
        return b""
