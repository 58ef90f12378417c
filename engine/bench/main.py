"""The benchmarks by their names, and what they are measured on."""

import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from engine.bench import appending, contest, replays, restarts
from engine.bench.report import Machine, Part, Report, goals
from engine.log.library import sound_library

Name: TypeAlias = Literal["log", "replay"]
NAMES: Final[tuple[Name, ...]] = ("log", "replay")
Progress: TypeAlias = Callable[[int, int], None]  # rounds done so far and in all [count]


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much every benchmark does."""

    appending: appending.Sizes
    replays: replays.Sizes
    contest: contest.Sizes
    restarts: restarts.Sizes


FULL: Final = Sizes(
    appending=appending.Sizes(singly=1_000, told=16_000, bulk=50_000),
    replays=replays.Sizes(events=300_000),
    contest=contest.Sizes(appended={1: 500, 10: 2_000, 100: 10_000, 1_000: 20_000}, rebuilt=30_000),
    restarts=restarts.Sizes(
        masters=1_000,
        before=50_000,
        tails=(2_000, 10_000),
        bounds_ms=(15, 30),
        replayed=100_000,
    ),
)
QUICK: Final = Sizes(
    appending=appending.Sizes(singly=100, told=1_600, bulk=5_000),
    replays=replays.Sizes(events=20_000),
    contest=contest.Sizes(appended={1: 50, 10: 200, 100: 1_000, 1_000: 2_000}, rebuilt=3_000),
    restarts=restarts.Sizes(
        masters=1_000,
        before=5_000,
        tails=(2_000, 10_000),
        bounds_ms=(15, 30),
        replayed=20_000,
    ),
)
_Stage: TypeAlias = tuple[str, Callable[..., list[Part]]]


def _stages(name: Name, sizes: Sizes) -> list[_Stage]:
    """Return what belongs to a benchmark, each with the goal that its figures are parts of."""
    if name == "log":
        return [
            *(
                ("P1", partial(stage, sizes=sizes.appending))
                for stage in (appending.one, appending.callers, appending.bulk)
            ),
            ("P3", partial(contest.appends, sizes=sizes.contest)),
        ]
    return [
        ("P2", partial(replays.rows_and_blocks, sizes=sizes.replays)),
        ("P3", partial(contest.rebuilds, sizes=sizes.contest)),
        ("P4", partial(restarts.starts, sizes=sizes.restarts)),
        ("P4", partial(restarts.memory, sizes=sizes.restarts)),
    ]


def measured(
    names: Sequence[Name],
    *,
    sizes: Sizes,
    rounds: int,
    is_quick: bool,
    directory: Path,
    progress: Progress,
) -> Report:
    """Return what the named benchmarks found.

    Args:
        names: Which benchmarks.
        sizes: How much each does in one round.
        rounds: How often each figure is taken; its median counts [count, >= 1].
        is_quick: Whether the report says that its figures are rough.
        directory: On the disk that is measured; everything written there is deleted.
        progress: Is called after each round.

    Raises:
        EngineError: A process that measures ended early.
        LogError: No log can be written in `directory`.
    """
    machine = _machine()  # before anything is busy
    stages = [stage for name in names for stage in _stages(name, sizes)]
    found: dict[str, list[Part]] = {}
    for number, (goal, stage) in enumerate(stages):
        done = number * rounds
        progress(done, len(stages) * rounds)

        def tick() -> None:
            nonlocal done
            done += 1
            progress(done, len(stages) * rounds)

        with tempfile.TemporaryDirectory(prefix="tanist-bench-", dir=directory.resolve()) as own:
            found.setdefault(goal, []).extend(stage(Path(own), rounds=rounds, tick=tick))
    return Report(quick=is_quick, rounds=rounds, machine=machine, goals=goals(found))


def _machine() -> Machine:
    library = sound_library()
    return Machine(
        sqlite=".".join(map(str, library.version)),
        driver=library.module.__name__,
        python=platform.python_version(),
        cores=os.cpu_count() or 1,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        system=f"{platform.system()} {platform.machine()}",
    )
