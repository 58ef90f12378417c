"""Finding single events without reading the whole log.

The log finds the kinds that seldom come by an index. For the others it reads rows, from where they
are likely to be (mostly the end), and only what may be the one is decoded.
"""

import heapq
from collections.abc import Iterable, Iterator
from typing import Final

from engine.core.events import AnyEvent, Recorded, codes_of, decode
from engine.log.protocol import Log, Row


class Finder:
    """Looks events up, each at most once; a log that grows meanwhile is seen as it began."""

    def __init__(self, log: Log) -> None:
        self.head: Final = log.head.seq
        self._log: Final = log
        self._known: dict[int, Recorded] = {}

    def at(self, seq: int) -> Recorded | None:
        """Return the event at `seq`; None if the log has none there."""
        if seq not in self._known:
            is_there = 0 < seq <= self.head
            found = next(self._log.read(seq - 1, seq, chunk=1), None) if is_there else None
            if found is None:
                return None
            self._known[seq] = found
        return self._known[seq]

    def before(
        self, seq: int, kinds: Iterable[type[AnyEvent]], *subjects: str
    ) -> Iterator[Recorded]:
        """Return the events of these kinds (about `subjects`) below `seq`, the newest first."""
        return self._found(kinds, 0, min(seq - 1, self.head), subjects, newest_first=True)

    def after(
        self, seq: int, kinds: Iterable[type[AnyEvent]], *subjects: str
    ) -> Iterator[Recorded]:
        """Return the events of these kinds (about `subjects`) above `seq`, the oldest first."""
        return self._found(kinds, seq, self.head, subjects, newest_first=False)

    def _found(
        self,
        kinds: Iterable[type[AnyEvent]],
        after: int,
        until: int,
        subjects: tuple[str, ...],
        *,
        newest_first: bool,
    ) -> Iterator[Recorded]:
        codes = codes_of(kinds)
        each = (
            self._log.seqs_of(codes, after, until, subject=subject, newest_first=newest_first)
            for subject in subjects or ("",)
        )
        for seq in heapq.merge(*each, reverse=newest_first):
            found = self.at(seq)
            if found is not None:
                yield found


def events_of(log: Log, kinds: Iterable[type[AnyEvent]]) -> Iterator[Recorded]:
    """Return all events of these kinds, the oldest first."""
    return Finder(log).after(0, kinds)


def decoded(row: Row) -> Recorded:
    """Return the event of a row.

    Raises:
        LogTooNew: This release does not know its kind.
        LogCorrupted: Its payload is not one of its kind.
    """
    seq, at_us, kind, subject, cause, payload, *_ = row
    event = decode(kind, payload, seq=seq)
    return Recorded(seq=seq, at_us=at_us, subject=subject, cause=cause, event=event)
