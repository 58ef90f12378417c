"""Whatever is handed to it: one clear line, the stated exit code, and nothing written."""

import json
import sqlite3
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.engine.answers.stories import failed_over
from tests.engine.cli.shell import complaint, kinds, minute, observations, process, stored, tanist

MISTAKES = """\
[engine]
listen = "nowhere"
[groups.web]
mode = "active-actve"
preset = "zoned"
probe = { fall = 0, interval = "1 s" }
[[groups.web.masters]]
id = "a"
address = "http://h:1"
"""


def test_a_configuration_with_five_mistakes_names_all_five(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(MISTAKES)
    before = sorted(tmp_path.iterdir())
    for done in (
        process("check", "bad.toml", cwd=tmp_path),
        tanist("check", "bad.toml", "--json", cwd=tmp_path),
        tanist("run", "bad.toml", cwd=tmp_path),
    ):
        assert (done.returncode, done.stdout) == (2, "")
        lines = done.stderr.splitlines()
        assert len(lines) == 5
        assert all(line.startswith("tanist: bad.toml:") for line in lines)
        for key in ("listen", "mode", "preset", "fall", "interval"):
            assert sum(key in line.partition("expected")[0] for line in lines) == 1, key
    assert sorted(tmp_path.iterdir()) == before


def text_file(path: Path) -> None:
    path.write_text("this is no log\n" * 100)


def empty_file(path: Path) -> None:
    path.touch()


def other_database(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()


def truncated(path: Path) -> None:
    stored(failed_over().log, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def newer(path: Path) -> None:
    stored(failed_over().log, path)
    data = bytearray(path.read_bytes())
    data[60:64] = (999).to_bytes(4, "big")  # user_version
    path.write_bytes(data)


def absent(_: Path) -> None:
    pass


def directory(path: Path) -> None:
    path.mkdir()


READING = ("status", "events", "why", "replay", "uptime", "audit", "verify")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (text_file, "not a log of Tanist"),
        (empty_file, "empty, not a log"),
        (other_database, "not a log of Tanist"),
        (truncated, "truncated"),
        (newer, "newer release"),
        (absent, "there is no log"),
        (directory, "is not a file"),
    ],
)
def test_a_log_that_is_none_is_one_line_and_exit_3(
    make: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    observed = observations(tmp_path / "o.jsonl", [minute(1)])
    for done in (
        tanist("status", "x.db", cwd=tmp_path),
        tanist("replay", "x.db", "--json", cwd=tmp_path),
        tanist("verify", "--log", "x.db", cwd=tmp_path),
        tanist("pause", "--reason", "r", "--log", "x.db", cwd=tmp_path),
    ):
        said = complaint(done, 3)
        assert says in said
        assert "x.db" in said
    if make not in (absent, empty_file):
        into = tanist("import", str(observed), "--into", "x.db", "--group", "g", cwd=tmp_path)
        assert says in complaint(into, 3)
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize("command", READING)
def test_every_question_about_a_log_that_is_not_there_is_exit_3(
    command: str, tmp_path: Path
) -> None:
    assert "there is no log" in complaint(tanist(command, "--log", "x.db", cwd=tmp_path), 3)
    assert list(tmp_path.iterdir()) == []


GOOD = [minute(second) for second in range(10)]


def broken_line_7(path: Path) -> None:
    observations(path, GOOD)
    lines = path.read_text().splitlines()
    lines[6] = '{"at": "2026-01-01T00:00:06Z", "master": '
    path.write_text("\n".join(lines))


def wrong_outcome(path: Path) -> None:
    observations(path, [*GOOD[:6], minute(6, outcome="perhaps"), *GOOD[7:]])


def out_of_order(path: Path) -> None:
    early = ("2025-12-31T00:00:00Z", "a", "ok")
    observations(path, [*GOOD[:6], early, *GOOD[7:]])


def no_zone(path: Path) -> None:
    observations(path, [*GOOD[:6], ("2026-01-01T00:00:06", "a", "ok"), *GOOD[7:]])


def nothing(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (broken_line_7, "line 7"),
        (wrong_outcome, "line 7: expected outcome ok, degraded or failed, found 'perhaps'"),
        (out_of_order, "line 7"),
        (no_zone, "line 7"),
        (nothing, "no observation"),
        (absent, "o.jsonl"),
    ],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_a_bad_file_of_observations_is_one_line_and_nothing_is_written(
    make: Callable[[Path], None], says: str, is_new: bool, tmp_path: Path
) -> None:
    log = tmp_path / "x.db"
    if not is_new:
        observations(tmp_path / "first.jsonl", [("2025-12-01T00:00:00Z", "a", "ok")])
        first = tanist("import", "first.jsonl", "--into", "x.db", "--group", "g", cwd=tmp_path)
        assert first.returncode == 0
    make(tmp_path / "o.jsonl")
    before = sorted(tmp_path.iterdir()), None if is_new else kinds(log)
    done = tanist("import", "o.jsonl", "--into", "x.db", "--group", "g", "--json", cwd=tmp_path)
    assert says in complaint(done, 2)
    assert (sorted(tmp_path.iterdir()), None if is_new else kinds(log)) == before


def test_an_unknown_master_is_named_with_its_line(tmp_path: Path) -> None:
    observations(tmp_path / "first.jsonl", [minute(0)])
    assert (
        tanist("import", "first.jsonl", "--into", "x.db", "--group", "g", cwd=tmp_path).returncode
        == 0
    )
    observations(tmp_path / "o.jsonl", [minute(1), minute(2, "stranger"), minute(3)])
    before = kinds(tmp_path / "x.db")
    said = complaint(tanist("import", "o.jsonl", "--into", "x.db", cwd=tmp_path), 2)
    assert "line 2: no master 'stranger'" in said
    assert "--group" in said
    assert kinds(tmp_path / "x.db") == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("status", "x.db", "--at", "1999"), "the log ends at"),
        (("replay", "x.db", "--to", "nowhere"), "no checkpoint 'nowhere'"),
        (("replay", "x.db", "--to", "2026-01-01"), "expected a position"),
        (("events", "x.db", "--kind", "Boom"), "found 'Boom'; for example MasterFailed"),
        (("events", "x.db", "--kind", "masterfail"), "did you mean MasterFailed"),
        (("events", "x.db", "--since", "2026-01-01T00:00:00"), "with its zone"),
        (("uptime", "x.db", "--from", "soon"), "--from: expected a time"),
        (
            ("uptime", "x.db", "--from", "2027-01-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z"),
            "before it begins",
        ),
        (("why", "x.db", "99999"), "no event 99999"),
        (("why", "x.db", "nobody"), "found 'nobody'"),
        (("whatif", "x.db", "--skip", f"{10**30}"), f"no event {10**30} in the log"),
        (("pause", "x.db", "--reason", "r", "--for", "soon"), "found 'soon'"),
        (("pause", "x.db", "--reason", " "), "--reason"),
        (("pause", "x.db", "--reason", "\udcff"), r"expected text in UTF-8, found '\udcff'"),
        (("why", "x.db", "\udcff"), r"expected text in UTF-8, found '\udcff'"),
        (("checkpoint", "x.db"), "expected a name"),
        (("rollback", "x.db"), "expected a position"),
        (("rollback", "x.db", "1", "--group", "g"), "no group g at position 1"),
        (("replay", "http://127.0.0.1:9"), "name its log with --log"),
    ],
)
def test_a_question_that_makes_no_sense_is_one_line_and_exit_2(
    words: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    path = stored(failed_over().log, tmp_path / "x.db")
    before = kinds(path)
    assert says in complaint(tanist(*words, cwd=tmp_path), 2)
    assert kinds(path) == before


def test_the_root_of_all_files_is_no_log(tmp_path: Path) -> None:
    for words in (("status",), ("pause", "--reason", "r"), ("import", "o.jsonl", "--group", "g")):
        log = "--into" if words[0] == "import" else "--log"
        assert complaint(tanist(*words, log, "/", cwd=tmp_path), 3).startswith("/ is not a file")


def test_an_engine_that_does_not_answer_is_exit_3(tmp_path: Path) -> None:
    for words in (("status",), ("events",), ("pause", "--reason", "r")):
        done = tanist(*words, "--log", "http://127.0.0.1:9", cwd=tmp_path)
        said = complaint(done, 3)
        assert said.startswith("the engine at http://127.0.0.1:9 does not answer: ")
        assert "no tanist run listens there" in said


@pytest.mark.parametrize("url", ["http://:9", "http://h:x", "http://h:99999"])
def test_an_address_that_is_none_is_exit_2(url: str, tmp_path: Path) -> None:
    said = complaint(tanist("status", url, cwd=tmp_path), 2)
    assert said == f"expected the address of an engine as in http://HOST:PORT, found '{url}'"


class Stranger(BaseHTTPRequestHandler):
    """What listens at an address where no engine does."""

    def do_GET(self) -> None:
        self.send_response(200 if "status" in self.path else 404)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_what_answers_and_is_no_engine_is_named(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            said = complaint(tanist("status", url, cwd=tmp_path), 3)
            assert said == f"what answers at {url} is no engine of Tanist"
            said = complaint(tanist("weights", url, cwd=tmp_path), 2)
            assert said == f"the engine at {url} says 404: Not Found"
        finally:
            server.shutdown()
            serving.join()


def test_what_was_changed_in_a_log_is_named_and_exit_1(tmp_path: Path) -> None:
    story = failed_over()
    path = stored(story.log, tmp_path / "x.db")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE events SET at_us = at_us + 1 WHERE seq = 7")
    database.close()
    done = process("verify", "x.db", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert (found["ok"], found["first_bad"]) == (False, 7)
    assert found["problems"]
    assert found["events"] == story.log.head.seq
    shown = tanist("verify", "x.db", cwd=tmp_path)
    assert shown.returncode == 1
    assert "first wrong: event 7" in shown.stdout
