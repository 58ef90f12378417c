"""What a projection is: a fold over the log that answers questions and never decides.

Rules. A view belongs to its fold and is updated in place; what else holds a reference to it sees it
move. It carries its `position`, and an event at or below that changes nothing, so what is applied
twice counts once. A projection does no I/O: whoever stores it keeps `dump(view)` together with the
position, and a stored view is a cache that can always be folded again.
"""

from collections.abc import Callable, Iterable
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from engine.core.events import Recorded


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


class Fold(Generic[V]):
    """A projection whose view is a struct: `apply` says what one new event changes in it."""

    def __init__(
        self, *, name: str, version: int, view: type[V], apply: Callable[[V, Recorded], None]
    ) -> None:
        self.name: Final = name
        self.version: Final = version
        self._view = view
        self._apply = apply
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
