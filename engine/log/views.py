"""Stored views of projections: caches that are folded on, and never believed when in doubt.

Rule 1: a view and its position are stored in one transaction, so each event counts once.
Rule 2: a view of another version, one that cannot be restored, or one ahead of the log is folded
again from the start.
Rule 3: a view belongs to its fold; what is handed out is nobody else's.
Rule 4: a projection that cannot apply an event is parked before it, and stored so. It is tried
again in another version, by a rebuild, or when that is asked for; never by itself.
Rule 5: a rebuild folds beside the live view, which stays and is kept up until the swap.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec

from engine.core.errors import LogError
from engine.log.chain import BLOCK_EVENTS
from engine.log.folding import Source, Stuck, fold_on
from engine.log.protocol import Projection, V, ViewParked, ViewStatus
from engine.log.shelf import Parked, Shelf, StoredView

CATCH_UP_EVENTS: Final = 10_000  # one transaction; some ten milliseconds of folding
PROGRESS_EVENTS: Final = 10_000  # between two reports of a rebuild
KEEP_EVENTS: Final = 100_000  # what an interrupted rebuild may have to fold again
REASON_CHARS_MAX: Final = 200


class Views:
    """The projections of one log."""

    def __init__(self, source: Source, shelf: Shelf, *, keep_events: int = KEEP_EVENTS) -> None:
        """A rebuild stores how far it has come every `keep_events`."""
        self._source: Final = source
        self._shelf: Final = shelf
        self._keep_events: Final = keep_events
        self._attached: Final[dict[str, Projection[Any]]] = {}
        # The views behind what is stored, which spare restoring them for each turn.
        self._live: Final[dict[str, tuple[Any, int]]] = {}
        self._storing: Final = threading.Lock()

    def attach(self, projection: Projection[V]) -> None:
        """Let `catch_up` find the projection by its name; a later one takes its place."""
        with self._storing:
            self._live.pop(projection.name, None)
            self._attached[projection.name] = projection

    def stored(self, name: str) -> StoredView | None:
        """Return the live view stored under `name`."""
        return self._shelf.load(name)

    def catch_up(self, name: str, *, limit_events: int) -> int:
        """Return how many events were applied to the stored view; raises ViewParked."""
        assert limit_events > 0
        with self._storing:
            projection = self._named(name)
            # Taken out, so that a failure half-way leaves no half-folded view behind.
            live = self._live.pop(name, None)
            if live is None:
                parked = self._parked(projection)
                if parked is not None:
                    raise ViewParked(name, seq=parked.seq, reason=parked.reason)
                live = self._restored(projection)
            begun = live[1]
            view, position, applied, stuck = self._reached(projection, live, limit_events)
            stored = None
            if applied > 0 or stuck is not None:
                try:
                    stored = _stored(projection, view, position)
                except Exception as err:  # one of these events gave a view that is no use
                    stuck = Stuck(begun + 1, err)
            if stuck is not None:
                raise self._park(projection, stuck, stored) from stuck.error
            if stored is not None:
                self._shelf.store(name, stored)
            self._live[name] = view, position
            return applied

    def _reached(
        self, projection: Projection[V], live: tuple[V, int], limit_events: int
    ) -> tuple[V, int, int, Stuck | None]:
        """Return a view, its position, how many events that took, and what it stopped before."""
        until, by_block, stuck = self._source.head.seq, True, None
        view, begun = live
        while True:
            try:
                position, applied = fold_on(
                    self._source,
                    projection,
                    view,
                    begun,
                    until=until,
                    limit_events=limit_events,
                    by_block=by_block,
                )
            except Stuck as err:
                if not by_block:
                    # Every further try is shorter, so this ends, however a projection behaves.
                    before = err.seq - 1
                    assert before < until
                    stuck, until = err, before
                by_block = False
            else:
                return view, position, applied, stuck
            view, begun = self._restored(projection)

    def _park(
        self, projection: Projection[Any], stuck: Stuck, stored: StoredView | None
    ) -> ViewParked:
        reason = _reason(stuck.error)
        parked = Parked(version=projection.version, seq=stuck.seq, reason=reason)
        self._shelf.park(projection.name, parked, stored)
        return ViewParked(projection.name, seq=stuck.seq, reason=reason)

    def retry(self, name: str) -> None:
        """Let the next `catch_up` try the event again that the view is parked before."""
        with self._storing:
            if self._parked(self._named(name)) is not None:
                self._shelf.free(name)

    def status(self) -> list[ViewStatus]:
        """Return how far each attached projection has come, by name."""
        found = []
        for name, projection in sorted(self._attached.items()):
            parked, rebuild = self._parked(projection), self._shelf.load_rebuild(name)
            place, head = self._shelf.place(name), self._source.head.seq
            position = 0
            if place is not None and _is_usable(projection, *place, until=head):
                position = place[1]
            before = position or self._first() - 1
            found.append(
                ViewStatus(
                    name=name,
                    version=projection.version,
                    position=position,
                    head=head,
                    lag_events=max(0, head - max(0, before)),
                    parked_seq=0 if parked is None else parked.seq,
                    reason="" if parked is None else parked.reason,
                    rebuild_position=0 if rebuild is None else rebuild.position,
                )
            )
        return found

    def view(self, projection: Projection[V]) -> tuple[V, int]:
        """Return the view of the whole log and its position."""
        return self._folded(projection, self._source.head.seq)

    def as_of(self, projection: Projection[V], seq: int) -> V:
        """Return the view of the events up to `seq`."""
        head, first = self._source.head.seq, self._first()
        if not 0 <= seq <= head or 1 < first > seq:
            raise LogError(f"expected a position from {first} to {head}, found {seq}")
        return self._folded(projection, seq)[0]

    def _folded(self, projection: Projection[V], until: int) -> tuple[V, int]:
        by_block = True
        while True:
            view, position = self._restored(projection, until)
            try:
                position, _ = fold_on(
                    self._source,
                    projection,
                    view,
                    position,
                    until=until,
                    limit_events=until,
                    by_block=by_block,
                )
            except Stuck as err:
                if not by_block:
                    raise ViewParked(
                        projection.name, seq=err.seq, reason=_reason(err.error)
                    ) from err.error
                by_block = False
            else:
                return view, position

    def rebuild(
        self, projection: Projection[V], progress: Callable[[int, int], None] | None
    ) -> int:
        """Fold from the start, or from where a rebuild ended early; swap; return the position."""
        by_block = True
        while True:
            try:
                return self._rebuilt(projection, progress, by_block=by_block)
            except Stuck as err:
                if not by_block:
                    # What mends the projection may change what it makes of earlier events too.
                    self._shelf.drop_rebuild(projection.name)
                    raise ViewParked(
                        projection.name, seq=err.seq, reason=_reason(err.error)
                    ) from err.error
                by_block = False

    def _rebuilt(
        self,
        projection: Projection[V],
        progress: Callable[[int, int], None] | None,
        *,
        by_block: bool,
    ) -> int:
        name, head = projection.name, self._source.head.seq
        view, position = _restore(projection, self._shelf.load_rebuild(name), head)
        kept, portion = position, min(PROGRESS_EVENTS, self._keep_events)
        while head - position > portion:
            position, _ = fold_on(
                self._source,
                projection,
                view,
                position,
                until=head,
                limit_events=portion,
                by_block=by_block,
            )
            if position - kept >= self._keep_events:
                self._shelf.store_rebuild(name, _stored(projection, view, position))
                kept = position
            if progress is not None:
                progress(position, head)
            head = self._source.head.seq
        with self._storing:  # nobody folds the live view on now, so it is not ahead of this one
            head = self._source.head.seq
            position, _ = fold_on(
                self._source,
                projection,
                view,
                position,
                until=head,
                limit_events=head,
                by_block=by_block,
            )
            self._live.pop(name, None)
            self._shelf.swap(name, _stored(projection, view, position))
        if progress is not None:
            progress(position, head)
        return position

    def _named(self, name: str) -> Projection[Any]:
        projection = self._attached.get(name)
        if projection is None:
            known = ", ".join(sorted(self._attached)) or "none"
            raise LogError(f"no projection {name!r} is attached (attached: {known})")
        return projection

    def _first(self) -> int:
        """Return the seq of the first event; 0 of an empty log."""
        # Nothing is decoded for it, so that damage does not hide how far the views have come.
        seals = self._source.seals()
        if seals:
            first = seals[0].seq - BLOCK_EVENTS + 1
            return first if first == 1 else first - 1  # the base that the log goes on from
        return next((row[0] for row in self._source.rows(chunk=1)), 0)

    def _parked(self, projection: Projection[Any]) -> Parked | None:
        parked = self._shelf.load_parked(projection.name)
        return None if parked is None or parked.version != projection.version else parked

    def _restored(self, projection: Projection[V], until: int | None = None) -> tuple[V, int]:
        until = self._source.head.seq if until is None else until
        return _restore(projection, self._shelf.load(projection.name), until)


def _stored(projection: Projection[V], view: V, position: int) -> StoredView:
    data = projection.dump(view)
    return StoredView(version=projection.version, position=position, data=data)


def _is_usable(projection: Projection[Any], version: int, position: int, *, until: int) -> bool:
    return version == projection.version and position <= until


def _restore(projection: Projection[V], stored: StoredView | None, until: int) -> tuple[V, int]:
    if stored is None or not _is_usable(projection, stored.version, stored.position, until=until):
        return projection.new(), 0
    try:
        return projection.restore(stored.data), stored.position
    except msgspec.DecodeError:
        return projection.new(), 0


def _reason(err: Exception) -> str:
    """Return the type and the first line of an exception."""
    line = next(iter(str(err).splitlines()), "")
    kind = type(err).__name__
    return (f"{kind}: {line}" if line else kind)[:REASON_CHARS_MAX]
