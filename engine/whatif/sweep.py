"""A recorded log decided upon again a lull at a time, and folded beside.

The result is that of `WhatIf.run`. While nothing waits for anything, good probes that say what
their masters said before are taken together (engine.core.lulls); so most of a log costs what it
costs to read it.
"""

import bisect
from collections.abc import Iterable, Iterator

from engine.core import lulls
from engine.core.deadlines import nothing_due_before
from engine.core.events import Recorded
from engine.core.evolve import evolve
from engine.core.lulls import Stretch
from engine.core.state import State
from engine.whatif.again import Result, WhatIf


def sweep(asked: WhatIf, log: Iterable[Stretch], *, beside: State | None = None) -> Result:
    """Return what comes of `log`.

    Args:
        asked: The run; it is used once.
        log: The events that follow its base, in order.
        beside: What was recorded is folded into it; the fold of what came before.

    Raises:
        LogCorrupted: The log begins with a state that cannot be read; or an event does not follow
            what is folded beside.
    """
    if not asked.takes_lulls:
        return asked.run(_each_of(log, beside))

    def each(events: list[Recorded]) -> None:
        for recorded in events:
            asked.take(recorded)
            if beside is not None:
                evolve(beside, recorded)

    def lull(stretch: Stretch, begin: int) -> int:
        return _take_lull(asked, stretch, begin, beside)

    for stretch in log:
        lulls.go_through(stretch, lull, each)
    return asked.end()


def _each_of(log: Iterable[Stretch], beside: State | None) -> Iterator[Recorded]:
    for stretch in log:
        for recorded in stretch.recorded(0, len(stretch.seqs)):
            if beside is not None:
                evolve(beside, recorded)
            yield recorded


def _take_lull(asked: WhatIf, stretch: Stretch, begin: int, beside: State | None) -> int:
    """Take the lull at a place, if nothing waits for anything; return how long it is [count]."""
    end = _undisturbed(asked.state, stretch, begin, stretch.good_until(begin))
    if end - begin < lulls.EVENTS_MIN:
        return 0
    masters = stretch.masters(begin, end)
    known = asked.known(masters)
    if known is None or (beside is not None and lulls.known_of(beside, masters) != known):
        return 0
    lull = stretch.lull(begin, end, known)
    if lull is None:
        return 0
    asked.take_lull(lull, seq=stretch.seqs[end - 1])
    if beside is not None:
        lulls.take(beside, lull)
    return lull.count


def _undisturbed(state: State, stretch: Stretch, begin: int, end: int) -> int:
    """Return up to which place events follow each other, and before any deadline."""
    seqs, times = stretch.seqs, stretch.times
    if end - begin < lulls.EVENTS_MIN or times[begin] < state.at_us:
        return begin
    if seqs[end - 1] - seqs[begin] >= end - begin:
        return begin  # some were dropped between them
    return bisect.bisect_left(times, nothing_due_before(state, times[end - 1]), begin, end)
