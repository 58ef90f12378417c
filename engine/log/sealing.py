"""Sealing: the oldest thousand rows become a block, in one transaction.

A block is sealed only when an event after it exists, so the last row is always hot and says where
the log ends. Its rows are read and packed outside the transaction, for no event ever changes.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from engine.log.blocks import Block, Stored, seal_rows
from engine.log.chain import BLOCK_EVENTS, ZERO
from engine.log.codec import base_of
from engine.log.connection import Connection
from engine.log.protocol import EventRow, Row
from engine.log.schema import PASSING

_LAST_BLOCK: Final = "SELECT first, last_crc, chain FROM blocks ORDER BY first DESC LIMIT 1"
_ROWS: Final = "SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?"


Mark: TypeAlias = tuple[int, int, str]  # kind, seq and subject of an event that is looked for


def next_block(reader: Connection, *, until: int) -> tuple[Stored, list[Mark]] | None:
    """Return the next block that can be sealed, all of it at or before the seq `until`, or None.

    With it come the events that are found by their kind.

    Raises:
        LogCorrupted: A row is damaged.
    """
    begun = _begin(reader)
    if begun is None:
        return None
    after, crc, chain = begun
    if after + BLOCK_EVENTS > until:
        return None
    rows: list[Row] = reader.fetch(_ROWS, (after, BLOCK_EVENTS + 1))
    if len(rows) <= BLOCK_EVENTS:
        return None
    del rows[BLOCK_EVENTS:]
    return seal_rows(rows, chain=chain, crc=crc), marks(row[:6] for row in rows)


def _begin(reader: Connection) -> tuple[int, int, bytes] | None:
    """Return after which seq the next block begins, with the crc and the chain up to there."""
    last: list[tuple[int, int, bytes]] = reader.fetch(_LAST_BLOCK)
    if last:
        first, crc, chain = last[0]
        return first + BLOCK_EVENTS - 1, crc, chain
    rows: list[Row] = reader.fetch(_ROWS, (0, 1))
    if not rows:
        return None
    base = base_of(rows[0])
    if base is None:
        return (0, 0, ZERO) if rows[0][0] == 1 else None
    # A log that goes on from a base is sealed only if its blocks begin where all blocks do.
    return (base.seq, rows[0][6], base.chain) if base.seq % BLOCK_EVENTS == 0 else None


def store(cursor: Any, block: Stored, found: list[Mark]) -> None:
    """Put `block` in the place of its rows; the caller holds the transaction."""
    first = block[0]
    deleted = cursor.execute(
        "DELETE FROM events WHERE seq BETWEEN ? AND ?", (first, first + BLOCK_EVENTS - 1)
    )
    assert deleted.rowcount == BLOCK_EVENTS
    cursor.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?)", block)
    cursor.executemany("INSERT INTO sealed_kinds VALUES (?, ?, ?)", found)


def store_thinned(cursor: Any, block: Stored) -> None:
    """Put a thinned block in the place of the whole one; the caller holds the transaction."""
    opened = Block(block)
    cursor.execute("DELETE FROM blocks WHERE first = ?", (opened.first,))
    cursor.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?)", block)
    between = (opened.first, opened.last)
    cursor.execute("DELETE FROM sealed_kinds WHERE seq BETWEEN ? AND ?", between)
    cursor.executemany("INSERT INTO sealed_kinds VALUES (?, ?, ?)", marks(opened.rows()))


def marks(rows: Iterable[EventRow]) -> list[Mark]:
    """Return those of these events that are looked for by their kind."""
    return [(kind, seq, subject) for seq, _, kind, subject, *_ in rows if kind not in PASSING]
