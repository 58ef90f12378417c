"""What is sealed changes no view, whatever happened and however much is folded at a time."""

import functools
import itertools
from collections.abc import Sequence

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.core.events import Recorded
from engine.log.folding import fold_on
from engine.log.memory import MemoryLog
from engine.simulation.schedule import draw
from engine.simulation.world import run
from projections.audit import AUDIT
from projections.base import fold
from projections.uptime import UPTIME
from projections.weights import WEIGHTS

ALL = [UPTIME, WEIGHTS, AUDIT]


@functools.cache
def history(seed: int) -> Sequence[Recorded]:
    return run(draw(seed, turns=40), within_us=0, compare_every=1_000).log


@settings(max_examples=8, derandomize=True)
@given(seeds=st.lists(st.integers(0, 5_000), min_size=4, max_size=8), data=st.data())
def test_what_is_sealed_changes_no_view(seeds: list[int], data: st.DataObject) -> None:
    log = MemoryLog()
    for seed in seeds:  # one history after the other, as long as there are blocks to seal
        head = log.head
        log.append([_moved(line, seq=head.seq, at_us=head.at_us) for line in history(seed)])
    last = log.head.seq
    assume(log.seal(blocks_max=data.draw(st.integers(1, 4), label="blocks")) > 0)
    portions = data.draw(st.lists(st.integers(100, 2_500), min_size=1), label="portions")
    for projection in ALL:
        view, position, sizes = projection.new(), 0, itertools.cycle(portions)
        while position < last:
            position, applied = fold_on(
                log,
                projection,
                view,
                position,
                until=last,
                limit_events=next(sizes),
                by_block=True,
            )
            assert applied > 0
        assert position == last
        assert projection.dump(view) == projection.dump(fold(projection, log.read()))


def _moved(line: Recorded, *, seq: int, at_us: int) -> Recorded:
    cause = line.cause and line.cause + seq
    return Recorded(line.seq + seq, line.at_us + at_us, line.subject, cause, line.event)
