"""A log at rest, made as small as it can be: sealed as far as it goes, the space given back."""

import contextlib
from pathlib import Path
from typing import Final

import msgspec

from engine.log.chain import BLOCK_EVENTS
from engine.log.connection import Connect, Connection, driver_connect
from engine.log.copying import Progress
from engine.log.interrupting import interruptible
from engine.log.sqlite import SqliteLog

BLOCKS: Final = 10  # sealed between two reports
_NONE: Final = 0  # auto_vacuum of a file that came from format 1: it never shrinks


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """What it was and what it is."""

    sealed: int  # blocks, by this [count]
    blocks: int  # in all
    before: int  # size [bytes]
    after: int


def pack(path: Path, *, progress: Progress, connect: Connect = driver_connect) -> Packed:
    """Seal everything that can be sealed and give the space back; return what that did.

    Whatever ends it early, the log is whole: each block is a transaction of its own. `progress` is
    told of blocks.

    Raises:
        LogLocked: Another process writes the log.
        LogCorrupted: A row is damaged; what is before it is sealed.
        LogFull: No space is left.
        LogError: The log has format 1, or cannot be written.
    """
    before = _size(path)
    with SqliteLog(path, mode="write", connect=connect) as log:
        sealed, begun = 0, len(log.seals())
        total = max(begun, (log.head.seq - 1) // BLOCK_EVENTS)
        while (count := log.seal(blocks_max=BLOCKS)) > 0:
            sealed += count
            progress(begun + sealed, total)
        _give_back(log, connect)
    return Packed(sealed=sealed, blocks=begun + sealed, before=before, after=_size(path))


def _give_back(log: SqliteLog, connect: Connect) -> None:
    connection = Connection(log.path, mode="rw", connect=connect)
    try:
        ((kind,),) = connection.fetch("PRAGMA auto_vacuum")
        if kind != _NONE:
            log.give_back()
            return
        # It came from format 1. Written anew once, it can give space back from now on.
        raw = connection.raw
        with connection.translated(), interruptible(raw, _nothing):
            connection.cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.cursor.execute("VACUUM")
    finally:
        connection.close()


def _size(path: Path) -> int:
    """Return what the log takes, with what waits beside it."""
    size = path.stat().st_size
    with contextlib.suppress(OSError):
        size += path.with_name(f"{path.name}-wal").stat().st_size
    return size


def _nothing() -> None:
    """Only let Ctrl-C be noticed."""
