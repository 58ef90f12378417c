"""Each call into the database fails in its turn while a log is sealed, copied or upgraded.

And while a snapshot is stored. Each time there is one clear error, what was durable is there, and
what was to be done is done by the next try.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from engine.cli.verifying import verified
from engine.core.errors import LogError, LogFull, LogLocked, LogUncertain
from engine.core.events import MessageAccepted, Recorded
from engine.core.replay import replay
from engine.log import open_log
from engine.log.copying import back_up, copy
from engine.log.header import FORMAT
from engine.log.packing import pack
from engine.log.sqlite import SqliteLog
from engine.log.states import keep
from engine.log.upgrading import backup_path, upgrade
from tests.engine.answers.stories import GROUP, failed_over
from tests.faults.test_log_calls import FULL, IOERR, Faults

BODY: Final = b"a body"
BUSY: Final = 5
WRITES: Final = ("BEGIN IMMEDIATE", "COMMIT", "CREATE", "DELETE", "INSERT", "UPDATE", "VACUUM")

Work = Callable[[Path, Faults], None]
WAYS: Final = pytest.mark.parametrize(
    ("code", "is_late"),
    [(IOERR, False), (IOERR, True), (FULL, False), (BUSY, False)],
)


def quiet(_done: int, _total: int) -> None:
    pass


@pytest.fixture(scope="module")
def events() -> list[Recorded]:
    """Return a block and a little more, with a message that is not done."""
    story = failed_over()
    accepted = MessageAccepted(
        key="k", lane=GROUP, size=len(BODY), digest=hashlib.sha256(BODY).digest()
    )
    story.see(accepted, GROUP)
    story.probe(325)
    events = list(story.log.read())
    assert 1_000 < len(events) < 1_100
    return events


@pytest.fixture(scope="module")
def old(events: list[Recorded], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a log of format 1."""
    path = tmp_path_factory.mktemp("old") / "log.db"
    with SqliteLog(path, mode="write", create=True, version=1) as log:
        log.append(events, bodies={hashlib.sha256(BODY).digest(): BODY})
    return path.read_bytes()


@pytest.fixture(scope="module")
def new(old: bytes, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the same log in the newest format, with nothing sealed yet."""
    path = tmp_path_factory.mktemp("new") / "log.db"
    path.write_bytes(old)
    upgrade(path, progress=quiet)
    return path.read_bytes()


class Counting(Faults):
    """Fails at no call, and says which there were."""

    def __init__(self) -> None:
        super().__init__(fails_at=0, code=0)
        self.statements: list[str] = []

    def call(self, statement: str, perform: Callable[[], Any]) -> Any:
        self.statements.append(statement)
        return super().call(statement, perform)


def calls(path: Path, data: bytes, work: Work) -> dict[int, str]:
    """Return the calls to fail at: all of them, but of a repeated read the first and the last."""
    path.parent.mkdir()
    path.write_bytes(data)
    counting = Counting()
    work(path, counting)
    found, firsts = dict(enumerate(counting.statements, 1)), dict[str, int]()
    lasts = {statement: number for number, statement in found.items()}
    for number, statement in found.items():
        firsts.setdefault(statement, number)
    return {
        number: statement
        for number, statement in found.items()
        if not statement.startswith("SELECT") or number in {firsts[statement], lasts[statement]}
    }


def is_read(statement: str) -> bool:
    return statement in {"BEGIN", "ROLLBACK"} or statement.startswith("SELECT")


def rounds(
    tmp_path: Path, data: bytes, work: Work, *, code: int, is_late: bool
) -> Iterator[tuple[Path, LogError | None]]:
    """Yield the log and the error of each round."""
    chosen = calls(tmp_path / "0" / "log.db", data, work)
    assert set(chosen.values()) & {"COMMIT", "VACUUM INTO ?"}
    for fails_at, statement in chosen.items():
        if is_read(statement) and is_late:
            continue  # a read has no effect
        if code != IOERR and not statement.strip().startswith(WRITES):
            continue  # only what writes can find the disk full or the log taken
        path = tmp_path / str(fails_at) / "log.db"
        path.parent.mkdir()
        path.write_bytes(data)
        faults = Faults(fails_at=fails_at, code=code, is_late=is_late)
        error = None
        try:
            work(path, faults)
        except LogError as err:
            error = err
        assert faults.failed == statement
        check(error, code, statement)
        yield path, error


def check(error: LogError | None, code: int, failed: str) -> None:
    """Hold the error against what the database said."""
    if error is None:
        # A reader waits for a busy database, and a check reads once more what it could not read.
        assert code == BUSY or is_read(failed), failed
        return
    assert str(error)
    assert "\n" not in str(error)
    if code == FULL:
        assert type(error) is LogFull
    elif code == BUSY:
        assert type(error) is LogLocked
    else:
        assert type(error) is (LogUncertain if failed == "COMMIT" else LogError), failed


def whole(path: Path, events: list[Recorded]) -> SqliteLog:
    """Return the log, open for writing, after everything in it was checked."""
    log = open_log(path, mode="write")
    assert list(log.read()) == events
    found: dict[str, Any] = verified(log, quiet)
    assert found["ok"], found["problems"]
    return log


def beside(path: Path) -> set[str]:
    names = {entry.name for entry in path.parent.iterdir()}
    return names - {"log.db", "log.db.lock", "log.db-wal", "log.db-shm"}


@WAYS
def test_sealing(
    tmp_path: Path, new: bytes, events: list[Recorded], code: int, is_late: bool
) -> None:
    def work(path: Path, faults: Faults) -> None:
        assert pack(path, progress=quiet, connect=faults.connect).blocks == 1

    for path, error in rounds(tmp_path, new, work, code=code, is_late=is_late):
        with whole(path, events) as log:
            assert error is not None or len(log.seals()) == 1
        assert pack(path, progress=quiet).blocks == 1
        whole(path, events).close()


@WAYS
def test_backing_up(
    tmp_path: Path, new: bytes, events: list[Recorded], code: int, is_late: bool
) -> None:
    def work(path: Path, faults: Faults) -> None:
        with SqliteLog(path, mode="read", connect=faults.connect) as log:
            back_up(log, path.parent / "copy.db", progress=quiet, connect=faults.connect)

    for path, error in rounds(tmp_path, new, work, code=code, is_late=is_late):
        assert beside(path) == (set() if error else {"copy.db"})
        whole(path, events).close()
        if error is None:
            whole(path.parent / "copy.db", events).close()


@WAYS
def test_copying(
    tmp_path: Path, old: bytes, events: list[Recorded], code: int, is_late: bool
) -> None:
    def work(path: Path, faults: Faults) -> None:
        with SqliteLog(path, mode="read", connect=faults.connect) as log:
            copy(
                log,
                path.parent / "copy.db",
                release="0",
                progress=quiet,
                connect=faults.connect,
            )

    for path, error in rounds(tmp_path, old, work, code=code, is_late=is_late):
        assert beside(path) == (set() if error else {"copy.db"})
        if error is None:
            with whole(path.parent / "copy.db", events) as log:
                assert (log.format, len(log.seals())) == (FORMAT, 1)


@WAYS
def test_upgrading(
    tmp_path: Path, old: bytes, events: list[Recorded], code: int, is_late: bool
) -> None:
    def work(path: Path, faults: Faults) -> None:
        assert upgrade(path, progress=quiet, connect=faults.connect) is not None

    formats = set()
    for path, _ in rounds(tmp_path, old, work, code=code, is_late=is_late):
        backup = backup_path(path, 1)
        with whole(path, events) as log:
            found = log.format
        formats.add(found)
        assert beside(path) <= {backup.name}
        if backup.exists():
            with whole(backup, events) as log:
                assert log.format == 1
        # Never the new format without a way back.
        assert backup.exists() or found == 1
        assert (upgrade(path, progress=quiet) is None) == (found == FORMAT)
        with open_log(path) as log:
            assert log.format == FORMAT
    assert formats == ({1, FORMAT} if code == IOERR else {1})


@WAYS
def test_storing_a_snapshot(
    tmp_path: Path, new: bytes, events: list[Recorded], code: int, is_late: bool
) -> None:
    state = replay(events[:900])
    last = replay(events)

    def work(path: Path, faults: Faults) -> None:
        with SqliteLog(path, mode="write", connect=faults.connect) as log:
            keep(log, state)
            keep(log, last)

    for path, error in rounds(tmp_path, new, work, code=code, is_late=is_late):
        with whole(path, events) as log:
            assert error is not None or log.snapshots.seqs() == [900, events[-1].seq]
            keep(log, last)
            assert events[-1].seq in log.snapshots.seqs()
        whole(path, events).close()


@pytest.mark.parametrize("is_late", [False, True])
def test_the_same_log_goes_on_after_a_snapshot_or_a_seal_that_failed(
    tmp_path: Path, new: bytes, events: list[Recorded], is_late: bool
) -> None:
    """What is appended after a commit of unknown outcome is not lost, whichever it was."""
    doubts = 0
    for fails_at in range(1, 100):
        path = tmp_path / f"{fails_at}.db"
        path.write_bytes(new)
        faults = Faults(fails_at=0, code=IOERR, is_late=is_late)
        with SqliteLog(path, mode="write", connect=faults.connect) as log:
            faults.fails_at = faults.calls + fails_at
            try:
                keep(log, replay(events))
                log.seal()
            except LogError as err:
                doubts += isinstance(err, LogUncertain)
            failed, faults.fails_at = faults.failed, 0
            assert log.head.seq == events[-1].seq
            more = Recorded(
                seq=events[-1].seq + 1,
                at_us=events[-1].at_us,
                subject=events[-1].subject,
                cause=events[-1].cause,
                event=events[-2].event,
            )
            log.append([more])
        with open_log(path, mode="write") as log:
            assert list(log.read()) == [*events, more]
            assert log.seal() in {0, 1}
            assert len(log.seals()) == 1
        if not failed:
            break
    assert not failed
    assert doubts == 2  # the snapshot's and the block's
