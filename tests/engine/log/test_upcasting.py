"""A log with events under a code that is not written any more, by whatever way it is read.

tests/data/logs/code-10.db.gz was written by the code of its time: four StateKept under code 10,
three of them in what is the first block once it is sealed.
"""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from engine.answers.search import Finder, decoded, events_of
from engine.cli.streaming import Filter, of_log
from engine.core import events as ev
from engine.core import state as st
from engine.core.replay import replay
from engine.core.state import FOLD_VERSION
from engine.log import MemoryLog, open_log
from engine.log.copying import copy
from engine.log.query import Questions
from engine.log.sqlite import SqliteLog
from engine.log.upgrading import upgrade
from engine.log.verify import verify
from projections.uptime import UPTIME
from projections.weights import WEIGHTS

LOGS: Final = Path(__file__).parents[2] / "data" / "logs"
SAID: Final[dict[str, Any]] = json.loads((LOGS / "code-10.json").read_text())
RETIRED: Final[list[int]] = SAID["retired"]
SCRIPT: Final = Path(__file__).parents[3] / "scripts" / "read_log.py"


def quiet(_done: int, _total: int) -> None:
    pass


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress((LOGS / "code-10.db.gz").read_bytes()))
    return path


@pytest.fixture
def sealed(old: Path) -> Path:
    """Return the log as it is when it was upgraded and its first block sealed."""
    assert upgrade(old, progress=quiet) is not None
    with open_log(old, mode="write") as log:
        assert log.seal(blocks_max=9) == 1
    return old


@pytest.fixture(params=["old", "sealed"])
def log(request: pytest.FixtureRequest) -> Iterator[SqliteLog]:
    with open_log(request.getfixturevalue(request.param)) as log:
        yield log


def stored(log: SqliteLog) -> list[int]:
    return [row[0] for row in log.rows() if row[2] == 10]


def test_its_rows_its_chain_and_its_state_are_what_they_were(log: SqliteLog) -> None:
    assert (log.head.seq, log.chain_head().hex()) == (SAID["events"], SAID["head"])
    assert stored(log) == RETIRED
    state = replay(log.read())
    assert {key: digest.hex() for key, digest in state.groups["g"].kept.items()} == SAID["kept"]
    assert SAID["fold_version"] <= FOLD_VERSION
    if SAID["fold_version"] == FOLD_VERSION:
        assert st.digest(state) == SAID["digest"]


def test_every_reader_gets_the_event_of_today(log: SqliteLog) -> None:
    read = [recorded for recorded in log.read() if recorded.seq in RETIRED]
    assert [type(recorded.event) for recorded in read] == [ev.StateKept] * 4
    assert list(events_of(log, (ev.StateKept,))) == read
    assert [Finder(log).at(seq) for seq in RETIRED] == read
    assert [decoded(row) for row in log.rows() if row[2] == 10] == read
    assert [
        block.event(block.seqs.index(seq))
        for block in log.blocks()
        for seq in RETIRED
        if seq <= block.last
    ] == (read[:3] if log.format > 1 else [])


def test_verify_finds_nothing_wrong_with_it(log: SqliteLog) -> None:
    found = verify(log, lambda _: None)
    assert (found.ok, found.events, found.head) == (True, SAID["events"], SAID["head"])


def test_sql_and_events_show_it_as_it_is_read(log: SqliteLog) -> None:
    questions = Questions(log)
    try:
        _, rows = questions.ask("SELECT seq, payload FROM log WHERE kind = 'StateKept'")
        found = {int(str(seq)): json.loads(str(payload)) for seq, payload in rows}
    finally:
        questions.close()
    shown = of_log(
        str(log.path),
        Filter(kinds=("StateKept",), subjects=()),
        since=None,
        until=None,
        follow=False,
    )
    assert found == {row["seq"]: row["data"] for row in shown}
    assert list(found) == RETIRED
    assert {data["key"] for data in found.values()} == {"state-0", "state-1"}


def test_views_of_its_columns_are_those_of_its_events(sealed: Path) -> None:
    with open_log(sealed) as log:
        memory = MemoryLog()
        memory.append(list(log.read()))
        for projection in (UPTIME, WEIGHTS):
            assert log.view(projection) == memory.view(projection)


def test_a_copy_has_the_old_bytes_and_their_name(old: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.db"
    with open_log(old) as log:
        copied = copy(log, path, release="test", progress=quiet)
    assert (copied.seq, copied.head) == (SAID["events"], SAID["head"])
    with open_log(path) as log:
        assert stored(log) == RETIRED
        assert verify(log).ok
    done = subprocess.run(
        [sys.executable, SCRIPT, path], capture_output=True, text=True, check=True
    )
    *lines, head = done.stdout.splitlines()
    assert head == SAID["head"]
    named = [row[0] for row in map(json.loads, lines) if row[2] == "StateKept"]
    assert named == RETIRED


def test_such_a_log_is_written_on_and_its_new_events_have_the_code_of_today(sealed: Path) -> None:
    with open_log(sealed, mode="write") as log:
        last = log.head
        kept = ev.StateKept(key="state-0", size=1, digest=bytes(32))
        log.append(
            [
                ev.Recorded(
                    seq=last.seq + 1, at_us=last.at_us, subject="g", cause=last.seq, event=kept
                )
            ]
        )
        assert [row[2] for row in log.rows(after=last.seq)] == [136]
        assert [recorded.seq for recorded in events_of(log, (ev.StateKept,))] == [
            *RETIRED,
            last.seq + 1,
        ]
        assert verify(log).ok
