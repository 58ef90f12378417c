"""Thinned blocks in a file: their damage is named, and every copy and reader knows them."""

import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import msgspec
import pytest

from engine.core import state as st
from engine.core.evolve import evolve
from engine.core.state import State
from engine.log import open_log, states
from engine.log.connection import driver_connect
from engine.log.copying import back_up, copy
from engine.log.query import Questions
from engine.log.sqlite import SqliteLog
from engine.log.verify import Verification, verify
from tests.engine.cli.shell import tanist
from tests.engine.log.thinned import drop, in_a_file, thin

SCRIPT = Path(__file__).parents[3] / "scripts" / "read_log.py"


@pytest.fixture(scope="module")
def thinned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("thinned") / "log.db"
    path.write_bytes(in_a_file())
    with open_log(path, mode="write") as log:
        drop(log, 6_000)
        thin(log)
    return path


@pytest.fixture
def path(thinned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(thinned, tmp_path / "log.db"))


def verified(path: Path) -> Verification:
    state = State()
    with open_log(path) as log:
        return verify(log, lambda recorded: evolve(state, recorded))


def change(path: Path, statement: str, *values: object) -> None:
    connection = driver_connect(path.as_uri())
    assert connection.execute(statement, values).rowcount == 1
    connection.commit()
    connection.close()


def column(path: Path, name: str, first: int) -> bytes:
    connection = driver_connect(path.as_uri())
    ((found,),) = connection.execute(f"SELECT {name} FROM blocks WHERE first = ?", (first,))
    connection.close()
    return bytes(found)


def quiet(_done: int, _total: int) -> None:
    pass


def test_an_event_that_was_changed_in_a_thinned_block_is_named(path: Path) -> None:
    payloads = bytearray(zlib.decompress(column(path, "payloads", 2_001)))
    payloads[-1] ^= 1
    change(path, "UPDATE blocks SET payloads = ? WHERE first = 2001", zlib.compress(payloads))
    found = verified(path)
    assert found.first_bad == 2_001
    assert not found.ok


@pytest.mark.parametrize("name", ["columns", "payloads", "chain", "last_at_us"])
def test_a_flipped_bit_in_a_thinned_block_is_named(path: Path, name: str) -> None:
    if name == "last_at_us":
        change(path, "UPDATE blocks SET last_at_us = last_at_us - 60000000 WHERE first = 3001")
    else:
        flipped = bytearray(column(path, name, 3_001))
        flipped[len(flipped) // 2] ^= 4
        change(path, f"UPDATE blocks SET {name} = ? WHERE first = 3001", bytes(flipped))
    found = verified(path)
    assert found.first_bad == 3_001


def test_the_digest_in_a_thinned_block_is_held_against_the_event(path: Path) -> None:
    """One who changes an event and its block's digest has to change all blocks and the event."""
    columns = zlib.decompress(column(path, "columns", 5_001))
    length = int.from_bytes(columns[:4], "little")
    codes, names, places, digest = msgspec.msgpack.decode(columns[4 : 4 + length])
    assert len(digest) == 32
    other = msgspec.msgpack.encode((codes, names, places, bytes(32)))
    changed = len(other).to_bytes(4, "little") + other + columns[4 + length :]
    change(path, "UPDATE blocks SET columns = ? WHERE first = 5001", zlib.compress(changed))
    assert verified(path).first_bad == 5_001


def test_a_thinned_block_that_is_missing_is_noticed(path: Path) -> None:
    change(path, "DELETE FROM blocks WHERE first = 2001")
    found = verified(path)
    assert not found.ok
    assert found.first_bad is not None
    assert found.first_bad <= 3_001


def test_copies_hold_what_is_left_and_have_the_same_chain(path: Path, tmp_path: Path) -> None:
    with open_log(path) as log:
        assert isinstance(log, SqliteLog)
        digest, head = st.digest(states.state_at(log)), log.chain_head().hex()
        back_up(log, tmp_path / "backup.db", progress=quiet)
        copy(log, tmp_path / "copy.db", release="1", progress=quiet)
        events = list(log.read())
    for name in ("backup.db", "copy.db"):
        found = verified(tmp_path / name)
        assert (found.ok, found.head, found.events) == (True, head, len(events))
        with open_log(tmp_path / name) as log:
            assert list(log.read()) == events
            assert st.digest(states.state_at(log)) == digest


def test_sql_sees_what_is_left(path: Path) -> None:
    with open_log(path) as log:
        expected = [
            (recorded.seq, type(recorded.event).__name__, recorded.subject, recorded.cause)
            for recorded in log.read()
        ]
        assert isinstance(log, SqliteLog)
        questions = Questions(log)
        try:
            _, rows = questions.ask("SELECT seq, kind, subject, cause FROM log")
            assert [tuple(row) for row in rows] == expected
            _, payloads = questions.ask("SELECT payload FROM log WHERE seq < 6000")
            assert all(json.loads(str(payload)) is not None for (payload,) in payloads)
        finally:
            questions.close()


def test_the_script_that_knows_nothing_of_this_code_reads_it(path: Path) -> None:
    with open_log(path) as log:
        head = log.chain_head().hex()
        expected = [
            [r.seq, r.at_us, type(r.event).__name__, r.subject, r.cause] for r in log.read()
        ]
    done = subprocess.run(
        [sys.executable, SCRIPT, path], capture_output=True, text=True, check=True
    )
    *lines, digest = done.stdout.splitlines()
    assert digest == head
    assert [json.loads(line)[:5] for line in lines] == expected


def test_the_event_that_says_so_is_named_if_it_is_damaged(path: Path) -> None:
    with open_log(path) as log:
        seq = next(log.seqs_of((25,)))
    change(path, "UPDATE events SET payload = x'c1' WHERE seq = ?", seq)
    assert verified(path).first_bad == seq


def test_thinned_blocks_that_no_event_speaks_of_are_named(path: Path) -> None:
    with open_log(path) as log:
        seq = next(log.seqs_of((25,)))
    change(path, "DELETE FROM events WHERE seq = ?", seq)
    assert verified(path).first_bad == 6_001


def test_a_state_from_before_is_refused_in_one_line(path: Path) -> None:
    for words in (("status", "log.db", "--at", "100"), ("replay", "log.db", "--to", "5999")):
        done = tanist(*words, cwd=path.parent)
        assert done.returncode == 1
        assert done.stderr.startswith("tanist: the state at event ")
        assert "was dropped" in done.stderr
        assert len(done.stderr.splitlines()) == 1
