"""Which messages to send now: a list for each master, kept up event by event.

Rule 1: a message is on the list of its master while it is the oldest of its lane and assigned.

Rule 2: from its issue until the end of that sending is reported it is under way, and is not issued
again. That holds on when its activation is revoked, and when the working state is thrown away.

Rule 3: at most so many are under way to one master. What is due beyond is not issued and wakes
nobody: the end of one that is under way makes the room.

Rule 4: what failed waits, longer each time. A message that its master refuses every time is sent
for as long as it is assigned, and takes the time of nobody but its lane.

An event costs O(log n) for each message that it moves, and so does an issue, with n messages on
the list. To ask what is due, or when something will be, costs what is due, whatever the number of
masters and lanes.
"""

import heapq
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import msgspec

from engine.core import events as ev
from engine.core.dues import FAR_US, Earliest
from engine.core.events import Recorded
from engine.core.owed import Deliver, deliveries
from engine.core.policy import MS, SECOND
from engine.core.state import GroupState, State

RESEND_US: Final = 50 * MS  # the first pause before a message that failed is sent again; doubles
RESEND_US_MAX: Final = 5 * SECOND
_MOVES: Final = frozenset(
    (ev.MessagesAssigned, ev.MessageDone, ev.MasterFenced, ev.DrainEnded, ev.MasterRemoved)
)
_NEVER: Final = FAR_US  # not before something is reported of it


class _Entry(msgspec.Struct, kw_only=True):
    """A message on the list of its master."""

    deliver: Deliver
    due_us: int = _NEVER
    failures: int = 0  # in a row [count]


class _Outgoing:
    """What goes to one master."""

    def __init__(self) -> None:
        self.entries: dict[int, _Entry] = {}  # by seq
        self.under_way: set[Deliver] = set()
        self.is_full = False  # something was due and there was no room
        self._due: list[tuple[int, int]] = []  # a heap of (due_us, seq); some are not so any more

    def clear(self) -> None:
        """Forget what there is to send; what is under way stays so."""
        self.entries.clear()
        self._due.clear()
        self.is_full = False

    def schedule(self, entry: _Entry, due_us: int) -> None:
        """Let `entry` be due at `due_us` and at no other time."""
        if entry.due_us != due_us:
            entry.due_us = due_us
            heapq.heappush(self._due, (due_us, entry.deliver.seq))

    def first(self) -> _Entry | None:
        """Return what is due next."""
        while self._due:
            due_us, seq = self._due[0]
            entry = self.entries.get(seq)
            if entry is not None and entry.due_us == due_us:
                return entry
            heapq.heappop(self._due)
        return None

    def take(self) -> Deliver:
        """Take what is due next off the list of what is due."""
        _, seq = heapq.heappop(self._due)
        entry = self.entries[seq]
        entry.due_us = _NEVER
        return entry.deliver


class Sending:
    """The lists of all masters, of one durable state."""

    def __init__(self) -> None:
        self._masters: Final[dict[str, _Outgoing]] = {}
        # No message to a master is due before [us]; one without room for any has no time.
        self._waits: Final = Earliest()
        self._most: int | None = None  # how many may be under way to one master, as last said
        self._places: Final[dict[tuple[str, str], tuple[str, int]]] = {}  # group, key: master, seq

    def reset(self, state: State) -> None:
        """Begin again from `state`; what is under way stays so until its end is reported."""
        self._places.clear()
        self._waits.clear()
        for outgoing in self._masters.values():
            outgoing.clear()
        for group in state.groups.values():
            for deliver in deliveries(group):
                self._add(deliver, due_us=0)

    # What became durable.

    @staticmethod
    def given(state: State, recorded: Recorded) -> Sequence[int]:
        """Return the seqs of the messages that `recorded`, not yet evolved, assigns."""
        event = recorded.event
        if type(event) is not ev.MessagesAssigned:
            return ()
        queue = state.cache.places[recorded.subject].group.ledger.queue
        return queue[: bisect_right(queue, event.upto)]

    def note(self, state: State, recorded: Recorded, given: Sequence[int]) -> None:
        """Take note of an event that was evolved; `given` is what `given` said of it."""
        event = recorded.event
        if type(event) not in _MOVES:
            return
        if isinstance(event, ev.MessagesAssigned):
            group = state.cache.places[recorded.subject].group
            lanes = group.ledger.lanes
            if len(lanes) < len(given):  # of thousands that go to an heir few are the oldest
                given = sorted({lane[0] for lane in lanes.values()}.intersection(given))
            for seq in given:
                self._see(group, seq, at_us=recorded.at_us)
        elif isinstance(event, ev.MessageDone):
            self._done(state.groups[recorded.subject], event.key, at_us=recorded.at_us)
        else:
            self._drop(recorded.subject)

    def _see(self, group: GroupState, seq: int, *, at_us: int) -> None:
        """Put a message on the list of its master if it is the oldest of its lane."""
        message = group.ledger.open[seq]
        if group.ledger.lanes[message.lane][0] == seq and message.master:
            deliver = Deliver(
                group=group.id,
                master=message.master,
                epoch=message.epoch,
                seq=seq,
                key=message.key,
                lane=message.lane,
                digest=message.digest,
            )
            self._add(deliver, due_us=at_us)

    def _add(self, deliver: Deliver, *, due_us: int) -> None:
        outgoing = self._masters.setdefault(deliver.master, _Outgoing())
        entry = outgoing.entries[deliver.seq] = _Entry(deliver=deliver)
        self._places[deliver.group, deliver.key] = deliver.master, deliver.seq
        if deliver not in outgoing.under_way:
            outgoing.schedule(entry, due_us)
            self._look(deliver.master, outgoing)

    def _look(self, master: str, outgoing: _Outgoing) -> None:
        """Note when something to `master` is due."""
        first = None if outgoing.is_full else outgoing.first()
        self._waits.note(master, FAR_US if first is None else first.due_us)

    def _done(self, group: GroupState, key: str, *, at_us: int) -> None:
        """Let the next of its lane follow."""
        place = self._places.pop((group.id, key), None)
        if place is None:
            return  # it was not the oldest of its lane, which waits for that one as before
        master, seq = place
        entry = self._masters[master].entries.pop(seq)
        lane = group.ledger.lanes.get(entry.deliver.lane)
        if lane:
            self._see(group, lane[0], at_us=at_us)

    def _drop(self, master: str) -> None:
        """Send nothing more that `master` had: it went back to the queue."""
        outgoing = self._masters.get(master)
        if outgoing is not None:
            for entry in outgoing.entries.values():
                del self._places[entry.deliver.group, entry.deliver.key]
            outgoing.clear()

    # What is sent.

    def due(self, state: State, at_us: int, *, under_way_max: int | None) -> list[Deliver]:
        """Return the messages to send now, master by master, the longest due first.

        `under_way_max` is how many may be under way to one master. None: nobody reports when a
        sending ends, so as many as are due, each again when its `deliver_timeout` has passed.
        """
        if under_way_max != self._most:
            self._most = under_way_max
            for master, outgoing in self._masters.items():
                outgoing.is_full = False
                self._look(master, outgoing)
        if self._waits.first()[0] > at_us:
            return []
        due: list[Deliver] = []
        for master in sorted(self._waits.upto(at_us)):
            outgoing = self._masters[master]
            taken: list[Deliver] = []
            room = _NEVER if under_way_max is None else under_way_max - len(outgoing.under_way)
            while (first := outgoing.first()) is not None and first.due_us <= at_us:
                if len(taken) >= room:
                    outgoing.is_full = True
                    break
                taken.append(outgoing.take())
            if under_way_max is not None:
                outgoing.under_way.update(taken)
            else:
                for deliver in taken:
                    entry = outgoing.entries[deliver.seq]
                    outgoing.schedule(entry, at_us + deliver_timeout_us(state, deliver))
            self._look(master, outgoing)
            due += taken
        return due

    def next_us(self) -> int | None:
        """Return when something is due for which there is room [us]; None: nothing is."""
        while True:
            due_us, master = self._waits.first()
            if due_us == FAR_US:
                return None
            self._look(master, self._masters[master])
            if self._waits.known[master] == due_us:
                return due_us

    def ended(self, deliver: Deliver, *, again_us: int | None) -> None:
        """Note that a sending has ended; the message may be sent again at `again_us`.

        None: its acknowledgement was observed. Once that is durable it is done; should it get lost
        with the working state, the message is due again.
        """
        entry = self._end(deliver)
        if entry is not None and again_us is not None:
            self._again(entry, again_us)

    def failed(self, deliver: Deliver, *, at_us: int) -> None:
        """Note that a sending has ended at `at_us` and came to nothing."""
        entry = self._end(deliver)
        if entry is not None:
            pause_us = min(RESEND_US << min(entry.failures, 16), RESEND_US_MAX)
            entry.failures += 1
            self._again(entry, at_us + pause_us)

    def _again(self, entry: _Entry, due_us: int) -> None:
        master = entry.deliver.master
        self._masters[master].schedule(entry, due_us)
        self._look(master, self._masters[master])

    def _end(self, deliver: Deliver) -> _Entry | None:
        """Make room; return the entry if the message is still assigned as it was."""
        outgoing = self._masters.get(deliver.master)
        if outgoing is None:
            return None
        outgoing.under_way.discard(deliver)
        if outgoing.is_full:
            outgoing.is_full = False
            self._look(deliver.master, outgoing)
        entry = outgoing.entries.get(deliver.seq)
        return entry if entry is not None and entry.deliver == deliver else None


def is_current(state: State, deliver: Deliver) -> bool:
    """Return whether the message is open, and assigned as `deliver` says."""
    group = state.groups.get(deliver.group)
    message = None if group is None else group.ledger.open.get(deliver.seq)
    return (
        message is not None
        and message.key == deliver.key
        and (message.master, message.epoch) == (deliver.master, deliver.epoch)
    )


def deliver_timeout_us(state: State, deliver: Deliver) -> int:
    """Return how long `deliver` may stay unacknowledged [us]."""
    return state.policy_of(state.groups[deliver.group]).messages.deliver_timeout_us
