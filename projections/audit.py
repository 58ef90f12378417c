"""Who asked for what, when, and what came of it; and every failover from start to end.

Rules. A command is *accepted* unless a refusal names it as its cause; what it set in motion then
says how it ended: a failover or a rollback. A configuration is *adopted* or, if it brought nothing
new, *unchanged*. Failovers of the engine's own have no author. An event belongs to the failover
that is open in its group, or that has its master as heir; there is at most one of each.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from engine.core.events import (
    AlertAcked,
    AnyEvent,
    Approved,
    AttemptFailed,
    AttemptStarted,
    BodiesRemoved,
    CheckpointMarked,
    ConfigurationLoaded,
    DrainAsked,
    EngineStarted,
    ExclusionAsked,
    FailoverAsked,
    FailoverEnded,
    FailoverStarted,
    FleetRollbackRequested,
    MaintenanceDeclared,
    MasterAddAsked,
    MasterRemoveAsked,
    Paused,
    PolicyAdopted,
    Recorded,
    Refused,
    Released,
    ResetAsked,
    Resumed,
    RollbackAccepted,
    RollbackEnded,
    RollbackRequested,
    ScheduleCancelled,
    StrategyAsked,
    SwitchoverAsked,
    UndoAsked,
)
from projections.base import Fold

Said: TypeAlias = dict[str, str | int | bool]  # the plain fields of an event


class Command(msgspec.Struct, kw_only=True):
    """One thing that was asked for, and what came of it."""

    at_us: int
    kind: str  # of the event
    subject: str
    author: str  # "" if the event has none
    said: Said
    outcome: str
    reasons: tuple[str, ...] = ()


class Attempt(msgspec.Struct, kw_only=True):
    """One candidate that a failover tried."""

    heir: str
    epoch: int
    failed: str = ""  # why it could not take over


class Failover(msgspec.Struct, kw_only=True):
    """One failover."""

    id: int
    group: str
    why: str
    source: str
    started_us: int
    command: int  # seq of the command that asked for it; 0: the engine's own
    author: str
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    ended_us: int | None = None
    result: str = "open"
    reason: str = ""


class Audit(msgspec.Struct, kw_only=True):
    """The view; its fold owns it. It grows with commands and failovers, not with the log."""

    position: int = 0
    commands: dict[int, Command] = msgspec.field(default_factory=dict)  # by seq
    failovers: dict[int, Failover] = msgspec.field(default_factory=dict)  # by seq of the start
    open: dict[str, int] = msgspec.field(default_factory=dict)  # by group: the failover
    rollbacks: dict[str, int] = msgspec.field(default_factory=dict)  # by group: the command


def rows(view: Audit) -> list[dict[str, object]]:
    """Return all commands and failovers in log order, ready for JSON.

    Every row has `seq`, `at_us`, `kind` (of the event, or "Failover"), `subject`, `author`,
    `outcome`, `reasons` and `data`; a failover's outcome is *open* until it has ended.
    """
    found: list[tuple[int, dict[str, object]]] = [
        (
            seq,
            {
                "seq": seq,
                "at_us": command.at_us,
                "kind": command.kind,
                "subject": command.subject,
                "author": command.author,
                "outcome": command.outcome,
                "reasons": list(command.reasons),
                "data": dict(command.said),
            },
        )
        for seq, command in view.commands.items()
    ]
    found += [(seq, _row(seq, failover)) for seq, failover in view.failovers.items()]
    return [row for _, row in sorted(found, key=lambda item: item[0])]


def _row(seq: int, failover: Failover) -> dict[str, object]:
    return {
        "seq": seq,
        "at_us": failover.started_us,
        "kind": "Failover",
        "subject": failover.group,
        "author": failover.author,
        "outcome": failover.result,
        "reasons": [failover.reason] if failover.reason else [],
        "data": {
            "id": failover.id,
            "why": failover.why,
            "source": failover.source,
            "heir": failover.attempts[-1].heir if failover.attempts else "",
            "started_us": failover.started_us,
            "ended_us": failover.ended_us,
            "command": failover.command,
            "attempts": msgspec.to_builtins(failover.attempts),
        },
    }


# The fold.


def _command(view: Audit, recorded: Recorded) -> None:
    """Enter a command; what it says is every plain field but the author."""
    event = recorded.event
    said: Said = {}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if name != "author" and isinstance(value, str | int):
            said[name] = value
    view.commands[recorded.seq] = Command(
        at_us=recorded.at_us,
        kind=type(event).__name__,
        subject=recorded.subject,
        author=getattr(event, "author", ""),
        said=said,
        outcome="unchanged" if isinstance(event, ConfigurationLoaded) else "accepted",
    )


def _bodies_removed(view: Audit, recorded: Recorded) -> None:
    """Enter what somebody asked for; the engine removes many more, by their age."""
    event = recorded.event
    assert isinstance(event, BodiesRemoved)
    if event.author:
        _command(view, recorded)


def _adopted(view: Audit, recorded: Recorded) -> None:
    cause = view.commands.get(recorded.cause)
    if cause is None:
        _command(view, recorded)
    else:
        cause.outcome = "adopted"


def _refused(view: Audit, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, Refused)
    cause = view.commands.get(recorded.cause)
    if cause is not None:
        cause.outcome, cause.reasons = "refused", event.reasons


def _rollback_accepted(view: Audit, recorded: Recorded) -> None:
    view.rollbacks[recorded.subject] = recorded.cause


def _rollback_ended(view: Audit, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, RollbackEnded)
    command = view.commands.get(view.rollbacks.pop(recorded.subject, 0))
    if command is not None:
        command.outcome = event.result


def _failover_started(view: Audit, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, FailoverStarted)
    is_rollback = event.why == "rollback"
    asked = view.rollbacks.get(recorded.subject, 0) if is_rollback else recorded.cause
    command = view.commands.get(asked)
    if command is not None and command.kind not in _ASKS:
        command = None  # it gave the occasion (a pause ended, an engine started) and did not ask
    view.open[recorded.subject] = recorded.seq
    view.failovers[recorded.seq] = Failover(
        id=event.id,
        group=recorded.subject,
        why=event.why,
        source=event.source,
        started_us=recorded.at_us,
        command=0 if command is None else asked,
        author="" if command is None else command.author,
    )


def _attempt_started(view: Audit, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, AttemptStarted)
    failover = view.failovers.get(view.open.get(recorded.subject, 0))
    if failover is not None:
        failover.attempts.append(Attempt(heir=event.heir, epoch=event.epoch))


def _attempt_failed(view: Audit, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, AttemptFailed)
    for seq in view.open.values():
        attempts = view.failovers[seq].attempts
        if attempts and attempts[-1].heir == recorded.subject:
            attempts[-1].failed = event.reason


def _failover_ended(view: Audit, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, FailoverEnded)
    failover = view.failovers.get(view.open.pop(recorded.subject, 0))
    if failover is None:
        return
    failover.ended_us, failover.result, failover.reason = (
        recorded.at_us,
        event.result,
        event.reason,
    )
    command = view.commands.get(failover.command)
    if command is not None and failover.why != "rollback":  # that has an end of its own
        command.outcome = event.result
        command.reasons = (event.reason,) if event.reason else ()


_ASKS: Final = tuple(
    kind.__name__
    for kind in (
        FailoverAsked,
        SwitchoverAsked,
        RollbackRequested,
        FleetRollbackRequested,
        UndoAsked,
        DrainAsked,
    )
)
_APPLY: Final[dict[type[AnyEvent], Callable[[Audit, Recorded], None]]] = {
    **dict.fromkeys(
        (
            EngineStarted,
            ConfigurationLoaded,
            Paused,
            Resumed,
            Approved,
            Released,
            SwitchoverAsked,
            FailoverAsked,
            StrategyAsked,
            ExclusionAsked,
            MaintenanceDeclared,
            RollbackRequested,
            FleetRollbackRequested,
            CheckpointMarked,
            AlertAcked,
            ResetAsked,
            ScheduleCancelled,
            UndoAsked,
            DrainAsked,
            MasterAddAsked,
            MasterRemoveAsked,
        ),
        _command,
    ),
    BodiesRemoved: _bodies_removed,
    PolicyAdopted: _adopted,
    Refused: _refused,
    RollbackAccepted: _rollback_accepted,
    RollbackEnded: _rollback_ended,
    FailoverStarted: _failover_started,
    AttemptStarted: _attempt_started,
    AttemptFailed: _attempt_failed,
    FailoverEnded: _failover_ended,
}


def _apply(view: Audit, recorded: Recorded) -> None:
    apply = _APPLY.get(type(recorded.event))
    if apply is not None:
        apply(view, recorded)


AUDIT: Final = Fold(name="audit", version=1, view=Audit, apply=_apply, kinds=_APPLY)
