"""What is old goes, the log stays within its size, and nothing that was decided is lost."""

from pathlib import Path

import msgspec
import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import LogError
from engine.core.events import FLEET, Recorded
from engine.embed import Engine
from engine.log import MemoryLog, open_log, states, thinning
from engine.log.protocol import Log
from engine.log.verify import verify
from engine.runtime import retention
from engine.runtime.retention import LogOversized, Retention
from tests.engine.log.thinned import in_a_file, in_a_memory
from tests.engine.real import nobody, run


def keeping(
    log: Log, *, keep_us: int = 0, size_max: int = 0, at_us: int = 0
) -> tuple[Retention, list[Recorded]]:
    told: list[Recorded] = []

    def append(event: ev.ObservationsDropped) -> None:
        head = log.head
        recorded = Recorded(
            seq=head.seq + 1, at_us=max(at_us, head.at_us), subject=FLEET, cause=0, event=event
        )
        log.append([recorded])
        told.append(recorded)

    kept = Retention(log, keep_us=keep_us, size_max=size_max, at_us=lambda: at_us, append=append)
    return kept, told


def turned(kept: Retention) -> int:
    """Return how many turns there were until nothing was left to do."""
    count = 0
    while kept.turn():
        count += 1
        assert count < 1_000
    return count


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    monkeypatch.setattr(retention, "BLOCKS_MIN", 2)
    return in_a_memory().copy()


def until(recorded: Recorded) -> int:
    return thinning.dropped_in(recorded).until


def test_only_blocks_that_are_old_enough_as_a_whole_go(log: MemoryLog) -> None:
    ends = {seal.seq: seal.at_us for seal in log.seals()}
    kept, told = keeping(log, keep_us=1, at_us=ends[4_000] + 1)
    turned(kept)
    assert [until(each) for each in told] == [4_000]
    assert thinning.dropped_in(told[0]).why == "keep_observations"
    assert [block.last for block in log.blocks() if block.is_thinned] == [
        1_000, 2_000, 3_000, 4_000,
    ]  # fmt: skip
    assert verify(log).ok


def test_few_blocks_wait_until_there_are_more(log: MemoryLog) -> None:
    ends = {seal.seq: seal.at_us for seal in log.seals()}
    kept, told = keeping(log, keep_us=1, at_us=ends[1_000] + 1)
    assert turned(kept) == 0
    assert told == []


def test_never_is_never(log: MemoryLog) -> None:
    kept, told = keeping(log, at_us=1 << 60)
    assert turned(kept) == 0
    assert told == []


def test_a_log_that_is_too_large_loses_its_oldest_observations_first(log: MemoryLog) -> None:
    size = log.size().used
    kept, told = keeping(log, size_max=int(size * 0.9))
    turned(kept)
    assert log.size().used <= size * 0.9
    assert thinning.dropped_in(told[0]).why == "max_size"
    assert until(told[-1]) < 8_000
    assert verify(log).ok


def test_a_log_that_cannot_become_small_enough_says_so_and_loses_no_decision(
    log: MemoryLog,
) -> None:
    decided = {
        recorded.seq for recorded in log.read() if type(recorded.event) not in ev.OBSERVATIONS
    } - {
        recorded.seq
        for recorded in log.read()
        if isinstance(recorded.event, ev.MessagesAssigned | ev.MessageDone | ev.StateKept)
    }
    kept, _ = keeping(log, size_max=1_000)
    with pytest.raises(LogOversized, match=r"more than max_size = 1,000"):
        turned(kept)
    assert decided <= {recorded.seq for recorded in log.read()}


def test_an_event_that_cannot_be_appended_drops_nothing(log: MemoryLog) -> None:
    def refuse(_: ev.ObservationsDropped) -> None:
        raise LogError("no")

    kept = Retention(log, keep_us=1, size_max=0, at_us=lambda: 1 << 60, append=refuse)
    with pytest.raises(LogError, match="no"):
        kept.turn()
    assert not any(block.is_thinned for block in log.blocks())


def test_the_file_of_a_log_gets_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "GIVEN_PAGES", 20)
    path = tmp_path / "log.db"
    path.write_bytes(in_a_file())
    with open_log(path, mode="write") as log:
        log.give_back()
        digest, size = st.digest(states.state_at(log)), log.size().used
        kept, told = keeping(log, size_max=int(size * 0.95))
        turned(kept)
        assert told
        assert log.size().file <= size * 0.95
        state = states.state_at(log, told[0].seq - 1)
        assert st.digest(state) == digest
        assert verify(log).ok
    assert path.stat().st_size <= size * 0.95


def test_an_engine_drops_what_its_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BLOCKS_MIN", 2)
    path = tmp_path / "log.db"
    path.write_bytes(in_a_file())
    configuration = msgspec.structs.replace(nobody(), keep_observations_us=1)

    async def main() -> None:
        async with Engine(configuration, log=str(path)) as engine:
            async for recorded in engine.follow():
                if isinstance(recorded.event, ev.ObservationsDropped):
                    assert recorded.event.until == 8_000
                    break
        async with Engine(configuration, log=str(path)):
            pass  # a start folds it from there

    run(main())
    with open_log(path) as log:
        assert verify(log).ok
