"""The floors: what the same rows cost with the driver's own cursor and nothing around it."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from engine.core.events import KINDS
from engine.log.library import sound_library
from engine.log.protocol import Row
from engine.log.schema import EVENTS

_INSERT: Final = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)"
_READ: Final = (
    "SELECT seq, at_us, kind, subject, cause, payload FROM events WHERE seq > ? ORDER BY seq"
)
_SNAPSHOT: Final = "SELECT seq, data FROM snapshots ORDER BY seq DESC LIMIT 1"
_DECODE: Final = {code: msgspec.msgpack.Decoder(kind).decode for code, kind in KINDS.items()}
FETCH_ROWS: Final = 500


class RawTable:
    """The table of events without an index, in a file of its own, as durable as the log is."""

    def __init__(self, path: Path) -> None:
        self._connection: Final = sound_library().module.connect(str(path), isolation_level=None)
        self._cursor: Final = self._connection.cursor()
        self._cursor.execute("PRAGMA journal_mode = WAL")
        self._cursor.execute("PRAGMA synchronous = FULL")
        self._cursor.execute(str(CreateTable(EVENTS).compile(dialect=sqlite.dialect())))

    def append_singly(self, rows: Sequence[Row]) -> None:
        """Insert the rows, each in a transaction of its own."""
        execute = self._cursor.execute
        for row in rows:
            execute("BEGIN IMMEDIATE")
            execute(_INSERT, row)
            execute("COMMIT")

    def append_together(self, rows: Sequence[Row], *, each: int) -> None:
        """Insert the rows, `each` of them in a transaction."""
        for begin in range(0, len(rows), each):
            self._cursor.execute("BEGIN IMMEDIATE")
            self._cursor.executemany(_INSERT, rows[begin : begin + each])
            self._cursor.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def fold(path: Path) -> int:
    """Return the seq of the last event, after reading and decoding every row.

    It keeps the last time and event of each subject: what any fold over these rows has to do.
    """
    connection = sound_library().module.connect(f"file:{path}?mode=ro", uri=True)
    seq = _folded(connection, 0)
    connection.close()
    return seq


def restore(path: Path) -> int:
    """Return the seq of the last event, after inflating the newest snapshot and folding on.

    The snapshot becomes plain lists and maps, and the rows after it are folded as in `fold`.
    """
    connection = sound_library().module.connect(str(path))
    ((seq, data),) = connection.execute(_SNAPSHOT)
    msgspec.msgpack.decode(zlib.decompress(data))
    seq = _folded(connection, seq)
    connection.close()
    return seq


def _folded(connection: Any, after: int) -> int:
    decode = _DECODE
    last: dict[str, tuple[int, object]] = {}
    cursor = connection.cursor()
    cursor.execute(_READ, (after,))
    while rows := cursor.fetchmany(FETCH_ROWS):
        for seq, at_us, kind, subject, _cause, payload in rows:
            event = decode[kind](payload)
            last[subject] = at_us, event
            after = seq
    return after
