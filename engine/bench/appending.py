"""P1, append: through the log as the engine has it, beside the driver's own cursor.

Both sides get the same events in order, the floor as rows that are ready. Each goes on with one
file through all rounds, so that its write-ahead log has grown before anything is measured.
"""

import asyncio
import itertools
import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from engine.bench.history import History, Probe, observation, probes
from engine.bench.raw import RawTable
from engine.bench.report import Bound, Part, Tick, part
from engine.bench.rounds import medians, per_second
from engine.core.driver import Driver
from engine.core.events import Observation, Recorded
from engine.log.codec import encode_rows
from engine.log.protocol import Head, Log
from engine.log.sqlite import open_log
from engine.log.writer import Writer
from engine.runtime.clock import Clock, monotonic_us
from engine.runtime.failpoints import nothing
from engine.runtime.loop import Turning

MASTERS: Final = 50
CALLERS: Final = 32
SWITCH_S: Final = 0.0005  # as `tanist run` has it: the log has a thread of its own [s]
BULK_EVENTS: Final = 1_000  # in one transaction
RAW: Final = "the raw driver, no index"
RAW_SINGLY: Final = "the raw driver, one event a transaction"
PER_S: Final = "events/s"
PERCENT_99: Final = 98  # the index of the 99th of a hundred cuts


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done in one round [events]."""

    singly: int
    told: int  # by all callers together
    bulk: int


def _events(count: int) -> list[Recorded]:
    """Return the first `count` events of the history."""
    history = History(masters=MASTERS)
    return [event for batch in history.batches(count) for event in batch.events][:count]


class _Sides:
    """A log and a floor that take the same events, a slice of them in each round."""

    def __init__(self, directory: Path, name: str, *, each: int, rounds: int) -> None:
        events = _events(each * (rounds + 1))
        rows = encode_rows(events, head=Head(), crc=0)
        begins = range(0, len(events), each)
        self.events: Final = iter([events[begin : begin + each] for begin in begins])
        self.rows: Final = iter([rows[begin : begin + each] for begin in begins])
        self.log: Final = open_log(directory / f"{name}.db", mode="write", create=True)
        self.raw: Final = RawTable(directory / f"{name}-raw.db")

    def close(self) -> None:
        """Close both files."""
        self.log.close()
        self.raw.close()


def one(directory: Path, sizes: Sizes, *, rounds: int, tick: Tick) -> list[Part]:
    """Measure one durable event a transaction."""
    sides = _Sides(directory, "one", each=sizes.singly, rounds=rounds)

    def log() -> dict[str, float]:
        events, append = next(sides.events), sides.log.append

        def run() -> None:
            for recorded in events:
                append((recorded,))

        return {"log": per_second(len(events), run)}

    def raw() -> dict[str, float]:
        rows = next(sides.rows)
        return {"raw": per_second(len(rows), lambda: sides.raw.append_singly(rows))}

    log(), raw()
    found = medians((log, raw), rounds=rounds, tick=tick)
    sides.close()
    return [
        part(
            "one",
            "one durable event a transaction",
            PER_S,
            found["log"],
            floor=found["raw"],
            floor_is=RAW,
            goal=Bound(of="ratio", at_least=0.8),
        )
    ]


def bulk(directory: Path, sizes: Sizes, *, rounds: int, tick: Tick) -> list[Part]:
    """Measure appending a thousand events a transaction."""
    sides = _Sides(directory, "bulk", each=sizes.bulk, rounds=rounds)

    def log() -> dict[str, float]:
        events, append = next(sides.events), sides.log.append

        def run() -> None:
            for begin in range(0, len(events), BULK_EVENTS):
                append(events[begin : begin + BULK_EVENTS])

        return {"log": per_second(len(events), run)}

    def raw() -> dict[str, float]:
        rows = next(sides.rows)

        def run() -> None:
            sides.raw.append_together(rows, each=BULK_EVENTS)

        return {"raw": per_second(len(rows), run)}

    log(), raw()
    found = medians((log, raw), rounds=rounds, tick=tick)
    sides.close()
    return [
        part(
            "bulk",
            "1,000 events a transaction",
            PER_S,
            found["log"],
            floor=found["raw"],
            floor_is=RAW,
            goal=Bound(of="ratio", at_least=0.45),
        )
    ]


# Callers that wait for each other's transactions.


async def _submitting(log: Log, events: Iterable[Recorded]) -> list[int]:
    """Return how long each event took until its caller knew that it is durable [us]."""
    numbered, waits = iter(events), list[int]()
    with Writer(log) as writer:

        async def caller() -> None:
            for recorded in numbered:  # shared: who is free submits the next one
                began_us = monotonic_us()
                await asyncio.wrap_future(writer.submit((recorded,)))
                waits.append(monotonic_us() - began_us)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return waits


async def _asking(log: Log, driver: Driver, seen: Iterable[tuple[str, Observation]]) -> list[int]:
    """Return the same where an engine decides upon every observation."""
    numbered, waits = iter(seen), list[int]()
    clock = Clock(last_at_us=driver.durable_state.at_us)
    with Writer(log) as writer:
        turning = Turning(driver, log, writer, clock, failpoint=nothing)

        async def caller() -> None:
            for subject, event in numbered:
                began_us = monotonic_us()
                await turning.ask(event, subject=subject)
                waits.append(monotonic_us() - began_us)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        await turning.stop()
    return waits


def _told(name: str, waits: list[int], took_us: int) -> dict[str, float]:
    return {
        name: len(waits) * 1e6 / took_us,
        f"{name} p99": statistics.quantiles(waits, n=100)[PERCENT_99] / 1_000,
    }


def callers(directory: Path, sizes: Sizes, *, rounds: int, tick: Tick) -> list[Part]:
    """Measure callers that wait, each for its own event: through the writer, and an engine."""
    sides = _Sides(directory, "callers", each=sizes.told, rounds=rounds)
    single = iter(encode_rows(_events(sizes.singly * (rounds + 1)), head=Head(), crc=0))
    history = History(masters=MASTERS)
    asked = open_log(directory / "asked.db", mode="write", create=True)
    history.declare_to(asked)
    seen = _seen(history.names, probes(MASTERS))

    def raw() -> dict[str, float]:
        rows = list(itertools.islice(single, sizes.singly))
        return {"raw": per_second(len(rows), lambda: sides.raw.append_singly(rows))}

    def writer() -> dict[str, float]:
        events, began_us = next(sides.events), monotonic_us()
        waits = asyncio.run(_submitting(sides.log, events))
        return _told("writer", waits, monotonic_us() - began_us)

    def engine() -> dict[str, float]:
        now, began_us = itertools.islice(seen, sizes.told), monotonic_us()
        waits = asyncio.run(_asking(asked, history.driver, now))
        return _told("engine", waits, monotonic_us() - began_us)

    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        raw(), writer(), engine()
        found = medians((raw, writer, engine), rounds=rounds, tick=tick)
    finally:
        sys.setswitchinterval(before_s)
    sides.close()
    asked.close()
    return [
        figure
        for name, through in (("writer", "the writer"), ("engine", "an engine's decisions"))
        for figure in (
            part(
                name,
                f"{CALLERS} callers that wait, through {through}",
                PER_S,
                found[name],
                floor=found["raw"],
                floor_is=RAW_SINGLY,
                # The goal is held against what services do: every event is decided upon.
                goal=Bound(of="ratio", at_least=4) if name == "engine" else None,
            ),
            part(
                f"{name}-p99",
                f"99 of 100 of them told within, through {through}",
                "ms",
                found[f"{name} p99"],
                goal=Bound(of="value", at_most=20),
            ),
        )
    ]


def _seen(names: tuple[str, ...], turns: Iterator[Probe]) -> Iterator[tuple[str, Observation]]:
    return ((names[probe.number], observation(probe)) for probe in turns)
