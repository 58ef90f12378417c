"""The transitions of one subject, and how the time between two instants was spent.

Invariants: neighbours differ, times ascend strictly, and before the first transition the subject is
absent. So a charge is a partition: it adds up to the time that was asked about.
"""

import enum
from bisect import bisect_right
from collections import Counter
from operator import itemgetter
from typing import TypeAlias


class Bucket(enum.Enum):
    """What a subject's time is spent in; maintenance is laid over it by the question."""

    ABSENT = "absent"  # never observed, or no longer part of the fleet
    UNKNOWN = "unknown"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


Track: TypeAlias = list[tuple[int, Bucket]]  # since when [us], ascending; absent before the first
Spent: TypeAlias = Counter[tuple[Bucket, Bucket]]  # [us] by bucket and what *hold* takes it for


def now(track: Track) -> Bucket:
    """Return the state that lasts."""
    return track[-1][1] if track else Bucket.ABSENT


def move(track: Track, at_us: int, bucket: Bucket) -> None:
    """Note that `bucket` begins at `at_us` [us]; a state that lasted no time leaves no trace."""
    if now(track) is bucket:
        return
    if track and track[-1][0] >= at_us:
        at_us = track.pop()[0]
    if now(track) is not bucket:
        track.append((at_us, bucket))


def charge(track: Track, from_us: int, to_us: int) -> Spent:
    """Return how the time from `from_us` to `to_us` was spent [us]; it adds up to that time."""
    spent: Spent = Counter()
    index = bisect_right(track, from_us, key=itemgetter(0))
    while from_us < to_us:
        end_us = min(to_us, track[index][0]) if index < len(track) else to_us
        bucket = track[index - 1][1] if index else Bucket.ABSENT
        # Neighbours differ, so what is before an unknown time is a known state or an absence.
        held = track[index - 2][1] if bucket is Bucket.UNKNOWN and index > 1 else bucket
        spent[bucket, held] += end_us - from_us
        from_us, index = end_us, index + 1
    return spent
