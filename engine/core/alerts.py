"""Alerts: conditions that people have to hear of, when they began, and when they are over.

Rule 1: what begins to hold (conditions.py) is pending; if it still holds after the time of a level,
the alert is raised at that level (warning, critical). So what lasts for a moment is recorded, and
nobody is woken.

Rule 2: an alert is raised once for each level, and cleared by itself when its condition is over.
Whoever acknowledges it silences it, and nothing else: no brake is lifted and no rule reads it.

Rule 3: alerts of a group are in its part, those of the fleet in the fleet's. They move no version:
nothing was decided about a master.

Nothing is judged in a log at rest: there is nobody to tell.
"""

from collections.abc import Iterator
from typing import Final

from engine.core import events as ev
from engine.core.conditions import conditions
from engine.core.events import FLEET, AnyEvent
from engine.core.levels import Condition
from engine.core.policy import MINUTE
from engine.core.state import Alert, GroupState, State
from engine.core.step import Step

RANKS: Final = {"": 0, "warning": 1, "critical": 2}


def consider_alerts(
    state: State, group: GroupState | None, at_us: int
) -> tuple[str, AnyEvent] | None:
    """Return the next alert of a part (None: the fleet's) to say, raise or clear, and its subject.

    A condition that holds for the first time is pending, or raised if its level asks for no time.
    """
    part = state.fleet if group is None else group
    if state.fleet.policy.alerts is None and not part.alerts:
        return None
    found = _found(state, group, at_us)
    for key, condition in found.items():
        todo = _judge(part.alerts.get(key), condition, at_us)
        if todo is not None:
            return condition.subject, todo
    for key in sorted(part.alerts.keys() - found.keys()):
        alert = part.alerts[key]
        lasted_us = at_us - alert.since_us
        return alert.subject, ev.AlertCleared(kind=alert.kind, alert=alert.id, lasted_us=lasted_us)
    return None


def _found(state: State, group: GroupState | None, at_us: int) -> dict[str, Condition]:
    """Return the conditions of a part that hold now, by key.

    Whoever says them and whoever asks when one of them is due look at the same state, so what was
    found is remembered until something happens.
    """
    cache, part, when = state.cache, FLEET if group is None else group.id, (state.seq, at_us)
    if cache.holds_at != when:
        cache.holds_at = when
        cache.holds.clear()
    found = cache.holds.get(part)
    if found is None:
        found = cache.holds[part] = {one.key: one for one in conditions(state, group, at_us)}
    return found


def _judge(alert: Alert | None, condition: Condition, at_us: int) -> AnyEvent | None:
    """Return what is to be said of a condition that holds; None: nothing new."""
    since_us = at_us if alert is None else alert.since_us
    severity = "" if alert is None else alert.severity
    lasted_us = at_us - since_us
    if condition.seen_us:  # in each minute since, of which the first ended then
        minutes = 1 + (condition.seen_us - since_us + MINUTE // 2) // MINUTE
        lasted_us = minutes * MINUTE
    for level, for_us in condition.levels:
        if RANKS[level] > RANKS[severity] and lasted_us >= for_us:
            severity = level
    if alert is None and not severity:
        return ev.AlertPending(kind=condition.kind, figures=condition.figures)
    if alert is not None and severity == alert.severity:
        return None
    return ev.AlertRaised(
        kind=condition.kind,
        severity=severity,
        since_us=since_us,
        figures=condition.figures,
        evidence=condition.evidence,
    )


def alert_deadlines(state: State, group: GroupState | None) -> Iterator[int]:
    """Return when an alert of a part is raised, or is over, by time alone [us]."""
    part = state.fleet if group is None else group
    if not part.alerts:
        return
    for key, condition in _found(state, group, state.at_us).items():
        alert = part.alerts.get(key)
        if alert is None:
            continue
        for level, for_us in condition.levels if not condition.seen_us else ():
            due_us = alert.since_us + for_us
            if RANKS[level] > RANKS[alert.severity] and due_us > state.at_us:
                yield due_us
        if condition.ends_us > state.at_us:
            yield condition.ends_us


def decide_acked(step: Step, event: ev.AlertAcked) -> None:
    """Refuse to silence what is over; one that is silenced already stays so."""
    found = find(step.state, event.alert)
    if found is None or found[0] != step.subject:
        where = "" if found is None else f" in {step.subject}"
        reason = f"no alert {event.alert}{where}: it is over, or there never was one"
        step.emit(ev.Refused(what="ack", reasons=(reason,)))


def find(state: State, alert: int) -> tuple[str, Alert] | None:
    """Return the part that has the alert of this id, and the alert; None: it is over."""
    for name, alerts in (
        (FLEET, state.fleet.alerts),
        *((group.id, group.alerts) for group in state.groups.values()),
    ):
        for each in alerts.values():
            if each.id == alert and alert:
                return name, each
    return None
