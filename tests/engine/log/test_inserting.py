from pathlib import Path
from typing import Any

import pytest

from engine.log.connection import driver_connect
from engine.log.inserting import ROWS_MAX, Insertion
from engine.log.library import sound_library
from engine.log.sqlite import SqliteLog
from tests.engine.log.events import message, probes

NUMBERS = Insertion("INSERT OR IGNORE INTO numbers", columns=2)


class Traced:
    """A driver that takes note of each statement that it runs."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def connect(self, uri: str) -> Any:
        raw = driver_connect(uri)
        raw.set_trace_callback(self.statements.append)
        return raw

    def count(self, words: str) -> int:
        return sum(words in statement for statement in self.statements)


def table() -> Any:
    cursor = sound_library().module.connect(":memory:", isolation_level=None).cursor()
    cursor.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY, word TEXT)")
    return cursor


@pytest.mark.parametrize("count", [0, 1, 2, 3, 90, ROWS_MAX - 1, ROWS_MAX, 2 * ROWS_MAX + 5])
@pytest.mark.parametrize("together", [1, 3, ROWS_MAX])
def test_all_rows_are_there_whatever_their_number(count: int, together: int) -> None:
    cursor, rows = table(), [(number, f"word {number}") for number in range(count)]
    assert NUMBERS.put(cursor, rows, together_max=together) == count
    assert cursor.execute("SELECT * FROM numbers ORDER BY rowid").fetchall() == rows


def test_rows_that_were_there_are_not_counted() -> None:
    cursor = table()
    assert NUMBERS.put(cursor, [(2, "two"), (70, "seventy")]) == 2
    assert NUMBERS.put(cursor, [(number, "again") for number in range(100)]) == 98
    words = dict(cursor.execute("SELECT * FROM numbers").fetchall())
    assert (words[2], words[70], words[3]) == ("two", "seventy", "again")


def test_an_append_takes_few_statements_however_many_events_and_bodies_it_has(
    tmp_path: Path,
) -> None:
    # At each of them another thread may take the interpreter, and keep it for a while.
    traced = Traced()
    with SqliteLog(tmp_path / "log.db", mode="write", create=True, connect=traced.connect) as log:
        log.append(probes(1, 3))
        pairs = [message(seq, b"%d" % seq) for seq in range(4, 104)]
        bodies = {digest: body for _, held in pairs for digest, body in held.items()}
        traced.statements.clear()
        log.append([event for event, _ in pairs], bodies=bodies)
        assert 0 < traced.count("INSERT") <= 8
        assert log.head.seq == 103
        assert [log.body(digest) for digest in bodies] == list(bodies.values())


def test_a_large_body_is_not_copied_together_with_others(tmp_path: Path) -> None:
    traced = Traced()
    with SqliteLog(tmp_path / "log.db", mode="write", create=True, connect=traced.connect) as log:
        pairs = [message(seq, b"%d" % seq * 5_000) for seq in range(1, 5)]
        bodies = {digest: body for _, held in pairs for digest, body in held.items()}
        traced.statements.clear()
        log.append([event for event, _ in pairs], bodies=bodies)
        assert traced.count("INTO bodies") == 4
        assert [log.body(digest) for digest in bodies] == list(bodies.values())
