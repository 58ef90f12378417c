"""One connection to the database of a log: its errors become ours, one clear line each.

pysqlite3 raises errors that are not `sqlite3.Error` and that carry primary codes only. Nothing
above this module sees an error of the driver or of SQLAlchemy.
"""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from engine.core.errors import LogError, LogForeign, LogFull, LogLocked, LogUncertain
from engine.log.header import damaged
from engine.log.library import sound_library

Connect = Callable[[str], Any]  # from a file: URI to a connection of the driver

# Primary result codes of SQLite.
_BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL = 5, 6, 8, 10, 11, 13
_CANTOPEN, _PROTOCOL, _NOTADB = 14, 15, 26
_BUSY_TIMEOUT_S: Final = 5.0
_READ_TRIES: Final = 50  # each after a pause: a reader waits for a recovery or a last close
_READ_PAUSE_S: Final = 0.1
_SPACE_BYTES_MIN: Final = 65_536  # with less free, an I/O error means that the disk is full


def driver_connect(uri: str) -> Any:
    """Return a connection of the driver to the database that `uri` names."""
    return sound_library().module.connect(
        uri, uri=True, check_same_thread=False, timeout=_BUSY_TIMEOUT_S
    )


class Connection:
    """A connection that several threads may share: each call holds it for its own time."""

    def __init__(self, path: Path, *, mode: str, connect: Connect) -> None:
        """Connect to `path`; `mode` is ro, rw or rwc, as in SQLite's URIs."""
        library = sound_library()
        self.holding: Final = threading.RLock()
        self._transaction: Final = Transaction(self)
        self._path: Final = path
        self._failures: Final = (library.module.Error, SQLAlchemyError)
        with self.translated():
            self.raw: Final[Any] = connect(f"{path.as_uri()}?mode={mode}")
            self.raw.isolation_level = None  # transactions are begun and ended by us alone
            self.cursor: Final = self.raw.cursor()
        self._is_left = False  # whether a snapshot may still be open that has ended

    @functools.cached_property
    def core(self) -> sqlalchemy.Connection:
        """The same connection to SQLAlchemy, which takes milliseconds to make: schemas need it.

        It is made outside of a transaction, because SQLAlchemy ends one when it first connects.
        """
        assert not self.raw.in_transaction
        engine = sqlalchemy.create_engine(
            "sqlite://",
            module=sound_library().module,
            creator=lambda: self.raw,
            isolation_level="AUTOCOMMIT",
            poolclass=sqlalchemy.NullPool,
        )
        with self.translated():
            return engine.connect()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Raise what the driver raises as an error of ours."""
        try:
            yield
        except self._failures as err:
            raise self._translate(err) from err

    def fetch(self, statement: str, arguments: Sequence[object] = ()) -> list[Any]:
        """Return all rows of a query; waits while the database is busy, for a limited time."""
        for attempt in range(_READ_TRIES):
            try:
                with self.holding:
                    if self._is_left:
                        self._leave()
                    rows: list[Any] = self.cursor.execute(statement, arguments).fetchall()
                    return rows
            except self._failures as err:
                if _code(err) not in {_BUSY, _LOCKED, _PROTOCOL} or attempt == _READ_TRIES - 1:
                    raise self._translate(err) from err
            time.sleep(_READ_PAUSE_S)
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let every `fetch` within see the database as it is at the first of them."""
        with self.holding:
            # What an interrupt may have left of an earlier one would show the database of then.
            self._roll_back()
            self._is_left = False
            try:
                self.fetch("BEGIN")
                yield
            finally:
                self._is_left = True
                self._roll_back()
                self._is_left = self.raw.in_transaction

    def _leave(self) -> None:
        """End a snapshot that could not be ended; nobody is to read on in the database of then."""
        if self.raw.in_transaction:
            self.cursor.execute("ROLLBACK")
        self._is_left = False

    def transaction(self) -> "Transaction":
        """Hold the only write transaction; it is all or nothing, and durable at the end.

        Raises:
            LogUncertain: The commit failed so that its outcome is unknown.
            LogError: Nothing was changed.
        """
        return self._transaction

    def begin(self) -> None:
        """Begin the write transaction; see `transaction`."""
        self.holding.acquire()
        try:
            self._roll_back()  # what an earlier attempt to do so left, if the disk failed then
            self._is_left = False
            self.cursor.execute("BEGIN IMMEDIATE")
        except BaseException as err:
            self.end(err)
            raise

    def end(self, error: BaseException | None) -> None:
        """End the write transaction: undone if there was an `error`, else committed."""
        try:
            if error is None:
                self._commit()
                return
            self._roll_back()
            if isinstance(error, self._failures):
                raise self._translate(error) from error
        finally:
            self.holding.release()

    def _commit(self) -> None:
        try:
            self.cursor.execute("COMMIT")
        except self._failures as err:
            self._roll_back()
            # A frame that does not fit is not the last one of a commit, so nothing of it counts.
            # After any other error the last frame may be on the disk, and a recovery would find it.
            if _code(err) in {_BUSY, _FULL}:
                raise self._translate(err) from err
            raise LogUncertain(
                f"{self._path}: the outcome of a commit is unknown ({_words(err)})"
            ) from err

    def _roll_back(self) -> None:
        # SQLite has rolled back already after some errors; what cannot be rolled back now is so
        # by the next transaction, or by closing.
        try:
            if self.raw.in_transaction:
                self.cursor.execute("ROLLBACK")
        except self._failures:
            pass

    def _translate(self, err: Exception) -> LogError:
        code, words, path = _code(err), _words(err), self._path
        if code == _FULL or (code in {_IOERR, _CANTOPEN} and self._has_no_space()):
            return LogFull(f"{path}: no space is left ({words})")
        if code in {_BUSY, _LOCKED, _PROTOCOL}:
            return LogLocked(f"{path} is held by another program ({words})")
        if code == _CORRUPT:
            return damaged(path, words)
        if code == _NOTADB:
            return LogForeign(f"{path} is not a log of Tanist ({words})")
        if code in {_READONLY, _CANTOPEN}:
            # Even a reader needs the shared memory that tells it what is durable.
            return LogError(f"{path}: {words}; its directory has to be writable, even for reading")
        return LogError(f"{path}: {words}")

    def _has_no_space(self) -> bool:
        try:
            status = os.statvfs(self._path.parent)
        except (AttributeError, OSError):  # Windows has no statvfs
            return False
        return status.f_bavail * status.f_frsize < _SPACE_BYTES_MIN

    def close(self) -> None:
        """Close it; errors while closing change nothing that is stored."""
        with self.holding, contextlib.suppress(*self._failures):
            self.raw.close()


class Transaction:
    """A write transaction of one connection, as a context; nothing but `Connection` makes one.

    It is no generator, which would cost a twentieth of what SQLite takes for a small transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection: Final = connection

    def __enter__(self) -> None:
        self._connection.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        self._connection.end(error)


def _origin(err: BaseException) -> BaseException:
    return getattr(err, "orig", None) or err


def _code(err: BaseException) -> int:
    return int(getattr(_origin(err), "sqlite_errorcode", None) or 0) & 0xFF


def _words(err: BaseException) -> str:
    return str(_origin(err)).splitlines()[0] if str(_origin(err)) else type(err).__name__
