"""The fold over alerts: they move no verdict and no version, so nobody's calm is disturbed."""

from engine.core import events as ev
from engine.core.errors import LogCorrupted
from engine.core.events import FLEET, Recorded
from engine.core.folds.places import group_of, part_of
from engine.core.seen import Derived
from engine.core.state import Alert, FleetState, GroupState, State


def derived(state: State, recorded: Recorded) -> None:
    """Keep the figures that the engine has counted, which is nothing about the master itself."""
    event = recorded.event
    assert isinstance(event, ev.FiguresDerived)
    part = _part(state, recorded)
    place = state.cache.places.get(recorded.subject)
    kept = part.derived if place is None else place.master.derived
    kept[event.what] = Derived(seq=recorded.seq, at_us=recorded.at_us, figures=event.figures)


def pending(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.AlertPending)
    _put(state, recorded, Alert(kind=event.kind, subject=recorded.subject, since_us=recorded.at_us))


def raised(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.AlertRaised)
    before = _part(state, recorded).alerts.get(_key(event.kind, recorded))
    alert = Alert(
        kind=event.kind,
        subject=recorded.subject,
        since_us=event.since_us,
        id=recorded.seq if before is None or not before.id else before.id,
        severity=event.severity,
        figures=event.figures,
    )
    _put(state, recorded, alert)


def cleared(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.AlertCleared)
    if _part(state, recorded).alerts.pop(_key(event.kind, recorded), None) is None:
        raise LogCorrupted(recorded.seq, f"no alert {event.kind} of {recorded.subject}")


def acked(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.AlertAcked)
    part = part_of(state, recorded) if recorded.subject == FLEET else group_of(state, recorded)
    for alert in part.alerts.values():
        if alert.id == event.alert and alert.id:
            alert.acked = alert.acked or event.author


def _put(state: State, recorded: Recorded, alert: Alert) -> None:
    alerts = _part(state, recorded).alerts
    alerts[_key(alert.kind, recorded)] = alert


def _part(state: State, recorded: Recorded) -> GroupState | FleetState:
    if recorded.subject == FLEET:
        state.cache.stir(FLEET)
        return state.fleet
    group = state.group_of(recorded.subject)
    if group is None:
        raise LogCorrupted(recorded.seq, f"no master or group {recorded.subject!r}")
    state.cache.stir(group.id)
    return group


def _key(kind: str, recorded: Recorded) -> str:
    return f"{kind} {recorded.subject}"
