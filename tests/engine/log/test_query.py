"""Questions in SQL see every event, sealed or not, and change nothing."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.answers.times import iso
from engine.core.errors import ConfigurationError, LogCorrupted
from engine.core.events import Recorded, jsonable
from engine.log import open_log
from engine.log.connection import driver_connect
from engine.log.interrupting import interruptible
from engine.log.query import Questions
from engine.log.sqlite import SqliteLog
from tests.engine.answers.stories import failed_over
from tests.engine.log.events import at, message, probes

FORMAT_1 = Path(__file__).parents[2] / "data" / "logs" / "format-1.db.gz"
ALL = "SELECT seq, time, kind, subject, cause, payload, at_us FROM log"


@pytest.fixture(scope="module")
def told() -> list[Recorded]:
    story = failed_over()
    story.probe(680)
    return list(story.log.read())


@pytest.fixture
def log(told: list[Recorded], tmp_path: Path) -> Iterator[SqliteLog]:
    """Return a log of two sealed blocks and some hot rows, which is still written."""
    with open_log(tmp_path / "log.db", mode="write", create=True) as log:
        log.append(told)
        assert log.seal(blocks_max=2) == 2
        yield log


def ask(log: SqliteLog, question: str) -> list[tuple[object, ...]]:
    questions = Questions(log)
    try:
        _, rows = questions.ask(question)
        return [tuple(row) for row in rows]
    finally:
        questions.close()


def check(log: SqliteLog) -> None:
    expected = [
        (seen["seq"], iso(recorded.at_us), seen["kind"], seen["subject"], seen["cause"])
        for recorded in log.read()
        for seen in [jsonable(recorded)]
    ]
    found = ask(log, ALL)
    assert [row[:5] for row in found] == expected
    for row, recorded in zip(found, log.read(), strict=True):
        assert json.loads(str(row[5])) == jsonable(recorded)["data"]
        assert row[6] == recorded.at_us


def test_the_view_has_every_event_in_order(log: SqliteLog) -> None:
    check(log)


def test_the_view_of_a_log_of_format_1_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "old.db").write_bytes(gzip.decompress(FORMAT_1.read_bytes()))
    with open_log(tmp_path / "old.db") as log:
        check(log)


def test_columns_are_named_and_typed(log: SqliteLog) -> None:
    questions = Questions(log)
    columns, rows = questions.ask("SELECT *, typeof(seq), typeof(cause), typeof(at_us) FROM log")
    assert columns[:7] == ["seq", "time", "kind", "subject", "cause", "payload", "at_us"]
    assert {tuple(row[7:]) for row in rows} == {("integer", "integer", "integer")}
    questions.close()


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("SELECT payload ->> 'hard' FROM log WHERE kind = 'MasterFailed'", [(1,)]),
        (
            "SELECT b.kind FROM log a JOIN log b ON b.cause = a.seq WHERE b.kind = 'MasterFailed'",
            [("MasterFailed",)],
        ),
        ("WITH x AS (SELECT 1 AS n) SELECT n FROM x", [(1,)]),
        ("SELECT count(DISTINCT seq) = max(seq) FROM log", [(1,)]),
        ("SELECT seq FROM log WHERE seq IN (1, 999, 1000, 1001, 2000, 2001)", None),
        ("SELECT seq FROM log WHERE seq = 99999999", []),
    ],
)
def test_questions_are_answered(
    log: SqliteLog, question: str, expected: list[tuple[object, ...]] | None
) -> None:
    found = ask(log, question)
    if expected is None:
        expected = [(seq,) for seq in (1, 999, 1_000, 1_001, 2_000, 2_001)]
    assert found == expected


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("DELETE FROM events", "more than read"),
        ("INSERT INTO log (seq) VALUES (1)", "more than read"),
        ("UPDATE meta SET writer_epoch = 0", "more than read"),
        ("CREATE TABLE x (y)", "more than read"),
        ("CREATE TEMP TABLE x (y)", "more than read"),
        ("DROP TABLE events", "more than read"),
        ("ATTACH '{beside}' AS x", "more than read"),
        ("VACUUM INTO '{beside}'", "more than read"),
        ("VACUUM", "more than read"),
        ("PRAGMA user_version = 9", "more than read"),
        ("PRAGMA query_only = OFF", "more than read"),
        ("BEGIN IMMEDIATE", "more than read"),
        ("SELECT load_extension('x')", "not authorized"),
        ("SELECT 1; DELETE FROM events", "one statement"),
        ("SELEC", "syntax error"),
        ("SELECT * FROM nix", "no such table"),
        ("SELECT ?", "binding"),
        ("", "empty"),
        ("-- nothing", "empty"),
        ("SELECT '\udcff'", "query"),
        ("SELECT abs(-9223372036854775808)", "overflow"),
    ],
)
def test_what_is_no_question_is_refused_and_changes_nothing(
    log: SqliteLog, question: str, says: str
) -> None:
    beside = log.path.parent / "beside.db"
    with pytest.raises(ConfigurationError, match=says) as caught:
        ask(log, question.replace("{beside}", str(beside)))
    assert len(caught.value.mistakes) == 1
    assert not beside.exists()
    check(log)


def test_one_can_ask_again_after_a_mistake(log: SqliteLog) -> None:
    questions = Questions(log)
    for mistake in ("DELETE FROM events", "SELEC", ""):
        with pytest.raises(ConfigurationError):
            questions.ask(mistake)
    _, rows = questions.ask("SELECT 1")
    assert list(rows) == [(1,)]
    questions.close()


def test_a_question_sees_one_moment_of_a_log_that_is_written_and_sealed(log: SqliteLog) -> None:
    questions, head = Questions(log), log.head
    _, rows = questions.ask("SELECT seq FROM log")
    seqs = [next(rows)[0]]
    seen = probes(1, 1)[0].event
    more = range(head.seq + 1, head.seq + 3_001)
    log.append([at(seq, seen, subject="a", at_us=head.at_us) for seq in more])
    assert log.seal(blocks_max=9) > 1
    seqs += [row[0] for row in rows]
    assert seqs == list(range(1, head.seq + 1))
    _, rows = questions.ask("SELECT max(seq) FROM log")
    assert list(rows) == [(log.head.seq,)]
    questions.close()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE blocks SET payloads = x'00' WHERE first = 1001", "begins there is damaged"),
        ("UPDATE blocks SET columns = x'00' WHERE first = 1001", "begins there is damaged"),
        (
            "UPDATE events SET payload = x'c1' WHERE seq = (SELECT max(seq) FROM events)",
            "malformed",
        ),
    ],
)
def test_damage_is_said_to_be_the_log_s(tmp_path: Path, damage: str, says: str) -> None:
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True) as log:
        log.append(probes(1, 2_100))
        log.seal(blocks_max=2)
    connection = driver_connect(path.as_uri())
    connection.execute(damage)
    connection.commit()
    connection.close()
    with open_log(path) as log, pytest.raises(LogCorrupted, match=says):
        ask(log, ALL)


def test_a_log_that_may_not_be_written_is_asked_as_well(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True) as log:
        event, bodies = message(1, b"body")
        log.append([event], bodies=bodies)
    path.chmod(0o444)
    with open_log(path) as log:
        assert ask(log, "SELECT body FROM bodies") == [(b"body",)]


def test_ctrl_c_ends_a_question_that_would_not_end() -> None:
    connection = driver_connect("file::memory:")

    def press() -> None:
        raise KeyboardInterrupt

    endless = "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT sum(n) FROM x"
    with pytest.raises(KeyboardInterrupt), interruptible(connection, press):
        connection.execute(endless)
    assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.close()
