"""The engine's one way to think: an observation in, the events to append out.

    step(state, observation | None, at_us) -> [deadlines due, the observation, its decisions]

`decide` is told what was seen and may emit decisions; each is evolved before the next rule is
asked, and `consider` says what else there is to do. Live running, a dry run, what-if and simulation
call the same functions. Neither reads a clock: time is an argument.
"""

import functools
import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from engine.core import (
    ailing,
    alerts,
    candidates,
    commands,
    detection,
    failback,
    gauges,
    outcomes,
    outliers,
    rolling,
    scheduling,
    tending,
)
from engine.core import events as ev
from engine.core.blocking import (
    blocked,
    drain_ends_us,
    fence_waits,
    heir_waits,
    is_draining,
    waiting,
    want,
)
from engine.core.detection import decide_silence
from engine.core.dues import FAR_US, Due
from engine.core.events import FLEET, Observation, Recorded
from engine.core.evolve import evolve as evolve
from engine.core.failover import consider, consider_asked, consider_messages
from engine.core.fencing import Todo
from engine.core.fleet import Health, Role
from engine.core.healing import healing_due
from engine.core.leading import strays_from
from engine.core.owed import owed_of
from engine.core.policy import Automation
from engine.core.seen import MAINTENANCE, SILENT
from engine.core.state import (
    GroupState,
    MasterState,
    Phase,
    Place,
    State,
    is_active_standby,
    windows,
)
from engine.core.step import Evolve, Step

Consider: TypeAlias = Callable[[State, GroupState, int], Todo | None]
Decide: TypeAlias = Callable[[Step, Observation], None]

SILENCE: Final = "unknown_after"
STALENESS: Final = (SILENCE, SILENT)  # deadlines that only say that something is not known any more
ALERT: Final = "alert"
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


def deadlines(state: State) -> Iterator[tuple[bool, Due]]:
    """Return every deadline with whether it is an acting one: derived, never stored.

    Staleness deadlines say that something is not known any more; acting ones are the ends of what
    `blocked` and `waiting` wait for.
    """
    for group in (*state.groups.values(), None):
        yield from _deadlines_of(state, group)


def _deadlines_of(state: State, group: GroupState | None) -> Iterator[tuple[bool, Due]]:
    """Return the deadlines of a part; None: those of the fleet."""
    part = FLEET if group is None else group.id
    for due_us in alerts.alert_deadlines(state, group):
        yield True, (due_us, part, ALERT, part)
    if group is None:
        return
    if group.scheduled is not None:
        yield True, (group.scheduled.due_us, group.id, scheduling.SCHEDULE, group.id)
    yield from _staleness(state, group)
    yield from _maintenance(state, group)
    for at_us, name in outliers.ends(group):
        yield True, (at_us, group.id, outliers.EJECTION, name)
    for at_us, name in healing_due(state, group):
        yield True, (at_us, group.id, "recover", name)
    if is_active_standby(state, group):
        yield from _acting(state, group)


def _staleness(state: State, group: GroupState, name: str = "") -> Iterator[tuple[bool, Due]]:
    """Return when the masters of a group become stale; with `name`, that one alone."""
    policy = state.policy_of(group)
    masters = {name: group.masters[name]} if name else group.masters
    limit_us = policy.probe.unknown_after_us
    if limit_us:
        for name, master in masters.items():
            if master.health is not Health.UNKNOWN:
                yield False, (master.heard_us + limit_us, group.id, SILENCE, name)
    silent_us = 0 if policy.degraded is None else policy.degraded.silent_after_us
    if silent_us:
        for name, master in masters.items():
            report = master.report
            if report is not None and report.load_us and not report.is_silent:
                yield False, (report.load_us + silent_us, group.id, SILENT, name)


def _maintenance(state: State, group: GroupState) -> Iterator[tuple[bool, Due]]:
    """Return when a window begins or ends: who serves, and who may, changes by time alone."""
    is_any = group.maintenance or state.fleet.maintenance
    for name, master in group.masters.items():
        if not (is_any or master.maintenance):
            continue
        for window in windows(state, group, master):
            for at_us in window:
                if at_us > group.windows_us:
                    yield True, (at_us, group.id, MAINTENANCE, name)


def _acting(state: State, group: GroupState) -> Iterator[tuple[bool, Due]]:
    at_us, saga = state.at_us, group.saga
    block = None
    if saga is None:
        wanted = want(group)
        if wanted is not None:
            block = blocked(state, group, wanted, at_us)
        elif group.failback_to and failback.is_wanted(state, group, at_us):
            block = failback.block_of(state, group, at_us)
    elif saga.phase is Phase.SELECTING:
        block = waiting(state, group, saga, at_us)
    elif is_draining(group):
        yield True, (drain_ends_us(state, group, saga), group.id, "drain", group.id)
    elif saga.phase is Phase.FENCING:
        block = fence_waits(state, group) or heir_waits(state, group, saga, at_us)
    if block is not None and block.until_us:
        yield True, (block.until_us, group.id, block.reason, group.id)


def next_due_us(state: State) -> int | None:
    """Return when the next deadline may be due [us], or before; None if there is none."""
    dues = state.cache.dues
    if not dues.next_us:
        _first_due(state, state.at_us)
    return dues.next_us if dues.next_us < FAR_US else None


def nothing_due_before(state: State, upto_us: int) -> int:
    """Return before when no deadline is due [us], as the state is; looked at up to `upto_us`."""
    _first_due(state, upto_us)
    return state.cache.dues.next_us


def _unspent(state: State, part: str, *, stale: str = "") -> Due | None:
    """Return the first deadline of a part that has not been acted upon in vain; None: it has none.

    `stale`: of those that say that something is not known any more of this master.
    """
    spent, group = state.cache.dues.spent.get(part, ()), state.groups.get(part)
    if stale:
        assert group is not None
        found = _staleness(state, group, stale)
    else:
        found = _deadlines_of(state, group)
    return min((due for _, due in found if due not in spent), default=None)


def _first_due(state: State, upto_us: int) -> Due | None:
    """Return the first deadline due at `upto_us` or before, and remember when the next one is.

    Only those parts are looked at of which that is not known, and those that may be the first.
    """
    dues = state.cache.dues
    if dues.next_us > upto_us:
        return None
    for part in dues.stirred.take(itertools.chain(state.groups, (FLEET,))):
        due = _unspent(state, part)
        dues.bounds.note(part, FAR_US if due is None else due[0])
    while True:
        dues.next_us, part = dues.bounds.first()
        if dues.next_us > upto_us:
            return None
        due = _unspent(state, part)
        if due is not None and due[0] <= dues.next_us:
            return due
        dues.bounds.note(part, FAR_US if due is None else due[0])


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
    while (due := _first_due(sheet.state, upto_us)) is not None:
        _fire(sheet, decide, due)


def _fire_stale(sheet: Step, decide: Decide, upto_us: int) -> None:
    """Fire what became stale, and act upon nothing: so none of it moves another master's.

    After an hour without an engine that is every master, so the others are not looked at for each.
    """
    state = sheet.state
    if state.cache.dues.next_us > upto_us:
        return
    firsts = (
        _unspent(state, group.id, stale=name)
        for group in state.groups.values()
        for name in group.masters
    )
    waiting = [due for due in firsts if due is not None]
    heapq.heapify(waiting)
    while waiting and waiting[0][0] <= upto_us:
        due = heapq.heappop(waiting)
        _fire(sheet, decide, due, idle=True)
        follower = _unspent(state, due[1], stale=due[3])
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
            left = _staleness(state, group, subject)  # those of all others cannot be this one
        else:
            left = _deadlines_of(state, group)
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
        _look_whether_calm(state, place, subject)
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


def is_calm(state: State, group: GroupState, master: MasterState) -> bool:
    """Return whether a good probe of `master` like its last one calls for no decision."""
    if (
        master.health is not Health.HEALTHY
        or master.fence is not None
        or master.is_unjudged
        or master.excused_seq == master.good_seq  # the same answer again will be judged
        or master.failures
        or master.question
        or master.poor
        or master.disagree_seq
        or (master.flaps is not None and master.flaps.since_seq)
        or any(eye.failures or eye.question for eye in master.eyes.values())
        or state.fleet.doubt_seq
        or master.is_excluded
        or master.is_drained
        or group.saga is not None
        or group.rollback is not None
    ):
        return False
    if not is_active_standby(state, group):
        return master.role is Role.ACTIVE and not master.lost_seq
    if candidates.is_stray(master):
        return False
    says_active = master.reported_role == Role.ACTIVE.value
    is_active = master.role is Role.ACTIVE
    if detection.follows_reports(state, group) and says_active != is_active:
        return False
    is_told = state.policy_of(group).automation is not Automation.OBSERVE
    return want(group) is None and not (is_told and master.promote_owed)


def _look_whether_calm(state: State, place: Place, subject: str) -> bool:
    """Return whether a master is calm; who is at peace in a group that is settled becomes so."""
    if subject in place.calm:
        return True
    if not place.calm.is_settled or not is_calm(state, place.group, place.master):
        return False
    place.calm.add(subject)
    return True


def is_quiet(state: State, event: ev.ProbeOk, *, subject: str, at_us: int) -> bool:
    """Return whether `step` would append this good probe alone; if so, to evolve it is all.

    Whoever reads a log back takes nine of ten events so, at half of what a step costs.
    """
    place = state.cache.places.get(subject)
    if place is None or not place.is_plain or event.observer or state.cache.dues.next_us <= at_us:
        return False
    master = place.master
    return (
        event.epoch == master.reported_epoch
        and event.boot == master.boot
        and event.role == master.reported_role
        and _look_whether_calm(state, place, subject)
    )
