"""Laws of a simulated run that are about its views, which the simulator itself does not know."""

from collections.abc import Iterator
from typing import Any, Final

from engine.core.policy import SECOND
from engine.simulation import Law, Run, Violation
from projections.audit import AUDIT
from projections.base import Fold, fold
from projections.uptime import UPTIME, By, answer
from projections.weights import WEIGHTS, rows

VIEWS: Final[tuple[Fold[Any], ...]] = (UPTIME, WEIGHTS, AUDIT)
BYS: Final[tuple[By, ...]] = ("master", "group", "fleet")
CUTS: Final = 3


def seconds_are_conserved(run: Run) -> Iterator[Violation]:
    """Every microsecond is in one bucket, for each master, each group and the fleet."""
    if not run.log:
        return
    view = fold(UPTIME, run.log)
    first_us, last_us = run.log[0].at_us, run.log[-1].at_us
    for by in BYS:
        for row in answer(view, by=by, from_us=first_us, to_us=last_us + SECOND):
            spent_us = (
                row.up_us + row.degraded_us + row.down_us + row.maintenance_us + row.unknown_us
            )
            if spent_us != row.elapsed_us:
                found = f"{row.subject}: {spent_us} of {row.elapsed_us} us"
                yield Violation(law="seconds are conserved", seq=0, found=found)


def shares_are_whole(run: Run) -> Iterator[Violation]:
    """The shares of a group add up to a million, or nobody serves it."""
    total: dict[str, int] = {}
    for row in rows(fold(WEIGHTS, run.log)):
        total[row.group] = total.get(row.group, 0) + row.share_ppm
    for group, share_ppm in total.items():
        if share_ppm not in (0, 1_000_000):
            found = f"{group}: {share_ppm} parts per million"
            yield Violation(law="shares are whole", seq=0, found=found)


def views_are_rebuilt(run: Run) -> Iterator[Violation]:
    """A view that was stored half-way and taken up again is the view folded from the start."""
    for view in VIEWS:
        whole = view.dump(fold(view, run.log))
        for cut in range(0, len(run.log) + 1, len(run.log) // CUTS + 1):
            stored = view.restore(view.dump(fold(view, run.log[:cut])))
            if view.dump(fold(view, run.log[cut:], stored)) != whole:
                found = f"{view.name} differs"
                yield Violation(law="views are rebuilt", seq=cut, found=found)


PROJECTED: Final[tuple[Law, ...]] = (seconds_are_conserved, shares_are_whole, views_are_rebuilt)
