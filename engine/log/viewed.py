"""What every log is beside its events: the keeper of its stored views, and a context."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from engine.log.protocol import Projection, V, ViewStatus
from engine.log.shelf import StoredView
from engine.log.views import CATCH_UP_EVENTS, Views


class WithViews:
    """The part of `Log` that is the same wherever events are stored; see there."""

    _views: Views

    def attach(self, projection: Projection[V]) -> None:
        """Let `catch_up` find the projection by its name."""
        self._views.attach(projection)

    def catch_up(self, name: str, *, limit_events: int = CATCH_UP_EVENTS) -> int:
        """Return how many events were applied to the stored view: at most `limit_events`."""
        return self._views.catch_up(name, limit_events=limit_events)

    def retry(self, name: str) -> None:
        """Let `catch_up` try the event again that the view is parked before."""
        self._views.retry(name)

    def views_status(self) -> list[ViewStatus]:
        """Return how far the stored view of each attached projection has come, by name."""
        return self._views.status()

    def view(self, projection: Projection[V]) -> tuple[V, int]:
        """Return the view of the whole log and its position; nothing is stored."""
        return self._views.view(projection)

    def rebuild(
        self, projection: Projection[V], progress: Callable[[int, int], None] | None = None
    ) -> int:
        """Fold the log from its start, swap the view in, and return its position."""
        return self._views.rebuild(projection, progress)

    def as_of(self, projection: Projection[V], seq: int) -> V:
        """Return the view of the events up to `seq`; LogError if the log does not know it."""
        return self._views.as_of(projection, seq)

    def load_view(self, name: str) -> StoredView | None:
        """Return the live view stored under `name`."""
        return self._views.stored(name)

    def close(self) -> None:
        """Release everything; a second call does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
