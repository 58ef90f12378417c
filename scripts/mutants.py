#!/usr/bin/env python3
"""Shows that each law of the simulator catches what it is there for, and how soon.

    python scripts/mutants.py [--json]

For each planted mutant: the first seed whose drawn world finds it, how many turns are left of its
schedule when it is shrunk, and how long both took together. A minute and ten turns are allowed;
ends with 1 if one takes more.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.properties.test_laws import MUTANTS, name_of
from tests.simulation.test_mutants import STEPS_MAX, hunted

SECONDS_MAX = 60.0


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one document on standard output")
    args = parser.parse_args()
    rows = []
    for mutant in MUTANTS:
        began_s = time.process_time()
        seed, small = hunted(mutant)
        took_s = time.process_time() - began_s
        kinds = " ".join(turn.kind for turn in small.turns)
        rows.append(
            {
                "law": name_of(mutant),
                "seed": seed,
                "turns": len(small.turns),
                "kinds": kinds,
                "cpu_s": round(took_s, 2),
            }
        )
        if not args.json:
            law = rows[-1]["law"]
            print(f"{law:32} seed {seed:3}  {len(small.turns):2} turns  {took_s:6.2f} s  {kinds}")
    if args.json:
        print(json.dumps({"rows": rows}))
    slow = [r for r in rows if r["turns"] > STEPS_MAX or r["cpu_s"] > SECONDS_MAX]
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
