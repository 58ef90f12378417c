"""The n-th call into the database fails, for n = 1, 2, ... until none does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from engine.core.errors import LogConflict, LogError, LogFull, LogUncertain
from engine.log.connection import driver_connect
from engine.log.library import sound_library
from engine.log.protocol import Head
from engine.log.sqlite import SqliteLog
from engine.log.verify import verify
from tests.engine.log.events import SeenFold, fill, folded, message, probes

DRIVER: Final[Any] = sound_library().module
FULL, IOERR = 13, 10
BATCHES: Final = ((1, 3), (4, 4), (5, 20))


class Faults:
    """Counts the calls of all connections, and makes one of them fail."""

    def __init__(self, *, fails_at: int, code: int, is_late: bool = False) -> None:
        self.calls = 0
        self.fails_at = fails_at
        self.failed = ""  # the statement that did
        self._code = code
        self._is_late = is_late  # it takes effect, and fails all the same

    def connect(self, uri: str) -> Any:
        faults = self

        class Cursor(DRIVER.Cursor):  # type: ignore[misc]
            def execute(self, statement: str, *rest: Any) -> Any:
                return faults.call(statement, lambda: super(Cursor, self).execute(statement, *rest))

            def executemany(self, statement: str, *rest: Any) -> Any:
                return faults.call(
                    statement, lambda: super(Cursor, self).executemany(statement, *rest)
                )

        class Connection(DRIVER.Connection):  # type: ignore[misc]
            def cursor(self, factory: type = Cursor) -> Any:
                return super().cursor(factory)

        return DRIVER.connect(uri, uri=True, check_same_thread=False, factory=Connection)

    def call(self, statement: str, perform: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls != self.fails_at:
            return perform()
        self.failed = statement
        if self._is_late:
            perform()
        error = DRIVER.OperationalError("disk I/O error")
        error.sqlite_errorcode = self._code
        raise error


def opened(path: Path, connect: Callable[[str], Any] = driver_connect) -> SqliteLog:
    return SqliteLog(path, mode="write", create=True, connect=connect)


def work(log: SqliteLog, told: list[int]) -> None:
    """Append three batches, the last with a body, folding a projection; note what was told."""
    log.attach(SeenFold())
    for first, last in BATCHES:
        log.append(probes(first, last), bodies=message(last, b"body %d" % last)[1])
        told.append(last)
        log.catch_up("seen", limit_events=2)


def check(path: Path, told: int) -> int:
    """Return the head that the next process finds, where everything has to fit."""
    with opened(path) as log:
        head = log.head.seq
        assert head in {0, *(last for _, last in BATCHES)}
        assert head >= told
        assert list(log.read()) == probes(1, head)
        for _, last in BATCHES:
            (digest,) = message(last, b"body %d" % last)[1]
            assert (log.body(digest) is not None) == (last <= head)
        assert verify(log).ok
        assert log.view(SeenFold()) == (folded(probes(1, head)), head)
        log.attach(SeenFold())
        while log.catch_up("seen", limit_events=3):
            pass
        assert log.load_view("seen") is not None or head == 0
        assert log.view(SeenFold()) == (folded(probes(1, head)), head)
    return head


@pytest.mark.parametrize("code", [IOERR, FULL])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_call_that_fails_leaves_all_or_nothing(tmp_path: Path, code: int, is_late: bool) -> None:
    failed, fails_at = set(), 0
    while "" not in failed:  # in the last round nothing does
        fails_at += 1
        path, told = tmp_path / f"{fails_at}.db", [0]
        faults = Faults(fails_at=fails_at, code=code, is_late=is_late)
        error = outcome(path, faults, told)
        if not faults.failed:
            assert error is None
        elif code == FULL:
            assert error is LogFull
        else:
            assert error is (LogUncertain if faults.failed == "COMMIT" else LogError)
        head = check(path, told[-1])
        assert error is not None or head == 20
        failed.add(faults.failed)
    assert {"BEGIN IMMEDIATE", "COMMIT"} < failed
    assert any(statement.startswith("INSERT INTO events") for statement in failed)


def outcome(path: Path, faults: Faults, told: list[int]) -> type[LogError] | None:
    try:
        with opened(path, faults.connect) as log:
            work(log, told)
    except LogError as err:
        return type(err)
    return None


@pytest.mark.parametrize("is_late", [False, True])
def test_the_same_log_settles_a_doubt_and_goes_on(tmp_path: Path, is_late: bool) -> None:
    doubts = 0
    for fails_at in range(1, 200):
        path = tmp_path / f"{fails_at}.db"
        faults = Faults(fails_at=0, code=IOERR, is_late=is_late)
        with opened(path, faults.connect) as log:
            log.append(probes(1, 3))
            faults.fails_at = faults.calls + fails_at
            try:
                log.append(probes(4, 9))
            except LogError as err:
                doubts += isinstance(err, LogUncertain)
                assert log.head.seq == (9 if faults.failed == "COMMIT" and is_late else 3)
            faults.fails_at = 0
            log.append(probes(log.head.seq + 1, 12))
            assert list(log.read()) == probes(1, 12)
            assert verify(log).ok
        if not faults.failed:
            break
    assert not faults.failed
    assert doubts == 1


def test_a_doubt_lasts_until_it_can_be_settled(tmp_path: Path) -> None:
    faults = Faults(fails_at=0, code=IOERR)
    with opened(tmp_path / "log.db", faults.connect) as log:
        log.append(probes(1, 3))
        real, down = faults.call, [True]

        def call(statement: str, perform: Callable[[], Any]) -> Any:
            if down[0] and statement == "COMMIT":
                faults.fails_at = faults.calls + 1
            return real(statement, perform)

        faults.call = call  # type: ignore[method-assign]
        for _ in range(3):
            with pytest.raises(LogUncertain):
                log.append(probes(4, 5))
            with pytest.raises(LogUncertain):
                log.read()
            with pytest.raises(LogUncertain):
                _ = log.head
        down[0] = False
        assert log.head == Head(seq=3, at_us=probes(3, 3)[0].at_us)
        log.append(probes(4, 5))
        assert list(log.read()) == probes(1, 5)


def test_a_doubt_is_not_settled_by_who_lost_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    faults = Faults(fails_at=0, code=IOERR)
    with opened(path, faults.connect) as old:
        faults.fails_at = faults.calls + 4  # BEGIN, the check, the insert, COMMIT
        with pytest.raises(LogUncertain):
            old.append(probes(1, 1))
        assert faults.failed == "COMMIT"
        Path(f"{path}.lock").unlink()  # what an operator should not do
        with opened(path) as new:
            new.append(probes(1, 1))
        with pytest.raises(LogConflict, match="another writer took the log over"):
            _ = old.head


def test_what_is_appended_is_seen_after_a_read_that_could_not_be_ended(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with opened(path) as log:
        log.append(probes(1, 1_001))
        assert log.seal() == 1
    faults = Faults(fails_at=0, code=IOERR)
    with opened(path) as writer, SqliteLog(path, mode="read", connect=faults.connect) as log:
        faults.fails_at = faults.calls + 5  # rows, BEGIN, block, last, the end
        assert list(log.read(0, 1)) == probes(1, 1)
        assert faults.failed == "ROLLBACK"
        writer.append(probes(1_002, 1_003))
        faults.fails_at = faults.calls + 1  # it fails once more: an error, and nothing outdated
        with pytest.raises(LogError, match="disk I/O error"):
            _ = log.head
        assert log.head.seq == 1_003
        assert list(log.read(1_001)) == probes(1_002, 1_003)


def test_a_log_that_may_not_grow_is_full_and_loses_nothing(tmp_path: Path) -> None:
    def limited(uri: str) -> Any:
        connection = driver_connect(uri)
        connection.execute("PRAGMA max_page_count = 60")
        return connection

    path = tmp_path / "log.db"
    with opened(path, limited) as log:
        head = fill(log, 100)
        with pytest.raises(LogFull, match="no space is left"):
            log.append(probes(head + 1, head + 100))
        assert log.head.seq == head
        assert list(log.read()) == probes(1, head)
    with opened(path) as log:
        log.append(probes(head + 1, head + 100))
        assert verify(log).ok
        assert log.head.seq == head + 100
