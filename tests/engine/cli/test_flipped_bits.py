"""One flipped bit, wherever it is: `verify` names the place, and a snapshot's changes no answer."""

import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from engine.cli.verifying import verified
from engine.core import state as st
from engine.core.replay import replay
from engine.core.state import FOLD_VERSION
from engine.log import open_log
from engine.log.connection import driver_connect
from engine.log.keyring import Keyring
from engine.log.schema import BLOCKS, BODIES, EVENTS, SECRET_BODIES, SNAPSHOTS
from engine.log.states import state_at
from tests.engine.log import kept
from tests.engine.log.kept import KEY, SNAPSHOT, events, in_a_file
from tests.engine.log.thinned import drop, thin

FLIPS: Final = 8  # of each value: the lowest bit, the highest, and some between
ROW: Final = 2_010
Value = int | str | bytes


def quiet(_done: int, _total: int) -> None:
    pass


def columns(*tables: Any) -> Any:
    names = [(table.name, column.name) for table in tables for column in table.columns]
    return pytest.mark.parametrize(("table", "column"), names)


def flips(value: Value, *, seed: str) -> Iterator[Value]:
    """Return the value with one bit flipped, a few times."""
    rng = random.Random(seed)
    if isinstance(value, int):
        for bit in (0, 62, *rng.sample(range(1, 62), FLIPS - 2)):
            yield value ^ 1 << bit
        return
    data = value.encode() if isinstance(value, str) else value
    bits = 8 * len(data)
    for bit in sorted({0, bits - 1, *rng.sample(range(bits), min(bits, FLIPS - 2))}):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


class Place:
    """One value in the file of a log."""

    def __init__(self, path: Path, table: str, column: str, where: str = "TRUE") -> None:
        self.path = path
        self._connection = driver_connect(path.as_uri())
        ((self._rowid, self.value),) = self._connection.execute(
            f"SELECT rowid, {column} FROM {table} WHERE {where} ORDER BY rowid LIMIT 1"
        ).fetchall()
        self._table, self._column = table, column
        self._seed = f"{table}.{column}"

    def flipped(self) -> Iterator[Value]:
        """Flip one bit after the other, each while the caller looks; then all is as it was."""
        rowid = self._rowid
        for value in flips(self.value, seed=self._seed):
            if self._is_taken(value):
                continue  # no flipped bit makes two rows of one key
            rowid = self._set(value, rowid)
            yield value
            rowid = self._set(self.value, rowid)
        with open_log(self.path) as log:
            assert verified(log, quiet)["ok"]

    def _is_taken(self, value: Value) -> bool:
        if (self._table, self._column) != ("events", "seq"):
            return False
        return bool(
            self._connection.execute("SELECT 1 FROM events WHERE seq = ?", (value,)).fetchall()
        )

    def _set(self, value: Value, rowid: int) -> int:
        is_text = isinstance(self.value, str)
        new = "CAST(? AS TEXT)" if is_text else "?"  # what is no UTF-8 any more is stored too
        ((rowid,),) = self._connection.execute(
            f"UPDATE {self._table} SET {self._column} = {new} WHERE rowid = ? RETURNING rowid",
            (value.encode() if isinstance(value, str) else value, rowid),
        ).fetchall()
        self._connection.commit()
        return int(rowid)


def found(path: Path, key: bytes = b"") -> dict[str, Any]:
    with open_log(path, keys=Keyring((key,)) if key else None) as log:
        answer = verified(log, quiet)
    assert answer["ok"] == (not answer["problems"])
    return answer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    path.write_bytes(in_a_file())
    return path


@columns(EVENTS)
def test_in_a_row(path: Path, table: str, column: str) -> None:
    for value in Place(path, table, column, f"seq = {ROW}").flipped():
        answer = found(path)
        # Where its seq is another one, it is missing, or what has that one already is twice.
        assert not answer["ok"], value
        assert answer["first_bad"] == ROW or column == "seq", value
        assert answer["first_bad"] is not None
        assert answer["first_bad"] <= ROW


@columns(BLOCKS)
def test_in_a_block(path: Path, table: str, column: str) -> None:
    _hold_in_a_block(Place(path, table, column, "first = 1001"), column)


@columns(BLOCKS)
def test_in_a_thinned_block(path: Path, table: str, column: str) -> None:
    with open_log(path, mode="write") as log:
        drop(log, 2_000)
        assert thin(log) == [1_000, 2_000]
    _hold_in_a_block(Place(path, table, column, "first = 1001"), column)


def _hold_in_a_block(place: Place, column: str) -> None:
    for value in place.flipped():
        answer = found(place.path)
        if answer["ok"]:
            # A bit that fills up the last byte of what is compressed means nothing to anybody.
            assert isinstance(value, bytes)
            assert isinstance(place.value, bytes)
            assert zlib.decompress(value) == zlib.decompress(place.value)
        else:
            assert answer["first_bad"] is not None
            assert answer["first_bad"] == 1_001 or column == "first", value


@columns(BODIES)
def test_in_a_body(path: Path, table: str, column: str) -> None:
    for value in Place(path, table, column).flipped():
        answer = found(path)
        assert answer["problems"], value
        assert answer["first_bad"] is None
        assert _names_a_body(answer["problems"]), value


@columns(SECRET_BODIES)
def test_in_a_sealed_body_with_the_key_and_without(tmp_path: Path, table: str, column: str) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(in_a_file(KEY))
    for value in Place(path, table, column).flipped():
        for key in (KEY, b""):
            answer = found(path, key)
            assert answer["problems"], value
            assert answer["first_bad"] is None
            assert _names_a_body(answer["problems"]), value


def _names_a_body(problems: list[str]) -> bool:
    """Return whether a problem is put to the event that names a body."""
    seqs = [recorded.seq for recorded in events()[-2 * len(kept.BODIES) :]]
    return any(f"event {seq}: the body that it names" in line for seq in seqs for line in problems)


@columns(SNAPSHOTS)
def test_in_a_snapshot_and_no_answer_is_another(path: Path, table: str, column: str) -> None:
    last = events()[-1].seq
    answers = {
        seq: st.digest(replay(events()[:seq])) for seq in (SNAPSHOT - 1, SNAPSHOT, 1_600, last)
    }
    whole = found(path)
    for value in Place(path, table, column).flipped():
        answer = found(path)
        assert (answer["digest"], answer["first_bad"]) == (whole["digest"], None)
        if column == "fold_version":
            # It says that another release made it: nobody believes it, and nothing is wrong.
            assert value != FOLD_VERSION
        else:
            (problem,) = answer["problems"]
            assert f"the snapshot at {value if column == 'seq' else SNAPSHOT} " in problem
        with open_log(path) as log:
            for seq, digest in answers.items():
                assert st.digest(state_at(log, seq)) == digest, value
