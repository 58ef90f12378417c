#!/usr/bin/env python3
"""Kills a process that appends, again and again on one log, and looks for what it lost.

    python scripts/kill_appenders.py [--kills 300] [--appenders 32] [--seed 1] [--told 2000]

The process embeds an engine, as users do, and that many tasks hand it messages at the same time;
each is told when its own is durable, and tells it on at once. The engine delivers to a real master,
seals, stores snapshots and views meanwhile. It is ended by SIGKILL at moments drawn from the seed,
some of them while it takes the log up, and started again on what is there, with no repair. After
each kill what is new is held whole and what is old by its chain; every so many kills, and at the
end, the whole log is verified and everything that was ever told is looked up again.

Prints one JSON document, progress to standard error; exit 1 if anything is not as it should be.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults.killing import Engines, Killing

VERIFY_KILLS: Final = 25  # between two looks at the whole log
KEEP_EVENTS: Final = 1_000  # between two snapshots
REPORT_EVERY_S: Final = 5.0
PROBLEMS_MAX: Final = 20  # printed; all are counted


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--appenders", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--told", type=int, default=2_000, help="most that one process tells")
    args = parser.parse_args()
    began_s = shown_s = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="tanist-kill-") as directory,
        Engines(appenders=args.appenders, keep_events=KEEP_EVENTS) as engines,
    ):
        path = Path(directory) / "log.db"
        killing = Killing(path, seed=args.seed, told_max=args.told)
        found = killing.found
        while found.kills < args.kills:
            killing.strike(engines)
            if found.kills % VERIFY_KILLS == 0:
                killing.verify()
            if time.monotonic() - shown_s > REPORT_EVERY_S:
                shown_s = time.monotonic()
                print(
                    f"{found.kills} of {args.kills} kills, {found.told} told durable, "
                    f"{found.lost} lost, {len(found.problems)} problems",
                    file=sys.stderr,
                )
        killing.verify()
        size = path.stat().st_size
    report = {
        **msgspec.to_builtins(found),
        "problems": len(found.problems),
        "first_problems": found.problems[:PROBLEMS_MAX],
        "bytes": size,
        "took_s": round(time.monotonic() - began_s, 1),
    }
    print(json.dumps(report))
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
