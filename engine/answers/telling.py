"""What happened, a sentence for each event that is news: verdicts, failovers, commands.

Probes, messages and what only serves them are no news, so a quiet fleet is silent.
"""

from collections.abc import Mapping
from typing import Final

from engine.answers.alerting import says
from engine.answers.words import counted, figures, harmless, lasting, moment, parts
from engine.core import events as ev
from engine.core.events import Recorded

# Most of every log, and no news: what was probed, and what became of messages.
PLAIN: Final[frozenset[type[ev.AnyEvent]]] = frozenset(
    (
        ev.ProbeOk,
        ev.ProbeDegraded,
        ev.ProbeFailed,
        ev.LoadReported,
        ev.MessageAccepted,
        ev.MessageAcked,
        ev.MessagesAssigned,
        ev.MessageDone,
        ev.StateKept,
    )
)
_BAD: Final = (ev.Result.REFUSED, ev.Result.FAILED, ev.Result.UNKNOWN)
_WAITS: Final = {
    "approval": ": it waits for an approval (tanist approve {group})",
    "quorum": ": too few observers are there to say so, it waits for an approval "
    "(tanist approve {group})",
    "hold-down": ": it waits for the hold-down to end (tanist approve {group} lets it go)",
    "limit": ": the limit is spent, it waits (tanist approve {group} lets it go)",
    "fleet-limit": ": the limit of the fleet is spent, it waits (tanist approve {group} or "
    "tanist release --fleet lets it go)",
    "preflight": ": the target is looked at first",
}


def line(recorded: Recorded, group: str) -> str:
    """Return an event as a line for a terminal or a journal; "" if it is no news.

    Args:
        recorded: The event.
        group: The group of its subject; "" for what concerns the fleet.
    """
    said = sentence(recorded)
    if not said:
        return ""
    where = group or recorded.subject
    return harmless(f"{moment(recorded.at_us)} {where}: {said} [why {recorded.seq}]")


def sentence(recorded: Recorded) -> str:
    """Return what an event says, its subject named where it is a master; "" if it is no news."""
    if type(recorded.event) in PLAIN:
        return ""
    return _verdict(recorded) or _failover(recorded) or _fencing(recorded) or _command(recorded)


def _verdict(recorded: Recorded) -> str:
    event, who = recorded.event, recorded.subject
    match event:
        case ev.MasterHealthy():
            return f"{who} is healthy: {_because(event.rule, event.figures)}"
        case ev.MasterDegraded():
            return f"{who} is degraded: {_because(event.rule, event.figures)}"
        case ev.MasterFailed():
            return f"{who} has failed: {_because(event.rule, event.figures)}"
        case ev.MasterRecovering():
            return f"{who} answers again: {_because(event.rule, event.figures)}"
        case ev.MasterUnknown():
            return f"{who} is unknown: {_because(event.rule, event.figures)}"
        case ev.Activated():
            return f"{who} is active, under epoch {event.epoch} ({event.rule})"
        case ev.ActivationLost() if event.found == event.epoch:
            other = ", and another does" if len(event.evidence) > 1 else ""
            return f"{who} lost its activation: it says that it does not act{other}"
        case ev.ActivationLost():
            return (
                f"{who} lost its activation: it answers under epoch {event.found} instead of "
                f"{event.epoch}"
            )
        case ev.ObserversDisagree():
            return (
                f"observers of {who} contradict: {_named(event.against)} says it has failed, "
                f"{_named(event.well)} hears it; no verdict meanwhile"
            )
        case ev.ObserversAgree():
            return f"observers of {who} contradict no more"
        case ev.MasterEjected():
            calls = dict(event.figures)
            return (
                f"{who} gets no traffic for a while (time {event.times} in a row): "
                f"{calls['failed']} of {calls['calls']} requests failed"
            )
        case ev.MasterReadmitted():
            return f"{who} gets traffic again"
        case ev.FlappingStarted():
            return f"{who} flaps ({event.percent_ppm / 10_000:.1f} % of its checks changed)"
        case ev.FlappingEnded():
            return f"{who} is steady again ({event.percent_ppm / 10_000:.1f} % changed)"
        case _:
            return _own_state(event)


def _own_state(event: ev.AnyEvent) -> str:
    match event:
        case ev.DoubtChanged() if event.doubted:
            return (
                f"all {event.masters} masters fail at once and none refuses: the engine may be cut "
                "off itself, and takes nothing from anybody for it"
            )
        case ev.DoubtChanged():
            return "masters are heard again: the engine believes what it sees"
        case ev.ClockStepped():
            ahead = "ahead of" if event.offset_us >= 0 else "behind"
            return (
                f"the wall clock was set by {lasting(event.step_us)}: it is "
                f"{lasting(abs(event.offset_us))} {ahead} engine time, which goes on as before"
            )
        case ev.FiguresDerived():
            told = ", ".join(f"{name} {value}" for name, value in event.figures)
            return f"counted in the last minute, {event.what}: {told}"
        case ev.EngineResumed():
            return f"the engine itself stood still for {lasting(event.stall_us)}"
        case ev.ObservationsDropped():
            return (
                f"observations up to event {event.until} are dropped ({event.why}); what decisions "
                "rest on stays"
            )
        case ev.SpaceShort():
            return disk_full(event.left, event.reserve)
        case ev.SpaceReturned():
            kept = parts(event.reserve)
            return f"there is space again: {kept} of it in reserve, and every probe is recorded"
        case _:
            return ""


def _named(observers: tuple[str, ...]) -> str:
    return ", ".join(name or "the engine" for name in observers)


def disk_full(left: int, reserve: int) -> str:
    """Return in words that of the space that was kept for the log, `left` is left [bytes]."""
    return (
        f"disk full: {parts(left, reserve)} of the reserve left; "
        "good probes that change nothing are not recorded"
    )


def _because(rule: str, found: ev.Figures) -> str:
    return f"{rule} ({figures(dict(found))})" if found else rule


def _failover(recorded: Recorded) -> str:
    event, who = recorded.event, recorded.subject
    match event:
        case ev.FailoverProposed():
            what = proposal({"why": event.why, "source": event.source, "heir": event.heir})
            return f"{what}; it only observes"
        case ev.FailoverStarted():
            source = f" from {event.source}" if event.source else ""
            to = f" to {event.to}" if event.to else ""
            waits = _WAITS.get(event.waits, f": it waits ({event.waits})") if event.waits else ""
            return f"failover {event.id}{source}{to} begins: {event.why}{waits.format(group=who)}"
        case ev.ApprovalGiven():
            return "the failover may go on"
        case ev.AttemptStarted():
            return f"the heir is {event.heir}, under epoch {event.epoch}"
        case ev.TransferStarted():
            return f"{who} gets the state that is kept ({event.count} pieces)"
        case ev.PromotionStarted():
            lost = f"; {event.lacks} bytes that another has are lost" if event.lacks else ""
            return f"{who} confirmed the state and is promoted{lost}"
        case ev.VerificationStarted():
            return f"{who} was promoted and does real work"
        case ev.Switched():
            return f"{who} is active, under epoch {event.epoch}"
        case ev.AttemptFailed():
            acts = "; it may act all the same, and is fenced first" if event.maybe_active else ""
            return f"{who} could not take over: {event.reason}{acts}"
        case ev.Compensated():
            return "what the attempt left is undone"
        case ev.FailoverEnded():
            total = dict(event.phases).get("total")
            lasted = "" if total is None else f" after {lasting(total)}"
            reason = f": {event.reason}" if event.reason else ""
            return f"failover {event.id} is {event.result}{lasted}{reason}"
        case ev.RollbackAccepted():
            return f"goes back to what position {event.position} gives"
        case ev.RollbackEnded():
            return f"the rollback is {event.result}"
        case _:
            return ""


def proposal(found: Mapping[str, str]) -> str:
    """Return in words what an engine that acts would do: `why`, `source` and `heir`."""
    if found["source"]:
        return f"would promote {found['heir']} in place of {found['source']} ({found['why']})"
    first = " first" if found["why"] == "first" else ""
    return f"would promote {found['heir']}{first} (nobody is active)"


def _fencing(recorded: Recorded) -> str:
    event, who = recorded.event, recorded.subject
    match event:
        case ev.MasterFenced():
            messages = counted(event.requeued, "message")
            back = f", {messages} back in the queue" if event.requeued else ""
            revoked = f"epoch {event.revokes} revoked" if event.revokes else "it had no epoch"
            return f"{who} is fenced: {revoked}{back}"
        case ev.FenceConfirmed():
            return f"{who} cannot act below epoch {event.epoch} any more ({event.how})"
        case ev.MasterRejoined():
            return f"{who} confirmed epoch {event.epoch} and stands by"
        case ev.FollowChanged():
            whom = f"follows {event.active}" if event.active else "follows nobody"
            return f"{who} {whom}{'' if event.epoch else ', though it was told to'}"
        case ev.HookStarted():
            return f"{_hook(event.hook)} of {who} is run"
        case ev.HookEnded():
            reason = f" ({event.reason})" if event.reason else ""
            return f"{_hook(event.hook)} of {who}: {event.result}{reason}"
        case ev.RecoveryStarted():
            return f"{who} is healed: attempt {event.n} of {event.attempts}"
        case ev.DrainStarted():
            return f"{who} finishes what it has and gets nothing new: {event.reason}"
        case ev.DrainCancelled():
            return f"{who} serves on as before"
        case ev.DrainEnded():
            return f"{who} has nothing left and stands by"
        case ev.Outcome() if event.result in _BAD:
            detail = f" ({event.detail})" if event.detail else ""
            return f"{event.step} of {who}: {event.result.value}{detail}"
        case _:
            return ""


def _hook(name: str) -> str:
    return f"the program {name.replace('-', ' the ', 1)}"


def _command(recorded: Recorded) -> str:
    event, who = recorded.event, recorded.subject
    match event:
        case ev.Refused():
            return f"{event.what} is refused: {'; '.join(event.reasons)}"
        case ev.Paused(by_file=True):
            return f"a file pauses the fleet: {event.reason} (remove it to resume)"
        case ev.Resumed(by_file=True):
            return "the file that paused the fleet is gone: resumed"
        case ev.Paused():
            until = moment(event.until_us) if event.until_us else "told otherwise"
            return f"paused until {until}: {event.reason} (by {event.author})"
        case ev.Resumed():
            return f"resumed (by {event.author})"
        case ev.Approved():
            return f"approved (by {event.author})"
        case ev.SwitchoverAsked() if event.due_us:
            when = moment(event.due_us)
            return f"a switchover {_to(event.to)}at {when} is asked for (by {event.author})"
        case ev.SwitchoverScheduled():
            return f"a switchover {_to(event.to)}is scheduled for {moment(event.due_us)}"
        case ev.ScheduleEnded():
            why = f": {'; '.join(event.reasons)}" if event.reasons else ""
            return f"the scheduled switchover of event {event.scheduled} is {event.how}{why}"
        case ev.ScheduleCancelled():
            return f"the scheduled switchover is taken back (by {event.author})"
        case ev.UndoAsked():
            return f"failover {event.failover} shall be undone (by {event.author})"
        case ev.ResetAsked():
            return f"{who}: what was counted is forgotten (by {event.author})"
        case ev.DrainAsked():
            asked = "shall rest" if event.drained else "may serve again"
            why = f": {event.reason}" if event.reason else ""
            return f"{who} {asked}{why} (by {event.author})"
        case ev.DrainChanged():
            return f"{who} rests" if event.drained else f"{who} may serve and be chosen again"
        case ev.MasterAddAsked():
            return f"{event.master.id} shall belong to {event.master.group} (by {event.author})"
        case ev.MasterRemoveAsked():
            return f"{who} shall not belong to the fleet any more (by {event.author})"
        case ev.SwitchoverAsked():
            return f"a switchover {_to(event.to)}is asked for (by {event.author})"
        case ev.FailoverAsked():
            return f"a failover {_to(event.to)}is asked for (by {event.author})"
        case ev.FleetRollbackRequested():
            groups = ", ".join(control.group for control in event.controls) or "nobody"
            where = f"position {event.position}"
            return f"a rollback of {groups} to {where} is asked for (by {event.author})"
        case ev.RollbackRequested():
            return f"a rollback to position {event.position} is asked for (by {event.author})"
        case ev.BodiesRemoved() if event.author:
            return f"bodies are removed, {event.why} (by {event.author})"
        case ev.CheckpointMarked():
            return f"checkpoint {event.name} (by {event.author})"
        case ev.Released():
            return f"{who}: its {event.scope} is released (by {event.author})"
        case ev.MaintenanceDeclared():
            span = f"{moment(event.from_us)} to {moment(event.to_us)}"
            return f"maintenance of {who} from {span}: {event.reason} (by {event.author})"
        case ev.AlertRaised():
            said = says(event.kind, who, dict(event.figures))
            return f"ALERT ({event.severity}): {said}"
        case ev.AlertCleared() if event.alert:
            return f"alert {event.alert} ({event.kind}) is over after {lasting(event.lasted_us)}"
        case ev.AlertAcked():
            return f"alert {event.alert} is acknowledged (by {event.author})"
        case ev.StrategyChanged():
            return f"balances by {event.strategy}"
        case ev.ExclusionChanged():
            may = "may not be chosen" if event.excluded else "may be chosen again"
            return f"{who} {may}" + (f": {event.reason}" if event.reason else "")
        case ev.PolicyAdopted():
            return "another policy is in force"
        case ev.MasterAdded():
            return f"{who} belongs to {event.master.group}, at {event.master.address}"
        case ev.MasterRemoved():
            return f"{who} does not belong to {event.group} any more"
        case _:
            return ""


def _to(master: str) -> str:
    return f"to {master} " if master else ""
