"""Which bodies are named by open messages and kept state, at a position of a log."""

from collections.abc import Iterator
from typing import Final

from engine.core import events as ev
from engine.core import state as st
from engine.core.events import Recorded
from engine.core.state import State


def named_by(recorded: Recorded) -> tuple[tuple[bytes, int], ...]:
    """Return the digests that an event names, each with the size of its body [bytes]."""
    match recorded.event:
        case ev.MessageAccepted(size=size, digest=digest):
            return ((digest, size),)
        case ev.StateKept(size=size, digest=digest) if size >= 0:
            return ((digest, size),)
        case ev.MessageAcked(keeps=keeps):
            return tuple((digest, size) for _, size, digest in keeps if size >= 0)
        case _:
            return ()


class Named:
    """A fold: the bodies that are needed, and how often; quicker than the state, and smaller."""

    def __init__(self) -> None:
        self.uses: Final[dict[bytes, int]] = {}  # of each digest that anything needs [count]
        self._messages: Final[dict[tuple[str, str], bytes]] = {}  # by group and key
        self._states: Final[dict[tuple[str, str], bytes]] = {}

    @classmethod
    def of(cls, state: State) -> "Named":
        """Return what `state` needs."""
        named = cls()
        named._begin(state)
        return named

    def _begin(self, state: State) -> None:
        for group in state.groups.values():
            for message in group.ledger.open.values():
                self._hold(self._messages, (group.id, message.key), message.digest)
            for key, digest in group.kept.items():
                self._hold(self._states, (group.id, key), digest)

    def take(self, recorded: Recorded) -> list[bytes]:
        """Apply an event; return the digests that it lets go, or names without needing them."""
        event, group = recorded.event, recorded.subject
        match event:
            case ev.MessageAccepted():
                self._hold(self._messages, (group, event.key), event.digest)
                return []
            case ev.MessageDone():
                return list(self._drop(self._messages, (group, event.key)))
            case ev.StateKept():
                found = list(self._drop(self._states, (group, event.key)))
                if event.size >= 0:
                    self._hold(self._states, (group, event.key), event.digest)
                return found
            case ev.MessageAcked():
                return [digest for _, size, digest in event.keeps if size >= 0]
            case ev.PolicyAdopted():
                return self._without(frozenset(event.policy.groups))
            case ev.LogBased():
                self._begin(st.restore(event.state))
                return []
            case _:
                return []

    def _without(self, groups: frozenset[str]) -> list[bytes]:
        """Drop what groups kept that are no more; they have no open messages."""
        gone = [place for place in self._states if place[0] not in groups]
        return [digest for place in gone for digest in self._drop(self._states, place)]

    def _hold(
        self, named: dict[tuple[str, str], bytes], place: tuple[str, str], digest: bytes
    ) -> None:
        named[place] = digest
        self.uses[digest] = self.uses.get(digest, 0) + 1

    def _drop(self, named: dict[tuple[str, str], bytes], place: tuple[str, str]) -> Iterator[bytes]:
        digest = named.pop(place, None)
        if digest is None:
            return
        self.uses[digest] -= 1
        if not self.uses[digest]:
            del self.uses[digest]
        yield digest
