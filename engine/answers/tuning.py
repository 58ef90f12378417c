"""Detection time against false verdicts, for each value of one setting, over recorded logs.

Every value is put to every log (hypotheses.py). A verdict is *false* if its master answers again
soon after it: to wait would have been enough. Which value is best is for a person to say; the
*front* leaves out those that another one beats in both respects.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from engine.answers.hypotheses import ask, question, stretch
from engine.core.errors import ConfigurationError
from engine.core.policy import sums
from engine.log.protocol import Log
from engine.whatif.again import Result
from engine.whatif.tally import FALSE_WITHIN_US, Verdict

VALUES_MAX: Final = 100
_RANGE: Final = re.compile(r"(\d{1,6})\.\.(\d{1,6})", re.ASCII)

Outages = dict[tuple[int, str, int], int]  # log, master and first sign: what the verdict took [us]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What one value comes to, over all logs; times in microseconds."""

    value: str
    detections: int
    false_detections: int
    failovers: int
    false_failovers: int
    detect_us_mean: int | None  # of the outages that every value detects; None: there are none
    detect_us_max: int
    down_us: int  # of all groups
    worst_us: int  # by arithmetic, of the group in which it is longest
    on_front: bool = False

    @property
    def false(self) -> int:
        """Return the verdicts that were not needed."""
        return self.false_detections


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """All values of a setting."""

    key: str
    points: tuple[Point, ...]
    never_more: bool  # no value detects more than the one before it
    never_earlier: bool  # nor any outage sooner
    logs: int
    events: int


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the logs: one setting with its values, and others that are fixed."""

    key: str
    values: tuple[str, ...]
    fixed: tuple[str, ...]


def asked_of(assignments: Sequence[str]) -> Asked:
    """Return what `--set` asks for; one of them has several values.

    Example:
        >>> asked_of(["probe.fall=1..3", "probe.rise=2"]).values
        ('1', '2', '3')

    Raises:
        ConfigurationError: Not exactly one of them has several values, or it has too many.
    """
    ranging: list[tuple[str, tuple[str, ...]]] = []
    fixed = []
    for assignment in assignments:
        key, _, written = assignment.partition("=")
        values = _values(written.strip())
        if len(values) > 1:
            ranging.append((key.strip(), values))
        else:
            fixed.append(assignment)
    if len(ranging) != 1:
        raise ConfigurationError(
            [
                "expected one --set with several values, as in probe.fall=1..8 or "
                f"probe.timeout=100ms,200ms, found {len(ranging)}"
            ]
        )
    ((key, values),) = ranging
    if len(values) > VALUES_MAX:
        raise ConfigurationError(
            [f"--set {key}: expected at most {VALUES_MAX} values, found {len(values)}"]
        )
    return Asked(key=key, values=values, fixed=tuple(fixed))


def _values(written: str) -> tuple[str, ...]:
    found = _RANGE.fullmatch(written)
    if found is not None:
        low, high = int(found[1]), int(found[2])
        if high - low >= VALUES_MAX:
            return tuple(map(str, range(low, low + VALUES_MAX + 1)))
        return tuple(map(str, range(low, high + 1)))
    if written.startswith(("[", '"', "'", "{")):
        return (written,)
    return tuple(value.strip() for value in written.split(",") if value.strip()) or (written,)


def tune(
    logs: Sequence[Log],
    asked: Asked,
    *,
    false_within_us: int = FALSE_WITHIN_US,
    progress: Callable[[int, int], None] | None = None,
) -> Curve:
    """Return the curve of a setting over `logs`.

    Args:
        logs: Each is read once for every value.
        asked: The setting and its values, in their order.
        false_within_us: A master that answers again so soon was left without need [us].
        progress: Told how many events of all passes are done.

    Raises:
        ConfigurationError: A log cannot answer for a setting.
    """
    heads = [log.head.seq for log in logs]
    whole = sum(heads) * len(asked.values)
    done = 0
    made: list[tuple[Point, Outages]] = []
    for value in asked.values:
        results: list[Result] = []
        worst_us = 0
        for log, head in zip(logs, heads, strict=True):
            one = question(log, sets=[*asked.fixed, f"{asked.key}={value}"])
            part = stretch(log)
            before = done

            def report(events: int, _: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + events, whole)

            found = ask(log, one, part, false_within_us=false_within_us, progress=report)
            results.append(found)
            worst_us = max(worst_us, _worst_us(found))
            done += head
        made.append(_point(value, results, worst_us))
    common = set.intersection(*(set(outages) for _, outages in made))
    points = [_with_mean(point, outages, common) for point, outages in made]
    return Curve(
        key=asked.key,
        points=_marked(points),
        never_more=all(
            later.detections <= before.detections for before, later in itertools.pairwise(points)
        ),
        never_earlier=all(
            made[place + 1][1][outage] >= made[place][1].get(outage, 0)
            for place in range(len(made) - 1)
            for outage in made[place + 1][1]
        ),
        logs=len(logs),
        events=sum(heads),
    )


def _worst_us(found: Result) -> int:
    """Return the worst detection of all groups by arithmetic [us]."""
    groups = found.state.fleet.policy.groups.values()
    totals = [sums(group) for group in groups]
    return max((total.detect_us + total.slack_us for total in totals), default=0)


def _point(value: str, results: list[Result], worst_us: int) -> tuple[Point, Outages]:
    sides = [found.whatif for found in results]
    outages: Outages = {}
    for number, found in enumerate(results):
        for verdict in found.verdicts:
            outages.setdefault(_outage(number, verdict), verdict[2] - verdict[1])
    point = Point(
        value=value,
        detections=sum(side.detections for side in sides),
        false_detections=sum(side.false_detections for side in sides),
        failovers=sum(side.failovers for side in sides),
        false_failovers=sum(side.false_failovers for side in sides),
        detect_us_mean=None,
        detect_us_max=max((side.detect_us_max for side in sides), default=0),
        down_us=sum(sum(side.down_us.values()) for side in sides),
        worst_us=worst_us,
    )
    return point, outages


def _outage(number: int, verdict: Verdict) -> tuple[int, str, int]:
    return number, verdict[0], verdict[1]


def _with_mean(point: Point, outages: Outages, common: set[tuple[int, str, int]]) -> Point:
    if not common:
        return point
    mean_us = sum(outages[outage] for outage in common) // len(common)
    return msgspec.structs.replace(point, detect_us_mean=mean_us)


def _marked(points: list[Point]) -> tuple[Point, ...]:
    """Return the points, with those marked that no other one beats."""
    return tuple(
        msgspec.structs.replace(
            point, on_front=not any(_beats(other, point) for other in points if other is not point)
        )
        for point in points
    )


def _beats(one: Point, other: Point) -> bool:
    """Return whether `one` is as good in both respects, and better in one."""
    mine = (one.detect_us_mean or 0, one.false)
    theirs = (other.detect_us_mean or 0, other.false)
    return all(a <= b for a, b in zip(mine, theirs, strict=True)) and mine != theirs
