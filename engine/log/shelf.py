"""Where the views of projections lie: the live one, one that is being rebuilt, why one is parked.

Rule: whatever belongs together (a view and its position, a view and that it is parked, a swap) is
stored in one transaction, all of it or nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

import msgspec


class StoredView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A view as it lies in the log."""

    version: int
    position: int
    data: bytes


class Parked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why a view is not folded on."""

    version: int  # of the projection that could not do it; another one is free to try
    seq: int  # of the event that it stopped before
    reason: str  # one line


class Shelf(Protocol):
    """The views of one log, by name; what is stored is durable on return."""

    def load(self, name: str) -> StoredView | None:
        """Return the live view; None if there is none."""

    def place(self, name: str) -> tuple[int, int] | None:
        """Return the version and the position of the live view without reading it; None: none."""

    def store(self, name: str, stored: StoredView) -> None:
        """Store it as the live view, which is not parked any more."""

    def load_parked(self, name: str) -> Parked | None:
        """Return why the live view is parked; None if it is not."""

    def park(self, name: str, parked: Parked, stored: StoredView | None) -> None:
        """Store the live view (None: leave what is stored) and that it is parked."""

    def free(self, name: str) -> None:
        """Forget that the live view is parked."""

    def load_rebuild(self, name: str) -> StoredView | None:
        """Return how far a rebuild has come; None if there is none under way."""

    def store_rebuild(self, name: str, stored: StoredView) -> None:
        """Store how far a rebuild has come; the live view stays as it is."""

    def drop_rebuild(self, name: str) -> None:
        """Forget the rebuild that is under way."""

    def swap(self, name: str, stored: StoredView) -> None:
        """Store the live view, not parked, and forget the rebuild: it is done."""


class MemoryShelf:
    """The views of a log in memory."""

    def __init__(self) -> None:
        self._live: dict[str, StoredView] = {}
        self._parked: dict[str, Parked] = {}
        self._rebuilds: dict[str, StoredView] = {}

    def copy(self) -> "MemoryShelf":
        """Return what another process would find."""
        other = MemoryShelf()
        other._live = self._live.copy()
        other._parked = self._parked.copy()
        other._rebuilds = self._rebuilds.copy()
        return other

    def load(self, name: str) -> StoredView | None:
        """Return the live view; None if there is none."""
        return self._live.get(name)

    def place(self, name: str) -> tuple[int, int] | None:
        """Return the version and the position of the live view without reading it; None: none."""
        stored = self.load(name)
        return None if stored is None else (stored.version, stored.position)

    def store(self, name: str, stored: StoredView) -> None:
        """Store it as the live view, which is not parked any more."""
        self._live[name] = stored
        self.free(name)

    def load_parked(self, name: str) -> Parked | None:
        """Return why the live view is parked; None if it is not."""
        return self._parked.get(name)

    def park(self, name: str, parked: Parked, stored: StoredView | None) -> None:
        """Store the live view (None: leave what is stored) and that it is parked."""
        if stored is not None:
            self._live[name] = stored
        self._parked[name] = parked

    def free(self, name: str) -> None:
        """Forget that the live view is parked."""
        self._parked.pop(name, None)

    def load_rebuild(self, name: str) -> StoredView | None:
        """Return how far a rebuild has come; None if there is none under way."""
        return self._rebuilds.get(name)

    def store_rebuild(self, name: str, stored: StoredView) -> None:
        """Store how far a rebuild has come; the live view stays as it is."""
        self._rebuilds[name] = stored

    def drop_rebuild(self, name: str) -> None:
        """Forget the rebuild that is under way."""
        self._rebuilds.pop(name, None)

    def swap(self, name: str, stored: StoredView) -> None:
        """Store the live view, not parked, and forget the rebuild: it is done."""
        self.store(name, stored)
        self.drop_rebuild(name)


Change: TypeAlias = tuple[str, Sequence[Sequence[object]]]  # a statement and its arguments

_LOAD: Final = "SELECT version, position, data FROM projections WHERE name = ?"
_PLACE: Final = "SELECT version, position FROM projections WHERE name = ?"
_STORE: Final = "INSERT OR REPLACE INTO projections VALUES (?, ?, ?, ?)"
_LOAD_PARKED: Final = "SELECT version, seq, reason FROM parked_projections WHERE name = ?"
_PARK: Final = "INSERT OR REPLACE INTO parked_projections VALUES (?, ?, ?, ?)"
_FREE: Final = "DELETE FROM parked_projections WHERE name = ?"
_LOAD_REBUILD: Final = "SELECT version, position, data FROM rebuilt_projections WHERE name = ?"
_STORE_REBUILD: Final = "INSERT OR REPLACE INTO rebuilt_projections VALUES (?, ?, ?, ?)"
_DROP_REBUILD: Final = "DELETE FROM rebuilt_projections WHERE name = ?"


class TableShelf:
    """The views in the file of a log.

    A log of format 1 has a place for live views only; the rest is kept as long as this object.
    """

    def __init__(
        self,
        fetch: Callable[[str, Sequence[object]], list[Any]],
        change: Callable[[Sequence[Change]], None],
    ) -> None:
        """`change` makes all changes in one transaction."""
        self.is_whole = False  # whether the log has a place for the rest
        self._fetch: Final = fetch
        self._change: Final = change
        self._beside: Final = MemoryShelf()

    def load(self, name: str) -> StoredView | None:
        """Return the live view; None if there is none."""
        return self._view(_LOAD, name)

    def place(self, name: str) -> tuple[int, int] | None:
        """Return the version and the position of the live view without reading it; None: none."""
        for version, position in self._fetch(_PLACE, (name,)):
            return version, position
        return None

    def store(self, name: str, stored: StoredView) -> None:
        """Store it as the live view, which is not parked any more."""
        change = _STORE, [(name, *msgspec.structs.astuple(stored))]
        if self.is_whole:
            self._change([change, (_FREE, [(name,)])])
        else:
            self._change([change])
            self._beside.free(name)

    def load_parked(self, name: str) -> Parked | None:
        """Return why the live view is parked; None if it is not."""
        if not self.is_whole:
            return self._beside.load_parked(name)
        for version, seq, reason in self._fetch(_LOAD_PARKED, (name,)):
            return Parked(version=version, seq=seq, reason=reason)
        return None

    def park(self, name: str, parked: Parked, stored: StoredView | None) -> None:
        """Store the live view (None: leave what is stored) and that it is parked."""
        changes: list[Change] = []
        if stored is not None:
            changes.append((_STORE, [(name, *msgspec.structs.astuple(stored))]))
        if self.is_whole:
            changes.append((_PARK, [(name, *msgspec.structs.astuple(parked))]))
        if changes:
            self._change(changes)
        if not self.is_whole:
            self._beside.park(name, parked, None)

    def free(self, name: str) -> None:
        """Forget that the live view is parked."""
        if self.is_whole:
            self._change([(_FREE, [(name,)])])
        else:
            self._beside.free(name)

    def load_rebuild(self, name: str) -> StoredView | None:
        """Return how far a rebuild has come; None if there is none under way."""
        if not self.is_whole:
            return self._beside.load_rebuild(name)
        return self._view(_LOAD_REBUILD, name)

    def store_rebuild(self, name: str, stored: StoredView) -> None:
        """Store how far a rebuild has come; the live view stays as it is."""
        if self.is_whole:
            self._change([(_STORE_REBUILD, [(name, *msgspec.structs.astuple(stored))])])
        else:
            self._beside.store_rebuild(name, stored)

    def drop_rebuild(self, name: str) -> None:
        """Forget the rebuild that is under way."""
        if self.is_whole:
            self._change([(_DROP_REBUILD, [(name,)])])
        else:
            self._beside.drop_rebuild(name)

    def swap(self, name: str, stored: StoredView) -> None:
        """Store the live view, not parked, and forget the rebuild: it is done."""
        change = _STORE, [(name, *msgspec.structs.astuple(stored))]
        if self.is_whole:
            self._change([change, (_FREE, [(name,)]), (_DROP_REBUILD, [(name,)])])
        else:
            self._change([change])
            self._beside.swap(name, stored)

    def _view(self, statement: str, name: str) -> StoredView | None:
        for version, position, data in self._fetch(statement, (name,)):
            return StoredView(version=version, position=position, data=data)
        return None
