"""Finding single events without reading the whole log.

A log has no index but its seq. So an event is found by its seq, or by a scan of raw rows that
starts where it is likely to be (mostly at the end) and decodes only what may be the one.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from engine.core.events import KINDS, AnyEvent, Recorded, decode
from engine.log.protocol import Log, Row

WINDOW_EVENTS: Final = 1_000  # of the first look; each further one doubles
WINDOW_EVENTS_MAX: Final = 64_000

_CODES: Final = {kind: code for code, kind in KINDS.items()}


class Finder:
    """Looks events up, each at most once; a log that grows meanwhile is seen as it began."""

    def __init__(self, log: Log) -> None:
        self.head: Final = log.head.seq
        self._log: Final = log
        self._known: dict[int, Recorded] = {}

    def at(self, seq: int) -> Recorded | None:
        """Return the event at `seq`; None if the log has none there."""
        if seq not in self._known:
            found = next(self._log.read(seq - 1, seq, chunk=1), None) if seq > 0 else None
            if found is None:
                return None
            self._known[seq] = found
        return self._known[seq]

    def before(
        self,
        seq: int,
        kinds: Iterable[type[AnyEvent]],
        wanted: Callable[[Row], bool] = lambda _: True,
    ) -> Iterator[Recorded]:
        """Return the events of these kinds with a seq below `seq`, the newest first.

        `wanted` looks at the row, before anything is decoded.
        """
        codes = frozenset(_CODES[kind] for kind in kinds)
        window, until = WINDOW_EVENTS, min(seq - 1, self.head)
        while until > 0:
            after = max(0, until - window)
            rows = [row for row in self._log.rows(after, until) if row[2] in codes and wanted(row)]
            yield from map(self._decoded, reversed(rows))
            until, window = after, min(2 * window, WINDOW_EVENTS_MAX)

    def after(
        self,
        seq: int,
        kinds: Iterable[type[AnyEvent]],
        wanted: Callable[[Row], bool] = lambda _: True,
    ) -> Iterator[Recorded]:
        """Return the events of these kinds with a seq above `seq`, the oldest first."""
        codes = frozenset(_CODES[kind] for kind in kinds)
        for row in self._log.rows(seq, self.head):
            if row[2] in codes and wanted(row):
                yield self._decoded(row)

    def _decoded(self, row: Row) -> Recorded:
        if row[0] not in self._known:
            self._known[row[0]] = decoded(row)
        return self._known[row[0]]


def decoded(row: Row) -> Recorded:
    """Return the event of a row.

    Raises:
        LogTooNew: This release does not know its kind.
        LogCorrupted: Its payload is not one of its kind.
    """
    seq, at_us, kind, subject, cause, payload, *_ = row
    event = decode(kind, payload, seq=seq)
    return Recorded(seq=seq, at_us=at_us, subject=subject, cause=cause, event=event)


def about(*subjects: str) -> Callable[[Row], bool]:
    """Return whether a row is about one of `subjects`, as a question."""
    return lambda row: row[3] in subjects
