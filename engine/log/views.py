"""Stored views of projections: caches that are folded on, and never believed when in doubt.

Rule 1: a view and its position are stored in one transaction, so each event counts once.
Rule 2: a view of another version, one that cannot be restored, or one ahead of the log is folded
again from the start.
Rule 3: a view belongs to its fold; what is handed out is nobody else's.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import msgspec

from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.log.protocol import Head, Projection, V

CATCH_UP_EVENTS: Final = 10_000  # one transaction; some ten milliseconds of folding
PROGRESS_EVENTS: Final = 10_000  # between two reports of a rebuild


class StoredView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A view as it lies in the log."""

    version: int
    position: int
    data: bytes


class Shelf(Protocol):
    """Where the events come from and the views go: what a log gives to its `Views`."""

    @property
    def head(self) -> Head:
        """Return where the log ends."""

    def read(self, after: int = 0, until: int | None = None) -> Iterator[Recorded]:
        """Return the events of that range."""

    def load_view(self, name: str) -> StoredView | None:
        """Return what is stored under `name`."""

    def store_view(self, name: str, stored: StoredView) -> None:
        """Store the view and its position, both or neither."""


class Views:
    """The projections of one log."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf: Final = shelf
        self._attached: Final[dict[str, Projection[Any]]] = {}
        # The views behind what is stored, which spare restoring them for each turn.
        self._live: Final[dict[str, tuple[Any, int]]] = {}
        self._storing: Final = threading.Lock()

    def attach(self, projection: Projection[V]) -> None:
        """Let `catch_up` find the projection by its name; a later one takes its place."""
        with self._storing:
            self._live.pop(projection.name, None)
            self._attached[projection.name] = projection

    def catch_up(self, name: str, *, limit_events: int) -> int:
        """Return how many events were applied to the stored view."""
        assert limit_events > 0
        with self._storing:
            projection = self._attached.get(name)
            if projection is None:
                known = ", ".join(sorted(self._attached)) or "none"
                raise LogError(f"no projection {name!r} is attached (attached: {known})")
            # Taken out, so that a failure half-way leaves no half-folded view behind.
            live = self._live.pop(name, None)
            view, position = self._restored(projection) if live is None else live
            applied, project = 0, projection.project
            for recorded in itertools.islice(self._shelf.read(position), limit_events):
                project(view, recorded)
                applied, position = applied + 1, recorded.seq
            if applied > 0:
                self._store(projection, view, position)
            self._live[name] = view, position
            return applied

    def view(self, projection: Projection[V]) -> tuple[V, int]:
        """Return the view of the whole log and its position."""
        view, position = self._restored(projection)
        for recorded in self._shelf.read(position):
            projection.project(view, recorded)
            position = recorded.seq
        return view, position

    def rebuild(
        self, projection: Projection[V], progress: Callable[[int, int], None] | None
    ) -> int:
        """Fold from the start, swap the view in, and return its position."""
        view, position, head = projection.new(), 0, self._shelf.head.seq
        for applied, recorded in enumerate(self._shelf.read(), 1):
            projection.project(view, recorded)
            position = recorded.seq
            if progress is not None and (applied % PROGRESS_EVENTS == 0 or position == head):
                progress(position, head)
        with self._storing:
            self._live.pop(projection.name, None)
            self._store(projection, view, position)
        return position

    def as_of(self, projection: Projection[V], seq: int) -> V:
        """Return the view of the events up to `seq`."""
        head = self._shelf.head.seq
        first = next((recorded.seq for recorded in self._shelf.read()), 0)
        if not 0 <= seq <= head or 1 < first > seq:
            raise LogError(f"expected a position from {first} to {head}, found {seq}")
        view, position = self._restored(projection, seq)
        for recorded in self._shelf.read(position, seq):
            projection.project(view, recorded)
        return view

    def _store(self, projection: Projection[V], view: V, position: int) -> None:
        data = projection.dump(view)
        stored = StoredView(version=projection.version, position=position, data=data)
        self._shelf.store_view(projection.name, stored)

    def _restored(self, projection: Projection[V], until: int | None = None) -> tuple[V, int]:
        until = self._shelf.head.seq if until is None else until
        stored = self._shelf.load_view(projection.name)
        if stored is None or stored.version != projection.version or stored.position > until:
            return projection.new(), 0
        try:
            return projection.restore(stored.data), stored.position
        except msgspec.DecodeError:
            return projection.new(), 0
