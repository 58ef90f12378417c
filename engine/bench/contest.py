"""P3: the same probes through this engine and through the `eventsourcing` library.

The engine's side is the whole of it: observed, decided upon, appended, taken as durable. Both begin
with the probes and end when they are durable, or with the health of every master, which is the
same. An observation is counted once, however many events it becomes.
"""

import importlib.util
import itertools
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from engine.bench.history import History, Probe, observation, probes
from engine.bench.report import Bound, Part, Tick, part, unmeasured
from engine.bench.rounds import Side, medians, per_second
from engine.core.fleet import Health
from engine.core.state import State
from engine.log.packing import pack
from engine.log.sqlite import SqliteLog, open_log
from engine.log.states import state_at

if TYPE_CHECKING:
    from engine.bench.rival import Rival

LIBRARY: Final = "eventsourcing"
MASTERS: Final = 50
PER_S: Final = "observations/s"
APPEND: Final = Bound(of="ratio", at_least=1)
REBUILD: Final = Bound(of="ratio", at_least=40)
MISSING: Final = f"{LIBRARY} is not installed: pip install 'tanist[bench]'"


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done [observations]."""

    appended: dict[int, int]  # in one round, by how many of them go into a transaction
    rebuilt: int


def is_there() -> bool:
    """Return whether the library can be measured."""
    return importlib.util.find_spec(LIBRARY) is not None


def _pass(rounds: int, tick: Tick) -> None:
    for _ in range(rounds):
        tick()


def _rival(path: Path) -> "Rival":
    from engine.bench.rival import Rival

    return Rival(path, masters=MASTERS)


class _Ours:
    """The engine's side: its driver, and a log."""

    def __init__(self, path: Path) -> None:
        self.history: Final = History(masters=MASTERS)
        self.log: Final[SqliteLog] = open_log(path, mode="write", create=True)
        self.history.declare_to(self.log)

    def append(self, seen: Iterable[Probe]) -> None:
        """Observe the probes and make them durable in one transaction."""
        driver, names = self.history.driver, self.history.names
        for probe in seen:
            driver.observe(observation(probe), subject=names[probe.number], at_us=probe.at_us)
        batch = driver.take_batch(driver.working.at_us)
        assert batch is not None
        self.log.append(batch.events, bodies=batch.bodies)
        driver.durable()


def _healths(state: State) -> dict[str, Health]:
    return {
        name: master.health
        for group in state.groups.values()
        for name, master in group.masters.items()
    }


def _appending(name: str, append: Callable[[Iterable[Probe]], None], size: int, count: int) -> Side:
    seen = probes(MASTERS)

    def run() -> None:
        for _ in range(count // size):
            append(itertools.islice(seen, size))

    def side() -> dict[str, float]:
        return {f"{name} {size}": per_second(count, run)}

    side()  # so that the write-ahead logs have grown
    return side


def appends(directory: Path, sizes: Sizes, *, rounds: int, tick: Tick) -> list[Part]:
    """Measure appending, at each size of a transaction."""
    names = {size: (f"append-{size}", f"append, {size:,} a transaction") for size in sizes.appended}
    if not is_there():
        _pass(rounds, tick)
        return [
            unmeasured(name, what, PER_S, goal=APPEND, reason=MISSING)
            for name, what in names.values()
        ]
    sides, closing = [], []
    for size, count in sizes.appended.items():
        ours, rival = _Ours(directory / f"ours-{size}.db"), _rival(directory / f"theirs-{size}.db")
        sides.append(_appending("ours", ours.append, size, count))
        sides.append(_appending("theirs", rival.append, size, count))
        closing += [ours.log.close, rival.close]
    found = medians(sides, rounds=rounds, tick=tick)
    for close in closing:
        close()
    return [
        part(
            name,
            what,
            PER_S,
            found[f"ours {size}"],
            floor=found[f"theirs {size}"],
            floor_is=f"the {LIBRARY} library",
            goal=APPEND,
        )
        for size, (name, what) in names.items()
    ]


def rebuilds(directory: Path, sizes: Sizes, *, rounds: int, tick: Tick) -> list[Part]:
    """Measure folding the states of all masters again."""
    name, what = "rebuild", "rebuild the state of all masters"
    if not is_there():
        _pass(rounds, tick)
        return [unmeasured(name, what, PER_S, goal=REBUILD, reason=MISSING)]
    path = directory / "ours.db"
    ours, rival = _Ours(path), _rival(directory / "theirs.db")
    for append in (ours.append, rival.append):
        seen = itertools.islice(probes(MASTERS), sizes.rebuilt)
        while portion := list(itertools.islice(seen, 1_000)):
            append(portion)
    sealed = directory / "sealed.db"
    ours.log.close()
    shutil.copyfile(path, sealed)
    pack(sealed, progress=lambda _done, _total: None)

    def folded(log: Path) -> dict[str, Health]:
        with open_log(log) as opened:
            assert not opened.snapshots.seqs()
            return _healths(state_at(opened))

    assert folded(path) == folded(sealed) == rival.rebuild() == rival.rebuild(is_tuned=True)
    found = medians(
        [
            lambda: {"ours": per_second(sizes.rebuilt, lambda: folded(path))},
            lambda: {"sealed": per_second(sizes.rebuilt, lambda: folded(sealed))},
            lambda: {"theirs": per_second(sizes.rebuilt, rival.rebuild)},
            lambda: {"tuned": per_second(sizes.rebuilt, lambda: rival.rebuild(is_tuned=True))},
        ],
        rounds=rounds,
        tick=tick,
    )
    rival.close()
    return [
        part(
            name,
            what,
            PER_S,
            found["ours"],
            floor=found["theirs"],
            floor_is=f"the {LIBRARY} library, repository.get",
            goal=REBUILD,
        ),
        part(
            f"{name}-sealed",
            f"{what}, from sealed blocks",
            PER_S,
            found["sealed"],
            floor=found["theirs"],
            floor_is=f"the {LIBRARY} library, repository.get",
        ),
        part(
            f"{name}-tuned",
            f"{what}, the library tuned",
            PER_S,
            found["ours"],
            floor=found["tuned"],
            floor_is=f"the {LIBRARY} library, repository.get with a projector of ours",
        ),
    ]
