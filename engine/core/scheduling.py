"""Changes of the active master that a person plans: for later, or back to how it was.

Rule 1: a switchover for later is an event, and one group has at most one. It is judged anew when it
is due, by the rules of then.

Rule 2: it does not happen in a pause, and not long after it was due: whoever wanted it in a quiet
hour does not want it in a busy one.

Rule 3: an undo is a switchover to the master that a failover left. It is refused if another one has
taken over since.
"""

from typing import Final

from engine.core import events as ev
from engine.core.commands import planned, switchable
from engine.core.policy import MINUTE
from engine.core.state import GroupState, active_of, is_active_standby, paused_until
from engine.core.step import Step

SCHEDULE: Final = "schedule"
LATE_US_MAX: Final = 5 * MINUTE  # a switchover that is due is not begun later than this [us]


def decide_schedule(step: Step, event: ev.SwitchoverAsked) -> None:
    """Note a switchover for later; it takes the place of one that was noted before."""
    group = step.state.groups[step.subject]
    reasons = []
    if not is_active_standby(step.state, group):
        reasons.append(f"{group.id} is active-active: every healthy master serves")
    if event.to and event.to not in group.masters:
        known = ", ".join(sorted(group.masters))
        reasons.append(f"{event.to} is no master of {group.id}: expected one of {known}")
    if event.due_us <= step.state.at_us:
        late_us = step.state.at_us - event.due_us
        reasons.append(f"expected a time to come, found one that was {late_us} us ago")
    if reasons:
        step.emit(ev.Refused(what="switchover", reasons=tuple(reasons)))
        return
    if group.scheduled is not None:
        _end(step, group, "replaced")
    step.emit(ev.SwitchoverScheduled(to=event.to, due_us=event.due_us, author=event.author))


def decide_cancelled(step: Step) -> None:
    """Forget the switchover that was noted."""
    group = step.state.groups[step.subject]
    if group.scheduled is None:
        reason = f"no switchover of {group.id} is scheduled"
        step.emit(ev.Refused(what="cancel", reasons=(reason,)))
        return
    _end(step, group, "cancelled")


def decide_due(step: Step) -> None:
    """Begin the switchover that is due, or say why not."""
    group = step.state.groups[step.subject]
    scheduled = group.scheduled
    assert scheduled is not None
    at_us = step.state.at_us
    late_us = at_us - scheduled.due_us
    reasons = []
    to = scheduled.to
    if late_us > LATE_US_MAX:
        reasons.append(f"it was due {late_us} us ago, when no engine ran")
    if paused_until(step.state, group, at_us):
        reasons.append(f"{group.id} is paused")
    if not reasons:
        to, reasons = switchable(step, group, scheduled.to, is_tolerant=late_us > 0)
    if reasons:
        _end(step, group, "refused", reasons=tuple(reasons))
        return
    _end(step, group, "begun")
    step.emit(planned(step, source=active_of(group), to=to, evidence=(scheduled.seq,)))


def _end(step: Step, group: GroupState, how: str, *, reasons: tuple[str, ...] = ()) -> None:
    assert group.scheduled is not None
    ended = ev.ScheduleEnded(scheduled=group.scheduled.seq, how=how, reasons=reasons)
    step.emit(ended, subject=group.id)


def decide_undo(step: Step, event: ev.UndoAsked) -> None:
    """Plan the way back from a failover, or say why not."""
    group = step.state.groups[step.subject]
    active = active_of(group)
    reasons = []
    to = event.to
    if not event.to:
        reasons.append(f"before failover {event.failover} nobody of {group.id} was active")
    elif active != event.heir:
        serves = f"{active} is active" if active else "nobody is active"
        reasons.append(
            f"{serves} by now, and not {event.heir}, which failover {event.failover} made active"
        )
    if not reasons:
        to, reasons = switchable(step, group, event.to, is_tolerant=event.at_rest)
    if reasons:
        step.emit(ev.Refused(what="undo", reasons=tuple(reasons)))
        return
    evidence = (event.failover, step.seq)
    step.emit(planned(step, source=active, to=to, evidence=evidence))
