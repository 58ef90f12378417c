"""What an engine makes of a full disk: what it records then, and what it says of it.

While anything of the reserve is missing, space is short: good probes that no decision needs are not
recorded, new messages are refused, snapshots are left out. The reserve is filled again when there
is plenty of space.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from engine.answers.telling import disk_full
from engine.core.events import Observation, Recorded
from engine.core.scarcity import matters
from engine.core.state import State
from engine.log.reserve import Figures, Reserve
from engine.log.shortage import News, Shortage

LOOK_S: Final = 0.5  # between two looks whether there is space again
NO_MESSAGES: Final = "the disk is full: no new message is taken until there is space again"


class Space:
    """The space of one log, as its engine sees it."""

    def __init__(self, reserve: Reserve | None = None) -> None:
        """Look at `reserve`, before anything of this engine touches it; None: there is none."""
        self._reserve: Final = reserve
        self._shortage: Final = Shortage(lambda: self.figures)

    @property
    def figures(self) -> Figures:
        """Return how much is kept."""
        if self._reserve is None:
            return Figures(left=0, whole=0, wanted=0)
        return self._reserve.figures

    @property
    def is_short(self) -> bool:
        """Return whether the disk is full, or was and there is no plenty of space yet."""
        return self._reserve is not None and self._reserve.figures.is_short

    def sentence(self) -> str:
        """Return what people are told while space is short; "" if it is not."""
        figures = self.figures
        return disk_full(figures.left, figures.whole) if figures.is_short else ""

    def passes_over(self, state: State, subject: str, event: Observation, at_us: int) -> bool:
        """Return whether `event` is not worth its space just now; the arguments of `matters`."""
        return self.is_short and not matters(state, subject, event, at_us)

    def make_room(self) -> bool:
        """Give up a step for what lies beside the log; return whether that may help."""
        return self._reserve is not None and self._reserve.give_up() > 0

    # What the log is told.

    def news(self) -> News | None:
        """Return what has to be recorded now: that a step was given up, or that all is back.

        It counts as said from then on.
        """
        return self._shortage.news()

    def published(self, events: tuple[Recorded, ...]) -> None:
        """Take what became durable."""
        self._shortage.published(events)

    def unsaid(self) -> None:
        """Take it that what was said and is not durable never was."""
        self._shortage.unsaid()

    # What is kept.

    async def keep(self, changed: Callable[[], None]) -> None:
        """Fill the reserve whenever there is space for it, until this is cancelled."""
        while self._reserve is not None:
            await asyncio.sleep(LOOK_S)
            if await asyncio.to_thread(self._reserve.fill):
                changed()
