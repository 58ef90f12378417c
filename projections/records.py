"""The record of each master: how often it failed, of what, and how long it took to be back.

Answered from the incidents (incidents.py). The counts are exact: the failures of all classes are
those of all troubles, and recoveries add up to the time that was spent in trouble.
"""

import itertools
from typing import Final

import msgspec

from projections.incidents import Incidents, Trouble

DAY_US: Final = 86_400_000_000


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one master; times in microseconds, None: there is nothing to form it from."""

    master: str
    group: str
    failures: int  # troubles in which it was said to have failed
    degradations: int  # those in which it was not
    failures_24h: int  # that were detected in the 24 hours before `at_us`
    classes: dict[str, int]  # what was seen in all of them [count]
    between_us: int | None  # mean time from the end of one failure to the start of the next
    recoveries: int
    recovery_us_min: int | None
    recovery_us_max: int | None
    recovery_us_mean: int | None
    down_us: int  # in failures, up to `at_us`
    is_open: bool


def records(view: Incidents, *, at_us: int | None = None) -> list[Record]:
    """Return the record of every master that was ever declared or in trouble, by name.

    Args:
        view: The incidents.
        at_us: As of when; None: the last event that said anything about a master [us].
    """
    end_us = view.last_us if at_us is None else at_us
    troubles: dict[str, list[Trouble]] = {name: [] for name in view.since_us}
    for trouble in (*view.troubles, *view.open.values()):
        troubles.setdefault(trouble.subject, []).append(trouble)
    return [
        _record(name, view.groups.get(name, ""), sorted(found, key=_began), end_us)
        for name, found in sorted(troubles.items())
    ]


def _began(trouble: Trouble) -> tuple[int, int]:
    return trouble.started_us, trouble.id


def _record(name: str, group: str, troubles: list[Trouble], end_us: int) -> Record:
    failed = [trouble for trouble in troubles if trouble.failures]
    classes: dict[str, int] = {}
    for trouble in troubles:
        for kind, count in trouble.classes.items():
            classes[kind] = classes.get(kind, 0) + count
    took_us = [
        trouble.recovered_us - trouble.started_us
        for trouble in failed
        if trouble.recovered_us is not None
    ]
    gaps_us = [
        later.started_us - before.recovered_us
        for before, later in itertools.pairwise(failed)
        if before.recovered_us is not None
    ]
    lasting_us = [max(0, end_us - trouble.started_us) for trouble in failed if not trouble.ended]
    return Record(
        master=name,
        group=group or next((trouble.group for trouble in troubles), ""),
        failures=len(failed),
        degradations=len(troubles) - len(failed),
        failures_24h=sum(end_us - DAY_US < trouble.detected_us <= end_us for trouble in failed),
        classes=dict(sorted(classes.items())),
        between_us=_mean(gaps_us),
        recoveries=len(took_us),
        recovery_us_min=min(took_us, default=None),
        recovery_us_max=max(took_us, default=None),
        recovery_us_mean=_mean(took_us),
        down_us=sum(took_us) + sum(lasting_us),
        is_open=any(not trouble.ended for trouble in failed),
    )


def _mean(values: list[int]) -> int | None:
    return sum(values) // len(values) if values else None
