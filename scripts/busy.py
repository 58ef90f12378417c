"""Watch masters on a machine that has far too much to do, and count false failovers.

    python scripts/busy.py [--minutes 10] [--loops 4] [--preset zone] [--json]

Three HTTP masters and, where there is redis-server, three Redis servers, each a process; the engine
as `tanist run` with automation "auto"; beside them so many busy loops for each core. Nothing is
struck. Exit 1 if a failover was begun.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults.busy import busy


def main() -> int:
    """Run it, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long")
    parser.add_argument("--loops", type=int, default=4, help="busy loops for each core")
    parser.add_argument("--preset", default="zone", choices=("bench", "lan", "zone", "region"))
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    asked = parser.parse_args()
    cores = os.cpu_count() or 1

    def progress(spent_s: float) -> None:
        if sys.stderr.isatty():
            print(f"\r{spent_s:.0f} of {asked.minutes * 60:.0f} s ", end="", file=sys.stderr)

    with tempfile.TemporaryDirectory() as directory:
        found = busy(
            Path(directory),
            seconds=asked.minutes * 60,
            count=asked.loops * cores,
            preset=asked.preset,
            progress=progress,
        )
    if asked.json:
        print(json.dumps({**vars(asked), "cores": cores, **msgspec.to_builtins(found)}))
    else:
        print(f"{asked.minutes:g} min under {asked.loops} busy loops for each of {cores} cores:")
        for name, value in msgspec.to_builtins(found).items():
            print(f"  {name.replace('_', ' '):<14}{value:>10,}")
        print(f"false failovers: {found.failovers}, under preset {asked.preset}")
    return 1 if found.failovers else 0


if __name__ == "__main__":
    sys.exit(main())
