"""What a projection is: a fold over the log that answers questions and never decides.

Rules. A view belongs to its fold and is updated in place; what else holds a reference to it sees it
move. It carries its `position`, and an event at or below that changes nothing, so what is applied
twice counts once. A projection does no I/O: whoever stores it keeps `dump(view)` together with the
position, and a stored view is a cache that can always be folded again.

A sealed block offers its columns, so that an event is decoded only if a projection acts on what it
says. The view is the same, byte by byte, as if every event had been applied.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from engine.core.events import READ_AS, AnyEvent, Recorded

DECODED_SINGLY_MAX: Final = 2  # events of a block; to decode more of them, all is cheaper


class Columns(Protocol):
    """A sealed block: events that follow one another, undecoded until they are asked for.

    Retention may have left only some of those that it had, or none.
    """

    @property
    def first(self) -> int:
        """Return the seq that it begins with."""

    @property
    def last(self) -> int:
        """Return the seq that it ends with."""

    @property
    def seqs(self) -> Sequence[int]:
        """Return the seq of each event."""

    @property
    def last_at_us(self) -> int:
        """Return the time of the event that it ends with, whether that is still there [us]."""

    @property
    def codes(self) -> Sequence[int]:
        """Return the codes of the kinds of event in the block."""

    @property
    def kinds(self) -> bytes:
        """Return the kind of each event, as an index into `codes`."""

    @property
    def names(self) -> Sequence[str]:
        """Return every subject in the block, once."""

    @property
    def times(self) -> Sequence[int]:
        """Return the time of each event [us]."""

    @property
    def subjects(self) -> Sequence[str]:
        """Return the subject of each event."""

    def event(self, index: int) -> Recorded:
        """Return the event at a place, from 0."""

    def events(self) -> list[Recorded]:
        """Return all events."""


Kinds: TypeAlias = Collection[type[AnyEvent]]


class Positioned(Protocol):
    """A view: what a projection folds the log into."""

    position: int  # seq of the last event applied; 0 before the first


V = TypeVar("V", bound=Positioned)


class Projection(Protocol[V]):
    """One way to read the log; whatever stores views knows no more of them than this."""

    @property
    def name(self) -> str:
        """Return the name that its views are stored under."""

    @property
    def version(self) -> int:
        """Return the version; a view stored under another one is folded again, never read."""

    def new(self) -> V:
        """Return the view of an empty log."""

    def project(self, view: V, recorded: Recorded) -> None:
        """Apply one event to `view`, in place."""

    def dump(self, view: V) -> bytes:
        """Return `view` as bytes; the same events give the same bytes."""

    def restore(self, data: bytes) -> V:
        """Return the view that `dump` gave `data` for."""


def places_of(block: Columns, kinds: Kinds) -> list[int]:
    """Return where in `block` the events of these kinds are: indices from 0, ascending."""
    wanted = [READ_AS[code] in kinds for code in block.codes]
    if not any(wanted):
        return []
    if all(wanted):
        return list(range(len(block.kinds)))
    return list(itertools.compress(itertools.count(), map(wanted.__getitem__, block.kinds)))


def decoded(block: Columns, places: Collection[int]) -> list[Recorded]:
    """Return the events at these places; the payloads stay packed if there is none."""
    if len(places) <= DECODED_SINGLY_MAX:
        return [block.event(place) for place in places]
    events = block.events()
    return [events[place] for place in places]


class Fold(Generic[V]):
    """A projection whose view is a struct: `apply` says what one new event changes in it.

    `kinds` are those that `apply` acts on: events of any other change nothing but the position.
    `apply_block` is `apply` for a whole block, where columns tell more than that.
    """

    def __init__(
        self,
        *,
        name: str,
        version: int,
        view: type[V],
        apply: Callable[[V, Recorded], None],
        kinds: Kinds = (),
        apply_block: Callable[[V, Columns], None] | None = None,
    ) -> None:
        self.name: Final = name
        self.version: Final = version
        self._view = view
        self._apply = apply
        self._kinds = frozenset(kinds)
        self._apply_block = self._apply_decoded if apply_block is None else apply_block
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(view)

    def new(self) -> V:
        """Return the view of an empty log."""
        return self._view()

    def project(self, view: V, recorded: Recorded) -> None:
        """Apply one event to `view`, in place; nothing if it is at or below its position."""
        if recorded.seq > view.position:
            self._apply(view, recorded)
            view.position = recorded.seq

    def project_block(self, view: V, block: Columns) -> bool:
        """Apply all events of a block that follows `view`, in place, and return True.

        False: nothing was applied, because the view is in or behind the block, or because an event
        is of a kind that this release does not know.
        """
        if view.position >= block.first or not READ_AS.keys() >= set(block.codes):
            return False
        self._apply_block(view, block)
        view.position = block.last
        return True

    def _apply_decoded(self, view: V, block: Columns) -> None:
        for recorded in decoded(block, places_of(block, self._kinds)):
            self._apply(view, recorded)

    def dump(self, view: V) -> bytes:
        """Return `view` as msgpack; the same events give the same bytes."""
        return self._encoder.encode(view)

    def restore(self, data: bytes) -> V:
        """Return the view that `dump` gave `data` for.

        Raises:
            msgspec.DecodeError: The bytes are not a view of this version; fold the log again.
        """
        return self._decoder.decode(data)


def fold(projection: Projection[V], events: Iterable[Recorded], view: V | None = None) -> V:
    """Return the view after `events`; a `view` that is passed in is used up and returned.

    Holds one event at a time, so its memory grows with the view and not with the log.
    """
    view = projection.new() if view is None else view
    for recorded in events:
        projection.project(view, recorded)
    return view
