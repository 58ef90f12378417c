"""Making space on a full disk the log's own, before whoever fills the disk has it.

Space that is only free belongs to whoever is first. Two places in a log keep what they once had:
the write-ahead log, which begins anew in its own place after a checkpoint, and the free pages of
the database, which hold what a checkpoint adds. So a step of the reserve is written at once, once
to each of the two. After that it is enough for thousands of appends, with no byte free beside it.
"""

from typing import Final

from engine.log.connection import Connection
from engine.log.reserve import STEP_BYTES_MAX

SHARE: Final = 3 / 8  # of what there is, to each of the two; the rest is for their own records

_DROP: Final = "DROP TABLE IF EXISTS claimed"  # a crash may have left it


def checkpoint(writer: Connection) -> None:
    """Let the write-ahead log begin anew, as far as the database has room for what it holds."""
    with writer.translated():
        writer.cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def claim(writer: Connection, given: int) -> None:
    """Take a part of `given` bytes for the write-ahead log, and as much for the database.

    Raises:
        LogFull: They are gone already, and nothing is changed.
        LogUncertain: Nobody knows whether they were taken.
    """
    with writer.transaction():
        writer.cursor.execute(_DROP)
        writer.cursor.execute("CREATE TABLE claimed (pages BLOB NOT NULL) STRICT")
        writer.cursor.execute("INSERT INTO claimed VALUES (zeroblob(?))", (int(given * SHARE),))
    checkpoint(writer)
    with writer.transaction():
        writer.cursor.execute(_DROP)
    checkpoint(writer)


def spare_pages(writer: Connection) -> int:
    """Return how many free pages of the database there are beyond what one step claims [count]."""
    ((free,),) = writer.fetch("PRAGMA freelist_count")
    ((size,),) = writer.fetch("PRAGMA page_size")
    spare: int = free - int(STEP_BYTES_MAX * SHARE) // size
    return max(0, spare)
