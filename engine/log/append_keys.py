"""Keys of appends: under each one thing was appended, once, and where it is.

Rule 1: a key is stored in the transaction that has its events, so both are there or neither.
Rule 2: keys are bounded, by their age in time of the log and by their number: who repeats an append
does so within days. Only keys go, never an event.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from engine.core.errors import CommandRefused, LogConflict, LogError
from engine.core.events import Recorded
from engine.core.terms import Keyed, check_key, content_of

DROPPED_MAX: Final = 10_000  # keys that go in one transaction: some ten milliseconds

KeyRow: TypeAlias = tuple[int, int, str, bytes, int]  # first, last, key, content, at_us of the last


class Appended(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the events of an append are."""

    first: int  # seqs of the first and the last one; 0 and 0 if there was none
    last: int
    is_new: bool = True  # False: an append before had stored them under this key


class AppendKeys(Protocol):
    """The keys of one log."""

    def find(self, key: str) -> Keyed | None:
        """Return what was appended under `key`; None if nothing was, or it was dropped.

        Raises:
            LogError: This log has no place for keys.
        """

    def drop(self, *, before_us: int, keep_max: int) -> bool:
        """Drop keys whose events are older than `before_us` [us], and all but the newest ones.

        So many in one transaction as hold nobody up; returns whether there may be more.
        """


class KeyTable:
    """Those in the file of a log; a log of format 1 has no place for any."""

    def __init__(
        self,
        fetch: Callable[[str, Sequence[object]], list[Any]],
        change: Callable[[str, Sequence[Sequence[object]]], None],
    ) -> None:
        self.refusal = ""  # why this log has no place for them; "": it has
        self._fetch: Final = fetch
        self._change: Final = change

    def find(self, key: str) -> Keyed | None:
        """Return what was appended under `key`; None if nothing was, or it was dropped."""
        self.check()
        for first, last, content in self._fetch(_FIND, (key,)):
            return Keyed(key=key, content=content, first=first, last=last)
        return None

    def check(self) -> None:
        """Raise LogError if this log has no place for keys."""
        if self.refusal:
            raise LogError(self.refusal)

    def drop(self, *, before_us: int, keep_max: int) -> bool:
        """Drop keys that are too old or too many; return whether there may be more."""
        if self.refusal:
            return False
        extent: list[tuple[int, int]] = self._fetch(_EXTENT, ())  # NULL if there are none
        ((count, oldest_us),) = extent
        if count == 0 or (count <= keep_max and oldest_us >= before_us):
            return False
        oldest: list[tuple[int, int]] = self._fetch(_OLDEST, (DROPPED_MAX,))
        stale = sum(at_us < before_us for _, at_us in oldest)
        going = min(max(stale, count - keep_max), DROPPED_MAX)
        self._change(_DROP, [(oldest[going - 1][0],)])
        return going == DROPPED_MAX


_FIND: Final = "SELECT first, last, content FROM append_keys WHERE key = ?"
_EXTENT: Final = (
    "SELECT count(*), (SELECT at_us FROM append_keys ORDER BY first LIMIT 1) FROM append_keys"
)
_OLDEST: Final = "SELECT first, at_us FROM append_keys ORDER BY first LIMIT ?"
_DROP: Final = "DELETE FROM append_keys WHERE first <= ?"
STORE_KEY: Final = "INSERT INTO append_keys VALUES (?, ?, ?, ?, ?)"


class KeyShelf:
    """Those of a log in memory."""

    def __init__(self, rows: Sequence[KeyRow] = ()) -> None:
        self._rows: Final[dict[str, KeyRow]] = {row[2]: row for row in rows}  # the oldest first

    def copy(self) -> "KeyShelf":
        """Return what another process would find."""
        return KeyShelf(tuple(self._rows.values()))

    def find(self, key: str) -> Keyed | None:
        """Return what was appended under `key`; None if nothing was, or it was dropped."""
        row = self._rows.get(key)
        return None if row is None else Keyed(first=row[0], last=row[1], key=key, content=row[3])

    def store(self, rows: Sequence[KeyRow]) -> None:
        """Store them, together with their events."""
        self._rows.update((row[2], row) for row in rows)

    def drop(self, *, before_us: int, keep_max: int) -> bool:
        """Drop keys that are too old or too many; return False: there are no more."""
        rows = list(self._rows.values())
        excess = len(rows) - keep_max
        for index, row in enumerate(rows):
            if index < excess or row[4] < before_us:
                del self._rows[row[2]]
        return False


def appended(events: Sequence[Recorded]) -> Appended:
    """Return where `events` are, now that they were appended."""
    if not events:
        return Appended(first=0, last=0)
    return Appended(first=events[0].seq, last=events[-1].seq)


def found_again(keys: AppendKeys, key: str, events: Sequence[Recorded]) -> Appended | None:
    """Return where these events were appended under `key`; None: nothing was, or it is "".

    Raises:
        LogConflict: Other events were.
        LogError: This log has no place for keys, or none for this one.
    """
    if not key:
        return None
    assert events, "a key is that of events"
    try:
        check_key(key)
    except CommandRefused as err:
        raise LogError(str(err)) from err
    found = keys.find(key)
    if found is None:
        return None
    if found.content != content_of((r.event, r.subject) for r in events):
        where = f"events {found.first} to {found.last}"
        raise LogConflict(f"the key {key!r}: expected what is in {where}, found other events")
    return Appended(first=found.first, last=found.last, is_new=False)


def rows_of(
    keys: AppendKeys, events: Sequence[Recorded], key: str, keyed: Sequence[Keyed]
) -> list[KeyRow]:
    """Return the rows to store with `events`: that of `key` if it is not "", or those of `keyed`.

    A key that came without events of its own, `found_again` has refused.

    Raises:
        LogConflict: One of `keyed` is there already.
        LogError: This log has no place for keys.
    """
    assert not (key and keyed)
    if key:
        content = content_of((r.event, r.subject) for r in events)
        keyed = (Keyed(key=key, content=content, first=events[0].seq, last=events[-1].seq),)
    rows = []
    for each in keyed:
        found = keys.find(each.key)
        if found is not None:
            raise LogConflict(f"the key {each.key!r} is taken, by event {found.first}")
        at_us = events[each.last - events[0].seq].at_us
        rows.append((each.first, each.last, each.key, each.content, at_us))
    return rows
