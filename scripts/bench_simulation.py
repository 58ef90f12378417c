#!/usr/bin/env python3
"""Measures the simulator: observations a second, from 3 to 10,000 masters, beside its goal (P11).

    python scripts/bench_simulation.py [--observations 300000] [--masters 3,30,300,3000,10000]

Masters in groups of at most ten, probed each second; every ten minutes one crashes, and is started
again. Every event is judged by the invariants of the log when it is durable, and live and replayed
state are compared now and then; at the end everything is folded anew. Prints one JSON document;
exit 1 if no fleet reaches 100,000 observations a second of processor time.
"""

import argparse
import gc
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from msgspec.structs import replace

from engine.core.events import OBSERVATIONS
from engine.core.policy import SECOND, Automation, GroupPolicy, preset
from engine.core.state import digest
from engine.simulation import GroupSetting, Schedule, Setting, Turn, run

GOAL: int = 100_000  # observations a second
GROUP_MAX: int = 10  # masters of a group
COMPARE_EVERY: int = 1_000  # ends of a batch
OUTAGE_US: int = 600 * SECOND  # from one to the next
DOWN_US: int = 20 * SECOND


def policy() -> GroupPolicy:
    """Return the policy of a group that acts, without limits."""
    base = preset("zone")
    failover = replace(base.failover, limit=0, hold_down_us=0)
    return replace(base, automation=Automation.AUTO, effects="http", failover=failover)


def fleet(masters: int) -> Setting:
    """Return a fleet of so many masters."""
    sizes = [GROUP_MAX] * (masters // GROUP_MAX)
    if masters % GROUP_MAX:
        sizes.append(masters % GROUP_MAX)
    mine = policy()
    groups = [
        GroupSetting(id=f"g{number}", policy=mine, masters=size)
        for number, size in enumerate(sizes)
    ]
    return Setting(
        first=groups[0].id,
        policy=mine,
        masters=groups[0].masters,
        more=tuple(groups[1:]),
        message_every_us=0,
        flush_us=SECOND,
        alerts=None,
    )


def schedule(setting: Setting, seconds: int) -> Schedule:
    """Return so much time, with an outage in every ten minutes of it."""
    names = setting.names()
    turns = [Turn(kind="rest", gap_us=5 * SECOND)]
    for number in range(max(0, seconds * SECOND // OUTAGE_US)):
        name = names[number * 7 % len(names)]
        turns.append(Turn(kind="crash", gap_us=OUTAGE_US - DOWN_US, subject=name))
        turns.append(Turn(kind="restart", gap_us=DOWN_US, subject=name))
    turns.append(Turn(kind="rest", gap_us=seconds * SECOND % OUTAGE_US))
    return Schedule(setting=setting, turns=tuple(turns))


def measured(masters: int, observations: int) -> dict[str, object]:
    """Return how fast a fleet of so many masters is simulated."""
    setting = fleet(masters)
    asked = schedule(setting, max(10, observations // masters))
    gc.collect()
    began_s, own_s = time.perf_counter(), time.process_time()
    made = run(asked, compare_every=COMPARE_EVERY)
    took_s, took_own_s = time.perf_counter() - began_s, time.process_time() - own_s
    count = sum(type(recorded.event) in OBSERVATIONS for recorded in made.log)
    return {
        "masters": masters,
        "observations": count,
        "events": len(made.log),
        "virtual_s": made.virtual_us / SECOND,
        "failovers": sum(part.failovers for part in made.state.groups.values()),
        "s": round(took_s, 2),
        "cpu_s": round(took_own_s, 2),
        "per_s": round(count / took_s),
        "per_cpu_s": round(count / took_own_s),
        "broken": [one.invariant for one in made.judged.broken] + [one.law for one in made.seen],
        "digest": digest(made.state)[:16],
    }


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--observations", type=int, default=300_000)
    parser.add_argument("--masters", default="3,30,300,3000,10000")
    args = parser.parse_args()
    rows = []
    for masters in map(int, args.masters.split(",")):
        rows.append(measured(masters, args.observations))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    best = max(int(str(row["per_cpu_s"])) for row in rows)
    met = best >= GOAL and not any(row["broken"] for row in rows)
    load = round(os.getloadavg()[0], 2)
    print(json.dumps({"rows": rows, "goal": GOAL, "met": met, "load_average": load}))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
