#!/usr/bin/env python3
"""Measures how fast a master that was killed or that hangs is detected, and how often wrongly.

    python scripts/bench_detection.py --rounds 50 --reloads 50

Real processes on this machine under the bench preset: a sample master gets SIGKILL or SIGSTOP, an
nginx is reloaded. A time runs from just before the signal to the moment at which the decision is
durable and published. Prints one JSON document: milliseconds, and counts of failures that were
detected where there were none. Without nginx `reloads` is 0.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.core import events as ev
from engine.core.policy import preset
from tests.faults.fleet import Process, port_of
from tests.faults.watching import Watched, nginx, nginx_program, watching

INTERVAL_S: Final = preset("bench").probe.interval_us / 1e6
KEPT: Final = "keepalive_timeout 60s; keepalive_requests 1000000;"


async def struck(watched: Watched, master: Process, number: signal.Signals) -> tuple[float, int]:
    """Return the time from the signal to the decision [ms], and where the decision is."""
    before, struck_us = len(watched.log), watched.engine.clock.at_us()
    master.strike(number)
    place = await watched.next(ev.MasterFailed, after=before)
    return (watched.durable_us[place] - struck_us) / 1_000, place


async def kills(directory: Path, rounds: int) -> dict[str, object]:
    """Return the times from SIGKILL to the decision [ms]."""
    master = Process("engine.samples.master")
    port = port_of(master)
    times = []
    address = f"http://127.0.0.1:{port}"
    try:
        async with watching({"victim": address}, directory / "kill.db") as watched:
            for _ in range(rounds):
                took_ms, place = await struck(watched, master, signal.SIGKILL)
                times.append(took_ms)
                master.wait()
                master = Process("engine.samples.master", "--port", str(port))
                port_of(master)
                await watched.next(ev.MasterHealthy, after=place)
            wrong = watched.count(ev.MasterFailed) - rounds
    finally:
        master.end()
    return {**figures(times), "wrong": wrong}


async def hangs(directory: Path, rounds: int) -> dict[str, object]:
    """Return the times from SIGSTOP to the decision [ms]."""
    master = Process("engine.samples.master")
    address = f"http://127.0.0.1:{port_of(master)}"
    times = []
    try:
        async with watching({"victim": address}, directory / "hang.db") as watched:
            for number in range(rounds):
                # Each round strikes at another moment between two probes.
                await asyncio.sleep(INTERVAL_S * number / rounds)
                took_ms, place = await struck(watched, master, signal.SIGSTOP)
                times.append(took_ms)
                master.strike(signal.SIGCONT)
                await watched.next(ev.MasterHealthy, after=place)
            wrong = watched.count(ev.MasterFailed) - rounds
    finally:
        master.end()
    return {**figures(times), "wrong": wrong}


async def reloads(directory: Path, count: int) -> dict[str, object]:
    """Return how many connections ended under the reloads, and how many failures were detected."""
    if nginx_program() is None:
        return {"reloads": 0, "closed": 0, "detections": 0}
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with nginx(directory, port=port, settings=KEPT) as server:
        async with watching({"web": server.address}, directory / "reload.db") as watched:
            for _ in range(count):
                await server.reload()
                await watched.next(ev.ProbeOk, after=len(watched.log))
            closed = watched.count(ev.ConnectionClosed)
            return {
                "reloads": count,
                "closed": closed,
                "detections": watched.count(ev.MasterFailed),
            }


def figures(times: list[float]) -> dict[str, object]:
    """Return the median and the worst of `times` [ms]."""
    return {"p50_ms": round(statistics.median(times), 2), "max_ms": round(max(times), 2)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50, help="kills, and as many hangs")
    parser.add_argument("--reloads", type=int, default=50)
    args = parser.parse_args()
    sys.setswitchinterval(0.0005)  # as `tanist run` does: the log has a thread of its own
    with tempfile.TemporaryDirectory(prefix="tanist-bench-") as name:
        directory = Path(name)
        report = {
            "rounds": args.rounds,
            "kill": asyncio.run(kills(directory, args.rounds)),
            "hang": asyncio.run(hangs(directory, args.rounds)),
            **asyncio.run(reloads(directory, args.reloads)),
            "load_average": round(os.getloadavg()[0], 2),
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
