"""Count the detections while servers are reloaded: there should be none.

    python scripts/reloads.py [--times 50] [--preset zone] [--json]

A reload of nginx, a HUP of gunicorn and of uvicorn, a worker of uvicorn that is recycled, and
`CLIENT KILL TYPE normal` at Redis: each ends connections that healthy servers had open, which is a
question and not a death. An engine watches each server meanwhile, ten times a second at least. A
preset ignores gaps of its own length: a server that is longer away than that while it reloads is
detected, for it is away. What is not installed is named and left out. Exit 1 if anything was
detected.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults.reloading import SUBJECTS, Count, lacking, reloaded

LINE = "{:<20}{:>8}{:>8}{:>8}{:>8}{:>12}{:>12}"


def main() -> int:
    """Reload everything, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--times", type=int, default=50, help="reloads of each server")
    parser.add_argument("--preset", default="zone", choices=("bench", "lan", "zone", "region"))
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    asked = parser.parse_args()
    found: dict[str, Count | None] = {}
    if not asked.json:
        names = ("server", "reloads", "probes", "closed", "failed", "detections", "slowest")
        print(LINE.format(*names))
    for subject in SUBJECTS:
        found[subject] = count = _one(subject, times=asked.times, preset=asked.preset)
        if not asked.json:
            print(_said(subject, count), flush=True)
    detections = sum(count.detections for count in found.values() if count)
    if asked.json:
        rows = {name: msgspec.to_builtins(count) for name, count in found.items()}
        print(json.dumps({"preset": asked.preset, "detections": detections, "servers": rows}))
    else:
        print(f"detections: {detections}, under preset {asked.preset}")
    return 1 if detections else 0


def _one(subject: str, *, times: int, preset: str) -> Count | None:
    if lacking(subject):
        return None

    def progress(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{subject}: {done}/{times} ", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as directory:
        counted = reloaded(subject, Path(directory), times=times, name=preset, progress=progress)
        return asyncio.run(counted)


def _said(subject: str, count: Count | None) -> str:
    if count is None:
        return f"{subject:<20}{lacking(subject)}"
    return LINE.format(
        subject,
        count.reloads,
        count.probes,
        count.closed,
        count.failed,
        count.detections,
        f"{count.worst_us / 1000:.1f} ms",
    )


if __name__ == "__main__":
    sys.exit(main())
