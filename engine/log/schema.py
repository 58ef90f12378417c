"""The tables of a log, by the format that brought them.

`events` has no second index: it would cost a third of a bulk append, and what is asked by subject
or kind is asked of a projection, or of the end of the log.
"""

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    insert,
    text,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from engine.core.events import KINDS
from engine.log.header import APPLICATION_ID, FORMAT

METADATA: Final = MetaData()  # of format 1; every later one has them too
METADATA_2: Final = MetaData()  # what format 2 added

EVENTS: Final = Table(
    "events",
    METADATA,
    Column("seq", Integer, primary_key=True),
    Column("at_us", Integer, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("subject", Text, nullable=False),
    Column("cause", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("crc", Integer, nullable=False),
    sqlite_strict=True,  # a value of another type would break every reader
)
# By SHA-256 digest; the chain covers digest and size through the events that name them.
BODIES: Final = Table(
    "bodies",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    sqlite_strict=True,
)
PROJECTIONS: Final = Table(
    "projections",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    sqlite_strict=True,
)
KIND_NAMES: Final = Table(
    "kinds",
    METADATA,
    Column("kind", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    sqlite_strict=True,
)
META: Final = Table(
    "meta",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("writer_epoch", Integer, nullable=False),
    Column("created_release", Text, nullable=False),
    sqlite_strict=True,
)
# Events 1000k + 1 ... 1000k + 1000 as engine.log.blocks has it; their rows are gone.
BLOCKS: Final = Table(
    "blocks",
    METADATA_2,
    Column("first", Integer, primary_key=True),  # seq
    Column("last_at_us", Integer, nullable=False),
    Column("last_crc", Integer, nullable=False),  # seeds that of the row after it
    Column("chain", LargeBinary, nullable=False),
    Column("columns", LargeBinary, nullable=False),
    Column("payloads", LargeBinary, nullable=False),
    sqlite_strict=True,
)
# Folds of everything up to `seq`: caches, never believed when in doubt.
SNAPSHOTS: Final = Table(
    "snapshots",
    METADATA_2,
    Column("seq", Integer, primary_key=True),
    Column("fold_version", Integer, nullable=False),
    Column("policy_digest", Text, nullable=False),
    Column("digest", Text, nullable=False),  # of the state, as `replay` prints it
    Column("data", LargeBinary, nullable=False),  # zlib of the state's canonical bytes
    sqlite_strict=True,
)
_VIEW: Final = """
CREATE VIEW log AS
SELECT seq,
       strftime('%Y-%m-%dT%H:%M:%S', at_us / 1000000, 'unixepoch')
         || printf('.%06dZ', at_us % 1000000) AS time,
       coalesce(name, events.kind) AS kind, subject, cause, payload
FROM events LEFT JOIN kinds ON kinds.kind = events.kind
"""


def create_schema(connection: Connection, *, release: str, version: int = FORMAT) -> None:
    """Create everything that an empty log of a format has; the caller holds the transaction."""
    connection.execute(text(f"PRAGMA application_id = {APPLICATION_ID}"))
    connection.execute(text(f"PRAGMA user_version = {version}"))
    METADATA.create_all(connection, checkfirst=False)
    if version > 1:
        METADATA_2.create_all(connection, checkfirst=False)
    connection.execute(text(_VIEW))
    connection.execute(insert(META).values(id=1, writer_epoch=0, created_release=release))


def name_kinds(connection: Connection) -> None:
    """Store the names of all kinds that this release knows, for the view `log`."""
    names = [{"kind": code, "name": kind.__name__} for code, kind in KINDS.items()]
    connection.execute(upsert(KIND_NAMES).on_conflict_do_nothing(), names)
