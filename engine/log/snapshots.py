"""Stored folds of the state: caches, by the position that they are folds up to.

Rule 1: a snapshot of another fold version, or one whose bytes are not those of its digest, is
never believed; who asks is told so, and the next older one is taken.
Rule 2: to delete all of them changes no result.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fold as it lies in the log."""

    seq: int  # of the last event in it
    fold_version: int
    policy_digest: str
    digest: str  # SHA-256 of the state's canonical bytes, in hex
    data: bytes  # those bytes, compressed


def pack(seq: int, state: bytes, *, fold_version: int, policy_digest: str) -> Snapshot:
    """Return the snapshot of a state given by its canonical bytes."""
    return Snapshot(
        seq=seq,
        fold_version=fold_version,
        policy_digest=policy_digest,
        digest=hashlib.sha256(state).hexdigest(),
        data=zlib.compress(state, 3),
    )


def unpack(snapshot: Snapshot) -> bytes:
    """Return the canonical bytes of the state.

    Raises:
        ValueError: They are not those that were stored.
    """
    try:
        state = zlib.decompress(snapshot.data)
    except zlib.error as err:
        raise ValueError(f"the snapshot at {snapshot.seq} is damaged: {err}") from err
    if hashlib.sha256(state).hexdigest() != snapshot.digest:
        raise ValueError(f"the snapshot at {snapshot.seq} has another digest")
    return state


def spare(seqs: Iterable[int], *, each: int) -> list[int]:
    """Return which of the snapshots at `seqs` may go: all but one in each span of `each` events.

    The newest is always kept.
    """
    kept: dict[int, int] = {}
    ordered = sorted(seqs)
    for seq in ordered:
        kept.setdefault(seq // each, seq)
    keep = {*kept.values(), *ordered[-1:]}
    return [seq for seq in ordered if seq not in keep]


class Snapshots(Protocol):
    """The snapshots of one log."""

    def store(self, snapshot: Snapshot) -> None:
        """Store it; one of the same position is replaced."""

    def newest(self, until: int) -> Snapshot | None:
        """Return the newest of a position up to `until`, whatever it is worth; None: none is."""

    def seqs(self) -> list[int]:
        """Return the positions of all, ascending."""

    def drop(self, seqs: Iterable[int]) -> None:
        """Delete those of these positions."""


# Digests as bytes: those that are damaged may be no text, and that must stop nobody.
_NEWEST: Final = """
SELECT seq, fold_version, CAST(policy_digest AS BLOB), CAST(digest AS BLOB), data
FROM snapshots WHERE seq <= ? ORDER BY seq DESC LIMIT 1
"""
_SEQS: Final = "SELECT seq FROM snapshots ORDER BY seq"
_STORE: Final = "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?)"
_DROP: Final = "DELETE FROM snapshots WHERE seq = ?"


class SnapshotTable:
    """Those in the file of a log; a log of format 1 has none, and none is kept there."""

    def __init__(
        self,
        fetch: Callable[[str, Sequence[object]], list[Any]],
        change: Callable[[str, Sequence[Sequence[object]]], None],
    ) -> None:
        self.is_there = False
        self._fetch: Final = fetch
        self._change: Final = change

    def store(self, snapshot: Snapshot) -> None:
        """Store it; one of the same position is replaced."""
        if self.is_there:
            self._change(_STORE, [msgspec.structs.astuple(snapshot)])

    def newest(self, until: int) -> Snapshot | None:
        """Return the newest of a position up to `until`, whatever it is worth."""
        for seq, version, policy, digest, data in self._read(_NEWEST, (until,)):
            return Snapshot(
                seq=seq,
                fold_version=version,
                policy_digest=policy.decode(errors="replace"),
                digest=digest.decode(errors="replace"),
                data=data,
            )
        return None

    def seqs(self) -> list[int]:
        """Return the positions of all, ascending."""
        return [seq for (seq,) in self._read(_SEQS, ())]

    def drop(self, seqs: Iterable[int]) -> None:
        """Delete those of these positions."""
        going = [(seq,) for seq in seqs]
        if going and self.is_there:
            self._change(_DROP, going)

    def _read(self, statement: str, arguments: Sequence[object]) -> list[Any]:
        return self._fetch(statement, arguments) if self.is_there else []


class SnapshotShelf:
    """Those of a log in memory."""

    def __init__(self, held: dict[int, Snapshot] | None = None) -> None:
        self._held: dict[int, Snapshot] = held or {}

    def copy(self) -> "SnapshotShelf":
        """Return what another process would find."""
        return SnapshotShelf(self._held.copy())

    def store(self, snapshot: Snapshot) -> None:
        """Store it; one of the same position is replaced."""
        self._held[snapshot.seq] = snapshot

    def newest(self, until: int) -> Snapshot | None:
        """Return the newest of a position up to `until`."""
        seqs = [seq for seq in self._held if seq <= until]
        return self._held[max(seqs)] if seqs else None

    def seqs(self) -> list[int]:
        """Return the positions of all, ascending."""
        return sorted(self._held)

    def drop(self, seqs: Iterable[int]) -> None:
        """Delete those of these positions."""
        for seq in seqs:
            self._held.pop(seq, None)
