"""The simulated log: events in memory, stored as they would be on disk, with faults on order.

A fault strikes the n-th append from when it was ordered: it *fails* (nothing is stored, and that is
known), is *lost* or is *stored* (in both the outcome is unknown, so only reading tells). One that
is *torn* ends the process that asked for it. While the log is locked, or nothing is left
on a full disk, every append fails.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from engine.core import events as ev
from engine.core.driver import Batch
from engine.core.errors import LogConflict, LogFull, LogUncertain
from engine.core.events import Recorded, decode, encode
from engine.simulation import keeping
from engine.simulation.disk import Disk

_REMOVES: Final = frozenset((ev.ObservationsDropped, ev.BodiesRemoved))


class _Order(msgspec.Struct, kw_only=True):
    """A fault that will strike."""

    kind: str
    left: int  # appends until then [count]


class Torn(Exception):
    """The process ended within an append, and nothing of it is stored."""


class Tape:
    """A log of one writer."""

    def __init__(self, base: Recorded | None = None) -> None:
        """Begin empty, or with what all before it adds up to."""
        self.log: Final[list[Recorded]] = [] if base is None else [base]
        self.before: Final = 0 if base is None else base.seq - 1  # events that it does not have
        self.bodies: Final[dict[bytes, bytes]] = {}
        self._removed: Final[dict[bytes, bytes]] = {}  # bodies that a sweep took
        self.struck = 0  # faults that happened [count]
        self.disk: Final = Disk()
        self.dropped: ev.ObservationsDropped | None = None  # what of the log is not kept
        self._locked_until_us = 0  # of the world; 0: it is not locked
        self.lost: Final[list[Recorded]] = []  # what the log had before older copies were put back
        self._orders: list[_Order] = []
        self._ends: Final[list[int]] = []  # the head after each append
        self._begin: Final = self.head

    @property
    def head(self) -> int:
        """Return the seq of the last event."""
        return self.before + len(self.log)

    def after(self, seq: int) -> list[Recorded]:
        """Return the events after `seq`, as far as they are there."""
        return self.log[max(0, seq - self.before) :]

    def kept(self) -> Iterator[Recorded]:
        """Return what is there to be folded: all, or the state after what went and the rest."""
        return keeping.kept(self.log, self.dropped)

    def order(self, kind: str, nth: int) -> None:
        """Let the `nth` append from here be struck: "append-" fails, lost or stored, or "torn"."""
        self._orders.append(_Order(kind=kind, left=max(1, nth)))

    def heal(self) -> None:
        """Forget the faults that have not struck yet."""
        self._orders.clear()
        self._locked_until_us = 0
        self.disk.free()

    def lock(self, until_us: int) -> None:
        """Let no append succeed until then."""
        self._locked_until_us = max(self._locked_until_us, until_us)

    @property
    def is_closed(self) -> bool:
        """Return whether no append succeeds for now."""
        return self._locked_until_us > 0 or self.disk.is_spent

    def unlock(self, at_us: int) -> None:
        """Let appends succeed again, if it was not locked for longer meanwhile."""
        if at_us >= self._locked_until_us:
            self._locked_until_us = 0

    def restore(self, upto: int) -> None:
        """Put back a copy of the log that ends with the append that `upto` belongs to, or before.

        No append is ever there in part.
        """
        while self._ends and self._ends[-1] > upto:
            self._ends.pop()
        upto = self._ends[-1] if self._ends else self._begin
        self.lost.extend(self.after(upto))
        del self.log[upto - self.before :]
        self.dropped = keeping.newest_dropped(self.log)
        self.bodies.update(self._removed)  # a copy has what it had
        self._removed.clear()

    def append(self, batch: Batch) -> None:
        """Store all of `batch`, or nothing.

        Raises:
            LogConflict: It does not follow the head.
            LogFull: Nothing was stored.
            LogUncertain: It was stored, or it was not.
            Torn: The process ends here.
        """
        fault = self._fault()
        is_closed = self._locked_until_us > 0 or not self.disk.draw()
        self.struck += is_closed
        if batch.events[0].seq != self.head + 1:
            raise LogConflict(f"expected seq {self.head + 1}, found {batch.events[0].seq}")
        if fault == "torn":
            raise Torn
        if fault == "append-fails" or is_closed:
            raise LogFull("no space is left")
        if fault != "append-lost":
            if batch.is_quiet:  # nine of ten are
                self.log.extend(batch.events)
            for recorded in () if batch.is_quiet else batch.events:
                if type(recorded.event) is ev.ProbeOk:  # plain numbers
                    self.log.append(recorded)
                    continue
                # What is read back is what was written, not the objects that were decided.
                seq = recorded.seq
                event = decode(*encode(recorded.event), seq=seq)
                self.log.append(
                    Recorded(seq, recorded.at_us, recorded.subject, recorded.cause, event)
                )
                if type(event) not in _REMOVES:
                    continue
                if isinstance(event, ev.ObservationsDropped):
                    self.dropped = event
                elif isinstance(event, ev.BodiesRemoved):
                    for digest in event.digests:
                        self._removed[digest] = self.bodies.pop(digest, b"")
            self.bodies.update(batch.bodies)
            self._ends.append(self.head)
        if fault:
            raise LogUncertain("the disk did not answer")

    def _fault(self) -> str:
        if not self._orders:
            return ""
        found = ""
        for order in self._orders:
            order.left -= 1
            if not order.left:
                found = found or order.kind
        self._orders = [order for order in self._orders if order.left]
        self.struck += bool(found)
        return found
