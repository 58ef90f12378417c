"""The engine's one way to think: an observation in, the events to append out.

    step(state, observation | None, at_us) -> [deadlines due, the observation, its decisions]

`decide` is told what was seen and may emit decisions; each is evolved before the next rule is
asked, and `consider` says what else there is to do. Live running, a dry run, what-if and simulation
call the same functions. Neither reads a clock: time is an argument.
"""

import functools
import heapq
from collections.abc import Callable
from typing import Final, TypeAlias

from engine.core import (
    ailing,
    alerts,
    commands,
    detection,
    gauges,
    outcomes,
    outliers,
    rolling,
    scheduling,
    tending,
)
from engine.core import events as ev
from engine.core.calm import is_calm, look_whether_calm
from engine.core.deadlines import (
    SILENCE,
    STALENESS,
    deadlines_of,
    first_due,
    staleness,
    unspent,
)
from engine.core.detection import decide_silence
from engine.core.dues import Due
from engine.core.events import FLEET, Observation, Recorded
from engine.core.evolve import evolve as evolve
from engine.core.failover import consider, consider_asked, consider_messages
from engine.core.fencing import Todo
from engine.core.leading import strays_from
from engine.core.owed import owed_of
from engine.core.seen import SILENT
from engine.core.state import GroupState, State
from engine.core.step import Evolve, Step

Consider: TypeAlias = Callable[[State, GroupState, int], Todo | None]
Decide: TypeAlias = Callable[[Step, Observation], None]

_WORK: Final = (ev.MessageAccepted, ev.MessageAcked)


def decide(step: Step, event: Observation) -> None:
    """Emit what follows from `event` alone; what follows from the state is for `consider`."""
    match event:
        case ev.ProbeOk() | ev.ProbeDegraded():
            detection.decide_answered(step, event)
        case ev.ProbeFailed():
            detection.decide_probe_failed(step)
        case ev.Outcome():
            outcomes.decide_outcome(step, event)
        case ev.MessageAcked():
            _decide_acked(step, event)
        case ev.LoadReported():
            _decide_reported(step, event)
        case ev.CallsCounted():
            outliers.decide_counted(step, event)
        case ev.DeadlinePassed(what=outliers.EJECTION):
            outliers.decide_due(step)
        case ev.DeadlinePassed(what=scheduling.SCHEDULE):
            scheduling.decide_due(step)
        case ev.DeadlinePassed():
            _decide_deadline(step, event)
        case ev.ConfigurationLoaded():
            commands.decide_configuration(step, event)
        case ev.SwitchoverAsked() if event.due_us:
            scheduling.decide_schedule(step, event)
        case ev.SwitchoverAsked():
            commands.decide_switchover(step, event)
        case ev.ScheduleCancelled():
            scheduling.decide_cancelled(step)
        case ev.UndoAsked():
            scheduling.decide_undo(step, event)
        case ev.DrainAsked():
            tending.decide_drain(step, event)
        case ev.MasterAddAsked():
            tending.decide_add(step, event)
        case ev.MasterRemoveAsked():
            tending.decide_remove(step)
        case ev.ResetAsked():
            tending.decide_reset(step)
        case ev.FailoverAsked():
            commands.decide_failover(step, event)
        case ev.FleetRollbackRequested():
            rolling.decide_fleet_rollback(step, event)
        case ev.RollbackRequested():
            commands.decide_rollback(step, event)
        case ev.Approved():
            commands.decide_approved(step)
        case ev.Released():
            commands.decide_released(step, event)
        case ev.StrategyAsked():
            commands.decide_strategy(step, event)
        case ev.ExclusionAsked():
            commands.decide_exclusion(step, event)
        case ev.AlertAcked():
            alerts.decide_acked(step, event)
        case ev.CheckpointMarked():
            commands.decide_checkpoint(step, event)
        case _:
            pass  # recorded; nothing follows but what `consider` finds


def _decide_reported(step: Step, event: ev.LoadReported) -> None:
    """Note who is not well, and that a standby follows somebody else than it was told to."""
    place = step.state.cache.places[step.subject]
    ailing.decide_ailing(step, place)
    if detection.follows_reports(step.state, place.group):
        return  # whoever it follows, somebody has told it so by hand
    if strays_from(place.group, place.master, event.follows):
        step.emit(ev.FollowChanged(epoch=0, active=""))


def _decide_deadline(step: Step, event: ev.DeadlinePassed) -> None:
    if event.what == SILENCE:
        decide_silence(step)
    elif event.what == SILENT:
        ailing.decide_ailing(step, step.state.cache.places[step.subject])


def _decide_acked(step: Step, event: ev.MessageAcked) -> None:
    """A message is done if the master it is assigned to says so under that activation.

    What the master asks to be kept counts with it or not at all: who returns overwrites nothing.
    """
    place = step.state.cache.places[step.subject]
    ledger = place.group.ledger
    seq = ledger.by_key.get(event.key)
    if seq is None:
        return
    message = ledger.open[seq]
    if (message.master, message.epoch) == (step.subject, event.epoch):
        for key, size, digest in event.keeps:
            kept = ev.StateKept(key=key, size=size, digest=digest)
            step.emit(kept, subject=place.group.id)
        step.emit(ev.MessageDone(key=event.key), subject=place.group.id)


def step(
    state: State,
    event: Observation | None,
    *,
    subject: str = FLEET,
    at_us: int,
    decide: Decide = decide,
    evolve: Evolve = evolve,
) -> list[Recorded]:
    """Return what is appended at `at_us`: due deadlines, `event` (None: the timer), decisions.

    A deadline is stamped with the time it was due, so a late wake-up changes nothing. After a time
    in which no engine ran, what became stale is fired at its time, and what has to be acted upon
    after the start; a command to a stopped log fires what is stale and acts on nothing but itself.

    Args:
        state: Evolved in place by what is returned.
        event: What was observed; None fires deadlines only.
        subject: The master, the group or `FLEET` that it is about.
        at_us: Engine time [us], not before the state's.
        decide: The rules; a mutant comes in here.
        evolve: The fold; a mutant comes in here.
    """
    sheet = Step(state, evolve)
    is_start = isinstance(event, ev.EngineStarted | ev.EngineResumed)
    at_rest = bool(getattr(event, "at_rest", False))
    if is_start:
        assert isinstance(event, ev.EngineStarted | ev.EngineResumed)
        _fire_due(sheet, decide, event.stopped_at_us)
    if is_start or at_rest:
        _fire_stale(sheet, decide, at_us)
    else:
        _fire_due(sheet, decide, at_us)
    if event is not None:
        _take(sheet, decide, event, subject, at_us, at_rest=at_rest)
        if not at_rest:
            _fire_due(sheet, decide, at_us)
    return sheet.recorded


def _fire_due(sheet: Step, decide: Decide, upto_us: int) -> None:
    """Fire what is due, and act upon each."""
    while (due := first_due(sheet.state, upto_us)) is not None:
        _fire(sheet, decide, due)


def _fire_stale(sheet: Step, decide: Decide, upto_us: int) -> None:
    """Fire what became stale, and act upon nothing: so none of it moves another master's.

    After an hour without an engine that is every master, so the others are not looked at for each.
    """
    state = sheet.state
    if state.cache.dues.next_us > upto_us:
        return
    firsts = (
        unspent(state, group.id, stale=name)
        for group in state.groups.values()
        for name in group.masters
    )
    waiting = [due for due in firsts if due is not None]
    heapq.heapify(waiting)
    while waiting and waiting[0][0] <= upto_us:
        due = heapq.heappop(waiting)
        _fire(sheet, decide, due, idle=True)
        follower = unspent(state, due[1], stale=due[3])
        if follower is not None:
            heapq.heappush(waiting, follower)


def _fire(sheet: Step, decide: Decide, due: Due, *, idle: bool = False) -> None:
    """Let a deadline pass; one that is still there afterwards is spent, which is a bug in a rule.

    What was spent before stays so: two that clear nothing would else be due by turns for ever.
    """
    state = sheet.state
    due_us, part, what, subject = due
    vain = {name: set(spent) for name, spent in state.cache.dues.spent.items()}
    vain.setdefault(part, set()).add(due)
    at_us = max(due_us, state.at_us)
    _take(sheet, decide, ev.DeadlinePassed(what=what), subject, at_us, idle=idle)
    for name, spent in vain.items():
        group = state.groups.get(name)
        if group is not None and what in STALENESS and spent == {due}:
            left = staleness(state, group, subject)  # those of all others cannot be this one
        else:
            left = deadlines_of(state, group)
        spent.intersection_update(other for _, other in left)
        if spent:
            state.cache.dues.spent[name] = spent


def _take(
    sheet: Step,
    decide: Decide,
    event: Observation,
    subject: str,
    at_us: int,
    *,
    at_rest: bool = False,
    idle: bool = False,
) -> None:
    """Place `event`, decide upon it, and do whatever else there is to do."""
    state = sheet.state
    if type(event) is ev.ProbeOk:
        place = state.cache.places[subject]
        look_whether_calm(state, place, subject)
        sheet.observe(event, subject=subject, at_us=at_us)
        if subject in place.calm:
            return
        taken = len(sheet.recorded)
        decide(sheet, event)
        _settle(sheet, decide, place.group)
        _settle_alerts(sheet, place.group)
        _settle_alerts(sheet, None)
        place.calm.is_settled = True
        if len(sheet.recorded) == taken and is_calm(state, place.group, place.master):
            place.calm.add(subject)
        else:
            state.cache.stir(place.group.id)  # what is waited for may be another thing by now
        return
    sheet.observe(event, subject=subject, at_us=at_us)
    decide(sheet, event)
    if idle:
        return
    own = state.group_of(subject)
    is_judged = not at_rest
    if is_judged and type(event) in _WORK:
        # What only passes through a queue moves the condition of its length and no other.
        assert own is not None
        _settle(sheet, decide, own, consider=consider_messages)
        if gauges.queue_moves(state, own):
            _settle_alerts(sheet, own)
        return
    finds = functools.partial(consider_asked, asked=sheet.seq) if at_rest else consider
    for group in [own] if own is not None else list(state.groups.values()):
        _settle(sheet, decide, group, consider=finds)
        if is_judged:
            _settle_alerts(sheet, group)
            state.cache.calm[group.id].is_settled = True
    if is_judged:
        _settle_alerts(sheet, None)


def _settle(
    sheet: Step, decide: Decide, group: GroupState, *, consider: Consider = consider
) -> None:
    """Do what there is to do for `group`, as `consider` says, until nothing is left."""
    state = sheet.state
    while True:
        todo = consider(state, group, state.at_us)
        if todo is not None:
            sheet.emit(todo[1], subject=todo[0])
        elif not _assume(sheet, decide, group):
            return


def _settle_alerts(sheet: Step, group: GroupState | None) -> None:
    """Say which conditions of a part begin, are alerted or are over; None: those of the fleet."""
    state = sheet.state
    while (todo := alerts.consider_alerts(state, group, state.at_us)) is not None:
        sheet.emit(todo[1], subject=todo[0])


def _assume(sheet: Step, decide: Decide, group: GroupState) -> bool:
    """Where no effect is ever sent, take the next one for done in the same append."""
    if sheet.state.policy_of(group).effects != "none":
        return False
    effect = next(iter(owed_of(sheet.state, group)), None)
    if effect is None:
        return False
    outcome = ev.Outcome(
        step=effect.step,
        failover=effect.failover,
        epoch=effect.epoch,
        result=ev.Result.ASSUMED,
    )
    before, sheet.subject = sheet.subject, effect.master
    sheet.emit(outcome)
    decide(sheet, outcome)
    sheet.subject = before
    return True
