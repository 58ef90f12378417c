"""What masters say of themselves: which of it goes into the log, and how fresh an heir's data is.

A report is worth recording

Rule 1: if it says something for the first time, or whom the master follows or its lease changed;

Rule 2: if a share moved by one per cent or more (`SHARE_STEP_PPM`), or a count or the lag by more
than a quarter and by more than `COUNT_STEP` (the lag: `LAG_STEP_US`);

Rule 3: if a figure is on the other side of a limit of the policy than before;

Rule 4: if it is one of those that make a master degraded or end that, or if a third of the time has
passed after which silence about the load is taken for a sign;

Rule 5: if the position moved, after `POSITION_INTERVALS` intervals of the probe; at once if it went
back, for then data was lost, and while the group's active is in doubt or fails over, for then the
heir is chosen by it.

So an idle master costs nothing, and one that replicates a row for each ten probes.
"""

from typing import Final

from engine.core import events as ev
from engine.core.events import Figures
from engine.core.fleet import Health
from engine.core.limits import alerted, loads, over, speaks, speaks_of_limits
from engine.core.policy import LIMITLESS, MS, Degraded, GroupPolicy
from engine.core.seen import Report
from engine.core.state import GroupState, MasterState, State, active_of, is_active_standby

SHARE_STEP_PPM: Final = 10_000  # of processor, memory, errors [parts per million]
COUNT_STEP: Final = 4  # of a queue, of work under way [count]
LAG_STEP_US: Final = 100 * MS
POSITION_INTERVALS: Final = 10  # of the probe, between two recorded positions [count]
LIFE_SIGNS: Final = 3  # recorded within the time after which silence is a sign [count]
_SHARES: Final = ("cpu_ppm", "memory_ppm", "errors_ppm")
_COUNTS: Final = (("queue", COUNT_STEP), ("active", COUNT_STEP), ("lag_us", LAG_STEP_US))


def is_worth_recording(state: State, subject: str, report: ev.LoadReported, at_us: int) -> bool:
    """Return whether `report` about the master `subject` tells more than the state has.

    Args:
        state: The working state, which `report` was not taken into.
        subject: The master; one that there is not says nothing worth recording.
        report: What was said.
        at_us: Engine time [us].
    """
    place = state.cache.places.get(subject)
    if place is None:
        return False
    known = place.master.report or Report()
    named = (*limits(state.policy_of(place.group)), *alerted(state.fleet.policy.alerts))
    told = [pair for pair in named if _said(report, pair[0]) >= 0]
    return (
        _is_new(known, report)
        or _is_moved(known, report)
        or any(_is_over(known, name, most) != _is_over(report, name, most) for name, most in told)
        or _counts(state.policy_of(place.group).degraded or LIMITLESS, known, report, at_us)
        or _is_elsewhere(state, place.group, known, report, at_us)
    )


def limits(policy: GroupPolicy) -> tuple[tuple[str, int], ...]:
    """Return the largest value of each figure that a policy takes without a word; -1: any."""
    lag_us_max = policy.failover.lag_us_max or -1
    return (("lag_us", lag_us_max), *loads(policy.degraded or LIMITLESS))


def _said(said: Report | ev.LoadReported, name: str) -> int:
    value = getattr(said, name)
    assert isinstance(value, int)
    return value


def _is_over(said: Report | ev.LoadReported, name: str, most: int) -> bool:
    return -1 < most < _said(said, name)


def _is_new(known: Report, report: ev.LoadReported) -> bool:
    if report.follows not in ("", known.follows) or report.lease_us not in (-1, known.lease_us):
        return True
    names = (*_SHARES, *(name for name, _ in _COUNTS), "position")
    return any(_said(known, name) < 0 <= _said(report, name) for name in names)


def _is_moved(known: Report, report: ev.LoadReported) -> bool:
    for name in _SHARES:
        value = _said(report, name)
        if value >= 0 and abs(value - _said(known, name)) >= SHARE_STEP_PPM:
            return True
    for name, step in _COUNTS:
        value, before = _said(report, name), _said(known, name)
        if value >= 0 and abs(value - before) > max(step, max(value, before) // 4):
            return True
    return False


def _counts(degraded: Degraded, known: Report, report: ev.LoadReported, at_us: int) -> bool:
    """Return whether the report is one in a row that makes a difference, or a sign of life."""
    if speaks_of_limits(degraded, report):
        if over(degraded, report, known):
            return len(known.over) < degraded.reports or known.within > 0
        if known.over:
            return True
    waits_us = degraded.silent_after_us // LIFE_SIGNS
    return degraded.silent_after_us > 0 and speaks(report) and at_us - known.load_us >= waits_us


def _is_elsewhere(
    state: State, group: GroupState, known: Report, report: ev.LoadReported, at_us: int
) -> bool:
    if report.position in (-1, known.position):
        return False
    if report.position < known.position:
        return True
    wait_us = POSITION_INTERVALS * state.policy_of(group).probe.interval_us
    return at_us - known.position_us >= wait_us or _is_choosing(state, group)


def _is_choosing(state: State, group: GroupState) -> bool:
    """Return whether an heir is being chosen, or may have to be soon."""
    if not is_active_standby(state, group):
        return False
    active = group.masters.get(active_of(group))
    return (
        group.saga is not None
        or active is None
        or active.health not in (Health.HEALTHY, Health.DEGRADED)
        or bool(active.failures or active.question)
    )


# How fresh the data of an heir is.


def newest_position(group: GroupState) -> int:
    """Return the newest position that any master of `group` said; -1: none said one."""
    return max((_position(master) for master in group.masters.values()), default=-1)


def freshness(master: MasterState) -> tuple[int, int]:
    """Return by what equals are ranked, the less the better: position, then lag.

    Who does not say comes after who does.
    """
    report = master.report or Report()
    return -report.position, report.lag_us if report.lag_us >= 0 else 1 << 62


def business(master: MasterState) -> int:
    """Return how busy a master is, in tenths of its processors or memory; 0 if it does not say."""
    report = master.report or Report()
    return max(report.cpu_ppm, report.memory_ppm, 0) // 100_000


def told(master: MasterState) -> Figures:
    """Return what a candidate is ranked by beside its health and priority, as far as it is said."""
    report = master.report
    if report is None:
        return ()
    named = (
        ("position", report.position),
        ("lag_us", report.lag_us),
        ("load_tenths", business(master) if max(report.cpu_ppm, report.memory_ppm) >= 0 else -1),
    )
    return tuple((name, value) for name, value in named if value >= 0)


def staleness(
    policy: GroupPolicy, group: GroupState, master: MasterState
) -> list[tuple[str, Figures]]:
    """Return the rules by which the data of `master` is too old to be served, with figures.

    A limit that nobody's report can be held against holds for nobody: it is off in a group that
    says nothing. Where others say a position, one that says none is as far behind as can be.
    """
    failover = policy.failover
    if failover.allow_loss:
        return []
    found: list[tuple[str, Figures]] = []
    lag_us = -1 if master.report is None else master.report.lag_us
    if failover.lag_us_max and lag_us > failover.lag_us_max:
        found.append(("lagging", (("lag_us", lag_us), ("lag_us_max", failover.lag_us_max))))
    if failover.behind_max < 0:
        return found
    newest, own = newest_position(group), _position(master)
    if failover.behind_max < newest - own:
        figures = (("position", own), ("newest", newest), ("behind_max", failover.behind_max))
        found.append(("behind", figures))
    return found


def _position(master: MasterState) -> int:
    return -1 if master.report is None else master.report.position
