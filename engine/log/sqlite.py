"""The log in an SQLite file: one writer process, any number of readers.

Rules. Whoever writes holds the writer lock, and has a writer epoch that every transaction checks.
Who only reads has a connection of its own, and what is asked of it is in reader.py.

After a commit with an unknown outcome the last frame may lie on the disk and be found by a
recovery, although nobody sees it now. So the head is settled before anything else is done: a new
commit takes that frame's place, or follows it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar

from engine.core.errors import LogConflict, LogError, LogUncertain
from engine.core.events import Recorded
from engine.core.terms import Keyed
from engine.log import sealing
from engine.log.append_keys import (
    STORE_KEY,
    Appended,
    KeyRow,
    KeyTable,
    appended,
    found_again,
    rows_of,
)
from engine.log.blocks import Stored
from engine.log.bodies import removals
from engine.log.claiming import checkpoint, claim, spare_pages
from engine.log.codec import encode_rows
from engine.log.connection import Connect, Connection, driver_connect
from engine.log.erasing import Erasure
from engine.log.header import FORMAT, Found, examine
from engine.log.inserting import Insertion
from engine.log.keyring import Keyring
from engine.log.lock import WriterLock, identity
from engine.log.opening import LAST, open_reader, open_writer
from engine.log.place import check_place, log_path
from engine.log.protocol import (
    AFTER_COMMIT,
    BEFORE_APPEND,
    BEFORE_COMMIT,
    NO_BODIES,
    Head,
    Hook,
)
from engine.log.reader import EPOCH, SqliteReader, epoch_in
from engine.log.reading import Reading
from engine.log.reserve import Reserve
from engine.log.schema import name_kinds
from engine.log.shelf import Change, TableShelf
from engine.log.snapshots import SnapshotTable
from engine.log.views import Views

T = TypeVar("T")

_CHECK: Final = "SELECT writer_epoch, (SELECT max(seq) FROM events) FROM meta"
_EVENTS: Final = Insertion("INSERT INTO events", columns=7)


def open_log(
    target: str | Path,
    *,
    mode: Literal["read", "write"] = "read",
    create: bool = False,
    release: str = "",
    reserve: Reserve | None = None,
    keys: Keyring | None = None,
) -> "SqliteLog":
    """Return the log at `target`, a path or a sqlite:/// URL.

    What is written draws on `reserve` when the disk is full; caches do not. With `keys`, bodies are
    sealed from here on, and those that were sealed with one of them can be read.

    Raises:
        LogLocked: Another process writes it.
        LogTooNew: A newer release wrote it.
        LogForeign: The file is not a log of Tanist.
        LogCorrupted: The file is damaged.
        LogError: There is no log and `create` is false, or it lies where none may lie.
    """
    path = log_path(target)
    return SqliteLog(path, mode=mode, create=create, release=release, reserve=reserve, keys=keys)


class SqliteLog(SqliteReader):
    """A log in the file `path`, open for reading or for writing; threads may share it."""

    def __init__(
        self,
        path: Path,
        *,
        mode: Literal["read", "write"],
        create: bool = False,
        release: str = "",
        connect: Connect = driver_connect,
        version: int = FORMAT,
        reserve: Reserve | None = None,
        keys: Keyring | None = None,
    ) -> None:
        """Open it; raises as `open_log` does.

        `connect` gives the driver's connections; `version` is the format that a new log gets.
        """
        super().__init__(path, keys)
        self._place: Final = str(path)  # a stat of that costs half as much
        self._reserve: Final = reserve if mode == "write" else None
        self._version: Final = version
        self.hook: Hook | None = None
        self._connect: Final = connect
        self.shelf: Final = TableShelf(self._fetch, self._change_all)
        self._views = Views(self, self.shelf)
        self._appending: Final = threading.RLock()
        self._sealing: Final = threading.Lock()  # taken before `_appending`
        self._lock: WriterLock | None = None
        self._writer: Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the file, as it was opened
        self.snapshots: Final = SnapshotTable(self._fetch, self._change)
        self.append_keys: Final = KeyTable(self._fetch, self._change)
        self._erasure: Final = Erasure(path)
        self._epochs: Final[set[int]] = set()  # the last one stored, and any that may be
        self._head: Head | None = None  # None: not known, it has to be read
        self._is_uncertain = False
        self._crc = 0
        check_place(path)
        found = examine(path)
        create = create and mode == "write"
        if found is not Found.LOG and not create:
            absent = "there is no log; tanist run and tanist import write one"
            state = absent if found is Found.ABSENT else "the file is empty, not a log"
            raise LogError(f"{path}: {state}")
        try:
            if mode == "write":
                self._open_writer(create=create, release=release)
            self._reader = self._relieved(self._open_reader)
            self._reading = Reading(self._reader, has_blocks=self.format > 1)
            if mode == "write":
                self._bodies.check(version=self.format)
        except BaseException:
            self.close()
            raise

    def _open_writer(self, *, create: bool, release: str) -> None:
        if self.path.exists() and self.path.stat().st_nlink > 1:
            # SQLite finds the write-ahead log by name, so two names would corrupt the file.
            raise LogError(f"{self.path} has a second name (a hard link): remove one")
        self._lock = self._relieved(lambda: WriterLock(self.path))
        found = examine(self.path)  # once more: another process may have created it meanwhile
        try:
            self._writer = self._relieved(lambda: self._open(create=create, release=release))
            self._identity = identity(self._place)
            self._take_over(self._writer)
        except BaseException:
            if found is Found.ABSENT and self.path.exists() and self.path.stat().st_size == 0:
                self.path.unlink()
            raise

    def _open(self, *, create: bool, release: str) -> Connection:
        connection, version = open_writer(
            self.path, self._connect, create=create, release=release, version=self._version
        )
        self._learn(version)
        return connection

    def _open_reader(self) -> Connection:
        connection, version = open_reader(self.path, self._connect)
        self._learn(version)
        return connection

    def _learn(self, version: int) -> None:
        self.format = version
        self.snapshots.is_there = self.shelf.is_whole = self._bodies.is_whole = version > 1
        if version < 2:
            said = f"{self.path} has format {version}: upgrade it to append under keys"
            self.append_keys.refusal = said

    def _take_over(self, writer: Connection) -> None:
        """Draw a new writer epoch and read the head: whatever was in doubt is settled by this."""
        self._relieved(lambda: self._draw_epoch(writer), writer)

    def _draw_epoch(self, writer: Connection) -> None:
        try:
            with writer.transaction():
                stored = epoch_in(self.path, writer.cursor.execute(EPOCH).fetchall())
                if self._epochs and stored not in self._epochs:
                    raise LogConflict(f"{self.path}: another writer took the log over")
                self._epochs.update((stored, stored + 1))  # this may fail, and be tried again
                writer.cursor.execute("UPDATE meta SET writer_epoch = ?", (stored + 1,))
                name_kinds(writer.cursor)
                last = writer.cursor.execute(LAST).fetchone()
        except LogUncertain:
            self._is_uncertain = True
            raise
        self._epochs.clear()
        self._epochs.add(stored + 1)
        self._is_uncertain = False
        self._remember(last)

    def _remember(self, last: tuple[int, int, int] | None) -> None:
        seq, at_us, self._crc = (0, 0, 0) if last is None else last
        self._head = Head(seq=seq, at_us=at_us)

    def _settled(self) -> tuple[Connection, Head]:
        """Return the writing connection and the head; the caller holds `_appending`."""
        if self._lock is None:
            raise LogError(f"{self.path} is not open for writing")
        if self._is_uncertain:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._writer = self._relieved(lambda: self._open(create=False, release=""))
            self._take_over(self._writer)
        assert self._writer is not None
        if self._head is None:
            with self._writer.translated():
                self._remember(self._writer.cursor.execute(LAST).fetchone())
        assert self._head is not None
        return self._writer, self._head

    @property
    def head(self) -> Head:
        """Return where the durable log ends.

        Raises:
            LogUncertain: The outcome of an append is unknown, and still cannot be settled.
        """
        if self._lock is not None:
            with self._appending:
                return self._settled()[1]
        last = self._connection().fetch(LAST)
        return Head(seq=last[0][0], at_us=last[0][1]) if last else Head()

    def _relieved(self, action: Callable[[], T], writer: Connection | None = None) -> T:
        """Return what `action` does, with what the reserve gives up if the disk is full."""
        if self._reserve is None:
            return action()
        settle = None if writer is None else lambda given: self._settle_in(writer, given)
        return self._reserve.relieve(action, settle=settle)

    def _settle_in(self, writer: Connection, given: int) -> None:
        """Make the space that is there the log's own, before whoever fills the disk has it."""
        try:
            checkpoint(writer)
            if given:
                claim(writer, given)
        except LogUncertain:
            self._is_uncertain = True
        except LogError:
            pass  # somebody was quicker: what is left has to do

    def _change(self, statement: str, arguments: Sequence[Sequence[object]]) -> None:
        self._change_all([(statement, arguments)])

    def _change_all(self, changes: Sequence[Change]) -> None:
        """Change what is only a cache, in a transaction of its own."""
        with self._appending:
            writer, head = self._settled()
            with self._transaction(writer, head):
                for statement, arguments in changes:
                    writer.cursor.executemany(statement, arguments)

    def append(
        self,
        events: Sequence[Recorded],
        *,
        bodies: Mapping[bytes, bytes] = NO_BODIES,
        key: str = "",
        keyed: Sequence[Keyed] = (),
    ) -> Appended:
        """Store the events and the bodies; see `Log.append`."""
        with self._appending:
            writer, _ = self._settled()
            found = found_again(self.append_keys, key, events)
            if found is not None:
                return found
            keys = rows_of(self.append_keys, events, key, keyed)
            self._relieved(lambda: self._append(events, bodies, keys), writer)
        return appended(events)

    def _append(
        self,
        events: Sequence[Recorded],
        bodies: Mapping[bytes, bytes],
        keys: Sequence[KeyRow],
    ) -> None:
        writer, head = self._settled()
        rows = encode_rows(events, head=head, crc=self._crc)
        removed, is_asked, bodies = removals(rows, events, bodies)
        stored = self._bodies.to_store(bodies)
        self._pass(BEFORE_APPEND)
        with self._transaction(writer, head):
            _EVENTS.put(writer.cursor, rows)
            seq = rows[-1][0] if rows else head.seq
            if removed:
                if is_asked:  # should it come to nothing, there is nothing to be found
                    self._erasure.add(self._bodies.traces(writer.cursor, removed))
                self._bodies.remove(writer.cursor, removed, is_asked=is_asked, seq=seq)
            if stored:
                self._bodies.store(writer.cursor, stored, seq=seq)
            if keys:
                writer.cursor.executemany(STORE_KEY, keys)
            self._pass(BEFORE_COMMIT)
        if rows:
            seq, at_us, *_, self._crc = rows[-1]
            self._head = Head(seq=seq, at_us=at_us)
        self._pass(AFTER_COMMIT)

    def _check_there(self) -> None:
        """Refuse to write to a file that nobody will find: what was told durable would be lost."""
        if identity(self._place) != self._identity:
            raise LogConflict(
                f"{self.path} is not the file that was opened: it was deleted, moved or replaced"
            )

    def _transaction(self, writer: Connection, head: Head) -> "_Writing":
        """Hold the write transaction, after the head and the writer epoch were found in place."""
        return _Writing(self, writer, head)

    def _begin(self, writer: Connection, head: Head) -> None:
        self._check_there()
        self._head = None  # read again if anything goes wrong, even an interrupt after the commit
        writer.begin()
        try:
            self._check_head(writer, head)
        except BaseException as err:
            writer.end(err)
            raise

    def _check_head(self, writer: Connection, head: Head) -> None:
        ((epoch, last),) = writer.cursor.execute(_CHECK)
        if epoch not in self._epochs:
            raise LogConflict(f"{self.path}: another writer took the log over")
        if (last or 0) != head.seq:
            raise LogConflict(f"expected event {head.seq} to be the last, found {last}")

    def _end(self, writer: Connection, head: Head, error: BaseException | None) -> None:
        try:
            writer.end(error)
        except LogUncertain:
            self._is_uncertain = True
            raise
        if error is None:
            self._head = head

    def _pass(self, failpoint: str) -> None:
        if self.hook is not None:
            self.hook(failpoint)

    def erase(self) -> bool:
        """Let nothing of bodies that somebody asked to remove be left in the files."""
        if not self._erasure.is_due:
            return True
        with self._appending:
            writer, _ = self._settled()
            if not self._erasure.empty(writer):
                return False
        if self._erasure.is_found():
            with self._appending:
                writer, head = self._settled()
                with self._transaction(writer, head):
                    self._erasure.write_anew(writer, has_sealed=self.format > 1)
                if not self._erasure.empty(writer):
                    return False
        self._erasure.end()
        return True

    def seal(self, *, until: int | None = None, blocks_max: int = 1) -> int:
        """Return how many blocks were sealed: at most `blocks_max`, up to the seq `until`.

        Raises:
            LogCorrupted: A row is damaged: it stays as it is, for `verify` to name.
            LogError: The log has format 1, or nothing can be written.
        """
        if self.format < 2:
            raise LogError(f"{self.path} has format {self.format}: upgrade it to seal blocks")
        until = self.head.seq if until is None else until
        for sealed in range(blocks_max):
            with self._sealing:  # two threads would find the same block
                block = sealing.next_block(self._connection(), until=until)
                if block is None:
                    return sealed
                with self._appending:
                    writer, head = self._settled()
                    with self._transaction(writer, head):
                        sealing.store(writer.cursor, *block)
        return blocks_max

    def thin(self, block: Stored) -> None:
        """Put a thinned block in the place of the whole one."""
        with self._appending:
            writer, head = self._settled()
            with self._transaction(writer, head):
                sealing.store_thinned(writer.cursor, block)

    def give_back(self, pages: int = 0) -> bool:
        """Give the space of what was sealed or dropped back to the file system."""
        with self._appending:
            writer, _ = self._settled()
            before = self.size()
            if self._reserve is not None and self._reserve.figures.is_short:
                # On a full disk, what the log has room in would be somebody else's at once.
                spare = spare_pages(writer)
                if not spare:
                    return False
                pages = min(pages or spare, spare)
            with writer.translated():
                writer.cursor.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
            return self.size().file < before.file

    def close(self) -> None:
        """Release everything; a second call does nothing."""
        with self._appending:
            # The writing connection last: it takes the write-ahead log with it.
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._reading = self._writer = None
            if self._lock is not None:
                self._lock.release()
                self._lock = None


class _Writing:
    """A transaction of `SqliteLog` as a context; no generator, as in engine.log.connection."""

    __slots__ = ("_head", "_log", "_writer")

    def __init__(self, log: SqliteLog, writer: Connection, head: Head) -> None:
        self._log, self._writer, self._head = log, writer, head

    def __enter__(self) -> None:
        self._log._begin(self._writer, self._head)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        self._log._end(self._writer, self._head, error)
