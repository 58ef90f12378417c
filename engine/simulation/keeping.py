"""What is not kept for ever: observations that are old, and bodies that nothing needs any more.

As in a log on disk, an event says so first. From then on the log is folded from the state that this
event holds; what was decided stays, and so does here, for whoever judges it, the rest as well.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from engine.core import events as ev
from engine.core import state as st
from engine.core.events import OBSERVATIONS, Recorded
from engine.core.replay import replay
from engine.core.step import Evolve
from engine.log.chain import ZERO
from engine.log.thinning import base_of


def before_of(log: Sequence[Recorded]) -> int:
    """Return how many events there were before the first one of `log` [count]."""
    return log[0].seq - 1 if log else 0


def newest_dropped(log: Sequence[Recorded]) -> ev.ObservationsDropped | None:
    """Return the newest event of `log` that says what was dropped."""
    for recorded in reversed(log):
        if isinstance(recorded.event, ev.ObservationsDropped):
            return recorded.event
    return None


def kept(log: Sequence[Recorded], dropped: ev.ObservationsDropped | None) -> Iterator[Recorded]:
    """Return what is there to be folded, now that observations were dropped."""
    if dropped is None:
        return iter(log)
    return chain((base_of(dropped),), log[dropped.until - before_of(log) :])


def dropping(
    log: Sequence[Recorded],
    dropped: ev.ObservationsDropped | None,
    until: int,
    evolve: Evolve,
) -> ev.ObservationsDropped | None:
    """Return the event after which what was observed up to `until` goes; None: nothing would.

    Args:
        log: All that ever was.
        dropped: What was dropped before; only what that left is read.
        until: The seq of the last event that is not kept.
        evolve: The fold.
    """
    after = 0 if dropped is None else dropped.until
    if until <= max(after, before_of(log)):
        return None
    state = replay(kept(log, dropped), until_seq=until, evolve=evolve)
    return ev.ObservationsDropped(
        after=after,
        until=until,
        unseen=(),
        dropped=_observed(log[: until - before_of(log)]),
        chain=ZERO,
        stayed=ZERO,
        state=zlib.compress(st.dump(state), 1),
        why="simulated",
    )


def _observed(log: Iterable[Recorded]) -> int:
    return sum(type(recorded.event) in OBSERVATIONS for recorded in log)
