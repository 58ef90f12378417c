#!/usr/bin/env python3
"""Replays a log of a million imported observations, beside the floor of the same run.

The floor reads every row with the driver's own cursor, decodes its payload, and keeps the last
time of each subject: what any fold over these rows has to do. Both are measured in rounds that
change their order, and the medians are compared, so that a machine that gets slower or faster
meanwhile moves both. Prints one JSON document; the goal is a ratio of 0.5 or more.

    python scripts/bench_replay.py [--observations 1000000] [--rounds 5] [--profile]
"""

import argparse
import cProfile
import gc
import json
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine.answers.times import iso
from engine.cli.importing import Import
from engine.core import state as st
from engine.core.events import KINDS
from engine.core.replay import replay
from engine.log import open_log
from engine.log.library import sound_library

GOAL = 0.5
MASTERS = 50
INTERVAL_US = 1_000_000
BEGIN_US = 1_767_225_600_000_000  # 2026-01-01
OUTAGE_EVERY = 7_919  # probes of one master between two outages; a prime, so that they drift apart
OUTAGE_PROBES = 6
FETCH_ROWS = 500


def write_observations(path: Path, count: int) -> None:
    """Write `count` observations: the masters in turn, each with an outage now and then."""
    with path.open("w") as file:
        for number in range(count):
            turn, master = divmod(number, MASTERS)
            at_us = BEGIN_US + turn * INTERVAL_US + master * (INTERVAL_US // MASTERS)
            is_out = (turn + master * 151) % OUTAGE_EVERY < OUTAGE_PROBES
            outcome = "failed" if is_out else "ok"
            latency_ms = 1 + (number * 37 % 400) / 100
            file.write(
                f'{{"at":"{iso(at_us)}","master":"m{master}","outcome":"{outcome}",'
                f'"latency_ms":{latency_ms}}}\n'
            )


def floor(path: Path) -> int:
    """Return the number of events, after reading and decoding every one and hardly folding it."""
    decode = {code: msgspec.msgpack.Decoder(kind).decode for code, kind in KINDS.items()}
    last: dict[str, tuple[int, object]] = {}
    events = 0
    connection = sound_library().module.connect(f"file:{path}?mode=ro", uri=True)
    cursor = connection.cursor()
    cursor.execute("SELECT seq, at_us, kind, subject, cause, payload FROM events ORDER BY seq")
    while rows := cursor.fetchmany(FETCH_ROWS):
        for seq, at_us, kind, subject, _cause, payload in rows:
            event = decode[kind](payload)
            last[subject] = at_us, event
            events = seq
    connection.close()
    return events


def real(path: Path) -> int:
    """Return the number of events, after the engine's own replay of the log."""
    with open_log(path) as log:
        return replay(log.read()).seq


def timed(run: Callable[[Path], int], path: Path) -> float:
    """Return the events a second of one run."""
    gc.collect()
    began = time.perf_counter()
    events = run(path)
    return events / (time.perf_counter() - began)


def main() -> None:
    """Run the benchmark that the arguments ask for, and print its report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--observations", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="print where the replay's time goes")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tanist-bench-") as directory:
        source, path = Path(directory) / "observations.jsonl", Path(directory) / "bench.db"
        write_observations(source, chosen.observations)
        began = time.perf_counter()
        plan = Import(
            str(source),
            str(path),
            columns={},
            group="bench",
            policy=None,
            changes=(),
            report=lambda _lines: None,
        )
        done = plan.run(lambda _done, _total: None)
        import_s = time.perf_counter() - began
        del plan
        runs = [("floor", floor), ("replay", real)]
        rates: dict[str, list[float]] = {name: [] for name, _ in runs}
        for number in range(chosen.rounds):
            for name, run in runs if number % 2 else reversed(runs):
                rates[name].append(timed(run, path))
        if chosen.profile:
            profile = cProfile.Profile()
            profile.runcall(real, path)
            pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(12)
        with open_log(path) as log:
            assert st.digest(replay(log.read())) == done["digest"]
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ratio = medians["replay"] / medians["floor"]
    report = {
        "observations": chosen.observations,
        "events": done["events"],
        "import_s": round(import_s, 2),
        "floor_per_s": round(medians["floor"]),
        "replay_per_s": round(medians["replay"]),
        "ratio": round(ratio, 3),
        "goal": GOAL,
        "met": ratio >= GOAL,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
