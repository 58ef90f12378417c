"""A log to drop something from: a simulated fleet with all kinds of trouble."""

import functools
import itertools
import tempfile
from pathlib import Path

from engine.core.events import FLEET, Recorded
from engine.core.policy import SECOND
from engine.log import MemoryLog, open_log, states, thinning
from engine.log.protocol import Log
from engine.simulation.schedule import draw
from engine.simulation.world import run


@functools.cache
def world() -> list[Recorded]:
    """Return what a fleet with all kinds of trouble left behind."""
    log = run(draw(13, turns=1_000), within_us=2 * SECOND, compare_every=1_000).log
    assert len(log) > 8_500
    return log[:8_500]


def drop(log: Log, until: int) -> Recorded:
    """Append the event after which everything up to `until` may be thinned."""
    event = thinning.dropping(log, until, states.state_at(log, until), why="test")
    head = log.head
    recorded = Recorded(seq=head.seq + 1, at_us=head.at_us, subject=FLEET, cause=0, event=event)
    log.append([recorded])
    return recorded


def thin(log: Log, count: int | None = None) -> list[int]:
    """Return the last seqs of the blocks that were thinned: all that may be, or `count`."""
    return list(itertools.islice(thinning.thinned(log), count))


@functools.cache
def in_a_file() -> bytes:
    """Return the file of the sealed log of that world."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log.db"
        with open_log(path, mode="write", create=True, release="1") as log:
            log.append(world())
            assert log.seal(blocks_max=99) == 8
        return path.read_bytes()


@functools.cache
def in_a_memory() -> MemoryLog:
    log = MemoryLog()
    log.append(world())
    assert log.seal(blocks_max=99) == 8
    return log
