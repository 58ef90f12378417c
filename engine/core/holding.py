"""Which failovers a pause can still hold back: those that have had no effect on any master yet.

A pause that the log does not know of yet (a file says so, and the disk is full) comes too late for
what was decided before. Nothing is lost by not beginning it: until the first effect is issued, no
master was told anything.

One that gives the last active its place back is no new one, and happens in a pause as well. Whether
one that an earlier engine opened had an effect is seen from the answers in the log: without any, a
fence and a transfer at most can have been issued, and nobody was promoted.
"""

from collections.abc import Iterable
from typing import Final

from engine.core.blocking import ASKED
from engine.core.fleet import Role
from engine.core.owed import Effect
from engine.core.state import GroupState, Phase, Saga

_BEFORE_ANY: Final = (Phase.FENCING, Phase.TRANSFERRING)


class Holding:
    """What was begun by this process, and what is held back now; all by group."""

    def __init__(self) -> None:
        self._begun: Final[dict[str, set[int]]] = {}  # failovers that had an effect issued
        self.firsts: Final[dict[str, int]] = {}  # automatic failovers that had none
        self.held: dict[str, int] = {}  # those of them that are held back

    def clear(self) -> None:
        """Begin again; what was begun stays so."""
        self.firsts.clear()
        self.held = {}

    def look(self, group: GroupState, *, is_owing: bool) -> None:
        """Note whether `group` owes the first effect of an automatic failover."""
        if is_owing and group.saga is not None and self._is_first(group, group.saga):
            self.firsts[group.id] = group.saga.id
        else:
            self.firsts.pop(group.id, None)

    def _is_first(self, group: GroupState, saga: Saga) -> bool:
        return (
            saga.phase in _BEFORE_ANY
            and saga.attempt == 1
            and saga.why not in ASKED
            and not saga.to
            and saga.id not in self._begun.get(group.id, ())
            and not _has_begun(group, saga)
        )

    def hold(self, *, is_paused: bool) -> Iterable[str]:
        """Hold back what has not begun, or let it go; return the groups where that may change."""
        if not (is_paused or self.held):
            return ()
        before, self.held = self.held, dict(self.firsts) if is_paused else {}
        return {*before, *self.held}

    def begun(self, effect: Effect) -> None:
        """Note that an effect is issued: its failover goes on from here, pause or not."""
        if effect.failover:
            self._begun.setdefault(effect.group, set()).add(effect.failover)
            if self.firsts.get(effect.group) == effect.failover:
                del self.firsts[effect.group]

    def forget(self, group: str, owed: Iterable[Effect]) -> None:
        """Forget failovers of `group` that nothing is owed to any more; `owed` is all there is."""
        begun = self._begun.get(group, set())
        begun &= {effect.failover for effect in owed}
        if not begun:
            self._begun.pop(group, None)

    def let_go(self, group: str) -> None:
        """Hold nothing back in `group`: it owes nothing."""
        self.firsts.pop(group, None)
        self.held.pop(group, None)


def _has_begun(group: GroupState, saga: Saga) -> bool:
    """Return whether the log shows that this failover had an effect."""
    source = group.masters.get(saga.source)
    is_fence_answered = source is not None and source.role is Role.STANDBY
    return is_fence_answered or bool(saga.hooks)
