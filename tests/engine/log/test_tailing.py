"""Following a log: each event once, in order, as it becomes durable."""

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from engine.core.errors import LogError
from engine.log import Log, MemoryLog, open_log
from engine.log.tailing import PAUSE_S, spans, tail
from tests.engine.log.events import based, probes


@pytest.fixture(params=["memory", "file"])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Log, Log]]:
    """Return a log to append to, and the same as a follower has it."""
    if request.param == "memory":
        log = MemoryLog()
        yield log, log
    else:
        path = tmp_path / "log.db"
        with open_log(path, mode="write", create=True) as writer, open_log(path) as reader:
            yield writer, reader


def waits(*actions: Callable[[], object]) -> Callable[[], bool]:
    """Return a pause in which one thing after the other is done; the last ends the following."""
    left = list(actions)

    def wait() -> bool:
        left.pop(0)()
        return bool(left)

    return wait


@pytest.mark.parametrize("after", [0, 1, 999, 1_000, 1_001, 2_499, 2_500])
def test_every_event_comes_once_whatever_is_appended_and_sealed_meanwhile(
    logs: tuple[Log, Log], after: int
) -> None:
    writer, reader = logs
    writer.append(probes(1, 2_500))
    wait = waits(
        lambda: writer.append(probes(2_501, 2_501)),
        lambda: None,
        lambda: writer.append(probes(2_502, 4_200)),
        lambda: writer.seal(blocks_max=9),
        lambda: writer.append(probes(4_201, 4_202)),
    )
    assert list(tail(reader, after, wait=wait)) == probes(after + 1, 4_202)


def test_sealing_amid_a_span_changes_nothing(logs: tuple[Log, Log]) -> None:
    writer, reader = logs
    writer.append(probes(1, 3_500))
    events = tail(reader, wait=lambda: False)
    begun = list(islice(events, 1_200))
    assert writer.seal(blocks_max=9) == 3
    assert begun + list(events) == probes(1, 3_500)


def test_it_waits_only_when_it_has_yielded_everything(logs: tuple[Log, Log]) -> None:
    writer, reader = logs
    writer.append(probes(1, 3))
    got: list[int] = []
    at_waits: list[int] = []

    def wait() -> bool:
        at_waits.append(len(got))
        if len(at_waits) == 2:
            writer.append(probes(4, 9))
        return len(at_waits) < 3

    got.extend(recorded.seq for recorded in tail(reader, wait=wait))
    assert at_waits == [3, 3, 9]


def test_it_ends_at_the_seq_that_it_was_told_and_waits_for_it(logs: tuple[Log, Log]) -> None:
    writer, reader = logs
    writer.append(probes(1, 3))
    wait = waits(lambda: writer.append(probes(4, 8)), lambda: pytest.fail("it was all there"))
    assert list(tail(reader, 1, until=5, wait=wait)) == probes(2, 5)


def test_a_position_beyond_the_end_is_waited_for(logs: tuple[Log, Log]) -> None:
    writer, reader = logs
    wait = waits(lambda: writer.append(probes(1, 5)), lambda: writer.append(probes(6, 7)))
    assert list(tail(reader, 5, wait=wait)) == probes(6, 7)


def test_a_log_that_begins_with_a_base_is_followed_from_there(logs: tuple[Log, Log]) -> None:
    writer, reader = logs
    writer.append([based(41)])
    wait = waits(lambda: writer.append(probes(42, 44)))
    assert list(tail(reader, wait=wait)) == [based(41), *probes(42, 44)]


def test_spans_follow_one_another(logs: tuple[Log, Log]) -> None:
    writer, reader = logs
    writer.append(probes(1, 3))
    wait = waits(lambda: writer.append(probes(4, 5)), lambda: None)
    assert list(spans(reader, wait=wait)) == [(0, 3), (3, 5)]


def test_a_thread_that_follows_is_ended_by_an_event(tmp_path: Path) -> None:
    path, ending = tmp_path / "log.db", threading.Event()
    got: list[int] = []

    def follow() -> None:
        with open_log(path) as log:
            got.extend(event.seq for event in tail(log, wait=lambda: not ending.wait(PAUSE_S)))

    with open_log(path, mode="write", create=True) as writer:
        writer.append(probes(1, 1))
        thread = threading.Thread(target=follow)
        thread.start()
        for seq in range(2, 50):
            writer.append(probes(seq, seq))
        ending.set()
        thread.join()
    assert got == list(range(1, 50))


def test_a_closed_log_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    open_log(path, mode="write", create=True).close()
    log = open_log(path)
    with pytest.raises(LogError, match="is closed"):
        next(tail(log, wait=waits(log.close, lambda: None)))
