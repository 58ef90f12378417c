"""What only a process of its own shows: pipes, signals, a terminal, standard input."""

import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core.events import FLEET, Recorded
from engine.log import open_log
from tests.engine.answers.stories import failed_over
from tests.engine.cli.shell import COMMAND, answer, environment, minute, process, stored, tanist


@pytest.mark.parametrize("words", [("status",), ("events", "--all"), ("replay", "--json")])
def test_who_reads_no_further_has_seen_enough(words: tuple[str, ...], tmp_path: Path) -> None:
    stored(failed_over().log, tmp_path / "x.db")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, *words, "--log", "x.db"],
        cwd=tmp_path,
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


REASON = "müde, \U0001f98a"


def test_what_a_terminal_has_no_characters_for_is_escaped(tmp_path: Path) -> None:
    stored(failed_over().log, tmp_path / "x.db")
    assert tanist("pause", "x.db", "--reason", REASON, cwd=tmp_path).returncode == 0
    poor = environment(PYTHONIOENCODING="ascii")
    for words in (("status",), ("status", "--brief"), ("events",)):
        done = process(*words, "--log", "x.db", cwd=tmp_path, env=poor)
        assert done.returncode == 0
        assert r"m\u00fcde, \ud83e\udd8a" in done.stdout
    done = process("audit", "x.db", "--json", cwd=tmp_path, env=poor)
    assert done.stdout.isascii()
    assert json.loads(done.stdout) == answer("audit", "x.db", cwd=tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
@pytest.mark.parametrize(
    ("words", "code"), [(("status", "--log", "x.db"), 3), (("--help",), 2), (("check", "x"), 2)]
)
def test_where_nothing_can_be_said_the_exit_code_is_all_the_same(
    tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=full,
            check=False,
            timeout=60,
        )
    assert done.returncode == code


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("replay", "x.db", "--json"), 0),  # what status says of the disk moves
        (("why", "x.db"), 0),
        (("events", "x.db", "--since", "30"), 0),
        (("switchover", "x.db", "g", "--to", "a"), 1),
        (("status", "x.db", "--at", "never"), 2),
        (("status", "y.db"), 3),
        (("status", "words.db"), 3),
        (("import", "words.db", "--into", "y.db", "--group", "g", "--json"), 2),
    ],
)
def test_a_process_says_and_returns_what_run_does(
    words: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    stored(failed_over().log, tmp_path / "x.db")
    (tmp_path / "words.db").write_text("neither a log nor observations\n" * 100)
    ours, theirs = tanist(*words, cwd=tmp_path), process(*words, cwd=tmp_path)
    assert (ours.returncode, theirs.returncode) == (code, code)
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    story = failed_over()
    story.probe(3_000)  # more than a pipe holds
    stored(story.log, tmp_path / "x.db")
    with subprocess.Popen(
        [*COMMAND, "events", "x.db", "--json"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert json.loads(running.stdout.readline())["seq"] == 1
        running.stdout.close()
        assert running.wait(60) == 0
        assert running.stderr.read() == ""


def test_following_shows_what_is_appended_until_it_is_interrupted(tmp_path: Path) -> None:
    story = failed_over()
    path = stored(story.log, tmp_path / "x.db")
    end = story.log.head
    with subprocess.Popen(
        [*COMMAND, "events", "x.db", "--json", "--follow", "--since", str(end.seq)],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert json.loads(running.stdout.readline())["seq"] == end.seq
        event = ev.CheckpointMarked(name="later", author="me")
        with open_log(path, mode="write") as log:
            log.append(
                [Recorded(seq=end.seq + 1, at_us=end.at_us, subject=FLEET, cause=0, event=event)]
            )
        found = json.loads(running.stdout.readline())
        assert (found["seq"], found["kind"]) == (end.seq + 1, "CheckpointMarked")
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130
        assert running.stdout.read() == ""
        assert running.stderr.read() == ""


def test_observations_come_from_standard_input_too(tmp_path: Path) -> None:
    lines = [
        json.dumps({"at": at, "master": master, "outcome": outcome})
        for at, master, outcome in (minute(1), minute(2), minute(3, outcome="down"))
    ]
    words = ("import", "-", "--into", "x.db", "--group", "g", "--json")
    done = process(*words, cwd=tmp_path, stdin="\n".join(lines))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["observations"] == 3


def test_progress_goes_to_a_terminal_and_never_into_the_answer(tmp_path: Path) -> None:
    story = failed_over()
    stored(story.log, tmp_path / "x.db")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "replay", "x.db", "--json"],
        cwd=tmp_path,
        env=environment(TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as running:
        os.close(theirs)
        assert running.stdout is not None
        found = json.loads(running.stdout.read())
        assert running.wait(60) == 0
    assert found["seq"] == story.log.head.seq
    seen = b""
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # how Linux says that nobody holds the other end any more
            break
        if not part:
            break
        seen += part
    os.close(ours)
    assert b"events" in seen
