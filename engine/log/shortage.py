"""What a log is told of the space that is kept for it: every step that is gone, and its return."""

from collections.abc import Callable
from typing import Final, TypeAlias

from engine.core import events as ev
from engine.core.events import Recorded
from engine.log.reserve import Figures

News: TypeAlias = ev.SpaceShort | ev.SpaceReturned


class Shortage:
    """What one engine has said of it."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        """Look how much there is, before anything of this engine is written."""
        self._figures: Final = figures
        now = figures()
        # What an earlier engine found short is said again, and is over only when that is said.
        self._stored: News | None = (
            ev.SpaceShort(left=now.whole, reserve=now.whole) if now.is_short else None
        )
        self._said: News | None = self._stored

    def news(self) -> News | None:
        """Return what has to be recorded now: that a step was given up, or that all is back.

        It counts as said from then on.
        """
        figures, said = self._figures(), self._said
        if figures.is_short:
            if isinstance(said, ev.SpaceShort) and figures.left >= said.left:
                return None
            self._said = ev.SpaceShort(left=figures.left, reserve=figures.whole)
            return self._said
        if isinstance(said, ev.SpaceShort):
            self._said = ev.SpaceReturned(reserve=figures.whole)
            return self._said
        return None

    def published(self, events: tuple[Recorded, ...]) -> None:
        """Take what became durable."""
        if self._stored is not self._said:
            for recorded in events:
                if isinstance(recorded.event, News):
                    self._stored = recorded.event

    def unsaid(self) -> None:
        """Take it that what was said and is not durable never was."""
        self._said = self._stored
