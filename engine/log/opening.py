"""Opening the database of a log: what is created, checked and set before it is asked anything."""

import os
from pathlib import Path
from typing import Final

from engine.core.errors import LogError
from engine.log.bodies import OVERWRITES_SOME
from engine.log.connection import Connect, Connection
from engine.log.header import check_identity
from engine.log.schema import create_schema

LAST: Final = "SELECT seq, at_us, crc FROM events ORDER BY seq DESC LIMIT 1"
_ANYTHING: Final = "SELECT 1 FROM sqlite_master LIMIT 1"
_WAL_BYTES_MAX: Final = 64 << 20  # what is kept of a write-ahead log that had grown beyond it


def open_writer(
    path: Path, connect: Connect, *, create: bool, release: str, version: int
) -> tuple[Connection, int]:
    """Return a connection that may write, and the format of what is there.

    With `create`, a log of the format `version` is made by `release` where there is none.

    Raises:
        LogError: It cannot be written, or is no log that this release knows.
    """
    connection = Connection(path, mode="rwc" if create else "rw", connect=connect)
    try:
        if create and not connection.fetch(_ANYTHING):
            # Space that sealing frees can be given back only if this comes first of all. It writes
            # the first page, and nothing to it.
            connection.fetch("PRAGMA auto_vacuum = INCREMENTAL")
            # Before the write-ahead log is switched on, so that the file itself says at once what
            # it is.
            core = connection.core
            with connection.transaction():
                create_schema(core, release=release, version=version)
        found = _checked(path, connection)
        _make_durable(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection, found


def open_reader(path: Path, connect: Connect) -> tuple[Connection, int]:
    """Return a connection that changes nothing, and the format of what is there.

    Raises:
        LogError: It cannot be read, or is no log that this release knows.
    """
    reader = Connection(path, mode=reader_mode(path), connect=connect)
    try:
        reader.fetch("PRAGMA query_only = ON")
        found = _checked(path, reader)
        reader.fetch(LAST)  # a damaged table is better found now
    except BaseException:
        reader.close()
        raise
    return reader, found


def reader_mode(path: Path) -> str:
    """Return how SQLite opens the log for who reads it, and sets query_only then.

    A connection that may write nothing at all leaves the files behind that the last one to close
    removes.
    """
    may_write = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return "rw" if may_write else "ro"


def _checked(path: Path, connection: Connection) -> int:
    if not connection.fetch(_ANYTHING):  # a creation that was cut short is undone by now
        raise LogError(f"{path}: the file is empty, not a log")
    # The header in the file may be older than what the write-ahead log says.
    ((application_id,),) = connection.fetch("PRAGMA application_id")
    ((version,),) = connection.fetch("PRAGMA user_version")
    check_identity(path, application_id=application_id, version=version)
    found: int = version
    return found


def _make_durable(path: Path, connection: Connection) -> None:
    with connection.translated():
        cursor = connection.cursor
        ((journal,),) = cursor.execute("PRAGMA journal_mode = WAL").fetchall()
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute(OVERWRITES_SOME)
        cursor.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_MAX}")
    if journal != "wal":
        raise LogError(f"{path}: a write-ahead log is not possible there")
