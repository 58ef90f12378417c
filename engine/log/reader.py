"""What is asked of a log in an SQLite file; whoever writes it is in sqlite.py.

Reading goes through a connection of its own, which sees committed events only and holds its
transaction for one chunk, so no reader delays the writer or keeps it from checkpointing.
"""

import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any, Final

from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.core.lulls import Stretch
from engine.log.blocks import Block
from engine.log.bodies import BodyTables
from engine.log.chain import ChainFold
from engine.log.connection import Connection
from engine.log.keyring import Keyring
from engine.log.protocol import ANY, CHUNK_EVENTS, STRETCH_EVENTS, Head, Row, Seal, Size, StoredBody
from engine.log.reading import Reading
from engine.log.viewed import WithViews

_PAGES: Final = (
    "SELECT page_count, freelist_count, page_size "
    "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)
EPOCH: Final = "SELECT writer_epoch FROM meta"


def epoch_in(path: Path, rows: Sequence[tuple[object]]) -> int:
    """Return the epoch of the last writer, as EPOCH finds it in the log at `path`.

    Raises:
        LogError: It is not there: nobody could write the log any more.
    """
    stored = rows[0][0] if rows else None
    if not isinstance(stored, int):
        raise LogError(f"{path}: damaged: expected the epoch of its writer in the table meta")
    return stored


class SqliteReader(WithViews):
    """The part of `SqliteLog` that only reads; threads may share it."""

    def __init__(self, path: Path, keys: Keyring | None) -> None:
        """Begin with nothing open; bodies that are sealed with one of `keys` can be read."""
        self.path: Final = path
        self.format = 0
        self._reader: Connection | None = None
        self._reading: Reading | None = None
        self._bodies: Final = BodyTables(str(path), self._fetch, keys)
        self._chain: Final = ChainFold()
        self._chaining: Final = threading.Lock()

    @property
    def head(self) -> Head:
        """Return where the durable log ends."""
        raise NotImplementedError

    def _fetch(self, statement: str, arguments: Sequence[object]) -> list[Any]:
        return self._connection().fetch(statement, arguments)

    def _connection(self) -> Connection:
        if self._reader is None:
            raise LogError(f"{self.path} is closed")
        return self._reader

    def _events(self) -> Reading:
        if self._reading is None:
            raise LogError(f"{self.path} is closed")
        return self._reading

    def read(
        self, after: int = 0, until: int | None = None, *, chunk: int = CHUNK_EVENTS
    ) -> Iterator[Recorded]:
        """Return the events with `after` < seq <= `until` (None: the head at this call)."""
        until = self.head.seq if until is None else until
        return itertools.chain.from_iterable(self._events().events(after, until, chunk))

    def stretches(self, after: int = 0, until: int | None = None) -> Iterator[Stretch]:
        """Return the same events as columns."""
        until = self.head.seq if until is None else until
        return self._events().stretches(after, until, STRETCH_EVENTS)

    def rows(
        self, after: int = 0, until: int | None = None, *, chunk: int = CHUNK_EVENTS
    ) -> Iterator[Row]:
        """Return the same events as they are stored."""
        until = self.head.seq if until is None else until
        return itertools.chain.from_iterable(self._events().rows(after, until, chunk))

    def blocks(
        self, after: int = 0, until: int | None = None, *, having: Set[int] = ANY
    ) -> Iterator[Block]:
        """Return the sealed blocks that hold events of that range, in order."""
        until = self.head.seq if until is None else until
        return self._events().blocks(after, until, having=having)

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
        return self._events().seqs_of(
            frozenset(kinds),
            after,
            self.head.seq if until is None else until,
            subject=subject,
            newest_first=newest_first,
        )

    def writer_epoch(self) -> int:
        """Return the epoch of the last writer.

        Raises:
            LogError: It is not there: nobody could write the log any more.
        """
        return epoch_in(self.path, self._fetch(EPOCH, ()))

    def body(self, digest: bytes) -> bytes | None:
        """Return the body or blob of this SHA-256 digest; None if it is not (or no longer) kept."""
        return self._bodies.body(digest)

    def stored_bodies(self) -> Iterator[StoredBody]:
        """Return every stored body, each looked at once."""
        return self._bodies.stored()

    def removable(self, digests: Iterable[bytes], *, upto: int) -> dict[bytes, int]:
        """Return the sizes of those that are stored, and were not named again after `upto`."""
        return self._bodies.removable(digests, upto=upto)

    def keys_lacking(self, digests: Iterable[bytes]) -> set[bytes]:
        """Return the ids of the keys that these bodies are sealed with and that are not given."""
        return self._bodies.keys_lacking(digests)

    def chain_head(self) -> bytes:
        """Return the digest of everything in the log (32 bytes); only what is new is read."""
        with self._chaining:
            for block in self.blocks(self._chain.seq):
                if block.last > self._chain.seq:
                    self._chain.skip(block.last, block.chain)
            self._chain.feed(self.rows(self._chain.seq))
            return self._chain.head

    def seals(self) -> list[Seal]:
        """Return where the sealed blocks end, in order."""
        return self._events().seals()

    @property
    def may_seal(self) -> bool:
        """Return whether this log's format has sealed blocks and snapshots."""
        return self.format > 1

    def sealed_until(self, at_us: int) -> int:
        """Return the seq that the last block ends with whose events are no later; 0: none is."""
        return self._events().sealed_until(at_us)

    def block_sizes(self, after: int) -> Iterator[tuple[int, int]]:
        """Return of each sealed block after the seq `after` where it ends and what it takes."""
        return self._events().block_sizes(after)

    def size(self) -> Size:
        """Return what the log takes."""
        ((pages, free, each),) = self._fetch(_PAGES, ())
        return Size(file=pages * each, used=(pages - free) * each)
