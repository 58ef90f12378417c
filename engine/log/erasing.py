"""What a purge leaves in the files of a log, and how that goes.

Deleting overwrites the row, and then the write-ahead log is emptied. One thing is left: when SQLite
moves the rows of a page it may leave their old bytes in the part of it that is not used now. That
is rare, so these parts are searched for it, and only if something is found the tables of bodies are
written anew: their old pages are overwritten as a whole.
"""

import contextlib
import mmap
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from engine.log.connection import Connection
from engine.log.schema import BODIES, SECRET_BODIES

_ANEW: Final = "bodies_anew"

# Of the file format of SQLite (1.3 and 1.6): where the size of a page is, what a page of a table
# begins with, and the places of the number of its cells and of the first byte that they use.
_HEADER: Final = 100
_PAGE_SIZE: Final = struct.Struct(">16xH")
_PAGE: Final = struct.Struct(">B2xHH")
_HEAD_BYTES: Final = {13: 8, 5: 12}  # of a leaf, and of what was one before there were more

_PIECE: Final = 16  # [bytes]; a rest of less than two of them might not be found
_IN_PAGE: Final = 65_536  # of a row: what is beyond lies in pages of its own, which are overwritten


def pieces(digest: bytes, size: int, rest: bytes) -> Iterator[bytes]:
    """Return what a row with these first columns can be found by, whatever part of it is left."""
    # A row lies there as it is here; that its digest is elsewhere, too, says nothing.
    yield digest[-8:] + _stored_number(size) + rest[:_PIECE]
    for at in range(0, min(len(rest), _IN_PAGE) - _PIECE + 1, _PIECE):
        piece = rest[at : at + _PIECE]
        if len(set(piece)) > 1:
            yield piece


def _stored_number(value: int) -> bytes:
    """Return the bytes of a number, not below 0, in a row of SQLite (its file format, 2.1)."""
    if value < 2:
        return b""
    size = next(size for size in (1, 2, 3, 4, 6, 8) if value < 1 << (8 * size - 1))
    return value.to_bytes(size, "big")


def _gaps(data: mmap.mmap) -> Iterator[bytes]:
    """Return what lies in the unused part of each page of a table, if anything does."""
    (size,) = _PAGE_SIZE.unpack_from(data)
    size = 65_536 if size == 1 else size
    for page in range(0, len(data), size):
        begin = page + (0 if page else _HEADER)
        kind, cells, used = _PAGE.unpack_from(data, begin)
        if kind in _HEAD_BYTES:
            gap = data[begin + _HEAD_BYTES[kind] + 2 * cells : page + (used or 65_536)]
            if gap.strip(b"\0"):
                yield gap


class Erasure:
    """What has to go from the files of the log at `path`."""

    def __init__(self, path: Path) -> None:
        """A write-ahead log that somebody left behind may hold what a purge was to erase."""
        self._path: Final = path
        self._traces: list[bytes] = []  # that deleted rows would be found by
        self.is_due = False
        with contextlib.suppress(OSError):
            self.is_due = path.with_name(f"{path.name}-wal").stat().st_size > 0

    def add(self, traces: Iterable[bytes]) -> None:
        """Note rows that are deleted now."""
        before = len(self._traces)
        self._traces += traces
        self.is_due = self.is_due or len(self._traces) > before

    def end(self) -> None:
        """Note that nothing is left."""
        self._traces.clear()
        self.is_due = False

    def empty(self, writer: Connection) -> bool:
        """Return whether the write-ahead log is empty now; nobody is waited for.

        SQLite would wait for readers as long as for a lock, and nobody could append meanwhile.
        """
        with writer.holding, writer.translated():
            ((limit_ms,),) = writer.cursor.execute("PRAGMA busy_timeout").fetchall()
            writer.cursor.execute("PRAGMA busy_timeout = 0").fetchall()
            try:
                found = writer.cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                writer.cursor.execute(f"PRAGMA busy_timeout = {limit_ms}").fetchall()
        return not found[0][0]

    def is_found(self) -> bool:
        """Return whether the file still holds anything of the deleted rows."""
        if not self._traces:
            return False
        with (
            self._path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return any(trace in gap for gap in _gaps(data) for trace in self._traces)

    def write_anew(self, writer: Connection, *, has_sealed: bool) -> None:
        """Write the tables of bodies anew; the caller holds the transaction."""
        cursor = writer.cursor
        cursor.execute("PRAGMA secure_delete = ON").fetchall()
        for table in (BODIES, SECRET_BODIES) if has_sealed else (BODIES,):
            created = str(CreateTable(table).compile(dialect=sqlite.dialect()))
            cursor.execute(created.replace(table.name, _ANEW, 1))
            columns = ", ".join(column.name for column in table.columns)
            cursor.execute(
                f"INSERT INTO {_ANEW} (rowid, {columns}) "  # noqa: S608 - names of ours
                f"SELECT rowid, {columns} FROM {table.name} ORDER BY rowid"
            )
            cursor.execute(f"DROP TABLE {table.name}")
            cursor.execute(f"ALTER TABLE {_ANEW} RENAME TO {table.name}")
        cursor.execute("PRAGMA secure_delete = FAST").fetchall()
