"""The tables of a log.

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

METADATA: Final = MetaData()

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
_VIEW: Final = """
CREATE VIEW log AS
SELECT seq,
       strftime('%Y-%m-%dT%H:%M:%S', at_us / 1000000, 'unixepoch')
         || printf('.%06dZ', at_us % 1000000) AS time,
       coalesce(name, events.kind) AS kind, subject, cause, payload
FROM events LEFT JOIN kinds ON kinds.kind = events.kind
"""


def create_schema(connection: Connection, *, release: str) -> None:
    """Create everything that an empty log has; the caller holds the transaction."""
    connection.execute(text(f"PRAGMA application_id = {APPLICATION_ID}"))
    connection.execute(text(f"PRAGMA user_version = {FORMAT}"))
    METADATA.create_all(connection, checkfirst=False)
    connection.execute(text(_VIEW))
    connection.execute(insert(META).values(id=1, writer_epoch=0, created_release=release))


def name_kinds(connection: Connection) -> None:
    """Store the names of all kinds that this release knows, for the view `log`."""
    names = [{"kind": code, "name": kind.__name__} for code, kind in KINDS.items()]
    connection.execute(upsert(KIND_NAMES).on_conflict_do_nothing(), names)
