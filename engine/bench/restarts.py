"""P4: what a start costs, and what a replay holds, each in a fresh process."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from engine.bench.fresh import Found
from engine.bench.history import History
from engine.bench.report import Bound, Part, Tick, part, unmeasured
from engine.bench.rounds import Side, medians
from engine.core.errors import EngineError
from engine.log import states
from engine.log.sqlite import open_log

GROUPS: Final = 20
REPLAYED_MASTERS: Final = 50
TIMES: Final = 4  # how much longer the longer of two logs is
LIMIT_S: Final = 600.0  # what a process may take [s]
GROWTH: Final = Bound(of="ratio", at_most=1.25)
HELD: Final = Bound(of="value", at_most=1)  # a reference to an event alone would be eight bytes
MS: Final = "ms"
KIB: Final = "KiB"
FLOOR_IS: Final = "the raw driver: inflate, decode, fold hardly"


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How long the logs are [events]."""

    masters: int
    before: int  # the snapshot, in the shorter log
    tails: tuple[int, int]  # after the snapshot
    bounds_ms: tuple[float, float]  # what a start may take with these
    replayed: int  # in the shorter log


def fresh(what: str, path: Path, seq: int) -> Found:
    """Return what a process of its own measured of the log at `path`, which ends at `seq`.

    Raises:
        EngineError: That process ended early.
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "engine.bench.fresh", what, str(path)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise EngineError(f"the process that measures {what} ended early: {said}")
    found = msgspec.json.decode(done.stdout, type=Found)
    assert found.seq == seq
    return found


def _with_tails(directory: Path, sizes: Sizes, times: int) -> list[tuple[Path, int]]:
    """Return a log for each tail, and where it ends; all of it before the tail is in a snapshot."""
    path = directory / f"log-{times}.db"
    history = History(masters=sizes.masters, groups=min(GROUPS, sizes.masters))
    made, done = [], 0
    with open_log(path, mode="write", create=True) as log:
        history.append_to(log, sizes.before * times)
        states.keep(log, history.driver.durable_state)
    for tail in sizes.tails:
        with open_log(path, mode="write") as log:
            history.append_to(log, tail - done)
            seq, done = log.head.seq, tail
        kept = directory / f"tail-{times}-{tail}.db"
        shutil.copyfile(path, kept)
        made.append((kept, seq))
    return made


def starts(directory: Path, sizes: Sizes, *, rounds: int, tick: Tick) -> list[Part]:
    """Measure a start: by the length of the tail, and of the log before it."""
    short, long = (_with_tails(directory, sizes, times) for times in (1, TIMES))

    def side(name: str, what: str, log: tuple[Path, int]) -> Side:
        return lambda: {name: fresh(what, *log).took_us / 1_000}

    pairs = zip(sizes.tails, short, long, strict=True)
    sides = [
        made
        for tail, first, second in pairs
        for made in (
            side(f"start {tail}", "start", first),
            side(f"floor {tail}", "floor", first),
            side(f"longer {tail}", "start", second),
        )
    ]
    found = medians(sides, rounds=rounds, tick=tick)
    reached = [
        part(
            f"tail-{tail}",
            f"start with {sizes.masters:,} masters, {tail:,} events after the snapshot",
            MS,
            found[f"start {tail}"],
            floor=found[f"floor {tail}"],
            floor_is=FLOOR_IS,
            goal=Bound(of="value", at_most=bound),
        )
        for tail, bound in zip(sizes.tails, sizes.bounds_ms, strict=True)
    ]
    grown = [
        part(
            f"longer-{tail}",
            f"the same, {tail:,} events, with {TIMES} times as many before the snapshot",
            MS,
            found[f"longer {tail}"],
            floor=found[f"start {tail}"],
            floor_is=f"{sizes.before:,} events before the snapshot",
            goal=GROWTH,
        )
        for tail in sizes.tails
    ]
    return reached + grown


def memory(directory: Path, sizes: Sizes, *, rounds: int, tick: Tick) -> list[Part]:
    """Measure what a replay holds, of a log and of a longer one."""
    held, each = "held", "what a replay holds of each further event"
    logs = []
    for times in (1, TIMES):
        path = directory / f"replayed-{times}.db"
        with open_log(path, mode="write", create=True) as log:
            History(masters=REPLAYED_MASTERS).append_to(log, sizes.replayed * times)
            logs.append((path, log.head.seq))
    first, second = logs
    if fresh("memory", *first).grown_bytes is None:
        for _ in range(rounds):
            tick()
        return [unmeasured(held, each, "bytes", goal=HELD, reason="this system does not tell")]

    def side(name: str, log: tuple[Path, int]) -> Side:
        return lambda: {name: float(fresh("memory", *log).grown_bytes or 0)}

    found = medians([side("short", first), side("long", second)], rounds=rounds, tick=tick)
    short, long = found["short"] / 1024, found["long"] / 1024
    what: Callable[[int], str] = "peak of memory grown by a replay of {:,} events".format
    return [
        part("memory", what(first[1]), KIB, short),
        part(
            "memory-longer",
            what(second[1]),
            KIB,
            long,
            floor=short,
            floor_is=f"a replay of {first[1]:,} events",
        ),
        part(
            held,
            each,
            "bytes",
            (found["long"] - found["short"]) / (second[1] - first[1]),
            goal=HELD,
        ),
    ]
