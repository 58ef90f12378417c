"""An incident as a file: it answers as the log does, and is a test wherever it lies."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.replay import replay
from tests.engine.answers.stories import Story, failed_over
from tests.engine.cli.shell import answer, complaint, environment, stored, tanist


@pytest.fixture
def story() -> Story:
    told = failed_over()
    told.dead.discard("a")
    told.probe(5)
    return told


@pytest.fixture
def log(story: Story, tmp_path: Path) -> Path:
    return stored(story.log, tmp_path / "x.db")


def cut(story: Story, log: Path, *options: str) -> Path:
    number = str(story.last(ev.FailoverStarted))
    found = answer(
        "incident", number, "--out", "one.incident", "--log", "x.db", *options, cwd=log.parent
    )
    path = log.parent / found["file"]
    assert found["bytes"] == path.stat().st_size
    return path


def test_the_file_stands_for_the_log(story: Story, log: Path) -> None:
    path = cut(story, log)
    there = log.parent / "elsewhere"
    there.mkdir()
    shutil.move(path, there / path.name)
    log.unlink()
    at = answer("replay", path.name, cwd=there)
    assert at["digest"] == st.digest(replay(story.log.read()))
    assert answer("verify", path.name, cwd=there)["ok"]
    assert answer("why", path.name, cwd=there)["seq"] == story.last(ev.FailoverStarted)
    assert answer("status", path.name, cwd=there)["groups"]["g"]["active"] == ["b"]
    # Nobody folds views on at a next start, for there is none.
    assert answer("status", path.name, cwd=there)["projections"] == []
    found = answer("whatif", path.name, cwd=there)
    assert found["recorded"]["digest"] == found["whatif"]["digest"] == at["digest"]
    assert found["recorded"]["failovers"] == 1
    assert [row["id"] for row in answer("incidents", path.name, cwd=there)["rows"]][-1] == (
        story.last(ev.FailoverStarted)
    )
    assert [one.name for one in there.iterdir()] == [path.name]


def test_a_part_of_the_log_comes_along_as_asked(story: Story, log: Path) -> None:
    path = cut(story, log, "--before", "0s", "--after", "0s")
    seqs = [
        one["seq"]
        for one in map(
            json.loads, tanist("events", path.name, "--json", cwd=log.parent).stdout.splitlines()
        )
    ]
    assert seqs[0] > 1
    assert story.last(ev.FailoverStarted) in seqs
    assert answer("whatif", path.name, cwd=log.parent)["diverged_at"] is None


def test_a_redacted_file_tells_no_names_and_decides_the_same(story: Story, log: Path) -> None:
    path = cut(story, log, "--redact")
    assert answer("verify", path.name, cwd=log.parent)["ok"]
    at = answer("replay", path.name, cwd=log.parent)
    assert at["groups"]["g1"]["active"] == ["m2"]
    assert answer("whatif", path.name, cwd=log.parent)["whatif"]["digest"] == at["digest"]
    assert b"http://" not in path.read_bytes().replace(b"http://host", b"")


def test_a_file_that_was_changed_is_found_out(story: Story, log: Path) -> None:
    path = cut(story, log)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE excerpt SET digest = 'x'")
    done = tanist("verify", path.name, cwd=log.parent)
    assert done.returncode == 1
    assert "the state at its end has another digest" in done.stdout + done.stderr
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM excerpt")
    said = complaint(tanist("verify", path.name, cwd=log.parent), 3)
    assert "damaged: a part of a log, and the table excerpt is empty" in said


def test_mistakes_are_one_line(story: Story, log: Path) -> None:
    said = complaint(
        tanist("incident", "7777", "--out", "a.incident", "--log", "x.db", cwd=log.parent), 2
    )
    assert "no incident 7777 in the log" in said
    cut(story, log)
    number = str(story.last(ev.FailoverStarted))
    said = complaint(
        tanist("incident", number, "--out", "one.incident", "--log", "x.db", cwd=log.parent), 2
    )
    assert "exists already" in said


def collected(folder: Path) -> subprocess.CompletedProcess[str]:
    plugin = ["-p", "engine.testing.plugin", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", *plugin, "."],
        cwd=folder,
        # Where it is installed pytest finds it by itself, and would find it twice.
        env={**environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_folder_of_incidents_is_a_folder_of_tests(
    story: Story, log: Path, tmp_path: Path
) -> None:
    """The incident was a failover that nobody wants again: red, until the policy is another."""
    folder = tmp_path / "incidents"
    folder.mkdir()
    shutil.move(cut(story, log), folder / "friday.incident")
    done = collected(folder)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout

    expects = folder / "friday.toml"
    policy = folder / "today.toml"
    policy.write_text('[groups.g]\nmode = "active-standby"\npreset = "lan"\nautomation = "auto"\n')
    expects.write_text('policy = "today.toml"\n[expect]\nfailovers = 0\n')
    done = collected(folder)
    assert done.returncode == 1
    assert "friday.incident: expected 0 failovers, found 1, under the policy of" in done.stdout
    assert "Traceback" not in done.stdout

    policy.write_text(
        '[groups.g]\nmode = "active-standby"\npreset = "lan"\nautomation = "observe"\n'
    )
    expects.write_text(
        'policy = "today.toml"\n[expect]\nfailovers = 0\ndetections = 1\n'
        'detect_within = "10s"\ndown_at_most = "1h"\n'
    )
    done = collected(folder)
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


STRICT = (
    ("[expect]\ncolour = 1\n", "expect.colour: expected one of failovers"),
    ("[expect]\nfailovers = -1\n", "expect.failovers: expected a count, found -1"),
    ('[expect]\ndetect_within = "soon"\n', "expected a duration"),
    ("[expect\n", "Expected ']'"),
    ("other = 1\n", "expected policy = FILE and a table [expect], found other"),
)


def test_what_is_expected_is_read_strictly(story: Story, log: Path, tmp_path: Path) -> None:
    folder = tmp_path / "incidents"
    folder.mkdir()
    path = cut(story, log)
    for number, (text, _) in enumerate(STRICT):
        shutil.copy(path, folder / f"{number}.incident")
        (folder / f"{number}.toml").write_text(text)
    done = collected(folder)
    assert done.returncode == 2
    complaints = done.stdout.split("ERROR collecting ")[1:]
    assert len(complaints) == len(STRICT)
    for found, (_, said) in zip(complaints, STRICT, strict=True):
        assert said in found
