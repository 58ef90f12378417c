"""Conditions of figures: queues, what masters say of their load, and what the engine has counted.

Rule 1: what the state has is judged from the state: messages that wait, and the last report of a
master that is watched and well enough to be believed.

Rule 2: what the engine counts beside its rules (requests, how long answers took, the disk of the
log, its stored views) comes as figures of a minute (`FiguresDerived`). They are recorded while a
condition holds by them, or an alert of theirs has begun, and not else: a quiet log does not grow by
them, and what ends an alert is in the log as well as what began it.

Rule 3: figures are those of one minute. A condition that they show has held for that minute when
they come, and for one more with each that follows; if none follows, it is over (`FRESH_US`).

Nobody hears of the figures of a master that has failed, or is under maintenance: that is said, or
somebody is at work on it.
"""

from collections.abc import Iterator
from typing import Final

from engine.core.events import FLEET, Figures
from engine.core.fleet import Health
from engine.core.levels import WARNING, Condition, Levels
from engine.core.policy import MINUTE, SECOND, AlertPolicy
from engine.core.seen import Derived
from engine.core.state import GroupState, MasterState, State, is_active_standby, is_maintained

FRESH_US: Final = 2 * MINUTE + 30 * SECOND  # figures that are older say nothing any more
PPM: Final = 1_000_000  # parts per million in one
SERVING_MIN: Final = 2  # healthy masters, for the share of one to say something [count]
TIMEOUT_PARTS: Final = 4  # answers within this part of the time-out are quick enough
TRAFFIC: Final = "traffic"  # what figures are of: calls, errors, and all calls of the group
LATENCY: Final = "latency"  # p99_us and usual_us of probes
DISK: Final = "disk"  # of the log: used_ppm, free and lacking [bytes], left_us
VIEWS: Final = "views"  # behind_us
BUDGET: Final = "budget"  # of a group: burn_W and failures_W of windows, uptime_ppm
# The kinds of condition that rest on each.
KINDS: Final = {
    TRAFFIC: ("errors", "share"),
    LATENCY: ("latency",),
    DISK: ("disk-filling",),
    VIEWS: ("view-behind",),
    BUDGET: ("burn", "objective"),
}
# A budget burns at so many times what it lasts for [1/1000] over both of two windows, the short one
# to be over soon after it ends (Google, The Site Reliability Workbook, chapter 5).
BURNS: Final = (
    ("critical", "1h", "5m", 14_400),
    ("critical", "6h", "30m", 6_000),
    ("warning", "1d", "2h", 3_000),
    ("warning", "3d", "6h", 1_000),
)


def of_group(
    state: State, group: GroupState, policy: AlertPolicy, at_us: int
) -> Iterator[Condition]:
    """Return the conditions of the figures of a group and its masters that hold now."""
    waiting = len(group.ledger.open)
    yield from _queue(group.id, waiting, policy)
    for derived in group.derived.values():
        yield from _of_budget(state, group, derived, policy, at_us)
    for name, master in group.masters.items():
        if master.is_doubted or not (master.report or master.derived):
            continue
        if is_maintained(state, group, master, at_us):
            continue
        yield from _reported(group, name, master, policy, at_us)
        for what, derived in master.derived.items():
            yield from _of_master(state, group, name, what, derived, policy, at_us)


def of_fleet(state: State, policy: AlertPolicy, at_us: int) -> Iterator[Condition]:
    """Return the conditions of the figures of the engine itself that hold now."""
    for what, derived in state.fleet.derived.items():
        yield from _of_engine(what, derived, policy, at_us)


def is_worth_recording(state: State, subject: str, what: str, figures: Figures) -> bool:
    """Return whether figures show a condition, or are of one that has begun.

    Args:
        state: The working state, which `figures` were not taken into.
        subject: A master, a group or the fleet; a master that there is not has no figures.
        what: What they are of.
        figures: Those of the last minute.
    """
    policy = state.fleet.policy.alerts
    if policy is None:
        return False
    at_us = state.at_us
    derived = Derived(seq=0, at_us=at_us, figures=figures)
    if subject == FLEET:
        alerts, found = state.fleet.alerts, _of_engine(what, derived, policy, at_us)
    elif subject in state.groups:
        group = state.groups[subject]
        alerts, found = group.alerts, _of_budget(state, group, derived, policy, at_us)
    else:
        place = state.cache.places.get(subject)
        if place is None:
            return False
        alerts = place.group.alerts
        found = _of_master(state, place.group, subject, what, derived, policy, at_us)
    return any(f"{kind} {subject}" in alerts for kind in KINDS[what]) or any(True for _ in found)


def queue_moves(state: State, group: GroupState) -> bool:
    """Return whether the number of messages that wait begins, worsens or ends a condition.

    Messages are many, so no other condition is judged for them.
    """
    policy = state.fleet.policy.alerts
    if policy is None:
        return False
    holds = next(_queue(group.id, len(group.ledger.open), policy), None)
    alert = group.alerts.get(f"queue {group.id}") if group.alerts else None
    if holds is None or alert is None:
        return (holds is None) != (alert is None)
    return alert.severity != "critical" and ("critical", 0) in holds.levels


def _queue(subject: str, waiting: int, policy: AlertPolicy) -> Iterator[Condition]:
    levels: Levels = ()
    if 0 < policy.queue_warning < waiting:
        levels = (("warning", policy.queue_us),)
    if 0 < policy.queue_critical < waiting:
        levels = (*levels, ("critical", 0))
    if levels:
        figures = (("queue", waiting),)
        yield Condition(kind="queue", subject=subject, levels=levels, figures=figures)


# What masters say.


def _reported(
    group: GroupState, name: str, master: MasterState, policy: AlertPolicy, at_us: int
) -> Iterator[Condition]:
    report = master.report
    if report is None or report.is_silent or master.health is Health.UNKNOWN:
        return
    yield from _queue(name, report.queue, policy)
    for kind, said, warning_ppm, critical_ppm in (
        ("cpu", report.cpu_ppm, policy.cpu_warning_ppm, policy.cpu_critical_ppm),
        ("memory", report.memory_ppm, policy.memory_warning_ppm, policy.memory_critical_ppm),
    ):
        levels: Levels = ()
        if 0 < warning_ppm <= said:
            levels = (("warning", policy.busy_us),)
        if 0 < critical_ppm <= said:
            begun = group.alerts.get(f"{kind} {name}")
            since_us = at_us if begun is None else begun.since_us
            # It has to be that much for all the time, and may have been less before.
            hot_us = report.hot.get(f"{kind}_ppm", report.load_us)
            levels = (*levels, ("critical", max(0, hot_us + policy.busy_us - since_us)))
        if levels:
            figures = ((f"{kind}_ppm", said),)
            evidence = (report.seq,)
            yield Condition(
                kind=kind, subject=name, levels=levels, figures=figures, evidence=evidence
            )


# What the engine has counted.


def _of_master(
    state: State,
    group: GroupState,
    name: str,
    what: str,
    derived: Derived,
    policy: AlertPolicy,
    at_us: int,
) -> Iterator[Condition]:
    if at_us >= derived.at_us + FRESH_US:
        return
    said = dict(derived.figures)
    if what == LATENCY:
        p99_us, usual_us = said["p99_us"], said["usual_us"]
        quick_us = state.policy_of(group).probe.timeout_us // TIMEOUT_PARTS
        if policy.latency_times and p99_us > max(policy.latency_times * usual_us, quick_us):
            yield _counted("latency", name, (("warning", policy.latency_us),), derived)
        return
    calls, errors, of_group = said["calls"], said["errors"], said["group_calls"]
    share_ppm = errors * PPM // max(1, calls)
    levels = _both(share_ppm, policy.errors_warning_ppm, policy.errors_critical_ppm)
    if calls >= policy.errors_calls and levels:
        levels = tuple((level, policy.errors_us) for level, _ in levels)
        yield _counted("errors", name, levels, derived)
    healthy = sum(master.health is Health.HEALTHY for master in group.masters.values())
    if (
        policy.share_ppm
        and not is_active_standby(state, group)
        and healthy >= SERVING_MIN
        and of_group >= policy.share_calls
        and calls * PPM > of_group * policy.share_ppm
    ):
        yield _counted("share", name, WARNING, derived)


def _of_budget(
    state: State, group: GroupState, derived: Derived, policy: AlertPolicy, at_us: int
) -> Iterator[Condition]:
    if at_us >= derived.at_us + FRESH_US:
        return
    said = dict(derived.figures)
    levels = tuple(
        (level, 0)
        for level, long, short, least in BURNS
        if min(said[f"burn_{long}"], said[f"burn_{short}"]) >= least
        and 0 < policy.burn_failures <= said[f"failures_{long}"]
    )
    if levels:
        yield _counted("burn", group.id, levels, derived)
    if policy.objective and said["uptime_ppm"] < state.policy_of(group).slo.objective_ppm:
        yield _counted("objective", group.id, WARNING, derived)


def _of_engine(what: str, derived: Derived, policy: AlertPolicy, at_us: int) -> Iterator[Condition]:
    if at_us >= derived.at_us + FRESH_US:
        return
    said = dict(derived.figures)
    if what == VIEWS:
        if 0 < policy.behind_us < said["behind_us"]:
            yield _counted("view-behind", FLEET, WARNING, derived)
        return
    if 0 <= said["lacking"] <= said["free"]:
        return  # the log will find the room that it may take
    levels = _both(said["used_ppm"], policy.disk_warning_ppm, policy.disk_critical_ppm)
    if 0 <= said["left_us"] < policy.disk_left_us:
        levels = (("critical", 0),)
    if levels:
        yield _counted("disk-filling", FLEET, levels, derived)


def _both(value: int, warning: int, critical: int) -> Levels:
    """Return the levels whose limits `value` has reached; a limit of 0 is none."""
    found = (("warning", warning), ("critical", critical))
    return tuple((level, 0) for level, limit in found if 0 < limit <= value)


def _counted(kind: str, subject: str, levels: Levels, derived: Derived) -> Condition:
    return Condition(
        kind=kind,
        subject=subject,
        levels=levels,
        figures=derived.figures,
        evidence=(derived.seq,),
        ends_us=derived.at_us + FRESH_US,
        seen_us=derived.at_us,
    )
