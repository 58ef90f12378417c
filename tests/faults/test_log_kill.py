"""A process that writes is killed: what it was told is durable is there, and nothing is half."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Final, Literal

import pytest

from engine.core.errors import LogError
from engine.core.events import MessageAccepted
from engine.log import open_log
from engine.log.protocol import AFTER_COMMIT, BEFORE_APPEND, BEFORE_COMMIT
from engine.log.verify import verify
from tests.engine.log.events import SeenFold, folded, message, probe
from tests.faults.killing import Engines, Killing

MODES: Final[tuple[Literal["read", "write"], ...]] = ("read", "write")
FAILPOINTS: Final = (BEFORE_APPEND, BEFORE_COMMIT, AFTER_COMMIT)
ROOT: Final = Path(__file__).parents[2]


def start(path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.log_child", path, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def check(path: Path, told: int) -> None:
    """Hold what is found against what was told, as a reader and as the next writer."""
    for mode in MODES:
        with open_log(path, mode=mode) as log:
            head = log.head.seq
            assert head >= told
            events = list(log.read())
            expected = [
                message(seq, b"body %d" % seq)[0] if seq % 5 == 0 else probe(seq)
                for seq in range(1, head + 1)
            ]
            assert events == expected
            for recorded in events:
                if isinstance(recorded.event, MessageAccepted):
                    assert log.body(recorded.event.digest) == b"body %d" % recorded.seq
            assert verify(log).ok
            stored = log.load_view("seen")
            assert stored is None or stored.position <= head
            assert log.view(SeenFold()) == (folded(events), head)


def test_a_writer_killed_at_any_failpoint_lost_nothing_it_was_told(tmp_path: Path) -> None:
    path, told = tmp_path / "log.db", 0
    for passes, failpoint in itertools.product((1, 2, 9, 40), FAILPOINTS):
        with start(path, failpoint, str(passes)) as child:
            assert child.stdout is not None
            lines = child.stdout.read().split()
        assert child.returncode == -9
        told = int(lines[-1]) if lines else told
        check(path, told)


@pytest.mark.parametrize("lines", [1, 2, 3, 10, 31, 100, 200, 333])
def test_a_writer_killed_at_any_time_lost_nothing_it_was_told(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "log.db"
    with start(path) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(lines)]
        child.kill()
        told += [int(line) for line in child.stdout.read().split()]
    check(path, told[-1])


def test_an_engine_killed_under_many_appenders_lost_nothing_it_was_told(tmp_path: Path) -> None:
    killing = Killing(tmp_path / "log.db", seed=1, told_max=80, kept_each=5)
    with Engines(appenders=32, keep_events=20) as engines:
        for _ in range(20):
            killing.strike(engines)
    killing.verify()
    found = killing.found
    assert (found.lost, found.half_batches, found.problems) == (0, 0, [])
    # Each of these was there to be struck.
    assert found.kills == 20
    assert found.told > 0
    assert found.batches > 0
    assert found.sealed_blocks > 0
    assert found.snapshots > 0


@pytest.mark.parametrize("first_page", [True, False])
def test_a_creation_that_was_killed_is_begun_again(tmp_path: Path, first_page: bool) -> None:
    path = tmp_path / "log.db"
    arguments = [sys.executable, "-m", "tests.faults.log_creator", str(path)]
    subprocess.run([*arguments, *(["first"] * first_page)], check=False, cwd=ROOT)
    assert path.read_bytes().startswith(b"SQLite" if first_page else bytes(6))
    assert Path(f"{path}-journal").stat().st_size > 0
    for mode in MODES:
        with pytest.raises(LogError, match="the file is empty, not a log"):
            open_log(path, mode=mode)
    with open_log(path, mode="write", create=True) as log:
        log.append([probe(1)])
        assert verify(log).ok


def test_readers_never_notice_that_another_process_writes(tmp_path: Path) -> None:
    path, seen = tmp_path / "log.db", 0
    with start(path) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with open_log(path) as held:
            while seen < 1_000:
                with open_log(path) as log:
                    seqs = [recorded.seq for recorded in log.read(seen)]
                    assert seqs == list(range(seen + 1, seen + 1 + len(seqs)))
                    seen += len(seqs)
                assert held.head.seq >= seen
                assert held.as_of(SeenFold(), seen).count == seen
        child.kill()
        child.stdout.read()
