"""Which failovers a pause can still hold back: those that have had no effect on any master yet.

A pause that the log does not know of yet (a file says so, and the disk is full) comes too late for
what was decided before. Nothing is lost by not beginning it: until the first effect is issued, no
master was told anything.

One that gives the last active its place back is no new one, and happens in a pause as well. Whether
one that an earlier engine opened had an effect is seen from the answers in the log: without any, a
fence and a transfer at most can have been issued, and nobody was promoted.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from engine.core.blocking import ASKED
from engine.core.fleet import Role
from engine.core.owed import Effect
from engine.core.state import GroupState, Phase, Saga

_BEFORE_ANY: Final = (Phase.FENCING, Phase.TRANSFERRING)


class Holding:
    """What was begun by this process, and what is held back now."""

    def __init__(self) -> None:
        self._begun: set[int] = set()  # failovers that had an effect issued
        self.held: Final[set[int]] = set()

    def firsts(self, groups: Iterable[GroupState]) -> Iterator[int]:
        """Return the automatic failovers of `groups` whose first effect is owed."""
        for group in groups:
            if group.saga is not None and self._is_first(group):
                yield group.saga.id

    def _is_first(self, group: GroupState) -> bool:
        saga = group.saga
        return (
            saga is not None
            and saga.phase in _BEFORE_ANY
            and saga.attempt == 1
            and saga.why not in ASKED
            and not saga.to
            and saga.id not in self._begun
            and not _has_begun(group, saga)
        )

    def hold(self, groups: Iterable[GroupState], *, is_paused: bool) -> None:
        """Hold back what has not begun, or let it go; `groups` are all that have a failover."""
        self.held.clear()
        if is_paused:
            self.held.update(self.firsts(groups))

    def begun(self, effect: Effect) -> None:
        """Note that an effect is issued: its failover goes on from here, pause or not."""
        if effect.failover:
            self._begun.add(effect.failover)

    def forget(self, owed: Iterable[Effect]) -> None:
        """Forget failovers that nothing is owed to any more; `owed` is all there is."""
        self._begun &= {effect.failover for effect in owed}


def _has_begun(group: GroupState, saga: Saga) -> bool:
    """Return whether the log shows that this failover had an effect."""
    source = group.masters.get(saga.source)
    is_fence_answered = source is not None and source.role is Role.STANDBY
    return is_fence_answered or bool(saga.hooks)
