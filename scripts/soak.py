#!/usr/bin/env python3
"""Simulates ten million observations on the shipped code, and checks every law on the way.

    python scripts/soak.py [--observations 10000000] [--seed 0] [--processes 2] [--keep DIR]

Seeds with all kinds of faults and fleets of several groups, and between them quarters of an hour in
which masters crash, hang and are cut off. The laws that read a whole log again are asked of every
tenth seed; all others of each, and the invariants of the log after each event. Prints one JSON
document, progress to standard error; a seed that breaks a law is shrunk and kept as a bundle, and
ends it with 1.
"""

import argparse
import itertools
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from msgspec.structs import replace

from engine.cli.projected import PROJECTED
from engine.core.policy import HOUR, Automation, FenceKind, GroupPolicy, preset
from engine.simulation import LAWS, Order, Tally, bundles, in_order

OBSERVATIONS = 10_000_000
TURNS = 250  # of each schedule
HEAVY_EVERY = 10
SEEDS_AT_ONCE = 40
QUARTERS_AT_ONCE = 90  # between so many seeds
COMPARE_EVERY = 5_000  # ends of a batch, in a long run
REPORT_EVERY_S = 5.0


def policies() -> dict[str, GroupPolicy]:
    """Return the policies of the long runs."""
    base = preset("lan")
    failover = replace(base.failover, limit=0, hold_down_us=0)
    acts = replace(base, automation=Automation.AUTO, effects="http", failover=failover)
    confirmed = replace(acts, fence=replace(acts.fence, kind=FenceKind.CONFIRMED))
    return {"gate": acts, "confirmed": confirmed}


def soaked(wanted: int, seed: int, processes: int, deadline_s: float) -> tuple[Tally, float]:
    """Return what came of seeds from `seed` on, and how long it took [s]."""
    tally, began_s = Tally(), time.monotonic()
    shown_s = began_s
    mixed = Order(turns=TURNS, heavy_every=HEAVY_EVERY)
    quarters = Order(
        for_us=HOUR // 4, policies=policies(), heavy_every=HEAVY_EVERY, compare_every=COMPARE_EVERY
    )
    for first in itertools.count(seed, SEEDS_AT_ONCE):
        for part in itertools.chain(
            in_order(mixed, range(first, first + SEEDS_AT_ONCE), processes=processes,
                     more=PROJECTED),
            in_order(quarters, range(first, first + QUARTERS_AT_ONCE), processes=processes,
                     more=PROJECTED),
        ):  # fmt: skip
            tally.add(part)
            for found in part.found:
                broken = found.violations[0]
                print(f"seed {found.seed}: {broken.law}: {broken.found}",
                      file=sys.stderr, flush=True)  # fmt: skip
            took_s = time.monotonic() - began_s
            if tally.steps >= wanted or took_s > deadline_s:
                return tally, took_s
            if time.monotonic() - shown_s > REPORT_EVERY_S:
                shown_s = time.monotonic()
                print(f"{tally.steps:,} of {wanted:,}, {len(tally.found)} seeds broke a law",
                      file=sys.stderr, flush=True)  # fmt: skip
    raise AssertionError("no seeds are left")


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--observations", type=int, default=OBSERVATIONS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, default=Path())
    parser.add_argument(
        "--deadline", type=float, default=float("inf"), help="end after so long [s]"
    )
    args = parser.parse_args()
    tally, took_s = soaked(args.observations, args.seed, args.processes, args.deadline)
    kept = []
    for found in tally.found:
        path = args.keep / f"tanist-simulated-{found.seed}.json"
        made = bundles.made(found.schedule, seed=found.seed, laws=(*LAWS, *PROJECTED))
        bundles.write(made, path)
        law, what = found.violations[0].law, found.violations[0].found
        kept.append({"seed": found.seed, "law": law, "found": what, "bundle": str(path)})
    print(
        json.dumps(
            {
                "observations": tally.steps,
                "events": tally.events,
                "runs": tally.runs,
                "virtual_s": tally.virtual_us / 1_000_000,
                "failovers": tally.failovers,
                "engine_crashes": tally.crashes,
                "appends_struck": tally.struck,
                "messages_done": tally.applied,
                "took_s": round(took_s, 1),
                "violations": kept,
                "turns": dict(sorted(tally.turns.items())),
                "never": tally.never(),
            }
        )
    )
    return 1 if kept else 0


if __name__ == "__main__":
    sys.exit(main())
