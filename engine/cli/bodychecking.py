"""Whether the bodies beside the events are there, whole, and gone only where an event says so.

Every stored body is looked at once, first of all. Then each event that names one is held against
what was found. So what is remembered are the bodies that are stored, and of those that are not, the
ones whose removal has not come yet; both are few, however long the log is.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from engine.core import events as ev
from engine.core.events import BodiesRemoved, Recorded, codes_of
from engine.log.naming import Named, named_by
from engine.log.protocol import Log

SHOWN_MAX: Final = 100  # of the places where bodies were removed: the newest
_REMOVED: Final = codes_of((BodiesRemoved,))


class BodyCheck:
    """Holds the bodies of a log against its events."""

    def __init__(self, log: Log, *, are_kept: bool = True) -> None:
        """Look at every stored body; unless they `are_kept` by a log like this, none need be."""
        self.problems: Final[list[str]] = []
        self.checked = 0  # bodies [count]
        self.unread = 0  # of them: their key is not given, so that only the sealed bytes were
        self.removed = 0  # bodies, by all events [count]
        self.removals = 0  # events that removed some [count]
        self.removed_at: Final[deque[int]] = deque(maxlen=SHOWN_MAX)
        self.purged_at: Final[deque[int]] = deque(maxlen=SHOWN_MAX)  # those of them by somebody
        self._log = log
        self._are_kept = are_kept
        self._seq = 0
        self._sizes: dict[bytes, int] = {}  # of those that are stored
        self._bad: dict[bytes, str] = {}  # of them: what is wrong, until an event named it
        self._absent: dict[bytes, int] = {}  # named, and not stored: by which event
        self._named = Named()
        for body in log.stored_bodies():
            self.checked += 1
            self.unread += not body.is_read
            self._sizes[body.digest] = body.size
            if body.problem:
                self._bad[body.digest] = body.problem

    def passed(self, recorded: Recorded) -> None:
        """Take the next event."""
        event, self._seq = recorded.event, recorded.seq
        self._named.take(recorded)
        if isinstance(event, BodiesRemoved):
            self._removed(recorded.seq, event)
        elif isinstance(event, ev.LogBased):
            for digest in self._named.uses:
                self._name(recorded.seq, digest, None)
        else:
            for digest, size in named_by(recorded):
                self._name(recorded.seq, digest, size)

    def _removed(self, seq: int, event: BodiesRemoved) -> None:
        self.removals += 1
        self.removed += len(event.digests)
        self.removed_at.append(seq)
        if event.author:
            self.purged_at.append(seq)
        for digest in event.digests:
            self._absent.pop(digest, None)
            if digest in self._named.uses:
                self.problems.append(
                    f"event {seq}: it removes the body {digest.hex()}, which was needed"
                )

    def _name(self, seq: int, digest: bytes, size: int | None) -> None:
        problem = self._bad.pop(digest, "")
        found = self._sizes.get(digest)
        if problem:
            self.problems.append(f"event {seq}: the body that it names is damaged: {problem}")
        elif found is None:
            self._absent[digest] = seq
        elif size not in (None, found):
            self.problems.append(
                f"event {seq}: the body that it names has {found} bytes instead of {size}"
            )

    def end(self) -> None:
        """Take note that this was the last event."""
        for digest, problem in self._bad.items():
            self.problems.append(f"the body {digest.hex()}, of no event, is damaged: {problem}")
        if self._are_kept:
            self.problems.extend(self._missing())

    def _missing(self) -> Iterator[str]:
        absent = self._absent
        if not absent:
            return
        # An engine may have stored or removed them since they were looked at.
        for digest in self._log.removable(list(absent), upto=self._log.head.seq):
            del absent[digest]
        for seq in self._log.seqs_of(_REMOVED, self._seq):
            for recorded in self._log.read(seq - 1, seq):
                assert isinstance(recorded.event, BodiesRemoved)
                for digest in recorded.event.digests:
                    absent.pop(digest, None)
        for seq in sorted(absent.values()):
            yield f"event {seq}: the body that it names is missing, and no event removed it"

    def found(self) -> dict[str, object]:
        """Return what `verify --json` says of the bodies."""
        return {
            "checked": self.checked,
            "unread": self.unread,
            "removed": self.removed,
            "removals": self.removals,
            "removed_at": list(self.removed_at),
            "purged_at": list(self.purged_at),
        }


def said(found: Mapping[str, Any]) -> Iterator[str]:
    """Return what `BodyCheck.found` says in lines for people."""
    if found["unread"]:
        yield f"{found['unread']} sealed bodies were checked without their key: give it by --config"
    for seq in found["purged_at"]:
        yield f"body removed at event {seq}, as somebody asked"
    if found["removals"] > len(found["purged_at"]):
        yield f"{found['removed']} bodies removed in all, last at event {found['removed_at'][-1]}"
