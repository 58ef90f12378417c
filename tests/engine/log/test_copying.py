"""A copy is the log, checked before it counts; and a log can be packed, whatever it came from."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core.errors import ConfigurationError, LogError, LogLocked
from engine.core.events import Recorded
from engine.log import open_log
from engine.log.chain import ZERO
from engine.log.connection import driver_connect
from engine.log.copying import Copied, back_up, chain_at, copy
from engine.log.memory import MemoryLog
from engine.log.packing import pack
from engine.log.protocol import Head
from engine.log.snapshots import pack as snapshot
from engine.log.sqlite import SqliteLog
from engine.log.verify import verify
from tests.contracts.test_bodies import removed
from tests.engine.log.events import SeenFold, based, message, probes

FORMAT_1 = Path(__file__).parents[2] / "data" / "logs" / "format-1.db.gz"
LAST = 2_345


def quiet(_done: int, _total: int) -> None:
    pass


def copied(path: Path, to: Path) -> Copied:
    with open_log(path) as log:
        return copy(log, to, release="0", progress=quiet)


def backed_up(path: Path, to: Path, *, force: bool = False) -> Copied:
    with open_log(path) as log:
        return back_up(log, to, progress=quiet, force=force)


def change(path: Path, statement: str) -> None:
    connection = driver_connect(path.as_uri())
    assert connection.execute(statement).rowcount != 0
    connection.commit()
    connection.close()


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()} - {"log.db", "log.db.lock"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a log with a sealed block, hot rows, bodies, a snapshot and a stored view."""
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True) as log:
        event, bodies = message(LAST, b"body")
        log.append([*probes(1, LAST - 1), event], bodies=bodies)
        log.seal()
        log.snapshots.store(snapshot(5, b"state", fold_version=1, policy_digest="p"))
        log.attach(SeenFold())
        log.catch_up("seen")
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress(FORMAT_1.read_bytes()))
    return path


def test_the_chain_at_every_position_is_that_of_a_log_which_ends_there(path: Path) -> None:
    memory = MemoryLog()
    with open_log(path) as log:
        assert chain_at(log, 0) == ZERO
        for seq, recorded in enumerate(log.read(), 1):
            memory.append([recorded])
            if seq in {1, 999, 1_000, 1_001, 1_999, 2_000, LAST}:
                assert chain_at(log, seq) == memory.chain_head()
        with pytest.raises(LogError, match="no event 2346"):
            chain_at(log, LAST + 1)


def test_a_backup_holds_everything(path: Path) -> None:
    to = path.parent / "copy.db"
    found = backed_up(path, to)
    with open_log(path) as log, open_log(to) as same:
        assert (found.seq, found.events, found.format) == (LAST, LAST, 2)
        assert found.head == log.chain_head().hex() == same.chain_head().hex()
        assert found.size == to.stat().st_size
        assert list(log.rows()) == list(same.rows())
        assert same.seals() == log.seals()
        (digest,) = message(LAST, b"body")[1]
        assert same.body(digest) == b"body"
        assert same.snapshots.newest(LAST) == log.snapshots.newest(LAST)
        assert same.load_view("seen") == log.load_view("seen")
    assert names(path.parent) == {"copy.db"}


def test_a_backup_is_written_on_while_the_log_is_still_held(path: Path) -> None:
    to = path.parent / "copy.db"
    with open_log(path, mode="write") as log:
        back_up(log, to, progress=quiet)
        with open_log(to, mode="write") as other:
            other.append(probes(LAST + 1, LAST + 700))
            assert other.seal(blocks_max=9) == 2
            other.give_back()
        log.append(probes(LAST + 1, LAST + 1))
    with open_log(to) as other:
        assert verify(other).ok
        assert other.head.seq == LAST + 700


def test_a_backup_of_a_log_that_is_never_still_ends(path: Path) -> None:
    with open_log(path, mode="write") as log, open_log(path) as reader:
        seq = LAST

        def write(_done: int, _total: int) -> None:
            nonlocal seq
            seq += 1
            log.append(probes(seq, seq))

        with reader:
            found = back_up(reader, path.parent / "copy.db", progress=write)
        assert LAST <= found.seq <= seq
        assert log.head.seq == seq


def test_an_empty_log_is_backed_up_and_copied(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    open_log(path, mode="write", create=True).close()
    for found in (backed_up(path, tmp_path / "b.db"), copied(path, tmp_path / "c.db")):
        assert (found.seq, found.events, found.head) == (0, 0, ZERO.hex())
    with open_log(tmp_path / "c.db", mode="write") as log:
        log.append(probes(1, 1))


def test_a_backup_replaces_only_what_it_was_told_to(path: Path) -> None:
    to = path.parent / "copy.db"
    first = backed_up(path, to)
    with open_log(path, mode="write") as log:
        log.append(probes(LAST + 1, LAST + 10))
    with pytest.raises(ConfigurationError, match="exists already"):
        backed_up(path, to)
    with open_log(to) as log:
        assert log.head.seq == first.seq
    assert backed_up(path, to, force=True).seq == LAST + 10
    with open_log(to, mode="write") as log:
        with pytest.raises(LogLocked, match="a program has"):
            backed_up(path, to, force=True)
        log.append(probes(LAST + 11, LAST + 11))
    for force in (False, True):
        with pytest.raises(ConfigurationError, match="the log itself"):
            backed_up(path, path, force=force)
    assert names(path.parent) == {"copy.db", "copy.db.lock"}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE events SET at_us = at_us + 1 WHERE seq = 1500", "event 1500: its bytes"),
        ("DELETE FROM events WHERE seq = 1500", r"event 150[01]: (missing|its bytes)"),
        ("DELETE FROM events WHERE seq = 2222", "event 2222: missing"),
        ("UPDATE blocks SET payloads = x'00'", "block that begins there is damaged"),
        ("UPDATE blocks SET chain = zeroblob(32)", "chain|expected a copy with the head"),
    ],
)
def test_damage_is_named_and_not_copied(path: Path, damage: str, says: str) -> None:
    change(path, damage)
    for make in (backed_up, copied):
        with pytest.raises(LogError, match=says):
            make(path, path.parent / "copy.db")
        assert names(path.parent) == set()


def test_a_copy_has_every_row_and_body_and_is_sealed(path: Path) -> None:
    to = path.parent / "copy.db"
    found = copied(path, to)
    with open_log(path) as log, open_log(to) as same:
        assert found.head == log.chain_head().hex()
        assert list(log.rows()) == list(same.rows())
        assert [seal.seq for seal in same.seals()] == [1_000, 2_000]
        (digest,) = message(LAST, b"body")[1]
        assert same.body(digest) == b"body"
        assert same.snapshots.seqs() == []
    assert names(path.parent) == {"copy.db"}
    with open_log(to, mode="write") as log:
        log.append(probes(LAST + 1, LAST + 700))
        assert log.seal() == 1
        assert verify(log).ok


def test_a_copy_of_format_1_is_one_of_the_newest(old: Path) -> None:
    to = old.parent / "copy.db"
    found = copied(old, to)
    with open_log(old) as log, open_log(to) as same:
        assert (log.format, same.format, found.format) == (1, 2, 2)
        assert found.head == log.chain_head().hex()
        assert list(log.rows()) == list(same.rows())
        assert len(same.seals()) == 1
        assert verify(same).ok


@pytest.mark.parametrize(("begin", "blocks"), [(5_000, 1), (5_001, 0)])
def test_a_log_that_begins_with_a_base_is_copied(tmp_path: Path, begin: int, blocks: int) -> None:
    path, to = tmp_path / "log.db", tmp_path / "copy.db"
    events: list[Recorded] = [based(begin), *probes(begin + 1, begin + 1_500)]
    with open_log(path, mode="write", create=True) as log:
        log.append(events)
        head = log.chain_head().hex()
        assert chain_at(log, begin + 1_500).hex() == head
        with pytest.raises(LogError, match=f"no event {begin - 1}"):
            chain_at(log, begin - 1)
    assert copied(path, to).head == backed_up(path, tmp_path / "b.db").head == head
    with open_log(to) as log:
        assert list(log.read()) == events
        assert len(log.seals()) == blocks


def test_packing_seals_what_can_be_and_gives_the_space_back(tmp_path: Path) -> None:
    path, empty = tmp_path / "log.db", tmp_path / "empty.db"
    open_log(empty, mode="write", create=True).close()
    nothing = empty.stat().st_size
    with open_log(path, mode="write", create=True) as log:
        log.append(probes(1, 25_000))
        head = log.chain_head()
        with pytest.raises(LogLocked):
            pack(path, progress=quiet)
    told: list[tuple[int, int]] = []
    found = pack(path, progress=lambda done, total: told.append((done, total)))
    assert (found.sealed, found.blocks) == (24, 24)
    assert told[-1] == (24, 24)
    assert found.before - nothing > 5 * (found.after - nothing)
    assert found.after == path.stat().st_size
    with open_log(path) as log:
        assert log.chain_head() == head
        assert verify(log).ok
    again = pack(path, progress=quiet)
    assert (again.sealed, again.blocks, again.after) == (0, 24, found.after)


def test_a_log_that_could_never_shrink_can_after_its_first_packing(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True) as log:
        log.append(probes(1, 9_500))
    connection = driver_connect(path.as_uri())
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA auto_vacuum = NONE")
    connection.execute("VACUUM")
    connection.close()
    first = pack(path, progress=quiet)
    assert (first.sealed, first.after < first.before / 3) == (9, True)
    with open_log(path, mode="write") as log:
        log.append(probes(9_501, 20_500))
    second = pack(path, progress=quiet)
    assert (second.sealed, second.after < second.before / 2) == (11, True)
    with open_log(path) as log:
        assert list(log.read()) == probes(1, 20_500)


class BusyLog(SqliteLog):
    """A log that another process appends to between two looks at its head."""

    looks = 0
    busy: Callable[[], None] | None = None

    @property
    def head(self) -> Head:
        self.looks += 1
        if self.looks == 2 and self.busy is not None:
            self.busy()
        return super().head


def test_a_copy_while_bodies_come_and_go_has_those_that_its_events_speak_of(
    tmp_path: Path,
) -> None:
    path, other = tmp_path / "log.db", tmp_path / "other.db"
    with open_log(path, mode="write", create=True) as log:
        for body in (b"goes", b"comes again", b"stays"):
            event, bodies = message(log.head.seq + 1, body)
            log.append([event], bodies=bodies)

        def busy() -> None:
            log.append([removed(4, b"goes", b"comes again")])
            for body in (b"comes again", b"new"):
                event, bodies = message(log.head.seq + 1, body)
                log.append([event], bodies=bodies)

        with BusyLog(path, mode="read") as source:
            source.busy = busy
            copy(source, other, release="1", progress=quiet)
    with open_log(other) as copied:
        assert copied.head.seq == 6
        there = {copied.body(stored.digest) for stored in copied.stored_bodies()}
        assert there == {b"comes again", b"stays", b"new"}
    assert b"goes" not in other.read_bytes()
