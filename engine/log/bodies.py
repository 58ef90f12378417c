"""Bodies of messages and blobs of state, by SHA-256 digest: plain, or sealed where a key is given.

Rules:
- A body is stored with the append that names it, and deleted with the one that removes it
  (`BodiesRemoved`), in one transaction each. So there is no moment at which an event says that a
  body is gone and it is there, or the other way round, whatever crashes.
- Whoever is named later counts: what an append removes and then accepts again stays.
- A body that is there already stays as it is; but a sealed one takes the place of a plain one, and
  of one whose key is not given, which nobody here could read.
- A body that was named again while it was there is remembered with the place of that (`renewed`),
  so that it is not deleted for the age of an earlier use.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from engine.core.errors import LogError
from engine.core.events import (
    KINDS,
    BodiesRemoved,
    MessageAccepted,
    MessageAcked,
    Recorded,
    StateKept,
)
from engine.log.erasing import pieces
from engine.log.inserting import ROWS_MAX, Insertion
from engine.log.keyring import KeyMissing, Keyring, Sealed, crc_of
from engine.log.protocol import Row, StoredBody

_REMOVED: Final = next(code for code, kind in KINDS.items() if kind is BodiesRemoved)
_KIND: Final = itemgetter(2)
# What costs no page more to be written is overwritten always: little is left to be searched for.
OVERWRITES_SOME: Final = "PRAGMA secure_delete = FAST"
_READ: Final = 16  # bodies read at once; each may be large
_SMALL_BYTES: Final = 4_096  # bodies that are no larger are stored by few statements

_BODIES: Final = Insertion("INSERT OR IGNORE INTO bodies", columns=3)
_DELETE: Final = "DELETE FROM bodies WHERE digest = ?"
_PLAIN: Final = "SELECT digest, size, body FROM bodies WHERE digest = ?"
_SEALED: Final = "SELECT * FROM secret_bodies WHERE digest = ?"
_DELETE_SEALED: Final = "DELETE FROM secret_bodies WHERE digest = ?"
_SEALED_BODIES: Final = Insertion("INSERT OR IGNORE INTO secret_bodies", columns=6)
_RESEAL: Final = """
INSERT INTO secret_bodies VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE
SET size = excluded.size, key_id = excluded.key_id, nonce = excluded.nonce, body = excluded.body,
    crc = excluded.crc
WHERE key_id NOT IN ({known})
"""
_RENEW: Final = "INSERT OR REPLACE INTO renewed_bodies VALUES (?, ?)"
_FORGET: Final = "DELETE FROM renewed_bodies WHERE digest = ?"
_RENEWED: Final = "SELECT seq FROM renewed_bodies WHERE digest = ?"
_ANY_PLAIN: Final = "SELECT 1 FROM bodies LIMIT 1"
_ANY_SEALED: Final = "SELECT 1 FROM secret_bodies LIMIT 1"
_NEXT: Final = "SELECT rowid, * FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?"

Fetch = Callable[[str, Sequence[object]], list[Any]]


def removals(
    rows: Sequence[Row], events: Sequence[Recorded], bodies: Mapping[bytes, bytes]
) -> tuple[list[bytes], bool, Mapping[bytes, bytes]]:
    """Return what an append removes, whether somebody asked for it, and what it stores after that.

    What it names and then removes is not stored at all.
    """
    if _REMOVED not in map(_KIND, rows):
        return [], False, bodies
    removed: dict[bytes, None] = {}
    void: set[bytes] = set()
    is_asked = False
    for recorded in events:
        event = recorded.event
        match event:
            case BodiesRemoved():
                removed.update(dict.fromkeys(event.digests))
                void.update(event.digests)
                is_asked = is_asked or event.author != ""
            case MessageAccepted() | StateKept():
                void.discard(event.digest)
            case MessageAcked():
                void.difference_update(digest for _, _, digest in event.keeps)
            case _:
                pass
    stay = {digest: body for digest, body in bodies.items() if digest not in void}
    return list(removed), is_asked, stay


class BodyTables:
    """The bodies in the file of a log; whoever changes them holds the transaction."""

    def __init__(self, name: str, fetch: Fetch, keys: Keyring | None) -> None:
        """`name` is what messages call the log; `fetch` reads it."""
        self.is_whole = False  # whether its format has more than the table of plain ones
        # Of the kind that whoever writes adds none to: so nothing is there, or will be.
        self._has_plain = self._has_sealed = True
        self._name: Final = name
        self._fetch: Final = fetch
        self._keys: Final = keys
        known = sorted(keys.ids) if keys is not None else []
        # Ids are bytes of ours, not words of anybody.
        self._reseal: Final = _RESEAL.format(known=", ".join(f"x'{each.hex()}'" for each in known))

    def check(self, *, version: int) -> None:
        """Look at what is there, for a writer.

        Raises:
            LogError: Keys are given, and the format has no place for what they seal.
        """
        self._has_plain = bool(self._fetch(_ANY_PLAIN, ()))
        self._has_sealed = self.is_whole and bool(self._fetch(_ANY_SEALED, ()))
        if self._keys is not None and not self.is_whole:
            raise LogError(
                f"{self._name} has format {version}, which has no place for sealed bodies: "
                "tanist upgrade it first, or leave out log.bodies_key"
            )

    def to_store(self, bodies: Mapping[bytes, bytes]) -> Sequence[tuple[object, ...]]:
        """Return the rows to store; sealing is done before the transaction."""
        for digest, body in bodies.items():
            assert hashlib.sha256(body).digest() == digest
        if self._keys is not None:
            return [self._keys.seal(digest, body) for digest, body in bodies.items()]
        return [(digest, len(body), body) for digest, body in bodies.items()]

    def store(self, cursor: Any, rows: Sequence[tuple[object, ...]], *, seq: int) -> None:
        """Store the rows that `to_store` gave; `seq` is that of the last event of the append."""
        is_small = all(isinstance(row[1], int) and row[1] <= _SMALL_BYTES for row in rows)
        together = ROWS_MAX if is_small else 1
        if self._keys is None:
            is_new = _BODIES.put(cursor, rows, together_max=together) == len(rows)
            is_new = is_new and not self._has_sealed
        else:
            count = _SEALED_BODIES.put(cursor, rows, together_max=together)
            if count < len(rows):
                cursor.executemany(self._reseal, rows)
            if self._has_plain:
                with _overwriting(cursor):
                    count -= cursor.executemany(_DELETE, [row[:1] for row in rows]).rowcount
            is_new = count == len(rows)
        if not is_new and self.is_whole:
            # Which of them were there is not worth a look: of the others it says nothing new.
            cursor.executemany(_RENEW, [(row[0], seq) for row in rows])

    def remove(self, cursor: Any, digests: Iterable[bytes], *, is_asked: bool, seq: int) -> None:
        """Delete bodies, whatever they are stored as; their bytes are overwritten.

        What somebody asked for may go before its time. So the place of that, `seq`, is remembered:
        the time of an earlier use is not that of what is stored again later.
        """
        rows = [(digest,) for digest in digests]
        with _overwriting(cursor):
            cursor.executemany(_DELETE, rows)
            if self.is_whole:
                cursor.executemany(_DELETE_SEALED, rows)
                if is_asked:
                    cursor.executemany(_RENEW, [(digest, seq) for (digest,) in rows])
                else:
                    cursor.executemany(_FORGET, rows)

    def traces(self, cursor: Any, digests: Iterable[bytes]) -> list[bytes]:
        """Return what anything that is left of bodies would be found by; they are there yet."""
        found: list[bytes] = []
        for digest in digests:
            rows = cursor.execute(_PLAIN, (digest,)).fetchall()
            if self.is_whole:
                rows += cursor.execute(_SEALED, (digest,)).fetchall()
            for row in rows:
                found += pieces(digest, row[1], bytes(row[2]))
        return found

    def body(self, digest: bytes) -> bytes | None:
        """Return the body of this digest; None if it is not (or no longer) kept.

        Raises:
            LogError: It is damaged, or sealed with a key that is not given.
        """
        plain = self._fetch(_PLAIN, (digest,))
        if plain:
            body = bytes(plain[0][2])
            if hashlib.sha256(body).digest() != digest:
                raise LogError(f"{self._name}: the body {digest.hex()} has another digest")
            return body
        found = self._fetch(_SEALED, (digest,)) if self.is_whole else []
        if not found:
            return None
        try:
            opened = self._open(found[0])
        except KeyMissing as err:
            raise LogError(
                f"{self._name}: the body {digest.hex()} is sealed with the key {err}, which is "
                "not given: name it in log.bodies_key"
            ) from err
        if opened is None or hashlib.sha256(opened).digest() != digest:
            raise LogError(f"{self._name}: the sealed body {digest.hex()} is damaged")
        return opened

    def _open(self, stored: Sealed) -> bytes | None:
        if self._keys is None:
            raise KeyMissing(stored[2])
        return self._keys.open(stored)

    def keys_lacking(self, digests: Iterable[bytes]) -> set[bytes]:
        """Return the ids of the keys that these bodies are sealed with and that are not given."""
        known = self._keys.ids if self._keys is not None else frozenset()
        if not self.is_whole or not self._fetch(_ANY_SEALED, ()):
            return set()
        lacking: set[bytes] = set()
        for digest in digests:
            if self._fetch("SELECT 1 FROM bodies WHERE digest = ?", (digest,)):
                continue
            found = self._fetch("SELECT key_id FROM secret_bodies WHERE digest = ?", (digest,))
            lacking.update(named for (named,) in found if named not in known)
        return lacking

    def removable(self, digests: Iterable[bytes], *, upto: int) -> dict[bytes, int]:
        """Return the sizes of those that are stored, and were not named again after `upto`."""
        found = {}
        for digest in digests:
            sizes = self._fetch("SELECT size FROM bodies WHERE digest = ?", (digest,))
            if not sizes and self.is_whole:
                sizes = self._fetch("SELECT size FROM secret_bodies WHERE digest = ?", (digest,))
            renewed = self._fetch(_RENEWED, (digest,)) if self.is_whole and sizes else []
            if sizes and not (renewed and renewed[0][0] > upto):
                found[digest] = sizes[0][0]
        return found

    def stored(self) -> Iterator[StoredBody]:
        """Return every stored body, with what is wrong with it."""
        for row in self._rows("bodies"):
            yield checked(*row)
        if self.is_whole:
            for row in self._rows("secret_bodies"):
                yield self._checked_sealed(row)

    def _rows(self, table: str) -> Iterator[Any]:
        after = 0
        while found := self._fetch(_NEXT.format(table=table), (after, _READ)):
            for rowid, *row in found:
                yield tuple(row)
                after = rowid

    def _checked_sealed(self, row: Sealed) -> StoredBody:
        digest, size, *rest, crc = row
        problem, is_read = "", True
        if crc_of(digest, size, *rest) != crc:
            problem = "its bytes are not those that were stored (crc)"
        else:
            try:
                body = self._open(row)
            except KeyMissing:
                is_read = False
            else:
                if body is None:
                    problem = "it does not open with its key"
                else:
                    return checked(digest, size, body, is_sealed=True)
        return StoredBody(
            digest=digest, size=size, problem=problem, is_sealed=True, is_read=is_read
        )


@contextlib.contextmanager
def _overwriting(cursor: Any) -> Iterator[None]:
    """Let SQLite overwrite with zeros all that it deletes, for good.

    Not always: sealing deletes rows by the thousand, whose pages need not be written for it.
    """
    cursor.execute("PRAGMA secure_delete = ON").fetchall()
    try:
        yield
    finally:
        cursor.execute(OVERWRITES_SOME).fetchall()


def checked(digest: bytes, size: int, body: bytes, *, is_sealed: bool = False) -> StoredBody:
    """Return what there is to say of a body that could be read."""
    problem = ""
    if hashlib.sha256(body).digest() != digest:
        problem = "it has another digest"
    elif len(body) != size:
        problem = f"it has {len(body)} bytes, and is said to have {size}"
    return StoredBody(digest=digest, size=size, problem=problem, is_sealed=is_sealed, is_read=True)
