#!/usr/bin/env python3
"""Measures a failover of real Redis servers under an engine, and under Redis Sentinel beside it.

    python scripts/compare_sentinel.py --rounds 30

A primary and two replicas as processes of this machine; the primary is killed (SIGKILL) and stopped
(SIGSTOP, later SIGCONT), each at a random moment, as often as told. First under an engine of the
bench preset, then under three sentinels that take a primary for down after 200 ms and after
1000 ms. Three HTTP masters under an engine come on top: idle, and once more while 32 senders hand
over messages as fast as they become durable (but for 2,000 that are not finished).

Times run from just before the signal. detected: the engine's decision is durable; two sentinels
agree. failover: all of it is done and durable; the sentinels name another primary. first write: it
was acknowledged by another server. Writes through the engine's route wait for one replica, and must
all be there in the end. Leaked: a client that holds the old primary's address writes there when it
is back, is told that it is written, and it is gone in the end.

Prints a table on standard error and one JSON document on standard output; ends with 1 if a write
through the route or a message was lost, or if a failover came without a fault.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.table import Table

from tests.faults.comparing import (
    FAULTS,
    Round,
    available,
    engine_rounds,
    http_rounds,
    sentinel_rounds,
)

DOWN_AFTER_MS = (200, 1000)
SENDERS = 32  # of messages, each with one on its way to the log


def summed(rounds: list[Round]) -> dict[str, object]:
    """Return the median and the worst of each figure [ms], and the counts."""
    figures: dict[str, object] = {"rounds": len(rounds)}
    for name in ("detected_ms", "over_ms", "write_ms"):
        values = [getattr(each, name) for each in rounds]
        figures[name] = {
            "p50": round(statistics.median(values), 1),
            "max": round(max(values), 1),
        }
    figures["leaked"] = sum(each.leaked for each in rounds)
    figures["leaked_ms_max"] = round(max(each.leaked_ms for each in rounds), 1)
    return figures


def by_fault(rounds: list[Round]) -> dict[str, object]:
    """Return the sums of each kind of fault."""
    return {
        fault: summed([each for each in rounds if each.fault == fault])
        for fault in FAULTS
        if any(each.fault == fault for each in rounds)
    }


def table(report: dict[str, dict[str, object]]) -> Table:
    """Return the report for people."""
    shown = Table(title="failover of a primary, p50 / max in ms")
    for head in ("", "fault", "detected", "failover", "first write", "leaked writes", "leaks for"):
        shown.add_column(head, justify="left" if head in ("", "fault") else "right")
    for system, faults in report.items():
        for fault, found in faults.items():
            assert isinstance(found, dict)
            cells = [
                f"{found[name]['p50']} / {found[name]['max']}"
                for name in ("detected_ms", "over_ms", "write_ms")
            ]
            leaked = "-" if "HTTP" in system else str(found["leaked"])
            lasted = "-" if "HTTP" in system else f"{found['leaked_ms_max']} ms"
            shown.add_row(system, fault, *cells, leaked, lasted)
    return shown


async def compare(directory: Path, count: int, *, seed: int, sentinels: bool) -> dict[str, object]:
    """Return everything that was measured."""
    chance = random.Random(seed)
    faults = [fault for fault in FAULTS for _ in range(count)]
    chance.shuffle(faults)
    found, routed = await engine_rounds(directory / "engine", faults, chance=chance)
    report: dict[str, dict[str, object]] = {"Tanist, Redis": by_fault(found)}
    sent: dict[str, object] = {}
    for name, senders in (("Tanist, HTTP", 0), ("Tanist, HTTP, messages", SENDERS)):
        found, sent = await http_rounds(directory, faults, chance=chance, senders=senders)
        report[name] = by_fault(found)
    for down_after_ms in DOWN_AFTER_MS if sentinels else ():
        name = f"Sentinel, {down_after_ms} ms"
        place = directory / f"sentinel-{down_after_ms}"
        struck = await sentinel_rounds(place, faults, chance=chance, down_after_ms=down_after_ms)
        report[name] = by_fault(struck)
    return {"seed": seed, "route": routed, "messages": sent, "systems": report}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="kills, and as many hangs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-sentinel", action="store_true", help="the engine alone")
    args = parser.parse_args()
    lacking = available()
    if lacking:
        print(lacking, file=sys.stderr)
        return 2
    sys.setswitchinterval(0.0005)  # as `tanist run` does: the log has a thread of its own
    with tempfile.TemporaryDirectory(prefix="tanist-compare-") as name:
        found = asyncio.run(
            compare(Path(name), args.rounds, seed=args.seed, sentinels=not args.no_sentinel)
        )
    found["load_average"] = round(os.getloadavg()[0], 2)
    console = Console(stderr=True, width=110)
    systems = found["systems"]
    assert isinstance(systems, dict)
    console.print(table(systems))
    route = found["route"]
    assert isinstance(route, dict)
    console.print(
        f"through the route: {route['routed']} writes acknowledged, {route['routed_lost']} lost, "
        f"{route['routed_refused']} not acknowledged; "
        f"failovers without a fault: {route['failovers_without_a_fault'] or 'none'}"
    )
    sent = found["messages"]
    assert isinstance(sent, dict)
    console.print(
        f"messages: {sent['accepted']} accepted ({sent['accepted_per_s']}/s), {sent['finished']} "
        f"finished, {sent['requeued']} given to another; "
        f"failovers without a fault: {sent['failovers_without_a_fault'] or 'none'}"
    )
    print(json.dumps(found))
    unasked = route["failovers_without_a_fault"] or sent["failovers_without_a_fault"]
    is_lost = route["routed_lost"] or sent["finished"] != sent["accepted"]
    return 1 if is_lost or unasked else 0


if __name__ == "__main__":
    sys.exit(main())
