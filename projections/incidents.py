"""Incidents: from the first symptom to the recovery of one subject, with what belongs to it.

Rules.

- A *trouble* of a master begins with the first of the observations that its verdict rests on, is
  detected by the verdict (failed, degraded, its activation lost), and ends when the master is
  trusted again. What was seen meanwhile belongs to it; a degraded master that fails is one trouble.
- A *failover* begins where the trouble of its source does, is detected with it, and ends with the
  switch. What a person planned, and the first activation of a group, is no incident.
- The time of a failover is split into phases, without gap or overlap: *detected* (first symptom to
  verdict), *decided* (verdict to the choice of an heir: delays, approvals), *fenced*,
  *transferred*, *promoted*, *verified* (each a step of the heir, up to the next), *switched* (until
  all traffic goes there), and *compensated* (what a failed attempt took to be undone). They add up
  to the time from the first symptom to the end.

The view grows with incidents, not with the log.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from engine.core.events import (
    ActivationLost,
    AnyEvent,
    AttemptFailed,
    AttemptStarted,
    Compensated,
    ConnectionClosed,
    FailoverEnded,
    FailoverStarted,
    MasterAdded,
    MasterDegraded,
    MasterFailed,
    MasterFenced,
    MasterHealthy,
    MasterRecovering,
    MasterRemoved,
    MasterUnknown,
    ProbeDegraded,
    ProbeFailed,
    PromotionStarted,
    Recorded,
    SwitchDone,
    Switched,
    TransferStarted,
    VerificationStarted,
)
from projections.base import Fold

SYMPTOMS_MAX: Final = 256  # of one master, kept until a verdict names them
EVENTS_MAX: Final = 100  # of one incident that are listed
PHASES: Final = (
    "detected",
    "decided",
    "fenced",
    "transferred",
    "promoted",
    "verified",
    "switched",
    "compensated",
)
DEGRADED: Final = "degraded"
LOST: Final = "activation-lost"
UNPLANNED: Final = ("failed", "suspected", "activation-lost", "headless", "forced")


class Symptom(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something bad that was seen of a master."""

    seq: int
    at_us: int
    kind: str


class Trouble(msgspec.Struct, kw_only=True):
    """One trouble of a master."""

    id: int  # seq of the verdict that found it
    subject: str
    group: str
    started_us: int
    detected_us: int
    kind: str  # the worst verdict: failed, activation-lost or degraded
    classes: dict[str, int] = msgspec.field(default_factory=dict)  # kinds of evidence [count]
    failures: int = 0  # verdicts that it has failed: one that relapses has several
    failover: int = 0  # the failover that it led to
    recovered_us: int | None = None
    ended: str = ""  # "recovered" or "removed"; "": it lasts
    events: list[int] = msgspec.field(default_factory=list)


class Failover(msgspec.Struct, kw_only=True):
    """One failover, and where its time went."""

    id: int
    group: str
    why: str
    source: str
    heir: str
    started_us: int  # the first symptom
    detected_us: int
    asked_us: int  # when it was started
    trouble: int  # the trouble of its source; 0: none
    phase: str = ""  # that lasts; "": it is over
    since_us: int = 0
    phases: dict[str, int] = msgspec.field(default_factory=dict)  # [us]
    switched_us: int | None = None
    result: str = "open"
    attempts: int = 0
    events: list[int] = msgspec.field(default_factory=list)


class Incidents(msgspec.Struct, kw_only=True):
    """The view; its fold owns it."""

    position: int = 0
    last_us: int = 0  # of the last event that was looked at
    groups: dict[str, str] = msgspec.field(default_factory=dict)  # of each master
    symptoms: dict[str, list[Symptom]] = msgspec.field(default_factory=dict)
    open: dict[str, Trouble] = msgspec.field(default_factory=dict)  # by master
    troubles: list[Trouble] = msgspec.field(default_factory=list)  # that have ended
    switching: dict[str, Failover] = msgspec.field(default_factory=dict)  # by group
    failovers: list[Failover] = msgspec.field(default_factory=list)  # that are over
    since_us: dict[str, int] = msgspec.field(default_factory=dict)  # when a master was first named


# Troubles.


def _symptom(view: Incidents, recorded: Recorded) -> None:
    event, who = recorded.event, recorded.subject
    if isinstance(event, ProbeFailed | ConnectionClosed):
        kind = event.evidence.value
    else:
        assert isinstance(event, ProbeDegraded)
        kind = DEGRADED
    found = view.symptoms.setdefault(who, [])
    found.append(Symptom(seq=recorded.seq, at_us=recorded.at_us, kind=kind))
    del found[:-SYMPTOMS_MAX]
    trouble = view.open.get(who)
    if trouble is not None and kind != DEGRADED:
        trouble.classes[kind] = trouble.classes.get(kind, 0) + 1


def _failed(view: Incidents, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, MasterFailed)
    named = set(event.evidence)
    grounds = [one for one in view.symptoms.pop(recorded.subject, []) if one.seq in named]
    trouble = _found(view, recorded, grounds, kind="failed")
    trouble.failures += 1
    _note(trouble.events, recorded.seq)


def _degraded(view: Incidents, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, MasterDegraded)
    count = max(dict(event.figures).get("poor", 1), 1)
    seen = view.symptoms.pop(recorded.subject, [])
    grounds = [one for one in seen if one.kind == DEGRADED][-count:]
    _note(_found(view, recorded, grounds, kind=DEGRADED).events, recorded.seq)


def _lost(view: Incidents, recorded: Recorded) -> None:
    trouble = _found(view, recorded, [], kind=LOST)
    _note(trouble.events, recorded.seq)


def _found(view: Incidents, recorded: Recorded, grounds: list[Symptom], *, kind: str) -> Trouble:
    """Return the trouble that a verdict belongs to; a new one, if its subject had none."""
    who = recorded.subject
    trouble = view.open.get(who)
    if trouble is None:
        started_us = min((one.at_us for one in grounds), default=recorded.at_us)
        trouble = view.open[who] = Trouble(
            id=recorded.seq,
            subject=who,
            group=view.groups.get(who, ""),
            started_us=started_us,
            detected_us=recorded.at_us,
            kind=kind,
        )
        for one in grounds:
            trouble.classes[one.kind] = trouble.classes.get(one.kind, 0) + 1
            _note(trouble.events, one.seq)
    elif trouble.kind != "failed":
        trouble.kind = kind if kind != DEGRADED else trouble.kind
    return trouble


def _verdict(view: Incidents, recorded: Recorded) -> None:
    """Note a verdict that neither begins nor ends a trouble."""
    view.symptoms.pop(recorded.subject, None)
    trouble = view.open.get(recorded.subject)
    if trouble is not None:
        _note(trouble.events, recorded.seq)


def _healthy(view: Incidents, recorded: Recorded) -> None:
    view.symptoms.pop(recorded.subject, None)
    _end(view, recorded, "recovered")


def _removed(view: Incidents, recorded: Recorded) -> None:
    view.symptoms.pop(recorded.subject, None)
    view.groups.pop(recorded.subject, None)
    _end(view, recorded, "removed")


def _end(view: Incidents, recorded: Recorded, how: str) -> None:
    trouble = view.open.pop(recorded.subject, None)
    if trouble is not None:
        _note(trouble.events, recorded.seq)
        trouble.ended = how
        trouble.recovered_us = recorded.at_us if how == "recovered" else None
        view.troubles.append(trouble)


def _added(view: Incidents, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, MasterAdded)
    view.groups[recorded.subject] = event.master.group
    view.since_us.setdefault(recorded.subject, recorded.at_us)


def _note(events: list[int], seq: int) -> None:
    if len(events) < EVENTS_MAX:
        events.append(seq)


# Failovers.


def _started(view: Incidents, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, FailoverStarted)
    trouble = view.open.get(event.source) if event.why in UNPLANNED else None
    started_us = recorded.at_us if trouble is None else trouble.started_us
    detected_us = recorded.at_us if trouble is None else trouble.detected_us
    before = view.switching.pop(recorded.subject, None)
    if before is not None:  # its traffic was never seen to be switched
        view.failovers.append(before)
    failover = view.switching[recorded.subject] = Failover(
        id=event.id,
        group=recorded.subject,
        why=event.why,
        source=event.source,
        heir="",
        started_us=started_us,
        detected_us=detected_us,
        asked_us=recorded.at_us,
        trouble=0 if trouble is None else trouble.id,
        phase="decided",
        since_us=detected_us,
        phases={"detected": detected_us - started_us} if trouble is not None else {},
    )
    if trouble is not None:
        trouble.failover = event.id
        failover.events = list(trouble.events)
    _note(failover.events, recorded.seq)


def _move(failover: Failover, recorded: Recorded, phase: str) -> None:
    """Charge the time up to now to the phase that lasted, and begin another."""
    spent_us = recorded.at_us - failover.since_us
    failover.phases[failover.phase] = failover.phases.get(failover.phase, 0) + spent_us
    failover.phase, failover.since_us = phase, recorded.at_us
    _note(failover.events, recorded.seq)


def _of(view: Incidents, who: str) -> Failover | None:
    """Return the open failover of a group, or the one that has a master as heir."""
    own = view.switching.get(who)
    if own is not None:
        return own
    return next((one for one in view.switching.values() if one.heir == who), None)


def _attempt(view: Incidents, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, AttemptStarted)
    failover = view.switching.get(recorded.subject)
    if failover is not None:
        failover.heir = event.heir
        failover.attempts += 1
        _move(failover, recorded, "fenced")


_BEGINS: Final[dict[type[AnyEvent], str]] = {
    TransferStarted: "transferred",
    PromotionStarted: "promoted",
    VerificationStarted: "verified",
    AttemptFailed: "compensated",
    Compensated: "decided",
}


def _step(view: Incidents, recorded: Recorded) -> None:
    failover = _of(view, recorded.subject)
    if failover is not None and failover.switched_us is None:
        _move(failover, recorded, _BEGINS[type(recorded.event)])


def _switched(view: Incidents, recorded: Recorded) -> None:
    failover = _of(view, recorded.subject)
    if failover is not None:
        _move(failover, recorded, "switched")
        failover.switched_us = recorded.at_us


def _ended(view: Incidents, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, FailoverEnded)
    failover = view.switching.get(recorded.subject)
    if failover is None:
        return
    failover.result = event.result
    _note(failover.events, recorded.seq)
    if failover.switched_us is None:
        _move(failover, recorded, "")
        view.failovers.append(view.switching.pop(recorded.subject))


def _switch_done(view: Incidents, recorded: Recorded) -> None:
    failover = _of(view, recorded.subject)
    if failover is not None and failover.switched_us is not None:
        _move(failover, recorded, "")
        view.failovers.append(view.switching.pop(failover.group))


def _fenced(view: Incidents, recorded: Recorded) -> None:
    """Note what belongs to a failover and moves nothing."""
    failover = next(
        (one for one in view.switching.values() if one.source == recorded.subject), None
    )
    if failover is not None:
        _note(failover.events, recorded.seq)


_APPLY: Final[dict[type[AnyEvent], Callable[[Incidents, Recorded], None]]] = {
    **dict.fromkeys((ProbeFailed, ProbeDegraded, ConnectionClosed), _symptom),
    MasterFailed: _failed,
    MasterDegraded: _degraded,
    ActivationLost: _lost,
    **dict.fromkeys((MasterRecovering, MasterUnknown), _verdict),
    MasterHealthy: _healthy,
    MasterRemoved: _removed,
    MasterAdded: _added,
    FailoverStarted: _started,
    AttemptStarted: _attempt,
    **dict.fromkeys(_BEGINS, _step),
    MasterFenced: _fenced,
    Switched: _switched,
    FailoverEnded: _ended,
    SwitchDone: _switch_done,
}


def _apply(view: Incidents, recorded: Recorded) -> None:
    apply = _APPLY.get(type(recorded.event))
    if apply is not None:
        view.last_us = max(view.last_us, recorded.at_us)
        apply(view, recorded)


INCIDENTS: Final = Fold(name="incidents", version=1, view=Incidents, apply=_apply, kinds=_APPLY)


# Answers.


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One incident; times since the epoch and durations in microseconds, None: not yet."""

    id: int
    subject: str
    group: str
    started_us: int
    detected_us: int
    recovered_us: int | None
    detect_us: int
    failover_us: int | None
    recover_us: int | None
    kind: str
    classes: dict[str, int]
    phases: dict[str, int]
    source: str
    heir: str
    failover: int  # the failover that belongs to it; 0: none
    ended: str
    events: list[int]


def rows(view: Incidents) -> list[Row]:
    """Return every incident in the order in which they began."""
    over = [*view.failovers, *view.switching.values()]
    by_id = {one.id: one for one in over}
    found = [_of_trouble(one, by_id) for one in (*view.troubles, *view.open.values())]
    found += [_of_failover(one) for one in over if one.why in UNPLANNED]
    return sorted(found, key=lambda row: (row.started_us, row.id))


def _of_trouble(trouble: Trouble, failovers: dict[int, Failover]) -> Row:
    led = failovers.get(trouble.failover)
    recovered_us = trouble.recovered_us
    return Row(
        id=trouble.id,
        subject=trouble.subject,
        group=trouble.group,
        started_us=trouble.started_us,
        detected_us=trouble.detected_us,
        recovered_us=recovered_us,
        detect_us=trouble.detected_us - trouble.started_us,
        failover_us=None if led is None else _lasted(led),
        recover_us=None if recovered_us is None else recovered_us - trouble.started_us,
        kind=trouble.kind,
        classes=dict(sorted(trouble.classes.items())),
        phases={} if led is None else phases(led),
        source=trouble.subject,
        heir="" if led is None else led.heir,
        failover=trouble.failover,
        ended=trouble.ended,
        events=list(trouble.events),
    )


def _of_failover(failover: Failover) -> Row:
    over_us = failover.switched_us
    return Row(
        id=failover.id,
        subject=failover.group,
        group=failover.group,
        started_us=failover.started_us,
        detected_us=failover.detected_us,
        recovered_us=over_us,
        detect_us=failover.detected_us - failover.started_us,
        failover_us=_lasted(failover),
        recover_us=None if over_us is None else over_us - failover.started_us,
        kind=failover.why,
        classes={},
        phases=phases(failover),
        source=failover.source,
        heir=failover.heir,
        failover=failover.id,
        ended=failover.result,
        events=list(failover.events),
    )


def _lasted(failover: Failover) -> int | None:
    """Return the time from the verdict to the switch [us]."""
    over_us = failover.switched_us
    return None if over_us is None else over_us - failover.detected_us


def phases(failover: Failover) -> dict[str, int]:
    """Return where the time of a failover went [us], in the order in which it goes."""
    return {name: failover.phases[name] for name in PHASES if name in failover.phases}


def failover_at(view: Incidents, seq: int) -> Failover | None:
    """Return the failover that the event `seq` started; None: there is none."""
    over = (*view.failovers, *view.switching.values())
    return next((one for one in over if one.id == seq), None)
