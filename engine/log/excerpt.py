"""A part of a log as a file of its own: the state that it begins with, its events, nothing else.

It is a log that begins with `LogBased`, so whatever reads a log reads it. Beside the events stands
what it is a part of, and the digest of the state that its events have to add up to. Bodies of
messages and kept state stay behind: no decision reads them.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.core import state as st
from engine.core.errors import LogCorrupted, LogError
from engine.core.events import LogBased, Recorded
from engine.core.state import State
from engine.log.chain import ZERO
from engine.log.codec import crcs_of, encode_rows
from engine.log.connection import Connection, driver_connect
from engine.log.copying import TRANSACTION_EVENTS, Progress, chain_at, create_alone
from engine.log.protocol import Head, Log, Row
from engine.log.sqlite import SqliteLog
from engine.log.whole import arriving

_TABLE: Final = "excerpt"
_CREATE: Final = f"""
CREATE TABLE {_TABLE} (
    id INTEGER PRIMARY KEY CHECK (id = 1), incident INTEGER NOT NULL, after INTEGER NOT NULL,
    until INTEGER NOT NULL, digest TEXT NOT NULL, fold_version INTEGER NOT NULL,
    redacted INTEGER NOT NULL, release TEXT NOT NULL
) STRICT
"""
_INSERT: Final = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)"
_IS_THERE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
_READ: Final = (
    f"SELECT incident, after, until, digest, fold_version, redacted, release FROM {_TABLE}"  # noqa: S608
)


class Excerpt(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is a part of."""

    incident: int  # its number in the whole log
    after: int  # the seq of the state that it begins with
    until: int  # its last seq
    digest: str  # of the state at the end
    fold_version: int  # by which releases are known to fold to that digest
    is_redacted: bool
    release: str  # that cut it out


def excerpt_of(log: Log) -> Excerpt | None:
    """Return what `log` is a part of; None: it is whole.

    Raises:
        LogError: It is a part that does not say of what, or cannot be read.
    """
    if not isinstance(log, SqliteLog):
        return None
    connection = Connection(log.path, mode="ro", connect=driver_connect)
    try:
        if not connection.fetch(_IS_THERE, (_TABLE,)):
            return None
        found = connection.fetch(_READ)
    finally:
        connection.close()
    if not found:
        raise LogError(f"{log.path}: damaged: a part of a log, and the table {_TABLE} is empty")
    incident, after, until, digest, fold_version, is_redacted, release = found[0]
    return Excerpt(
        incident=incident,
        after=after,
        until=until,
        digest=digest,
        fold_version=fold_version,
        is_redacted=bool(is_redacted),
        release=release,
    )


def cut(
    source: SqliteLog,
    path: Path,
    *,
    incident: int,
    base: State,
    end: State,
    release: str,
    progress: Progress,
    force: bool = False,
    redacted: Sequence[Recorded] | None = None,
) -> Excerpt:
    """Write the part of `source` that follows `base` to a new file, whole or not at all.

    Args:
        source: The log.
        path: Where the file goes.
        incident: What the part is about; its number in the log.
        base: The state that it begins with.
        end: The state at its last event.
        release: That of this program.
        progress: Told of events.
        force: Replace what is there.
        redacted: The events in place of the log's own, between `base` and `end`.

    Raises:
        ConfigurationError: `path` is taken and `force` is false.
        LogError: It cannot be written, or the log is damaged.
    """
    after, until = base.seq, end.seq
    # What others are told instead is no part of the log's chain.
    chain = chain_at(source, after) if redacted is None else ZERO
    beginning = Recorded(
        seq=after,
        at_us=base.at_us,
        subject="fleet",
        cause=0,
        event=LogBased(state=st.dump(base), seq=after, chain=chain),
    )
    with arriving(path, force=force) as part:
        writer = Connection(part, mode="rwc", connect=driver_connect)
        try:
            create_alone(writer, release)
            (first,) = encode_rows([beginning], head=Head(), crc=0)
            with writer.transaction():
                writer.cursor.execute(_INSERT, first)
            rows = (
                source.rows(after, until)
                if redacted is None
                else iter(encode_rows(redacted, head=Head(seq=after, at_us=base.at_us), crc=0))
            )
            last = _store(writer, rows, crc=first[-1], progress=lambda seq: progress(seq, until))
            if last != until:
                raise LogError(f"{source.path}: expected the events up to {until}, found {last}")
            found = Excerpt(
                incident=incident,
                after=after,
                until=until,
                digest=st.digest(end),
                fold_version=st.FOLD_VERSION,
                is_redacted=redacted is not None,
                release=release,
            )
            _describe(writer, found)
        finally:
            writer.close()
    return found


def _store(
    writer: Connection, rows: Iterator[Row], *, crc: int, progress: Callable[[int], None]
) -> int:
    """Store rows, whose crcs begin anew; return the seq of the last one."""
    last = 0
    while taken := list(itertools.islice(rows, TRANSACTION_EVENTS)):
        crcs = crcs_of(taken, crc=crc)
        stored = [(*row[:-1], each) for row, each in zip(taken, crcs, strict=True)]
        with writer.transaction():
            writer.cursor.executemany(_INSERT, stored)
        last, crc = taken[-1][0], crcs[-1]
        progress(last)
    return last


def _describe(writer: Connection, excerpt: Excerpt) -> None:
    with writer.transaction():
        writer.cursor.execute(_CREATE)
        writer.cursor.execute(
            f"INSERT INTO {_TABLE} VALUES (1, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a name of ours
            (
                excerpt.incident,
                excerpt.after,
                excerpt.until,
                excerpt.digest,
                excerpt.fold_version,
                int(excerpt.is_redacted),
                excerpt.release,
            ),
        )


def check_end(excerpt: Excerpt, state: State) -> None:
    """Hold the state that the events of a part add up to against what it says of itself.

    A release that folds otherwise has another digest for it, and cannot tell.

    Raises:
        LogCorrupted: It ends elsewhere, or the state is another.
    """
    if state.seq != excerpt.until:
        raise LogCorrupted(state.seq, f"the part ends here instead of at {excerpt.until}")
    if excerpt.fold_version == st.FOLD_VERSION and st.digest(state) != excerpt.digest:
        raise LogCorrupted(state.seq, "the state at its end has another digest than it says")
