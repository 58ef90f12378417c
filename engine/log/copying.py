"""Copies of a log: as it is, while an engine writes it, or event by event in the newest format.

A copy is made beside its place, opened and checked there, and then renamed (engine.log.whole). It
counts only if its chain, computed anew from its own rows, is that of the log at its last event.

`back_up` is one VACUUM INTO of a reader. The other way, SQLite's backup in small steps, begins
again whenever another process commits, so beside a busy engine it might never end; in one step it
reads just as long as this does. A reader delays no writer, it only keeps the write-ahead log from
being taken up meanwhile; and what is written holds no free pages.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from engine.core.errors import ConfigurationError, LogError
from engine.core.events import BodiesRemoved, codes_of
from engine.log import sealing
from engine.log.append_keys import STORE_KEY
from engine.log.chain import ChainFold
from engine.log.connection import Connect, Connection, driver_connect
from engine.log.interrupting import interruptible
from engine.log.place import check_place
from engine.log.protocol import Log
from engine.log.schema import (
    BODIES,
    RENEWED_BODIES,
    SECRET_BODIES,
    create_schema,
    name_kinds,
)
from engine.log.sqlite import SqliteLog
from engine.log.verify import verify
from engine.log.whole import arriving

Progress = Callable[[int, int], None]  # done so far and in all

TRANSACTION_EVENTS: Final = 10_000
_BODIES: Final = 16  # read at once; each may be large

_PAGES: Final = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
_READ_BODIES: Final = "SELECT rowid, * FROM {} WHERE rowid > ? ORDER BY rowid LIMIT ?"
_TABLES: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"
_REMOVED: Final = codes_of((BodiesRemoved,))
_BODY_TABLES: Final = (BODIES, SECRET_BODIES)


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy holds."""

    seq: int  # of its last event
    events: int  # [count]
    head: str  # its chain's head as hex
    format: int
    size: int  # of the file [bytes]


def chain_at(log: Log, seq: int) -> bytes:
    """Return the digest of everything up to the event `seq`, by what the seals say (32 bytes).

    Raises:
        LogError: The log has no event there.
        LogCorrupted: The rows have a gap.
    """
    chain = ChainFold()
    ends = [seal for seal in log.seals() if seal.seq <= seq]
    if ends:
        chain.skip(ends[-1].seq, ends[-1].chain)
    chain.feed(log.rows(chain.seq, seq))
    if chain.seq != seq:
        raise LogError(f"the log has no event {seq}")
    return chain.head


def back_up(
    source: SqliteLog,
    path: Path,
    *,
    progress: Progress,
    force: bool = False,
    connect: Connect = driver_connect,
) -> Copied:
    """Write a copy of the log, as it is at one moment, to `path`; return what it holds.

    `progress` is told of bytes. The copy has the format, the bodies, the snapshots and the stored
    views of the log.

    Raises:
        ConfigurationError: `path` is taken and `force` is false, or it is the log itself.
        LogFull: No space is left for the copy.
        LogError: It cannot be written, or the log is damaged.
    """
    _check_destination(source, path)
    with arriving(path, force=force) as part:
        with _connected(source.path, "ro", connect) as reader:
            ((size,),) = reader.fetch(_PAGES)
            raw = reader.raw

            def look() -> None:
                with contextlib.suppress(OSError):
                    progress(min(part.stat().st_size, size), size)

            with reader.translated(), interruptible(raw, look):
                reader.cursor.execute("VACUUM INTO ?", (str(part),))
        return _checked(part, source, connect)


def copy(
    source: SqliteLog,
    path: Path,
    *,
    release: str,
    progress: Progress,
    force: bool = False,
    connect: Connect = driver_connect,
) -> Copied:
    """Write the events and bodies of the log to a new one of the newest format, sealed.

    Stored views and snapshots are left behind: they are caches. `progress` is told of events.

    Raises:
        ConfigurationError: `path` is taken and `force` is false, or it is the log itself.
        LogFull: No space is left for the copy.
        LogError: It cannot be written, or the log is damaged.
    """
    _check_destination(source, path)
    with arriving(path, force=force) as part:
        with _connected(part, "rwc", connect) as writer:
            create_alone(writer, release)
            with _connected(source.path, "ro", connect) as reader:
                begun = source.head.seq
                _copy_bodies(reader, writer)
                _copy_events(source, writer, progress)
                _catch_up_bodies(source, reader, writer, begun)
                if source.format > 1:
                    _copy_keys(reader, writer)
            writer.fetch("PRAGMA incremental_vacuum")
        return _checked(part, source, connect)


def _check_destination(source: SqliteLog, path: Path) -> None:
    if path == source.path:
        raise ConfigurationError([f"{path} is the log itself: name another file"])
    check_place(path)


@contextlib.contextmanager
def _connected(path: Path, mode: str, connect: Connect) -> Iterator[Connection]:
    connection = Connection(path, mode=mode, connect=connect)
    try:
        yield connection
    finally:
        connection.close()


def create_alone(writer: Connection, release: str) -> None:
    """Create an empty log in a file that nobody sees before it is whole."""
    # So no journal of it has to outlive a crash.
    writer.fetch("PRAGMA journal_mode = MEMORY")
    writer.fetch("PRAGMA synchronous = OFF")
    writer.fetch("PRAGMA auto_vacuum = INCREMENTAL")
    core = writer.core
    with writer.transaction():
        create_schema(core, release=release)
        name_kinds(writer.cursor)


def _copy_events(source: SqliteLog, writer: Connection, progress: Progress) -> None:
    """Store the rows as they are, for an event of an old release has the bytes of that one."""
    until = source.head.seq
    begin = _copy_thinned(source, writer, until)
    rows = source.rows(begin, until)
    while taken := list(itertools.islice(rows, TRANSACTION_EVENTS)):
        with writer.transaction():
            writer.cursor.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", taken)
        while (block := sealing.next_block(writer, until=until)) is not None:
            with writer.transaction():
                sealing.store(writer.cursor, *block)
        progress(taken[-1][0], until)


def _copy_thinned(source: SqliteLog, writer: Connection, until: int) -> int:
    """Store what retention has left as it is, and the base before it; return where that ends."""
    seq = 0
    for block in source.blocks(0, until):
        if not block.is_thinned:
            break
        with writer.transaction():
            if seq == 0 and block.first > 1:
                base = next(source.rows(0, block.first - 1))
                writer.cursor.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", base)
            sealing.store_thinned(writer.cursor, block.stored)
        seq = block.last
    return seq


def _copy_bodies(reader: Connection, writer: Connection) -> None:
    """Copy all of them, sealed ones as they are: no key is needed for it."""
    there = {name for (name,) in reader.fetch(_TABLES)}
    for table in _BODY_TABLES:
        if table.name not in there:  # the log has format 1
            continue
        after = 0
        while found := reader.fetch(_READ_BODIES.format(table.name), (after, _BODIES)):
            with writer.transaction():
                rows = [row[1:] for row in found]
                places = ", ".join("?" * len(rows[0]))
                writer.cursor.executemany(
                    f"INSERT OR IGNORE INTO {table.name} VALUES ({places})",  # noqa: S608 - ours
                    rows,
                )
            after = found[-1][0]
    if RENEWED_BODIES.name in there:
        renewed = reader.fetch("SELECT digest, seq FROM renewed_bodies")
        with writer.transaction():
            writer.cursor.executemany(
                "INSERT OR REPLACE INTO renewed_bodies VALUES (?, ?)", renewed
            )


def _catch_up_bodies(source: SqliteLog, reader: Connection, writer: Connection, begun: int) -> None:
    """Let the copy have the bodies that its events speak of, whatever an engine did meanwhile.

    They were copied first, so that none is gone that the copy's events do not remove. What those
    after the seq `begun` remove goes here too, and then comes what they brought.
    """
    ((until,),) = writer.fetch("SELECT max(seq) FROM events")
    for seq in source.seqs_of(_REMOVED, begun, until):
        (recorded,) = source.read(seq - 1, seq)
        assert isinstance(recorded.event, BodiesRemoved)
        gone = [(digest,) for digest in recorded.event.digests]
        with writer.transaction():
            writer.cursor.execute("PRAGMA secure_delete = ON").fetchall()
            for table in _BODY_TABLES:
                writer.cursor.executemany(
                    f"DELETE FROM {table.name} WHERE digest = ?",  # noqa: S608 - ours
                    gone,
                )
    if source.head.seq > begun:
        _copy_bodies(reader, writer)


def _copy_keys(reader: Connection, writer: Connection) -> None:
    """Copy the keys of the events that were copied: who repeats an append may do so there."""
    ((last,),) = writer.fetch("SELECT max(seq) FROM events")
    keys = reader.fetch("SELECT * FROM append_keys WHERE last <= ?", (last or 0,))
    with writer.transaction():
        writer.cursor.executemany(STORE_KEY, keys)


def _checked(part: Path, source: SqliteLog, connect: Connect) -> Copied:
    """Return what the copy holds.

    Raises:
        LogError: It is another log, or has damage, which it has from the log.
    """
    with SqliteLog(part, mode="read", connect=connect) as copied:
        found = verify(copied)
        seq = copied.head.seq
        if not found.ok:
            raise LogError(
                f"{source.path} was not copied, for not all of it fits: {found.problems[0]}"
            )
        expected = chain_at(source, seq).hex()
        if found.head != expected:
            raise LogError(
                f"{source.path}: expected a copy with the head {expected} at event {seq}, found "
                f"{found.head}"
            )
        return Copied(
            seq=seq,
            events=found.events,
            head=found.head,
            format=copied.format,
            size=part.stat().st_size,
        )
