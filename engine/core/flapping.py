"""Flapping: a master that answers and fails by turns, by the rule of Nagios.

The last 21 checks have 20 places where the result may have changed. A change weighs from 0.75 (the
oldest) to 1.25 (the newest); the sum of those that there are, over 20, is the percentage. Flapping
starts at the higher limit and ends at the lower one, and between the two it stays what it was.

What is kept is the lengths of the runs between changes, so that a check that is like the one before
costs nothing. All of it is in integers: a weight is (55 + 2 x) / 76 at place x of 1 to 20.
"""

from typing import Final

from engine.core.seen import Flaps

CHANGES: Final = 20  # places where a result may have changed [count]
PPM: Final = 1_000_000


def noted_bad(flaps: Flaps, good: int) -> None:
    """Count a failed check after `good` answered ones in a row; 0: nothing is known of before."""
    if not flaps.bad and good:
        _end_run(flaps, good)
    flaps.bad += 1


def noted_good(flaps: Flaps) -> None:
    """Count an answered check after failed ones."""
    _end_run(flaps, flaps.bad)
    flaps.bad = 0


def _end_run(flaps: Flaps, length: int) -> None:
    flaps.runs.append(length)
    del flaps.runs[:-CHANGES]


def percent_ppm(flaps: Flaps, good: int) -> int:
    """Return how much of the last checks was change [ppm].

    Args:
        flaps: The runs that have ended, and the failed checks of one that has not.
        good: Answered checks in a row now; counts if the last one was not a failed one.
    """
    place = CHANGES + 1 - (flaps.bad or good)
    weights = 0
    for length in reversed(flaps.runs):
        if place < 1:
            break
        weights += 55 + 2 * place
        place -= length
    return weights * PPM // (CHANGES * 76)
