"""What has to hold of every run, whatever happened: each law returns the violations it found.

The invariants of a log were judged event by event (engine/invariants); the laws here look at a
whole run: its log, the sinks, and what the world took note of. They ask no rule of the core about
what they judge.
"""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final

from transitions import MachineError

from engine.core import events as ev
from engine.core.decider import Decide, decide
from engine.core.events import FLEET, Recorded, Result
from engine.core.evolve import evolve
from engine.core.fleet import Role
from engine.core.machines import FAILOVER, HEALTH, ROLE, Table
from engine.core.replay import decide_again, replay
from engine.core.state import (
    Phase,
    State,
    active_of,
    control_digest,
    control_of,
    copy,
    digest,
    restore,
)
from engine.core.step import Evolve
from engine.invariants import INVARIANTS, Invariants
from engine.simulation.runs import Run, Violation
from engine.simulation.schedule import GroupSetting

Law = Callable[[Run], Iterator[Violation]]


PROMISES: Final[dict[str, str]] = {
    "acknowledged writes are kept": "Nobody is promoted without a write that a replica acknowledged"
    " and that somebody who answers has, unless the policy lets it go.",
    "old primaries are fenced": "Nobody who was left takes a write once another one serves.",
}


def watched(run: Run) -> Iterator[Violation]:
    """What the world saw: live and replayed state differ, two believe themselves active."""
    yield from (one for one in run.seen if one.law not in PROMISES)


def _promised(law: str, doc: str) -> Law:
    """Return the law that a promise holds, which was judged while the world ran."""

    def promised(run: Run) -> Iterator[Violation]:
        yield from (one for one in run.seen if one.law == law)

    promised.__name__ = law.replace(" ", "_")
    promised.__doc__ = doc
    return promised


PROMISED: Final[dict[str, Law]] = {name: _promised(name, doc) for name, doc in PROMISES.items()}


def losses_are_said(run: Run) -> Iterator[Violation]:
    """What a policy lets go is in the log, with the promotion, and no less than it was.

    Of masters that forget whose data they have only that something is: they count from 0 again.
    """
    said = {
        (recorded.subject, recorded.event.epoch): recorded.event.lacks
        for recorded in (*run.lost, *run.log)
        if isinstance(recorded.event, ev.PromotionStarted)
    }
    forgetful = {
        group.id
        for group in run.schedule.setting.groups()
        if group.replication is not None and group.replication.keeps == "data"
    }
    for name, promises in run.promises.items():
        for loss in promises.losses:
            found = said.get((loss.master, loss.epoch), 0)
            if not found or (found < loss.bytes and name not in forgetful):
                what = f"{loss.master} lacks {loss.bytes} bytes, and the log says {found}"
                yield _violation("losses are said", what)


def _judged(law: str, doc: str) -> Law:
    """Return the law that an invariant of the log holds, which was judged event by event."""

    def judged(run: Run) -> Iterator[Violation]:
        for one in run.judged.broken:
            if one.invariant == law:
                yield Violation(law=law, seq=one.seq, found=one.found)

    judged.__name__ = law.replace(" ", "_")
    judged.__doc__ = doc
    return judged


JUDGED: Final[dict[str, Law]] = {name: _judged(name, doc) for name, doc in INVARIANTS.items()}


def sink_admits_the_activated(run: Run) -> Iterator[Violation]:
    """Nobody acts at the sink under an epoch that was not drawn for him; epochs never go back.

    Where all serve at once, each has epochs of its own.
    """
    law = "the sink admits the activated"
    drawn = {
        (recorded.event.epoch, recorded.subject)
        for recorded in (*run.lost, *run.log)
        if isinstance(recorded.event, ev.Activated | ev.PromotionStarted)
    }
    for group in run.schedule.setting.groups():
        if not group.acts:
            continue
        sink = run.sinks[group.id]
        for epoch, master in sorted(sink.admitted - drawn):
            yield _violation(law, f"{master} acted under {epoch}")
        epochs: dict[str, list[int]] = {}
        for applied in sink.applied:
            scope = "" if group.is_standby else applied.master
            epochs.setdefault(scope, []).append(applied.epoch)
        for one in epochs.values():
            if one != sorted(one) and not (run.lost and not group.is_standby):
                yield _violation(law, f"epochs went back: {one}")


def messages_are_done_once(run: Run) -> Iterator[Violation]:
    """What was accepted is done at the sink once, in the order of its lane, and never before.

    What an older copy of the log has forgotten is lost; nothing else is.
    """
    law = "messages are done once"
    yield from JUDGED[law](run)
    logs: dict[str, list[Recorded]] = {group.id: [] for group in run.schedule.setting.groups()}
    for recorded in run.log:
        if isinstance(recorded.event, ev.MessageAccepted | ev.MessageDone):
            logs.setdefault(recorded.subject, []).append(recorded)
    for group in run.schedule.setting.groups():
        yield from _done_once(run, group, logs[group.id], law)
    for key in run.done_early:
        yield _violation(law, f"{key} is done in the log before it is at the sink")
    accepted = {
        recorded.event.key
        for recorded in (*run.lost, *run.log)
        if isinstance(recorded.event, ev.MessageAccepted)
    }
    for key in sorted(run.receipts - accepted):
        yield _violation(law, f"{key} has a receipt and is not in the log")


def _done_once(run: Run, group: GroupSetting, log: list[Recorded], law: str) -> Iterator[Violation]:
    sink = run.sinks[group.id]
    if sink.applied_twice:
        yield _violation(law, f"{sink.applied_twice} keys took effect twice")
    forgotten = {
        recorded.event.key
        for recorded in run.lost
        if isinstance(recorded.event, ev.MessageAccepted)
    }
    accepted: dict[str, tuple[str, int]] = {}
    done: set[str] = set()
    for recorded in log:
        match recorded.event:
            case ev.MessageAccepted(key=key, lane=lane):
                accepted[key] = (lane, recorded.seq)
            case ev.MessageDone(key=key):
                done.add(key)
            case _:
                pass
    last: dict[str, int] = {}
    for applied in sink.applied:
        lane, seq = accepted.get(applied.key, ("", 0))
        if applied.key in forgotten:
            continue  # where it stood among the others was forgotten, too
        if not seq:
            yield _violation(law, f"{applied.key} is at the sink and was not accepted")
        elif seq < last.get(lane, 0) and group.is_standby:
            yield _violation(law, f"{applied.key} overtook another of {lane}")
        last[lane] = seq
    if run.is_quiet and group.acts:
        for key in sorted(accepted):
            if not sink.count[key] or key not in done:
                yield _violation(law, f"{key} is lost")


def effects_end(run: Run) -> Iterator[Violation]:
    """No effect is issued after the log says that it went well; none is taken twice."""
    ok: dict[tuple[str, str, int, int], int] = {}
    for recorded in run.log:
        event = recorded.event
        if isinstance(event, ev.Outcome) and event.result is Result.OK:
            key = (event.step, recorded.subject, event.failover, event.epoch)
            ok.setdefault(key, recorded.seq)
    for issue in run.issued:
        effect = issue.effect
        key = (effect.step, effect.master, effect.failover, effect.epoch)
        is_over = ok.get(key, issue.seq + 1) <= issue.seq
        # A standby that is another process by now is told again whom to follow, or not to.
        if effect.step not in ("preflight", "follow", "detach") and is_over and not run.lost:
            found = f"{key} is issued at {issue.seq}, and went well at {ok[key]}"
            yield _violation("effects end", found)
    for master in run.masters.values():
        for taken, times in master.taken.items():
            if times > 1:
                yield _violation("effects end", f"{master.name} took {taken} {times} times")


def every_move_is_a_row(run: Run) -> Iterator[Violation]:
    """The `transitions` machines themselves make every move that the log says."""
    yield from JUDGED["every move is a row"](run)
    models: dict[tuple[Table[Any], str], SimpleNamespace] = {}
    groups: dict[str, str] = {}
    for recorded in run.log:
        kind, subject = type(recorded.event).__name__, recorded.subject
        if isinstance(recorded.event, ev.LogBased):
            _begin(models, groups, restore(recorded.event.state))
        if isinstance(recorded.event, ev.MasterAdded):
            groups[subject] = recorded.event.master.group
        if isinstance(recorded.event, ev.MasterRemoved):
            models.pop((HEALTH, subject), None)
            models.pop((ROLE, subject), None)
        for table, name in (
            (HEALTH, subject),
            (ROLE, subject),
            (FAILOVER, groups.get(subject, subject)),
        ):
            trigger = table.machine.events.get(kind)
            if trigger is None:
                continue
            initial = next(iter(table.states))
            model = models.setdefault((table, name), SimpleNamespace(state=initial))
            try:
                trigger.trigger(model)
            except MachineError as err:
                yield _found("every move is a row", recorded, str(err))


def _begin(
    models: dict[tuple[Table[Any], str], SimpleNamespace], groups: dict[str, str], state: State
) -> None:
    """Begin with the machines as they stood where a log begins."""
    for part in state.groups.values():
        saga = part.saga
        models[FAILOVER, part.id] = SimpleNamespace(
            state=Phase.IDLE if saga is None else saga.phase
        )
        for name, master in part.masters.items():
            groups[name] = part.id
            models[HEALTH, name] = SimpleNamespace(state=master.health)
            models[ROLE, name] = SimpleNamespace(state=master.role)


def decided_again(
    run: Run, decide: Decide = decide, evolve: Evolve = evolve
) -> Iterator[Violation]:
    """What-if under the recorded policy gives the recorded log."""
    again = list(decide_again(run.log, decide=decide, evolve=evolve))
    for one, other in zip(run.log, again, strict=False):
        if one != other:
            found = f"{type(one.event).__name__} became {type(other.event).__name__}"
            yield _found("decided again", one, found)
            return
    if len(again) != len(run.log):
        yield _violation("decided again", f"{len(run.log)} events became {len(again)}")


def folds_in_parts(run: Run, evolve: Evolve = evolve, *, cuts: int = 7) -> Iterator[Violation]:
    """The fold of a prefix, stored and taken up again, ends where the fold of all does."""
    whole = digest(run.state)
    step = max(1, len(run.log) // cuts)
    for cut in range(0, len(run.log) + 1, step):
        prefix = copy(replay(run.log[:cut], evolve=evolve))
        if digest(replay(run.log[cut:], state=prefix, evolve=evolve)) != whole:
            yield Violation(law="folds in parts", seq=cut, found="the state at the end differs")


def what_is_kept_is_enough(
    run: Run, decide: Decide = decide, evolve: Evolve = evolve
) -> Iterator[Violation]:
    """After observations were dropped, what is left folds, decides and is judged as all of it."""
    law = "what is kept is enough"
    if len(run.kept) == len(run.log):
        return
    if digest(replay(run.kept, evolve=evolve)) != digest(run.state):
        yield _violation(law, "the state at the end differs")
        return
    again = list(decide_again(run.kept, decide=decide, evolve=evolve))
    if again != run.kept and list(decide_again(run.log, decide=decide, evolve=evolve)) == run.log:
        yield _violation(law, "what is left decides otherwise")
    said = {one.invariant for one in run.judged.broken}
    judge = Invariants()
    for recorded in run.kept:
        judge.take(recorded)
    for one in judge.broken:
        if one.invariant not in said:
            yield Violation(law=law, seq=one.seq, found=f"{one.invariant}: {one.found}")


def standbys_follow(run: Run) -> Iterator[Violation]:
    """In a group that replicates, each standby follows the active in the end, whoever strayed."""
    for group in run.schedule.setting.groups():
        part = run.state.groups.get(group.id)
        if part is None or not group.acts or not active_of(part):
            continue
        for name, master in part.masters.items():
            follows = run.masters[name].follows
            is_other = follows not in part.masters or part.masters[follows].role is not Role.ACTIVE
            if run.masters[name].speaks and master.role is Role.STANDBY and is_other:
                yield _violation("standbys follow", f"{name} follows {follows or 'nobody'}")


def rollbacks_are_exact(run: Run) -> Iterator[Violation]:
    """A complete rollback ends with the control of its position, and it is complete if it can be.

    It cannot if its switchover was abandoned or went to another heir, the members are others, or
    control changed meanwhile.
    """
    for group in run.schedule.setting.groups():
        yield from _exact(run, group.id)


def _exact(run: Run, group: str) -> Iterator[Violation]:
    accepted, can_be = None, True
    members: set[str] = set()
    for recorded in run.log:
        event = recorded.event
        if isinstance(event, ev.LogBased):
            members.update(restore(event.state).groups[group].masters)
        if isinstance(event, ev.MasterAdded) and event.master.group == group:
            members.add(recorded.subject)
        if recorded.subject not in (group, FLEET) and recorded.subject not in members:
            continue
        match event:
            case ev.RollbackAccepted():
                accepted, can_be = event, True
            case ev.FailoverEnded(result="abandoned") | ev.AttemptFailed():
                can_be = False
            case ev.PolicyAdopted() | ev.StrategyChanged() | ev.MasterAdded():
                can_be = False
            case ev.RollbackEnded(result=result, digest=found) if accepted is not None:
                then = replay(run.log, until_seq=accepted.position).groups[group]
                now = replay(run.log, until_seq=recorded.seq).groups[group]
                digests = {control_digest(control_of(part)) for part in (then, now)}
                if result == "complete" and digests != {found}:
                    yield _found("rollbacks are exact", recorded, f"not {accepted.position}")
                can_be = can_be and then.masters.keys() == now.masters.keys()
                if result != "complete" and can_be:
                    yield _found("rollbacks are exact", recorded, "incomplete for no reason")
            case _:
                pass


def comes_to_rest(run: Run) -> Iterator[Violation]:
    """Once faults have stopped, all is detected, served and done within computed bounds."""
    for found in run.settled.late(run.bounds):
        yield _violation("comes to rest", found)


LAWS: Final[tuple[Law, ...]] = (
    watched,
    *(
        JUDGED[name]
        for name in INVARIANTS
        if name not in ("messages are done once", "every move is a row")
    ),
    sink_admits_the_activated,
    messages_are_done_once,
    effects_end,
    every_move_is_a_row,
    decided_again,
    folds_in_parts,
    rollbacks_are_exact,
    what_is_kept_is_enough,
    standbys_follow,
    *PROMISED.values(),
    losses_are_said,
    comes_to_rest,
)


# Those that read the whole log again.
HEAVY: Final[frozenset[Law]] = frozenset(
    (
        every_move_is_a_row,
        decided_again,
        folds_in_parts,
        rollbacks_are_exact,
        what_is_kept_is_enough,
    )
)


def violations(run: Run, *, laws: tuple[Law, ...] = LAWS) -> list[Violation]:
    """Return everything that does not hold of `run`."""
    return [violation for law in laws for violation in law(run)]


def _found(law: str, recorded: Recorded, found: str) -> Violation:
    return Violation(law=law, seq=recorded.seq, found=found)


def _violation(law: str, found: str) -> Violation:
    return Violation(law=law, seq=0, found=found)
