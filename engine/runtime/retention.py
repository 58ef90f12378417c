"""Retention while an engine writes its log: what was only observed goes when it is old.

Or when the log is too large, the oldest first. Decisions never go, so a log may stay larger than
it should; that is said.
"""

from collections.abc import Callable, Iterator
from typing import Final

from engine.core.errors import EngineError
from engine.core.events import ObservationsDropped
from engine.log import states, thinning
from engine.log.chain import BLOCK_EVENTS
from engine.log.protocol import Log

BLOCKS_MIN: Final = 10  # dropped together, for each of these events holds a whole state,
PORTION: Final = 50  # or as many as this part of what is kept
THINNED_BLOCKS: Final = 10  # in one turn; some tens of milliseconds, not a moment of it in the log
GIVEN_PAGES: Final = 256  # given back at a time, for appends wait for it
ROOM: Final = 10  # a log that was too large is brought below its limit by this part of it


class LogOversized(EngineError):
    """The log takes more than it should, and holds nothing any more that may go."""


class Retention:
    """Keeps one log within its bounds, a turn at a time."""

    def __init__(
        self,
        log: Log,
        *,
        keep_us: int,
        size_max: int,
        at_us: Callable[[], int],
        append: Callable[[ObservationsDropped], None],
    ) -> None:
        """Nothing is done before the first turn.

        Args:
            log: What is kept within its bounds.
            keep_us: How old an observation becomes [us]; 0: however old.
            size_max: What the log may take [bytes]; 0: any size.
            at_us: The time.
            append: Makes the event durable, or raises LogError.
        """
        self._log: Final = log
        self._keep_us: Final = keep_us
        self._size_max: Final = size_max
        self._at_us: Final = at_us
        self._append: Final = append
        self._thinning: Iterator[int] | None = None

    def turn(self) -> bool:
        """Do a portion, in a thread; return whether there is more.

        Raises:
            LogOversized: Nothing can go any more, and the log is still too large.
            LogError: The log cannot be read or written; nothing is lost by that.
        """
        if not self._log.may_seal:
            return False
        if self._thin():
            return True
        last = thinning.last_dropped(self._log)
        begin = 0 if last is None else thinning.dropped_in(last).until
        until = max(self._aged(begin), self._oversized(begin))
        if until > begin:
            rule = "keep_observations" if until <= self._aged_out() else "max_size"
            state = states.state_at(self._log, until)
            self._append(thinning.dropping(self._log, until, state, why=rule))
            return True
        return self._shrunk()

    def _thin(self) -> bool:
        """Thin some blocks of what was dropped; return whether there were any."""
        if self._thinning is None:
            self._thinning = thinning.thinned(self._log)
        try:
            for count, _ in enumerate(self._thinning, start=1):
                if count == THINNED_BLOCKS:
                    return True
        except BaseException:
            self._thinning = None
            raise
        self._thinning = None
        return False

    def _aged_out(self) -> int:
        """Return up to where sealed events are older than they become; 0: none is."""
        if not self._keep_us:
            return 0
        return self._log.sealed_until(self._at_us() - self._keep_us)

    def _aged(self, begin: int) -> int:
        """Return up to where events go because of their age; 0: so few that they may wait."""
        until = self._aged_out()
        kept = (self._log.head.seq - begin) // BLOCK_EVENTS
        return until if (until - begin) // BLOCK_EVENTS >= max(BLOCKS_MIN, kept // PORTION) else 0

    def _oversized(self, begin: int) -> int:
        """Return up to where events go because the log is too large; 0: it is not."""
        size = self._log.size()
        if not self._size_max or size.used <= self._size_max:
            return 0
        excess, until = size.used - self._size_max + self._size_max // ROOM, 0
        for end, stored in self._log.block_sizes(begin):
            excess, until = excess - stored, end
            if excess <= 0:
                break
        return until

    def _shrunk(self) -> bool:
        """Give space back if the file is too large; return whether there is more to give."""
        size = self._log.size()
        if not self._size_max or size.file <= self._size_max:
            return False
        if size.used < size.file and self._log.give_back(GIVEN_PAGES):
            return True
        if size.used > self._size_max:
            if self._log.seal():  # however young it is
                return True
            raise LogOversized(
                f"the log takes {size.used:,} bytes, more than max_size = {self._size_max:,}: what "
                "is left of it is never dropped, or not sealed yet"
            )
        return False
