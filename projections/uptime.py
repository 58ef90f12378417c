"""Time in every state, exactly: of each master, each group and the fleet.

The answer to a question about a window, from the transitions that were folded (histories.py).
Rules:

- Absent time is reported as unknown, and never part of an availability.
- Maintenance wins over every other bucket, also if it is declared afterwards. A group's windows
  cover its masters, the fleet's cover all; a master's do not cover its group. Of declarations with
  the same subject and beginning the last one counts, so that an empty one retracts it.

Invariant: the buckets of a row add up to its elapsed time, in integers, for every window. A ratio
is formed once, on the way out.
"""

from collections import Counter
from typing import Final, Literal, TypeAlias, assert_never

import msgspec

from engine.core.errors import ConfigurationError
from engine.core.events import FLEET
from projections.histories import UPTIME, Uptime
from projections.tracks import Bucket, Spent, Track, charge

__all__ = [
    "UPTIME",
    "By",
    "DegradedAs",
    "MaintenanceAs",
    "Row",
    "UnknownAs",
    "Uptime",
    "answer",
    "maintained_in",
    "window",
]

By: TypeAlias = Literal["master", "group", "fleet"]
UnknownAs: TypeAlias = Literal["exclude", "hold", "up", "down"]
DegradedAs: TypeAlias = Literal["up", "down"]
MaintenanceAs: TypeAlias = Literal["exclude", "up", "down"]

_COUNTS: Final[dict[str, bool | None]] = {"exclude": None, "hold": None, "up": True, "down": False}


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The time of one subject within the window; the five buckets add up to `elapsed_us`."""

    subject: str
    elapsed_us: int
    up_us: int
    degraded_us: int
    down_us: int
    maintenance_us: int
    unknown_us: int
    availability: float | None  # None if nothing counts


def answer(
    view: Uptime,
    *,
    by: By = "master",
    from_us: int | None = None,
    to_us: int | None = None,
    unknown: UnknownAs = "exclude",
    degraded: DegradedAs = "up",
    maintenance: MaintenanceAs = "exclude",
) -> list[Row]:
    """Return the time of every subject within [`from_us`, `to_us`), ordered by subject.

    The three policies say what a time counts as in `availability`, and move nothing between the
    buckets. *hold* takes unknown time for the state before it, or leaves it out if there was none.
    Absent time (before the first observation, after the removal) never counts.

    Args:
        view: The fold of the log; its last state is taken to last beyond its last event.
        by: What the rows are about.
        from_us: Beginning of the window [us]; None: the first event of the log.
        to_us: End of the window [us, >= `from_us`]; None: the last event.
        unknown: What unknown time counts as.
        degraded: What degraded time counts as.
        maintenance: What time under maintenance counts as.

    Returns:
        A row for each subject that the log names; all have the same `elapsed_us`.

    Raises:
        ConfigurationError: The window ends before it begins.
    """
    from_us, to_us = window(view, from_us=from_us, to_us=to_us)
    counts: dict[Bucket, bool | None] = {
        Bucket.ABSENT: None,
        Bucket.UNKNOWN: _COUNTS[unknown],
        Bucket.UP: True,
        Bucket.DEGRADED: _COUNTS[degraded],
        Bucket.DOWN: False,
    }
    rows: list[Row] = []
    for subject, track, covers in _subjects(view, by):
        spent = charge(track, from_us, to_us)
        maintained: Spent = Counter()
        for begin_us, end_us in maintained_in(view, covers, from_us, to_us):
            maintained.update(charge(track, begin_us, end_us))
        spent.subtract(maintained)
        counted: Counter[bool | None] = Counter({_COUNTS[maintenance]: maintained.total()})
        buckets: Counter[Bucket] = Counter()
        for (bucket, held), spent_us in spent.items():
            buckets[bucket] += spent_us
            counted[counts[held if unknown == "hold" else bucket]] += spent_us
        total_us = counted[True] + counted[False]
        rows.append(
            Row(
                subject=subject,
                elapsed_us=to_us - from_us,
                up_us=buckets[Bucket.UP],
                degraded_us=buckets[Bucket.DEGRADED],
                down_us=buckets[Bucket.DOWN],
                maintenance_us=maintained.total(),
                unknown_us=buckets[Bucket.UNKNOWN] + buckets[Bucket.ABSENT],
                availability=counted[True] / total_us if total_us else None,
            )
        )
    return rows


def window(view: Uptime, *, from_us: int | None, to_us: int | None) -> tuple[int, int]:
    """Return the window that a question is about: by default from the first event to the last.

    Raises:
        ConfigurationError: It ends before it begins.
    """
    from_us = view.first_us if from_us is None else from_us
    to_us = view.last_us if to_us is None else to_us
    if to_us < from_us:
        raise ConfigurationError([f"the window ends {from_us - to_us} us before it begins"])
    return from_us, to_us


def maintained_in(
    view: Uptime, subjects: frozenset[str], from_us: int, to_us: int
) -> list[tuple[int, int]]:
    """Return the maintenance of any of `subjects` within the window: disjoint and ascending."""
    latest = {
        (found.subject, found.from_us): found.to_us
        for found in view.maintenance
        if found.subject in subjects
    }
    merged: list[tuple[int, int]] = []
    for begin_us, end_us in sorted((begin, end) for (_, begin), end in latest.items()):
        begin_us, end_us = max(begin_us, from_us), min(end_us, to_us)
        if merged:
            begin_us = max(begin_us, merged[-1][1])
        if begin_us < end_us:
            merged.append((begin_us, end_us))
    return merged


def _subjects(view: Uptime, by: By) -> list[tuple[str, Track, frozenset[str]]]:
    """Return every subject with its transitions and those whose maintenance is its own."""
    match by:
        case "master":
            return [
                (name, master.track, frozenset({name, master.group, FLEET}))
                for name, master in sorted(view.masters.items())
            ]
        case "group":
            return [
                (name, group.track, frozenset({name, FLEET}))
                for name, group in sorted(view.groups.items())
            ]
        case "fleet":
            return [(FLEET, view.fleet, frozenset({FLEET}))]
        case _:
            assert_never(by)
