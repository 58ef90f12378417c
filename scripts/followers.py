#!/usr/bin/env python3
"""Follows a log from two other processes while it is written, sealed and given snapshots.

    python scripts/followers.py [--seconds 60] [--appenders 32]

The writer embeds an engine, as users do, and that many tasks hand it messages at the same time;
it also delivers them, seals and stores snapshots. The followers begin at the first event, read
with `engine.log.tailing.tail`, and form the chain over what they get. At the end both have every
event once, in order, and the chain that `verify` finds; and no process said anything went wrong.

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

from tests.faults.beside import beside
from tests.faults.killing import Engines, Round

KEEP_EVENTS: Final = 1_000  # between two snapshots
REPORT_EVERY_S: Final = 5.0


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--appenders", type=int, default=32)
    args = parser.parse_args()
    began_s = time.monotonic()

    def load(engines: Engines, heard: Round) -> None:
        until_s = time.monotonic() + args.seconds
        while (left_s := until_s - time.monotonic()) > 0 and heard.code is None:
            engines.listen(heard, min(REPORT_EVERY_S, left_s))
            print(f"{len(heard.told)} told durable, {left_s:.0f} s left", file=sys.stderr)

    with tempfile.TemporaryDirectory(prefix="tanist-follow-") as directory:
        found = beside(
            Path(directory) / "log.db",
            [load],
            appenders=args.appenders,
            keep_events=KEEP_EVENTS,
        )
    report = {
        "seconds": args.seconds,
        **msgspec.to_builtins(found),
        "told_per_s": round(found.told / args.seconds),
        "events_per_s": round(found.events / args.seconds),
        "took_s": round(time.monotonic() - began_s, 1),
    }
    print(json.dumps(report))
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
