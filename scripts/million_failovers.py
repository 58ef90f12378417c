#!/usr/bin/env python3
"""Simulates a million failovers on the shipped code, each judged by the invariants of a log (P11).

    python scripts/million_failovers.py [--failovers 1000000] [--seed 0] [--processes 2]
                                        [--keep DIR] [--json]

In each world whoever serves is made to fail, again and again: its process crashes or hangs, it is
cut off, its answers are lost, or a person asks for a switchover. It is well again a little later,
so that every group soon has an heir. Messages go on meanwhile, and the invariants of the log are
judged after every event; the laws that need only what happened are asked of every world, those that
read its whole log again of a few. A seed says everything. Prints a report, progress to standard
error; a seed that breaks a law is kept as a bundle, and ends it with 1.
"""

import argparse
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.core.policy import MS, FenceKind
from engine.core.state import active_of
from engine.log.uncollected import seldom_collected
from engine.simulation import (
    LAWS,
    GroupSetting,
    Run,
    Setting,
    Turn,
    Violation,
    World,
    batches,
    bundles,
    policy,
    violations,
)
from engine.simulation.checkers import HEAVY
from engine.simulation.schedule import ALERTS

FAILOVERS: int = 1_000_000
EACH: int = 500  # masters of a world that fail while they serve [count]
SUCCEED: float = 0.75  # share of the failures that somebody takes over in, at the least
GROUPS: int = 8
HEAVY_EVERY: int = 50  # worlds
COMPARE_EVERY: int = 2_000  # ends of a batch between two looks whether live is replayed
ALERTED: float = 0.1  # share of the worlds in which people hear of what happens
REPORT_EVERY_S: float = 5.0
# What makes whoever serves fail, how often it is drawn, what ends it, and after what time. In that
# somebody takes over, unless it was too short to be told from a probe that is lost [us].
FAULTS: dict[str, tuple[int, str, int, int]] = {
    "crash": (5, "restart", 5 * MS, 60 * MS),
    "hang": (1, "continue", 40 * MS, 120 * MS),
    "cut": (1, "join", 40 * MS, 120 * MS),
    "mute": (1, "unmute", 40 * MS, 120 * MS),
    "switchover": (2, "", 10 * MS, 30 * MS),
}
REST_US: tuple[int, ...] = (60 * MS, 80 * MS)  # until all are well again, and the next one fails


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What one world brought about."""

    seed: int
    failovers: int
    events: int
    messages: int
    virtual_us: int
    cpu_s: float
    broken: tuple[Violation, ...]


def setting(rng: random.Random) -> Setting:
    """Return the fleet of a world: groups of two or three, with either kind of fence."""
    groups = [
        GroupSetting(
            id=f"g{number}",
            policy=policy(fence=rng.choice((FenceKind.GATE, FenceKind.CONFIRMED))),
            masters=rng.choice((2, 3)),
        )
        for number in range(GROUPS)
    ]
    first = groups[0]
    return Setting(
        first=first.id,
        policy=first.policy,
        masters=first.masters,
        more=tuple(groups[1:]),
        message_every_us=rng.choice((40 * MS, 200 * MS)),
        append_us=rng.choice((0, 300, 3 * MS)),
        acks_later=rng.random() < 0.3,
        flush_us=rng.choice((0, 5 * MS)),
        alerts=ALERTS if rng.random() < ALERTED else None,
    )


def turns(world: World, rng: random.Random, count: int) -> Iterator[Turn]:
    """Yield what happens next: the active of each group in its turn fails and is mended."""
    weights = [weight for weight, *_ in FAULTS.values()]
    due: list[tuple[int, int, str, str]] = []  # when, in which order, what ends it, or "" and where
    order = itertools.count()
    due += [
        (world.now_us + rng.randint(*REST_US), next(order), "", group.id)
        for group in world.setting.groups()
    ]
    struck = 0
    while due and (struck < count or any(kind for _, _, kind, _ in due)):
        at_us, _, kind, subject = entry = min(due)
        due.remove(entry)
        gap_us = max(0, at_us - world.now_us)
        if kind:
            yield Turn(kind=kind, gap_us=gap_us, subject=subject)
            continue
        yield Turn(kind="rest", gap_us=gap_us)
        fault = rng.choices(list(FAULTS), weights)[0]
        _, ends, *lasts = FAULTS[fault]
        lasts_us = rng.randint(*lasts)
        rim = world.rim
        assert rim is not None
        active = active_of(rim.driver.durable_state.groups[subject])
        if active and struck < count:
            struck += 1
            if fault == "switchover":
                yield Turn(kind=fault, group="" if subject == world.setting.first else subject)
            else:
                yield Turn(kind=fault, subject=active)
                due.append((world.now_us + lasts_us, next(order), ends, active))
        if struck < count:
            rest_us = lasts_us + rng.randint(*REST_US)
            due.append((world.now_us + rest_us, next(order), "", subject))


def made_of(seed: int) -> Run:
    """Return the run of a seed."""
    rng = random.Random(seed)
    world = World(setting(rng), compare_every=COMPARE_EVERY)
    world.begin()
    for turn in turns(world, rng, EACH):
        world.turn(turn)
    return world.finish()


def simulated(seed: int) -> Done:
    """Return what came of a seed, judged."""
    began_s = time.process_time()
    with seldom_collected():
        made = made_of(seed)
        laws = LAWS if seed % HEAVY_EVERY == 0 else tuple(law for law in LAWS if law not in HEAVY)
        broken = tuple(violations(made, laws=laws))
    return Done(
        seed=seed,
        failovers=sum(part.failovers for part in made.state.groups.values()),
        events=len(made.log),
        messages=sum(len(sink.applied) for sink in made.sinks.values()),
        virtual_us=made.virtual_us,
        cpu_s=time.process_time() - began_s,
        broken=broken,
    )


def kept(seed: int, where: Path) -> str:
    """Store the run of a seed that broke a law as a bundle, and return where."""
    path = where / f"tanist-failovers-{seed}.json"
    bundles.write(bundles.made(made_of(seed).schedule, seed=seed), path)
    return str(path)


def worlds(wanted: int, seed: int, processes: int) -> Iterator[Done]:
    """Yield what comes of one seed after the other, until there were as many failovers."""
    seeds, found = itertools.count(seed), 0
    with batches.pool_of(processes) as pool:
        waiting = [pool.submit(simulated, next(seeds)) for _ in range(2 * processes)]
        while waiting:
            done = waiting.pop(0).result()
            found += done.failovers
            if found + EACH * len(waiting) * SUCCEED < wanted:
                waiting.append(pool.submit(simulated, next(seeds)))
            yield done


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--failovers", type=int, default=FAILOVERS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, default=Path())
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    began_s = shown_s = time.monotonic()
    all_done: list[Done] = []
    broken: list[dict[str, object]] = []
    total = 0
    for done in worlds(args.failovers, args.seed, args.processes):
        all_done.append(done)
        total += done.failovers
        if done.broken:
            path = kept(done.seed, args.keep)
            first = done.broken[0]
            broken.append(
                {"seed": done.seed, "law": first.law, "found": first.found, "bundle": path}
            )
        if time.monotonic() - shown_s > REPORT_EVERY_S:
            shown_s = time.monotonic()
            print(f"{total:,} of {args.failovers:,}, {len(broken)} seeds broke a law",
                  file=sys.stderr, flush=True)  # fmt: skip
    cpu_s = sum(done.cpu_s for done in all_done)
    report = {
        "failovers": total,
        "events": sum(done.events for done in all_done),
        "messages_done": sum(done.messages for done in all_done),
        "worlds": len(all_done),
        "seeds": [args.seed, args.seed + len(all_done) - 1],
        "virtual_s": round(sum(done.virtual_us for done in all_done) / 1e6),
        "cpu_s": round(cpu_s, 1),
        "took_s": round(time.monotonic() - began_s, 1),
        "failovers_per_cpu_s": round(total / cpu_s),
        "violations": broken,
    }
    if args.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:>20} {value:,}" if isinstance(value, int) else f"{name:>20} {value}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
