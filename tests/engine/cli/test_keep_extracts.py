"""export and sql: every event comes out, in the shape that was asked for."""

import csv
import io
import json
from pathlib import Path

import pytest

from engine.log import open_log
from tests.engine.answers.stories import Story, failed_over
from tests.engine.cli.shell import answer, complaint, stored, tanist


@pytest.fixture(scope="module")
def story() -> Story:
    told = failed_over()
    told.probe(700)
    return told


@pytest.fixture
def log(story: Story, tmp_path: Path) -> Path:
    path = stored(story.log, tmp_path / "x.db")
    with open_log(path, mode="write") as opened:
        assert opened.seal(blocks_max=9) == 2
    return path


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()} - {"x.db", "x.db.lock"}


def test_json_lines_are_those_of_events(log: Path) -> None:
    done = tanist("export", "x.db", cwd=log.parent)
    assert done.stdout == tanist("events", "x.db", "--json", cwd=log.parent).stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_csv_holds_the_same(story: Story, log: Path) -> None:
    done = tanist("export", "x.db", "--format", "csv", cwd=log.parent)
    table = list(csv.DictReader(io.StringIO(done.stdout)))
    lines = tanist("export", "x.db", "--format", "jsonl", cwd=log.parent).stdout.splitlines()
    assert len(table) == len(lines) == story.log.head.seq
    assert list(table[0]) == ["seq", "at", "kind", "subject", "cause", "data"]
    for row, line in zip(table, lines, strict=True):
        found = {**row, "seq": int(row["seq"]), "cause": int(row["cause"])}
        assert {**found, "data": json.loads(row["data"])} == json.loads(line)


def test_a_range_is_exported(log: Path) -> None:
    words = ("--since", "999", "--until", "1002")
    done = tanist("export", "x.db", *words, cwd=log.parent)
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [999, 1000, 1001, 1002]
    done = tanist("export", "x.db", "--format", "csv", *words, cwd=log.parent)
    assert len(done.stdout.splitlines()) == 5


def test_a_file_is_there_whole_or_not_at_all(story: Story, log: Path) -> None:
    words = ("export", "x.db", "--format", "csv", "--out", "events.csv")
    found = answer(*words, cwd=log.parent)
    assert found == {"file": "events.csv", "format": "csv", "events": story.log.head.seq}
    written = (log.parent / "events.csv").read_text()
    assert written == tanist("export", "x.db", "--format", "csv", cwd=log.parent).stdout
    assert "exists already" in complaint(tanist(*words, "--since", "9", cwd=log.parent), 2)
    assert (log.parent / "events.csv").read_text() == written
    shown = tanist(*words, "--since", "9", "--force", cwd=log.parent)
    assert shown.stdout == f"events.csv: {story.log.head.seq - 8} events\n"
    said = complaint(tanist(*words, "--since", "nowhere", "--force", cwd=log.parent), 2)
    assert "nowhere" in said
    assert names(log.parent) == {"events.csv"}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("export", "x.db", "--json"), 2, "--out"),
        (("export", "x.db", "--force"), 2, "--out"),
        (("export", "x.db", "--format", "xml"), 2, "xml"),
        (("export", "none.db"), 3, "there is no log"),
        (("export", "none.db", "--out", "y"), 3, "there is no log"),
        (("export", "http://127.0.0.1:1"), 2, "reads the log itself"),
        (("sql", "DELETE FROM events", "x.db"), 2, "more than read"),
        (("sql", "DELETE FROM events", "x.db", "--json"), 2, "more than read"),
        (("sql", "SELECT nix FROM log", "x.db", "--json"), 2, "no such column: nix"),
        (("sql", "", "x.db"), 2, "the query is empty"),
        (("sql", "SELECT 1", "none.db"), 3, "there is no log"),
        (("sql",), 2, "QUERY"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: tuple[str, ...], code: int, says: str, log: Path
) -> None:
    assert says in complaint(tanist(*words, cwd=log.parent), code)
    assert names(log.parent) == set()


def test_sql_answers_with_a_list_of_objects_or_a_table(log: Path) -> None:
    question = "SELECT kind, payload ->> 'hard' AS hard FROM log WHERE kind = 'MasterFailed'"
    done = tanist("sql", question, "x.db", "--json", cwd=log.parent)
    assert json.loads(done.stdout) == [{"kind": "MasterFailed", "hard": 1}]
    shown = tanist("sql", question, "--log", "x.db", cwd=log.parent).stdout.split()
    assert [shown[0], shown[1], *shown[-2:]] == ["kind", "hard", "MasterFailed", "1"]


def test_sql_answers_with_every_kind_of_value(log: Path) -> None:
    question = "SELECT NULL AS a, 1 AS b, 1.5 AS c, x'00ff' AS d, 'e' AS e, 2 AS b"
    done = tanist("sql", question, "x.db", "--json", cwd=log.parent)
    assert json.loads(done.stdout) == [
        {"a": None, "b": 1, "c": 1.5, "d": "00ff", "e": "e", "b_2": 2}
    ]
    none = tanist("sql", "SELECT 1 WHERE 0", "x.db", "--json", cwd=log.parent)
    assert none.stdout == "[]\n"
    shown = tanist("sql", question, "x.db", cwd=log.parent).stdout.split()
    assert shown[-6:] == ["-", "1", "1.5", "00ff", "e", "2"]


def test_json_has_every_row_and_a_table_says_where_it_ends(story: Story, log: Path) -> None:
    done = tanist("sql", "SELECT seq FROM log", "x.db", "--json", cwd=log.parent)
    assert [row["seq"] for row in json.loads(done.stdout)] == list(range(1, story.log.head.seq + 1))
    shown = tanist("sql", "SELECT seq FROM log", "x.db", cwd=log.parent)
    assert shown.stderr == "tanist: only the first 1,000 rows were shown: --json has all of them\n"
    assert shown.stdout.split()[-1] == "1000"
    exact = tanist("sql", "SELECT seq FROM log LIMIT 1000", "x.db", cwd=log.parent)
    assert exact.stderr == ""


def test_a_log_is_asked_and_exported_while_it_is_written(story: Story, log: Path) -> None:
    with open_log(log, mode="write"):
        done = tanist("sql", "SELECT max(seq) AS n FROM log", "x.db", "--json", cwd=log.parent)
        assert json.loads(done.stdout) == [{"n": story.log.head.seq}]
        assert tanist("export", "x.db", "--until", "1", cwd=log.parent).returncode == 0
