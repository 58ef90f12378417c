"""Many seeds, judged; and what all of them together brought about.

A law that never meets what it is about proves nothing. So a batch counts which faults happened, how
often every row of every machine was taken, and which kinds of events there were.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any, Final

import msgspec

from engine.core import events as ev
from engine.core.machines import FAILOVER, HEALTH, ROLE, Table
from engine.core.policy import HOUR, GroupPolicy
from engine.simulation.checkers import HEAVY, LAWS, Law, violations
from engine.simulation.drawing import TURNS, endure, swarm
from engine.simulation.fleets import setting_of
from engine.simulation.histories import History
from engine.simulation.runs import Run, Violation
from engine.simulation.schedule import ALL_KINDS, SECTIONS, Schedule
from engine.simulation.world import run

MACHINES: Final[dict[str, Table[Any]]] = {"health": HEALTH, "role": ROLE, "failover": FAILOVER}
COMPARE_EVERY: Final = 16  # ends of a batch between two comparisons of live and replayed state
CHUNK: Final = 5  # seeds that a process takes at a time
FEW: Final = 20  # seeds up to which one process is quicker than several


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What every seed of a batch draws from."""

    turns: int = TURNS
    for_us: int = 0  # of each run, with masters that fail and are repaired; 0: `turns` of any kind
    masters: int | None = None  # of each group; None: drawn
    policies: dict[str, GroupPolicy] | None = None  # by group; None: drawn
    sizes: dict[str, int] = msgspec.field(default_factory=dict)  # masters of each group, if known
    history: History | None = None
    kinds: tuple[str, ...] = ()  # of turns that there are; (): drawn
    compare_every: int = COMPARE_EVERY
    heavy_every: int = 1  # laws that read the whole log again are asked of every so many-th seed

    def schedule(self, seed: int) -> Schedule:
        """Return the schedule of a seed."""
        if not self.for_us:
            return swarm(
                seed,
                turns=self.turns,
                policies=self.policies,
                masters=self.masters,
                sizes=self.sizes,
                kinds=self.kinds,
            )
        setting = setting_of(seed, policies=self.policies, masters=self.masters, sizes=self.sizes)
        return endure(seed, for_us=self.for_us, setting=setting, history=self.history)

    @property
    def hours(self) -> float:
        """Return the virtual time of a run [h]."""
        return self.for_us / HOUR


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a seed broke."""

    seed: int
    violations: tuple[Violation, ...]
    schedule: Schedule


class Tally(msgspec.Struct, kw_only=True):
    """What the runs of a batch amount to."""

    runs: int = 0
    steps: int = 0  # observations [count]
    events: int = 0
    virtual_us: int = 0
    failovers: int = 0  # completed
    crashes: int = 0  # of the engine
    struck: int = 0  # appends
    applied: int = 0  # messages at the sinks
    turns: Counter[str] = msgspec.field(default_factory=Counter)  # by kind
    kinds: Counter[str] = msgspec.field(default_factory=Counter)  # of events
    rows: Counter[str] = msgspec.field(default_factory=Counter)  # of the machines' tables
    runs_with: Counter[str] = msgspec.field(default_factory=Counter)  # a turn, an event or a row
    found: list[Found] = msgspec.field(default_factory=list)

    def take(self, made: Run) -> None:
        """Count what a run brought about; its log is not kept."""
        self.runs += 1
        for recorded in made.log:
            kind = type(recorded.event)
            self.kinds[kind.__name__] += 1
            self.steps += kind in ev.OBSERVATIONS
        self.events += len(made.log)
        self.virtual_us += made.virtual_us
        self.failovers += sum(part.failovers for part in made.state.groups.values())
        self.crashes += made.crashes
        self.struck += made.struck
        self.applied += sum(len(sink.applied) for sink in made.sinks.values())
        self.turns.update(turn.kind for turn in made.schedule.turns)
        rows = {
            f"{kind_name}: {source} → {dest}": times
            for (kind_name, source, dest), times in made.judged.rows.items()
        }
        self.rows.update(rows)
        self.runs_with.update({turn.kind for turn in made.schedule.turns})
        self.runs_with.update({type(recorded.event).__name__ for recorded in made.log})
        self.runs_with.update(rows.keys())

    def add(self, other: "Tally") -> None:
        """Add what another process has counted."""
        for name in ("runs", "steps", "events", "virtual_us", "failovers", "crashes", "struck",
                     "applied"):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.turns.update(other.turns)
        self.kinds.update(other.kinds)
        self.rows.update(other.rows)
        self.runs_with.update(other.runs_with)
        self.found += other.found

    def exercised(self) -> dict[str, list[tuple[str, int, int]]]:
        """Return what a batch brought about: by section each name, how often, and in how many runs.

        What never happened is there with zeros.
        """
        counts = {
            **{title: (kinds, self.turns) for title, kinds in SECTIONS.items()},
            **{
                f"moves of {table}": (tuple(row for row in all_rows((machine,))), self.rows)
                for table, machine in MACHINES.items()
            },
            "events": (tuple(kind.__name__ for kind in ev.KINDS.values()), self.kinds),
        }
        return {
            title: [(name, found[name], self.runs_with[name]) for name in names]
            for title, (names, found) in counts.items()
        }

    def never(self) -> dict[str, list[str]]:
        """Return what there is and did not happen: faults, rows of the machines, events."""
        kinds = [kind.__name__ for kind in ev.KINDS.values()]
        return {
            "turns": [kind for kind in ALL_KINDS if not self.turns[kind]],
            "rows": [row for row in all_rows() if not self.rows[row]],
            "events": [kind for kind in kinds if not self.kinds[kind]],
        }


def all_rows(machines: Iterable[Table[Any]] = tuple(MACHINES.values())) -> list[str]:
    """Return the rows of the machines as a tally names them."""
    return [
        f"{kind.__name__}: {source.value} → {dest.value}"
        for table in machines
        for kind, source, dest in table.rows
    ]


def judged(order: Order, seeds: Iterable[int], more: tuple[Law, ...] = ()) -> Tally:
    """Return what these seeds brought about, in this process.

    Args:
        order: What they draw from.
        seeds: The seeds.
        more: Laws besides those of the simulator.
    """
    tally = Tally()
    for seed in seeds:
        schedule = order.schedule(seed)
        made = run(schedule, compare_every=order.compare_every)
        laws = (*LAWS, *more)
        if seed % order.heavy_every:
            laws = tuple(law for law in LAWS if law not in HEAVY)
        broken = violations(made, laws=laws)
        tally.take(made)
        if broken:
            tally.found.append(Found(seed=seed, violations=tuple(broken), schedule=schedule))
    return tally


def _end_with(asked: Connection) -> None:
    """Let this process end when the other end of `asked` is closed, or its process is gone.

    Nobody would take what it finds, and a run may go on for hours.
    """

    def wait() -> None:
        connection.wait([asked])
        os._exit(1)

    threading.Thread(target=wait, name="end with who asked", daemon=True).start()


@contextlib.contextmanager
def pool_of(processes: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Have so many processes that simulate; they end with this one, however that is ended."""
    context = multiprocessing.get_context("spawn")
    asked, asking = context.Pipe(duplex=False)
    with (
        asked,
        asking,
        concurrent.futures.ProcessPoolExecutor(
            processes, mp_context=context, initializer=_end_with, initargs=(asked,)
        ) as pool,
    ):
        try:
            yield pool
        except BaseException:  # who asked was interrupted, or wants no more
            asking.close()  # else the end of what is under way would be waited for
            raise


def in_order(
    order: Order, seeds: range, *, processes: int = 1, more: tuple[Law, ...] = ()
) -> Iterator[Tally]:
    """Yield what was counted after every few seeds, in their order; to be added up."""
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    if processes <= 1 or (len(seeds) <= FEW and not order.for_us):
        for chunk in chunks:
            yield judged(order, chunk, more)
        return
    with pool_of(processes) as pool:
        waiting = [pool.submit(judged, order, chunk, more) for chunk in chunks]
        for future in waiting:
            yield future.result()
