"""What views do in a file of the first format, and beside a thread that writes."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.events import Recorded
from engine.log.protocol import ViewParked
from engine.log.sqlite import SqliteLog
from engine.log.views import Views
from tests.engine.log.events import Seen, SeenFold, folded, probes


class Broken(SeenFold):
    """A projection that fails at event 8."""

    def project(self, view: Seen, recorded: Recorded) -> None:
        super().project(view, recorded)
        if recorded.seq == 8:
            raise ZeroDivisionError


def opened(path: Path, version: int) -> SqliteLog:
    return SqliteLog(path, mode="write", create=True, version=version)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[SqliteLog]:
    """Give a log of format 1, with 500 events."""
    with opened(tmp_path / "log.db", 1) as log:
        log.append(probes(1, 500))
        yield log


def parked(log: SqliteLog) -> int:
    with pytest.raises(ViewParked) as found:
        log.catch_up("seen")
    return found.value.seq


def test_in_format_1_a_view_is_parked_as_long_as_the_log_is_open(old: SqliteLog) -> None:
    old.attach(Broken())
    assert parked(old) == 8
    old.attach(SeenFold())
    assert parked(old) == 8
    assert old.views_status()[0].parked_seq == 8
    stored = old.load_view("seen")
    assert stored is not None
    assert stored.position == 7
    old.close()
    with opened(old.path, 1) as log:
        log.attach(SeenFold())
        assert log.views_status()[0].parked_seq == 0
        assert log.catch_up("seen") == 493


def test_in_format_1_what_was_parked_is_freed_in_every_way(old: SqliteLog) -> None:
    old.attach(Broken())
    assert parked(old) == 8
    old.retry("seen")
    assert parked(old) == 8
    old.attach(SeenFold(version=2))
    assert old.catch_up("seen") == 500
    old.attach(Broken())
    assert parked(old) == 8
    assert old.rebuild(SeenFold()) == 500
    old.attach(SeenFold())
    assert old.catch_up("seen") == 0


def test_in_format_1_a_rebuild_goes_on_as_long_as_the_log_is_open(old: SqliteLog) -> None:
    def interrupt(seq: int, _: int) -> None:
        if seq >= 300:
            raise KeyboardInterrupt

    views = Views(old, old.shelf, keep_events=100)
    views.attach(SeenFold())
    with pytest.raises(KeyboardInterrupt):
        views.rebuild(SeenFold(), interrupt)
    assert [each.rebuild_position for each in views.status()] == [300]
    with pytest.raises(ViewParked):
        views.rebuild(Broken(version=2), None)
    assert [each.rebuild_position for each in views.status()] == [0]
    with pytest.raises(KeyboardInterrupt):
        views.rebuild(SeenFold(), interrupt)
    seen: list[int] = []
    assert views.rebuild(SeenFold(), lambda seq, _: seen.append(seq)) == 500
    assert seen == [400, 500]
    assert [each.rebuild_position for each in views.status()] == [0]
    assert views.view(SeenFold()) == (folded(probes(1, 500)), 500)


def test_a_view_is_rebuilt_while_threads_write_seal_and_fold(tmp_path: Path) -> None:
    failed: list[BaseException] = []
    done = threading.Event()

    def loop(work: object) -> None:
        try:
            while not done.is_set():
                work()  # type: ignore[operator]
                done.wait(
                    0.001
                )  # whoever spins takes the locks and the interpreter from all others
        except BaseException as err:
            failed.append(err)

    def write() -> None:
        head = log.head.seq
        if head < 10_000:  # what is rebuilt could else be behind for ever
            log.append(probes(head + 1, head + 50))

    with opened(tmp_path / "log.db", 2) as log:
        log.append(probes(1, 5_000))
        views = Views(log, log.shelf, keep_events=500)
        views.attach(SeenFold())
        works = [write, log.seal, lambda: views.catch_up("seen", limit_events=700)]
        threads = [threading.Thread(target=loop, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        try:
            positions = [views.rebuild(SeenFold(), None) for _ in range(3)]
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert failed == []
        assert positions == sorted(positions)
        while views.catch_up("seen", limit_events=10_000):
            pass
        head = log.head.seq
        stored = log.load_view("seen")
        assert stored is not None
        assert (SeenFold().restore(stored.data), stored.position) == (
            folded(probes(1, head)),
            head,
        )
