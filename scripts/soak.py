"""Drives a million observations through the simulated world and checks every law on the way.

    python scripts/soak.py [OBSERVATIONS] [FIRST_SEED]

Prints a report to standard output and progress to standard error; exit 1 if a law was broken.
"""

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.core.events import KINDS, OBSERVATIONS
from engine.simulation.checkers import violations
from engine.simulation.schedule import draw
from engine.simulation.world import run

OBSERVATIONS_DEFAULT = 1_000_000
TURNS = 200  # of each schedule
REPORT_EVERY_S = 2.0


def main(wanted: int, seed: int) -> int:
    """Return the exit code."""
    began_s = shown_s = time.monotonic()
    in_world_s = 0.0
    kinds: Counter[str] = Counter()
    observations = runs = virtual_us = crashes = struck = applied = 0
    broken: list[str] = []
    while observations < wanted:
        schedule = draw(seed, turns=TURNS)
        run_s = time.monotonic()
        made = run(schedule, compare_every=5)
        in_world_s += time.monotonic() - run_s
        for found in violations(made):
            broken.append(f"seed {seed}: {found}")
            print(broken[-1], file=sys.stderr)
        for recorded in made.log:
            kinds[type(recorded.event).__name__] += 1
            observations += type(recorded.event) in OBSERVATIONS
        runs, seed = runs + 1, seed + 1
        virtual_us += made.virtual_us
        crashes += made.crashes
        struck += made.struck
        applied += len(made.sink.applied)
        if time.monotonic() - shown_s > REPORT_EVERY_S:
            shown_s = time.monotonic()
            print(f"{observations} of {wanted}, {len(broken)} violations", file=sys.stderr)
    took_s = time.monotonic() - began_s
    print(f"observations    {observations}")
    print(f"runs            {runs}")
    print(f"virtual time    {virtual_us / 1e6:.0f} s")
    print(f"observations/s  {observations / in_world_s:.0f} in the world")
    print(f"                {observations / took_s:.0f} with all laws checked")
    print(f"failovers       {kinds['Switched']}")
    print(f"engine crashes  {crashes}")
    print(f"failed appends  {struck}")
    print(f"messages done   {applied}")
    print(f"violations      {len(broken)}")
    for line in broken[:20]:
        print(f"  {line}")
    print("exercised")
    for kind in KINDS.values():
        print(f"  {kind.__name__:<20} {kinds[kind.__name__]}")
    return 1 if broken else 0


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:3]]
    sys.exit(main(*arguments, *(OBSERVATIONS_DEFAULT, 0)[len(arguments) :]))
