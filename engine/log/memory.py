"""A log in memory: for tests and simulations, under the same contract as the one on disk."""

import enum
import hashlib
import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from engine.core.errors import LogError, LogUncertain
from engine.core.events import Recorded
from engine.core.lulls import Stretch
from engine.core.terms import Keyed
from engine.log.append_keys import Appended, KeyShelf, appended, found_again, rows_of
from engine.log.blocks import Block, Stored, may_have, seal_rows
from engine.log.bodies import checked, removals
from engine.log.chain import BLOCK_EVENTS, ZERO, ChainFold
from engine.log.codec import base_of, crcs_of, decode_rows, encode_rows, stretch_of
from engine.log.protocol import (
    AFTER_COMMIT,
    ANY,
    BEFORE_APPEND,
    BEFORE_COMMIT,
    CHUNK_EVENTS,
    NO_BODIES,
    STRETCH_EVENTS,
    Head,
    Hook,
    Row,
    Seal,
    Size,
    StoredBody,
)
from engine.log.shelf import MemoryShelf
from engine.log.snapshots import SnapshotShelf
from engine.log.viewed import WithViews
from engine.log.views import Views


class Failure(enum.Enum):
    """How an append fails when it is told to."""

    FAILED = "failed"  # LogError, and nothing is stored
    STORED = "stored"  # LogUncertain, and everything is stored
    LOST = "lost"  # LogUncertain, and nothing is stored


class MemoryLog(WithViews):
    """A log that lasts as long as its object, and what `copy` made of it."""

    def __init__(self) -> None:
        self.hook: Hook | None = None
        self._rows: list[Row] = []  # the hot ones; the sealed blocks go before them
        self._blocks: list[Stored] = []
        self._head = Head()
        self._bodies: dict[bytes, bytes] = {}
        self._renewed: dict[bytes, int] = {}  # named again while it was there: at or before [seq]
        self.shelf = MemoryShelf()
        self._views = Views(self, self.shelf)
        self._chain = ChainFold()
        self.snapshots = SnapshotShelf()
        self.append_keys = KeyShelf()
        self._failures: list[Failure] = []
        self._appending = threading.Lock()

    def fail_next(self, *failures: Failure) -> None:
        """Let the next appends fail so, one for each; those after them succeed again."""
        self._failures += failures

    def copy(self) -> "MemoryLog":
        """Return what another process would find: everything stored, and nothing else."""
        other = MemoryLog()
        with self._appending:
            other._rows = self._rows.copy()
            other._blocks = self._blocks.copy()
            other.snapshots = self.snapshots.copy()
            other.append_keys = self.append_keys.copy()
            other._head = self._head
            other._bodies = self._bodies.copy()
            other._renewed = self._renewed.copy()
            other.shelf = self.shelf.copy()
            other._views = Views(other, other.shelf)
        return other

    @property
    def head(self) -> Head:
        """Return where the log ends."""
        return self._head

    def read(
        self, after: int = 0, until: int | None = None, *, chunk: int = CHUNK_EVENTS
    ) -> Iterator[Recorded]:
        """Return the events with `after` < seq <= `until` (None: the head at this call)."""
        events = ([row[:6] for row in rows] for rows in self._chunks(after, until, chunk))
        return itertools.chain.from_iterable(map(decode_rows, events))

    def stretches(self, after: int = 0, until: int | None = None) -> Iterator[Stretch]:
        """Return the same events as columns."""
        for rows in self._chunks(after, until, STRETCH_EVENTS):
            yield stretch_of([row[:6] for row in rows])

    def rows(
        self, after: int = 0, until: int | None = None, *, chunk: int = CHUNK_EVENTS
    ) -> Iterator[Row]:
        """Return the same events as they are stored."""
        return itertools.chain.from_iterable(self._chunks(after, until, chunk))

    def blocks(
        self, after: int = 0, until: int | None = None, *, having: Set[int] = ANY
    ) -> Iterator[Block]:
        """Return the sealed blocks that hold events of that range, in order."""
        until = self._head.seq if until is None else until
        for stored in self._blocks:
            is_there = stored[0] <= until and stored[0] + BLOCK_EVENTS > after + 1
            if is_there and may_have(stored, having):
                yield Block(stored)

    def _chunks(self, after: int, until: int | None, chunk: int) -> Iterator[list[Row]]:
        assert chunk > 0
        until = self._head.seq if until is None else until
        for rows in self._pieces(after, until):
            found = [row for row in rows if after < row[0] <= until]
            for at in range(0, len(found), chunk):
                yield found[at : at + chunk]

    def _pieces(self, after: int, until: int) -> Iterator[list[Row]]:
        """Return all rows from those of a base on: block by block, then the hot ones."""
        based = [row for row in self._rows[:1] if row[0] % BLOCK_EVENTS == 0 and self._blocks]
        yield based
        crc = based[0][6] if based else 0
        for block in self.blocks(until=until):
            if block.last > after:
                rows: list[Row] = [(*row, 0) for row in block.rows()]
                if not block.is_thinned:
                    crcs = crcs_of(rows, crc=crc)
                    rows = [(*row[:6], each) for row, each in zip(rows, crcs, strict=True)]
                yield rows
            crc = block.last_crc
        yield self._rows[len(based) :]

    def seals(self) -> list[Seal]:
        """Return where the sealed blocks end, in order."""
        return [
            Seal(seq=first + BLOCK_EVENTS - 1, at_us=at_us, crc=crc, chain=chain)
            for first, at_us, crc, chain, _, _ in self._blocks
        ]

    @property
    def may_seal(self) -> bool:
        """Return True: it has them."""
        return True

    def seal(self, *, until: int | None = None, blocks_max: int = 1) -> int:
        """Return how many blocks were sealed: at most `blocks_max`, up to the seq `until`."""
        until = self._head.seq if until is None else until
        for sealed in range(blocks_max):
            with self._appending:
                base = base_of(self._rows[0]) if self._rows else None
                at = 0 if base is None else 1
                rows = self._rows[at : at + BLOCK_EVENTS + 1]
                if (
                    len(rows) <= BLOCK_EVENTS
                    or rows[-2][0] > until
                    or rows[0][0] % BLOCK_EVENTS != 1
                ):
                    return sealed
                chain = ZERO if base is None else base.chain
                crc = 0 if base is None else self._rows[0][6]
                if self._blocks:
                    chain, crc = self._blocks[-1][3], self._blocks[-1][2]
                self._blocks.append(seal_rows(rows[:BLOCK_EVENTS], chain=chain, crc=crc))
                del self._rows[at : at + BLOCK_EVENTS]
        return blocks_max

    def sealed_until(self, at_us: int) -> int:
        """Return the seq that the last block ends with whose events are no later; 0: none is."""
        return max((seal.seq for seal in self.seals() if seal.at_us <= at_us), default=0)

    def block_sizes(self, after: int) -> Iterator[tuple[int, int]]:
        """Return of each sealed block after the seq `after` where it ends and what it takes."""
        for first, *_, columns, payloads in self._blocks:
            if first > after:
                yield first + BLOCK_EVENTS - 1, len(columns) + len(payloads)

    def size(self) -> Size:
        """Return what the events take; there is nothing else."""
        rows = sum(len(row[5]) for row in self._rows)
        taken = rows + sum(stored for _, stored in self.block_sizes(0))
        return Size(file=taken, used=taken)

    def give_back(self, pages: int = 0) -> bool:
        """Return False: nothing is unused."""
        return False

    def thin(self, block: Stored) -> None:
        """Put a thinned block in the place of the whole one."""
        with self._appending:
            (index,) = (at for at, each in enumerate(self._blocks) if each[0] == block[0])
            self._blocks[index] = block

    def seqs_of(
        self,
        kinds: Iterable[int],
        after: int = 0,
        until: int | None = None,
        *,
        subject: str = "",
        newest_first: bool = False,
    ) -> Iterator[int]:
        """Return the seqs of the events of these kinds, and about `subject` if one is given."""
        wanted = frozenset(kinds)
        found = [
            row[0]
            for row in self.rows(after, until)
            if row[2] in wanted and subject in ("", row[3])
        ]
        return iter(reversed(found)) if newest_first else iter(found)

    def append(
        self,
        events: Sequence[Recorded],
        *,
        bodies: Mapping[bytes, bytes] = NO_BODIES,
        key: str = "",
        keyed: Sequence[Keyed] = (),
    ) -> Appended:
        """Store the events and the bodies; see `Log.append`."""
        with self._appending:
            found = found_again(self.append_keys, key, events)
            if found is not None:
                return found
            keys = rows_of(self.append_keys, events, key, keyed)
            crc = self._rows[-1][-1] if self._rows else 0
            rows = encode_rows(events, head=self._head, crc=crc)
            for digest, body in bodies.items():
                assert hashlib.sha256(body).digest() == digest
            removed, is_asked, bodies = removals(rows, events, bodies)
            self._pass(BEFORE_APPEND)
            failure = self._failures.pop(0) if self._failures else None
            if failure is Failure.FAILED:
                raise LogError("the append was told to fail")
            self._pass(BEFORE_COMMIT)
            if failure is not Failure.LOST:
                self._rows += rows
                seq = rows[-1][0] if rows else self._head.seq
                for digest in removed:
                    self._bodies.pop(digest, None)
                    self._renewed.pop(digest, None)
                self._renewed.update(dict.fromkeys(removed if is_asked else (), seq))
                again = self._bodies.keys() & bodies.keys()
                self._renewed.update(dict.fromkeys(again, seq))
                self._bodies.update(bodies)
                self.append_keys.store(keys)
                if rows:
                    self._head = Head(seq=rows[-1][0], at_us=rows[-1][1])
            if failure is not None:
                raise LogUncertain("the append was told to end in doubt")
            self._pass(AFTER_COMMIT)
        return appended(events)

    def _pass(self, failpoint: str) -> None:
        if self.hook is not None:
            self.hook(failpoint)

    def body(self, digest: bytes) -> bytes | None:
        """Return the body or blob of this SHA-256 digest; None if it is not kept."""
        return self._bodies.get(digest)

    def stored_bodies(self) -> Iterator[StoredBody]:
        """Return every stored body, each looked at once."""
        for digest, body in list(self._bodies.items()):
            yield checked(digest, len(body), body)

    def removable(self, digests: Iterable[bytes], *, upto: int) -> dict[bytes, int]:
        """Return the sizes of those that are stored, and were not named again after `upto`."""
        return {
            digest: len(self._bodies[digest])
            for digest in digests
            if digest in self._bodies and self._renewed.get(digest, 0) <= upto
        }

    def keys_lacking(self, digests: Iterable[bytes]) -> set[bytes]:
        """Return none: nothing is sealed."""
        return set()

    def erase(self) -> bool:
        """Return True: nothing is left."""
        return True

    def chain_head(self) -> bytes:
        """Return the digest of everything in the log (32 bytes)."""
        for block in self.blocks(self._chain.seq):
            if block.last > self._chain.seq:
                self._chain.skip(block.last, block.chain)
        self._chain.feed(self.rows(self._chain.seq))
        return self._chain.head

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
