"""A start begins with what the last end kept, and folds only what came after."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.events import Recorded
from engine.core.replay import replay
from engine.embed import Engine
from engine.log.sqlite import SqliteLog, open_log
from engine.log.verify import verify
from tests.engine.real import nobody, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a log whose engine ended in order, with a thousand events in it."""
    path = tmp_path / "tanist.db"

    async def main() -> None:
        async with Engine(nobody(), log=str(path)) as engine:
            for number in range(1_200):
                engine._turning.record(ev.CheckpointMarked(name=f"c{number}", author="a"))

    run(main())
    return path


def test_an_engine_that_ends_keeps_a_snapshot_of_its_last_state(path: Path) -> None:
    with open_log(path) as log:
        assert log.snapshots.seqs() == [log.head.seq]


def test_the_next_start_reads_what_came_after_it_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = []
    real = SqliteLog.read

    def read(log: SqliteLog, after: int = 0, *rest: int | None, **more: int) -> Iterator[Recorded]:
        began.append(after)
        return real(log, after, *rest, **more)

    monkeypatch.setattr(SqliteLog, "read", read)

    async def main() -> None:
        async with Engine(nobody(), log=str(path)) as engine:
            assert engine.notes == []
            await engine.checkpoint("later")
            assert began[0] > 1_200
            seq, digest = engine.state.seq, engine.digest()
            assert digest == st.digest(replay(real(engine._log, 0, seq)))

    run(main())


def test_a_damaged_snapshot_is_said_and_the_log_folded_instead(path: Path) -> None:
    with open_log(path, mode="write") as log:
        snapshot = log.snapshots.newest(log.head.seq)
        assert snapshot is not None
        log.snapshots.store(msgspec.structs.replace(snapshot, data=snapshot.data[:-9]))
        expected = st.digest(replay(log.read()))

    async def main() -> None:
        async with Engine(log=str(path)) as engine:
            assert len(engine.notes) == 1
            assert f"the snapshot at {snapshot.seq} is damaged" in engine.notes[0]
            assert st.digest(replay(engine._log.read(until=snapshot.seq))) == expected
            seq, digest = engine.state.seq, engine.digest()
            assert digest == st.digest(replay(engine._log.read(until=seq)))

    run(main())


def test_an_engine_seals_what_is_old_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    eager = msgspec.structs.replace(nobody(), seal_after_us=0)

    async def main() -> None:
        async with Engine(eager, log=str(path)) as engine:
            for number in range(2_200):
                engine._turning.record(ev.CheckpointMarked(name=f"c{number}", author="a"))
            await engine.checkpoint("last")

    run(main())
    with open_log(path) as log:
        assert [seal.seq for seal in log.seals()] == [1_000, 2_000]
        assert verify(log).ok
