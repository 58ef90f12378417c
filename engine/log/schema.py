"""The tables of a log, by the format that brought them.

`events` has one second index, of the kinds that seldom come: a full one would cost a third of a
bulk append. What is sealed has the same in a table of its own.
"""

from typing import Any, Final

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

from engine.core.events import KINDS, RETIRED
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
# The same where a key was given: sealed as engine.log.keyring has it.
SECRET_BODIES: Final = Table(
    "secret_bodies",
    METADATA_2,
    Column("digest", LargeBinary, primary_key=True),  # of the plain body
    Column("size", Integer, nullable=False),  # likewise
    Column("key_id", LargeBinary, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("crc", Integer, nullable=False),  # of all before it
    sqlite_strict=True,
)
# Bodies that were named again while they were there, at or before the event `seq`.
RENEWED_BODIES: Final = Table(
    "renewed_bodies",
    METADATA_2,
    Column("digest", LargeBinary, primary_key=True),
    Column("seq", Integer, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
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
# Probes, messages, outcomes, timers: whoever looks for one of these reads the log. Frozen with the
# format, as the codes are.
PASSING: Final = (4, 5, 6, 7, 8, 9, 11, 23, 123, 124, 136)
# A list behind NOT IN is made anew for every row that is inserted, and costs more than the row.
SELDOM: Final = " AND ".join(f"kind <> {kind}" for kind in PASSING)
# The sealed events of those kinds.
SEALED_KINDS: Final = Table(
    "sealed_kinds",
    METADATA_2,
    Column("kind", Integer, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("subject", Text, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
# What was appended under which key, so that the same again appends nothing; no part of the chain.
APPEND_KEYS: Final = Table(
    "append_keys",
    METADATA_2,
    Column("first", Integer, primary_key=True),  # seqs of the first and the last event
    Column("last", Integer, nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("content", LargeBinary, nullable=False),  # SHA-256
    Column("at_us", Integer, nullable=False),  # of the last event
    sqlite_strict=True,
)
# Views that stay before the event `seq`, which the projection of this version could not apply.
PARKED_PROJECTIONS: Final = Table(
    "parked_projections",
    METADATA_2,
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_strict=True,
)
# Views that are folded again beside the live ones.
REBUILT_PROJECTIONS: Final = Table(
    "rebuilt_projections",
    METADATA_2,
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
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
        add_format_2(connection)
    connection.execute(text(_VIEW))
    connection.execute(insert(META).values(id=1, writer_epoch=0, created_release=release))


def add_format_2(connection: Connection) -> None:
    """Create what format 2 has beyond format 1; the caller holds the transaction."""
    METADATA_2.create_all(connection, checkfirst=False)
    connection.execute(text(f"CREATE INDEX events_by_kind ON events (kind, seq) WHERE {SELDOM}"))


def name_kinds(cursor: Any) -> None:
    """Store the names of all kinds that this release knows, for the view `log`.

    What is not written any more has the name of its time, for the view shows what is stored.

    Args:
        cursor: The driver's, in a transaction of the caller's.
    """
    known = {kind for (kind,) in cursor.execute("SELECT kind FROM kinds")}
    named = {code: kind.__name__ for code, kind in KINDS.items()}
    named.update((code, before.name) for code, before in RETIRED.items())
    new = [(code, name) for code, name in named.items() if code not in known]
    if new:
        cursor.executemany("INSERT INTO kinds (kind, name) VALUES (?, ?)", new)
