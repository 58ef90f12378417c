"""How fast a group spends what its objective leaves it, and what is left: from its time in states.

Over a window, the burn is the share of the time that it was down, over the share that it may be:
at 1 the budget of a window is spent when the window ends. Maintenance and unknown time count for
neither, and degraded time is up.
"""

from typing import Final

import msgspec

from engine.core.events import Recorded
from engine.core.policy import Policy
from projections.tracks import Bucket
from projections.uptime import UPTIME, Row, Uptime, answer

MINUTE_US: Final = 60 * 1_000_000
PPM: Final = 1_000_000  # parts per million in one
# The windows that a burn is looked at over, short and long ones, by how figures call them.
WINDOWS_US: Final = {
    "5m": 5 * MINUTE_US,
    "30m": 30 * MINUTE_US,
    "1h": 60 * MINUTE_US,
    "2h": 120 * MINUTE_US,
    "6h": 360 * MINUTE_US,
    "1d": 1_440 * MINUTE_US,
    "3d": 4_320 * MINUTE_US,
}


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """What was promised of a group."""

    objective_ppm: int  # [parts per million]
    window_us: int


def objectives_of(policy: Policy) -> dict[str, Objective]:
    """Return what a policy promises of each group, by its name."""
    return {
        name: Objective(objective_ppm=group.slo.objective_ppm, window_us=group.slo.window_us)
        for name, group in policy.groups.items()
    }


class Spending:
    """What groups spend, accounted for as events come, beside the log or in another run of it."""

    def __init__(self, view: Uptime) -> None:
        """Begin with the time in states up to some place; `view` is used up."""
        self._view: Final = view

    def take(self, recorded: Recorded) -> None:
        """Account for an event that follows."""
        UPTIME.project(self._view, recorded)

    def figures(self, policy: Policy, at_us: int) -> dict[str, tuple[tuple[str, int], ...]]:
        """Return the figures of each group up to `at_us`, by its name."""
        return spent(self._view, objectives_of(policy), at_us=at_us)


def spent(
    view: Uptime, objectives: dict[str, Objective], *, at_us: int
) -> dict[str, tuple[tuple[str, int], ...]]:
    """Return of each group its figures up to `at_us`, by its name.

    `burn_W` is the burn over the window W [1/1000], `failures_W` how often it was down in it
    [count]; `uptime_ppm` is the availability of the window of the objective, whose part before
    the log counts as up: a young log has missed nothing that a whole window would not have.
    """
    widths_us = {*WINDOWS_US.values(), *(each.window_us for each in objectives.values())}
    rows = {width_us: _rows(view, at_us - width_us, at_us) for width_us in widths_us}
    found = {}
    for group, objective in objectives.items():
        if group not in view.groups:
            continue
        figures: list[tuple[str, int]] = []
        allowed_ppm = PPM - objective.objective_ppm
        for name, width_us in WINDOWS_US.items():
            row = rows[width_us][group]
            counted_us = row.up_us + row.degraded_us + row.down_us
            burn = row.down_us * PPM * 1_000 // (counted_us * allowed_ppm) if counted_us else 0
            figures.append((f"burn_{name}", burn))
            figures.append((f"failures_{name}", _failures(view, group, at_us - width_us)))
        uptime_ppm = _uptime_ppm(view, rows[objective.window_us][group], objective, at_us)
        found[group] = (*figures, ("uptime_ppm", uptime_ppm))
    return found


def _rows(view: Uptime, from_us: int, to_us: int) -> dict[str, Row]:
    return {row.subject: row for row in answer(view, by="group", from_us=from_us, to_us=to_us)}


def _failures(view: Uptime, group: str, since_us: int) -> int:
    """Return how often the group was down for some time after `since_us` [count]."""
    track = view.groups[group].track
    ends = [at_us for at_us, _ in track[1:]]
    return sum(
        bucket is Bucket.DOWN and (index == len(ends) or ends[index] > since_us)
        for index, (_, bucket) in enumerate(track)
    )


def _uptime_ppm(view: Uptime, row: Row, objective: Objective, at_us: int) -> int:
    """Return the availability of the window, whose part before the log counts as up [ppm]."""
    before_us = max(0, view.first_us - (at_us - objective.window_us))
    counted_us = row.up_us + row.degraded_us + row.down_us + before_us
    return PPM - row.down_us * PPM // max(1, counted_us)
