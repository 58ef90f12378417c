"""Reading the events of a log file: sealed blocks and hot rows as one sequence.

A chunk is read within one transaction of the database, so that a reader sees a block or its rows,
whatever a sealer does beside it.
"""

import heapq
from collections.abc import Iterator, Set
from typing import Final

from engine.core.events import Recorded
from engine.log.blocks import Block, Stored, may_have
from engine.log.chain import BLOCK_EVENTS
from engine.log.codec import crcs_of, decode_rows, stretch_of
from engine.log.connection import Connection
from engine.log.protocol import ANY, CHUNK_EVENTS, EventRow, Row, Seal
from engine.log.schema import PASSING, SELDOM
from engine.log.stretches import Columns

_ROWS: Final = (
    "SELECT seq, at_us, kind, subject, cause, payload, crc FROM events "
    "WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
)
_EVENTS: Final = _ROWS.replace(", crc", "")  # a seventh column would cost a tenth of a read
_BLOCK: Final = "SELECT * FROM blocks WHERE first > ? AND first <= ? ORDER BY first LIMIT 1"
# The same condition as that of the index, word for word, or SQLite would not take it.
_FOUND: Final = """
SELECT * FROM (
    SELECT seq FROM events INDEXED BY events_by_kind
    WHERE {seldom} AND kind = ?1 AND seq > ?2 AND seq <= ?3 {subject}
    ORDER BY seq {order} LIMIT {count}
) UNION ALL SELECT * FROM (
    SELECT seq FROM sealed_kinds WHERE kind = ?1 AND seq > ?2 AND seq <= ?3 {subject}
    ORDER BY seq {order} LIMIT {count}
) ORDER BY seq {order} LIMIT {count}
"""
FOUND_EVENTS: Final = 100  # looked up at a time: who asks for the last one needs no more
SCANNED_EVENTS: Final = 1_000  # of the first look; each further one doubles
SCANNED_EVENTS_MAX: Final = 64_000
_SEALS: Final = "SELECT first, last_at_us, last_crc, chain FROM blocks ORDER BY first"
_ENDS: Final = "SELECT last_at_us FROM blocks WHERE first = ?"
_SIZES: Final = (
    "SELECT first + 999, length(columns) + length(payloads) FROM blocks WHERE first > ? "
    "ORDER BY first LIMIT ?"
)
_CRC: Final = (
    "SELECT last_crc FROM blocks WHERE first = ?1 - 1000 "
    "UNION ALL SELECT crc FROM events WHERE seq = ?1 - 1"
)


class Reading:
    """Reads what lies behind one connection."""

    def __init__(self, connection: Connection, *, has_blocks: bool) -> None:
        self._connection: Final = connection
        self._has_blocks: Final = has_blocks
        self._last: Block | None = None  # the block that was opened last
        self._last_rows: tuple[Block, list[Row]] | None = None
        self._hot_after = 0 if has_blocks else -1  # no event after this one was sealed when looked

    def events(self, after: int, until: int, chunk: int) -> Iterator[list[Recorded]]:
        """Return the events with `after` < seq <= `until`, in lists."""
        while after < until:
            found = self._next(_EVENTS, after, until, chunk)
            if isinstance(found, Block):
                places = found.places(after, until)
                if len(places) == 1:  # a thousand times as many need not be decoded for it
                    yield [found.event(places[0])]
                else:
                    yield found.events()[places.start : places.stop]
                after = found.last
            elif found:
                rows: list[EventRow] = found
                yield decode_rows(rows)
                after = rows[-1][0]
            else:
                return

    def stretches(self, after: int, until: int, chunk: int) -> Iterator[Columns]:
        """Return the same as columns."""
        while after < until:
            found = self._next(_EVENTS, after, until, chunk)
            if isinstance(found, Block):
                places = found.places(after, until)
                if len(places) == len(found.seqs):
                    yield found.stretch()
                elif places:
                    yield stretch_of(found.rows()[places.start : places.stop])
                after = found.last
            elif found:
                yield stretch_of(found)
                after = found[-1][0]
            else:
                return

    def rows(self, after: int, until: int, chunk: int) -> Iterator[list[Row]]:
        """Return the same events as they are stored; the crcs of sealed ones are computed.

        Those of a thinned block cannot be, and are 0.
        """
        while after < until:
            found = self._next(_ROWS, after, until, chunk)
            if isinstance(found, Block):
                rows, places = self._rows_of(found), found.places(after, until)
                for at in range(places.start, places.stop, chunk):
                    yield rows[at : min(at + chunk, places.stop)]
                after = found.last
            elif found:
                yield found
                after = found[-1][0]
            else:
                return

    def blocks(self, after: int, until: int, *, having: Set[int] = ANY) -> Iterator[Block]:
        """Return the sealed blocks that hold events of that range, in order."""
        while self._has_blocks and after < until:
            stored: list[Stored] = self._connection.fetch(_BLOCK, (after + 1 - BLOCK_EVENTS, until))
            if not stored:
                return
            if may_have(stored[0], having):
                yield Block(stored[0])
            after = stored[0][0] + BLOCK_EVENTS - 1

    def seals(self) -> list[Seal]:
        """Return where the sealed blocks end, in order."""
        if not self._has_blocks:
            return []
        return [
            Seal(seq=first + BLOCK_EVENTS - 1, at_us=at_us, crc=crc, chain=chain)
            for first, at_us, crc, chain in self._connection.fetch(_SEALS)
        ]

    def sealed_until(self, at_us: int) -> int:
        """Return the seq that the last block ends with whose events are no later; 0: none is."""
        if not self._has_blocks:
            return 0
        ((first, last),) = self._connection.fetch("SELECT min(first), max(first) FROM blocks")
        if first is None:
            return 0
        low, high = first // BLOCK_EVENTS, last // BLOCK_EVENTS + 1
        while low < high:  # the first block that ends later, or the one after all
            middle = (low + high) // 2
            ((found_us,),) = self._connection.fetch(_ENDS, (middle * BLOCK_EVENTS + 1,))
            if found_us <= at_us:
                low = middle + 1
            else:
                high = middle
        return low * BLOCK_EVENTS if low > first // BLOCK_EVENTS else 0

    def block_sizes(self, after: int) -> Iterator[tuple[int, int]]:
        """Return of each sealed block after the seq `after` where it ends and what it takes."""
        while self._has_blocks:
            found = self._connection.fetch(_SIZES, (after, FOUND_EVENTS))
            yield from found
            if not found:
                return
            after = found[-1][0]

    def seqs_of(
        self, kinds: frozenset[int], after: int, until: int, *, subject: str, newest_first: bool
    ) -> Iterator[int]:
        """Return the seqs of the events of these kinds, and about `subject` if one is given."""
        if not self._has_blocks or not kinds.isdisjoint(PASSING):
            yield from self._scanned(kinds, after, until, subject, newest_first=newest_first)
            return
        each = (
            self._of_kind(kind, after, until, subject, newest_first=newest_first)
            for kind in sorted(kinds)
        )
        yield from heapq.merge(*each, reverse=newest_first)

    def _of_kind(
        self, kind: int, after: int, until: int, subject: str, *, newest_first: bool
    ) -> Iterator[int]:
        statement = _FOUND.format(
            seldom=SELDOM,
            subject="AND subject = ?4" if subject else "",
            order="DESC" if newest_first else "ASC",
            count=FOUND_EVENTS,
        )
        while after < until:
            arguments = (kind, after, until, subject) if subject else (kind, after, until)
            found = self._connection.fetch(statement, arguments)
            for (seq,) in found:
                yield seq
            if len(found) < FOUND_EVENTS:
                return
            if newest_first:
                until = found[-1][0] - 1
            else:
                after = found[-1][0]

    def _scanned(
        self, kinds: frozenset[int], after: int, until: int, subject: str, *, newest_first: bool
    ) -> Iterator[int]:
        """Read the log for them, in windows that grow: most are near where one begins to look."""
        window = SCANNED_EVENTS
        while after < until:
            low = max(after, until - window) if newest_first else after
            high = until if newest_first else min(until, after + window)
            found = [
                row[0]
                for rows in self.rows(low, high, CHUNK_EVENTS)
                for row in rows
                if row[2] in kinds and subject in ("", row[3])
            ]
            yield from reversed(found) if newest_first else found
            if newest_first:
                until = low
            else:
                after = high
            window = min(2 * window, SCANNED_EVENTS_MAX)

    def _next(self, statement: str, after: int, until: int, chunk: int) -> Block | list:  # type: ignore[type-arg]
        """Return what begins after `after`: a block, rows, or [] if nothing does."""
        if not self._has_blocks:
            return self._connection.fetch(statement, (after, until, chunk))
        if after >= self._hot_after:
            rows = self._connection.fetch(statement, (after, until, chunk))
            if rows and rows[0][0] == after + 1:
                return rows
        with self._connection.snapshot():
            stored = self._connection.fetch(_BLOCK, (after + 1 - BLOCK_EVENTS, until))
            if stored and after >= self._hot_after:
                # Up to there the rows need not be tried first, which are those of the end.
                ((last,),) = self._connection.fetch("SELECT max(first) FROM blocks")
                self._hot_after = last + BLOCK_EVENTS - 1
            first = stored[0][0] if stored else until + 1
            rows = (
                []
                if first <= after + 1
                else self._connection.fetch(statement, (after, min(until, first - 1), chunk))
            )
        if rows:
            return rows
        if not stored:
            return []
        return self._opened(stored[0])

    def _opened(self, stored: Stored) -> Block:
        """Return the block; whoever reads event by event finds it as it was left."""
        block = self._last
        if block is None or block.stored != stored:
            block = self._last = Block(stored)
        return block

    def _rows_of(self, block: Block) -> list[Row]:
        last = self._last_rows
        if last is not None and last[0] is block:
            return last[1]
        rows: list[Row] = [(*row, 0) for row in block.rows()]
        if not block.is_thinned:
            found = self._connection.fetch(_CRC, (block.first,))
            crcs = crcs_of(rows, crc=found[0][0] if found else 0)
            rows = [(*row[:6], crc) for row, crc in zip(rows, crcs, strict=True)]
        self._last_rows = block, rows
        return rows
