#!/usr/bin/env python3
"""A day of fifty masters, decided upon again under another policy: how long that takes.

    python scripts/bench_whatif.py [--hours 24] [--masters 50] [--hertz 10] [--seed 1] [--keep FILE]

Makes the log with the engine's own driver and writer (the history of ten_million.py: latencies that
vary, a lost probe every hundred seconds, an outage every half an hour, and the failovers that
follow), sealed and with snapshots on the way, as a running engine does; or takes FILE, if it is
there. Then runs `tanist whatif --set probe.fall=4` as a whole process, and beside it, in the same
run, the replay of the log and the floor: the log read and hardly folded. That the memory does not
grow with the log is seen by asking the same of the first tenth of it.

Prints one JSON document; progress goes to standard error. A goal that is missed ends it with 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ten_million import Kind, alone, contents, make, peak_mb, replayed, say

from engine.answers.hypotheses import document, question, stretch
from engine.bench import replays
from engine.log import open_log

ASKED: Final = "probe.fall=4"  # one more than the preset `lan` has
OUTAGE_S: Final = 1_800
LOST_S: Final = 100
SECONDS_MAX: Final = 60.0  # goal of a day of fifty masters at ten probes a second
EVENT_US_MAX: Final = 1.4  # goal of any other
BYTES_MAX: Final = 10.0  # goal of the file [bytes an event]
GROWTH_MB_MAX: Final = 8.0  # what the peak may grow by over that of a tenth of the log


def asked(path: Path) -> dict[str, object]:
    """Return what the whole command takes, and what it says."""
    command = [sys.executable, "-m", "engine.cli.main", "whatif", str(path), "--set", ASKED]
    began_s = time.perf_counter()
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.read())
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return {
        **taken(said["events"], time.perf_counter() - began_s, used.ru_utime + used.ru_stime),
        "peak_mb": round(used.ru_maxrss * 1.024 / 1_000, 1),
        "says": said["says"],
        "diverged_at": said["diverged_at"],
        "differences": said["differences_count"],
        "recorded_digest": said["recorded"]["digest"],
    }


def taken(events: int, took_s: float, cpu_s: float) -> dict[str, object]:
    """Return how long so many events took."""
    return {
        "events": events,
        "s": round(took_s, 1),
        "us_an_event": round(took_s * 1e6 / events, 3),
        "cpu_s": round(cpu_s, 1),
    }


def asked_of_tenth(path: Path) -> dict[str, object]:
    """Return the same of the first tenth of the log, in this process."""
    with open_log(path) as log:
        part = stretch(log, until=log.head.seq // 10)
        found = document(log, question(log, sets=[ASKED]), part, progress=lambda _done, _of: None)
    return {"events": found["events"], "peak_mb": round(peak_mb(), 1)}


def floor(path: Path) -> dict[str, object]:
    """Return how long the log takes to be read and hardly folded."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    events = replays.read(path)
    return taken(events, time.perf_counter() - began_s, time.process_time() - began_cpu_s)


def report(path: Path, kind: Kind, turns: int, seed: int) -> dict[str, object]:
    """Return the whole report."""
    made = (
        alone(contents, path)
        if path.exists()
        else alone(make, path, turns * kind.masters, seed, kind)
    )
    events = int(str(made["events"]))
    bytes_an_event = path.stat().st_size / events
    say(f"made: {made}, {bytes_an_event:.2f} bytes an event")
    found: dict[str, dict[str, object]] = {}
    sides: tuple[tuple[str, Callable[[], dict[str, object]]], ...] = (
        ("whatif", lambda: asked(path)),
        ("replay", lambda: dict(alone(replayed, path, None))),
        ("floor", lambda: alone(floor, path)),
        ("whatif_tenth", lambda: alone(asked_of_tenth, path)),
    )
    for name, side in sides:
        found[name] = side()
        say(f"{name}: {found[name]}, load {os.getloadavg()[0]:.2f}")
    took_s, each_us = float(str(found["whatif"]["s"])), float(str(found["whatif"]["us_an_event"]))
    peaks = [float(str(found[name]["peak_mb"])) for name in ("whatif", "whatif_tenth")]
    growth_mb = round(peaks[0] - peaks[1], 1)
    return {
        **made,
        "hours": round(turns * kind.interval_us / 3.6e9, 3),
        "masters": kind.masters,
        "bytes_an_event": round(bytes_an_event, 2),
        **found,
        "growth_mb": growth_mb,
        "load_average": round(os.getloadavg()[0], 2),
        "goals": {
            "speed": each_us <= EVENT_US_MAX and (turns < 864_000 or took_s < SECONDS_MAX),
            "bytes_an_event": bytes_an_event <= BYTES_MAX,
            "memory": growth_mb <= GROWTH_MB_MAX,
        },
    }


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--masters", type=int, default=50)
    parser.add_argument("--hertz", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="the log, which stays; or is there")
    args = parser.parse_args()
    kind = Kind(
        masters=args.masters,
        interval_us=1_000_000 // args.hertz,
        outage_turns=OUTAGE_S * args.hertz,
        lost_turns=LOST_S * args.hertz,
    )
    turns = round(args.hours * 3_600 * args.hertz)
    with tempfile.TemporaryDirectory(prefix="tanist-day-") as directory:
        found = report(args.keep or Path(directory) / "day.db", kind, turns, args.seed)
    print(json.dumps(found))
    goals = found["goals"]
    assert isinstance(goals, dict)
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
