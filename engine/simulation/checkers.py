"""What has to hold of every run, whatever happened: each law returns the violations it found.

A law reads the log, the sink and what the world took note of. It asks no rule of the core about
what it judges: who was fit, served or was fenced is followed from the events alone.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Final

from transitions import MachineError

from engine.core import events as ev
from engine.core.decider import Decide, decide
from engine.core.events import Recorded, Result
from engine.core.evolve import evolve
from engine.core.fleet import Health, Mode, Role
from engine.core.machines import FAILOVER, HEALTH, ROLE
from engine.core.policy import Automation
from engine.core.replay import decide_again, replay
from engine.core.state import Phase, control_digest, control_of, copy, digest
from engine.core.step import Evolve
from engine.simulation.runs import Run, Violation
from engine.simulation.schedule import GROUP

Law = Callable[[Run], Iterator[Violation]]


def _is_standby(run: Run) -> bool:
    return run.schedule.setting.policy.mode is Mode.ACTIVE_STANDBY


def _acts(run: Run) -> bool:
    return run.schedule.setting.policy.automation is not Automation.OBSERVE


def watched(run: Run) -> Iterator[Violation]:
    """What the world saw: live and replayed state differ, two believe themselves active."""
    yield from run.seen


def one_active(run: Run) -> Iterator[Violation]:
    """No two masters of an active-standby group hold an activation or an attempt at one."""
    if not _is_standby(run):
        return
    holders: set[str] = set()
    for recorded in run.log:
        match recorded.event:
            case ev.Activated() | ev.PromotionStarted():
                holders.add(recorded.subject)
            case ev.MasterFenced() | ev.DrainEnded() | ev.MasterRemoved():
                holders.discard(recorded.subject)
            case _:
                continue
        if len(holders) > 1:
            yield _found("one active", recorded, f"{', '.join(sorted(holders))} are")


def sink_admits_the_activated(run: Run) -> Iterator[Violation]:
    """Nobody acts at the sink under an epoch that was not drawn for him; epochs never go back.

    Where all serve at once, each has epochs of its own.
    """
    if not _acts(run):
        return
    drawn = {
        (recorded.event.epoch, recorded.subject)
        for recorded in run.log
        if isinstance(recorded.event, ev.Activated | ev.PromotionStarted)
    }
    for epoch, master in sorted(run.sink.admitted - drawn):
        yield _violation("the sink admits the activated", f"{master} acted under {epoch}")
    epochs: dict[str, list[int]] = {}
    for applied in run.sink.applied:
        scope = "" if _is_standby(run) else applied.master
        epochs.setdefault(scope, []).append(applied.epoch)
    for one in epochs.values():
        if one != sorted(one):
            yield _violation("the sink admits the activated", f"epochs went back: {one}")


class _Fitness:
    """What the events say of one master, for whoever has to be fit."""

    def __init__(self) -> None:
        self.health = Health.UNKNOWN
        self.good_us = 0
        self.n = 0
        self.is_fenced = self.is_excluded = self.serves = False
        self.maintenance: list[tuple[int, int]] = []

    def take(self, recorded: Recorded) -> None:
        match recorded.event:
            case ev.ProbeOk(n=n) | ev.ProbeDegraded(n=n):
                if n > self.n:
                    self.n, self.good_us = n, recorded.at_us
            case ev.ProbeFailed(n=n):
                self.n = max(self.n, n)
            case ev.MasterHealthy():
                self.health = Health.HEALTHY
            case ev.MasterDegraded():
                self.health = Health.DEGRADED
            case ev.MasterFailed():
                self.health = Health.FAILED
            case ev.MasterRecovering():
                self.health = Health.RECOVERING
            case ev.MasterUnknown():
                self.health = Health.UNKNOWN
            case ev.MasterFenced():
                self.is_fenced, self.serves = True, False
            case ev.MasterRejoined():
                self.is_fenced = False
            case ev.Activated() | ev.PromotionStarted():
                self.serves = True
            case ev.DrainEnded():
                self.serves = False
            case ev.ExclusionChanged(excluded=excluded):
                self.is_excluded = excluded
            case ev.MaintenanceDeclared(from_us=from_us, to_us=to_us):
                # One with the same beginning takes the place of the other.
                self.maintenance = [span for span in self.maintenance if span[0] != from_us]
                self.maintenance.append((from_us, to_us))
            case _:
                pass

    def unfit(self, at_us: int, *, fresh_us: int, is_asked: bool, is_forced: bool) -> list[str]:
        """Return why it may not be an heir; who asks for it need not know that it is well."""
        reasons = [
            reason
            for reason, holds in (
                ("fenced", self.is_fenced),
                ("serving", self.serves),
                ("excluded", self.is_excluded),
                ("maintenance", any(a <= at_us < b for a, b in self.maintenance)),
            )
            if holds
        ]
        if self.health in (Health.FAILED, Health.RECOVERING) and not is_forced:
            reasons.append(self.health.value)
        if not is_asked and self.health is Health.UNKNOWN:
            reasons.append("unknown")
        if not is_asked and at_us - self.good_us > fresh_us:
            reasons.append(f"last good {at_us - self.good_us} us ago")
        return reasons


def heirs_are_fit(run: Run) -> Iterator[Violation]:
    """Nobody is made heir who is fenced, excluded, unwell, unheard of, or was tried already."""
    probe = run.schedule.setting.policy.probe
    fresh_us = 2 * probe.interval_us + probe.timeout_us
    masters: dict[str, _Fitness] = {}
    why, force, spent = "", False, set[str]()
    for recorded in run.log:
        event = recorded.event
        if isinstance(event, ev.MasterRemoved):  # one that is added later is another one
            masters.pop(recorded.subject, None)
        masters.setdefault(recorded.subject, _Fitness()).take(recorded)
        match event:
            case ev.RollbackAccepted():
                force = event.force
            case ev.FailoverStarted():
                why, spent = event.why, set()
            case ev.AttemptFailed():
                spent.add(recorded.subject)
            case ev.AttemptStarted():
                reasons = masters[event.heir].unfit(
                    recorded.at_us,
                    fresh_us=fresh_us,
                    is_asked=why in ("switchover", "forced", "rollback"),
                    is_forced=force and why == "rollback",
                )
                if event.heir in spent:
                    reasons.append("failed already")
                if reasons:
                    found = f"{event.heir} is heir and {', '.join(reasons)}"
                    yield _found("heirs are fit", recorded, found)
            case _:
                pass


def epochs_ascend(run: Run) -> Iterator[Violation]:
    """Every epoch is drawn once, and is above all that were drawn before."""
    newest = 0
    for recorded in run.log:
        match recorded.event:
            case ev.Activated(epoch=epoch) | ev.AttemptStarted(epoch=epoch):
                pass
            case ev.MasterFenced(confirm_at=epoch):
                pass
            case _:
                continue
        if epoch <= newest:
            yield _found("epochs ascend", recorded, f"{epoch} after {newest}")
        newest = max(newest, epoch)


def messages_are_done_once(run: Run) -> Iterator[Violation]:
    """What was accepted is done at the sink once, in the order of its lane, and never before."""
    law = "messages are done once"
    accepted: dict[str, tuple[str, int]] = {}
    done: Counter[str] = Counter()
    for recorded in run.log:
        match recorded.event:
            case ev.MessageAccepted(key=key, lane=lane):
                if key in accepted:
                    yield _found(law, recorded, f"{key} is accepted twice")
                accepted[key] = (lane, recorded.seq)
            case ev.MessageDone(key=key):
                done[key] += 1
                if done[key] > 1:
                    yield _found(law, recorded, f"{key} is done twice")
            case _:
                pass
    for key in run.done_early:
        yield _violation(law, f"{key} is done in the log before it is at the sink")
    if run.sink.applied_twice:
        yield _violation(law, f"{run.sink.applied_twice} keys took effect twice")
    for key in sorted(run.receipts - accepted.keys()):
        yield _violation(law, f"{key} has a receipt and is not in the log")
    last: dict[str, int] = {}
    for applied in run.sink.applied:
        lane, seq = accepted.get(applied.key, ("", 0))
        if not seq:
            yield _violation(law, f"{applied.key} is at the sink and was not accepted")
        elif seq < last.get(lane, 0) and _is_standby(run):
            yield _violation(law, f"{applied.key} overtook another of {lane}")
        last[lane] = seq
    if run.is_quiet and _acts(run):
        for key in sorted(accepted):
            if not run.sink.count[key] or not done[key]:
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
        if effect.step != "preflight" and ok.get(key, issue.seq + 1) <= issue.seq:
            found = f"{key} is issued at {issue.seq}, and went well at {ok[key]}"
            yield _violation("effects end", found)
    for master in run.masters.values():
        for taken, times in master.taken.items():
            if times > 1:
                yield _violation("effects end", f"{master.name} took {taken} {times} times")


def one_failover_at_a_time(run: Run) -> Iterator[Violation]:
    """A group has one failover open at most, and what ends is what was open."""
    is_open = 0
    for recorded in run.log:
        match recorded.event:
            case ev.FailoverStarted(id=started):
                if is_open:
                    yield _found("one failover", recorded, f"{is_open} is open")
                is_open = started
            case ev.FailoverEnded(id=ended):
                if ended != is_open:
                    yield _found("one failover", recorded, f"{ended} ends, {is_open} is open")
                is_open = 0
            case _:
                pass


def every_move_is_a_row(run: Run) -> Iterator[Violation]:
    """The `transitions` machines themselves make every move that the log says."""
    health: dict[str, SimpleNamespace] = {}
    roles: dict[str, SimpleNamespace] = {}
    saga = SimpleNamespace(state=Phase.IDLE)
    for recorded in run.log:
        kind = type(recorded.event).__name__
        subject = recorded.subject
        if isinstance(recorded.event, ev.MasterRemoved):
            health.pop(subject, None)
            roles.pop(subject, None)
        for table, model in (
            (HEALTH, health.setdefault(subject, SimpleNamespace(state=Health.UNKNOWN))),
            (ROLE, roles.setdefault(subject, SimpleNamespace(state=Role.STANDBY))),
            (FAILOVER, saga),
        ):
            trigger = table.machine.events.get(kind)
            if trigger is None:
                continue
            try:
                trigger.trigger(model)
            except MachineError as err:
                yield _found("every move is a row", recorded, str(err))


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


def rollbacks_are_exact(run: Run) -> Iterator[Violation]:
    """A complete rollback ends with the control of its position, and it is complete if it can be.

    It cannot if its switchover was abandoned or went to another heir, the members are others, or
    control changed meanwhile.
    """
    accepted, can_be = None, True
    for recorded in run.log:
        match recorded.event:
            case ev.RollbackAccepted():
                accepted, can_be = recorded.event, True
            case ev.FailoverEnded(result="abandoned") | ev.AttemptFailed():
                can_be = False
            case ev.PolicyAdopted() | ev.StrategyChanged() | ev.MasterAdded():
                can_be = False
            case ev.RollbackEnded(result=result, digest=found) if accepted is not None:
                then = replay(run.log, until_seq=accepted.position).groups[GROUP]
                now = replay(run.log, until_seq=recorded.seq).groups[GROUP]
                digests = {control_digest(control_of(part)) for part in (then, now)}
                if result == "complete" and digests != {found}:
                    yield _found("rollbacks are exact", recorded, f"not {accepted.position}")
                can_be = can_be and then.masters.keys() == now.masters.keys()
                if result != "complete" and can_be:
                    yield _found("rollbacks are exact", recorded, "incomplete for no reason")
            case _:
                pass


def refusals_stand_alone(run: Run) -> Iterator[Violation]:
    """Nothing follows a refused command but its refusal."""
    by_cause: dict[int, list[Recorded]] = {}
    for recorded in run.log:
        if recorded.cause:
            by_cause.setdefault(recorded.cause, []).append(recorded)
    for caused in by_cause.values():
        if len(caused) > 1 and any(isinstance(one.event, ev.Refused) for one in caused):
            kinds = ", ".join(type(one.event).__name__ for one in caused)
            yield _found("refusals stand alone", caused[0], kinds)


def comes_to_rest(run: Run) -> Iterator[Violation]:
    """Once faults have stopped, all is served and done within `settles_within_us`."""
    if not run.is_quiet:
        yield _violation("comes to rest", f"not after {run.virtual_us} us")


LAWS: Final[tuple[Law, ...]] = (
    watched,
    one_active,
    sink_admits_the_activated,
    heirs_are_fit,
    epochs_ascend,
    messages_are_done_once,
    effects_end,
    one_failover_at_a_time,
    every_move_is_a_row,
    decided_again,
    folds_in_parts,
    rollbacks_are_exact,
    refusals_stand_alone,
    comes_to_rest,
)


def violations(run: Run, *, laws: tuple[Law, ...] = LAWS) -> list[Violation]:
    """Return everything that does not hold of `run`."""
    return [violation for law in laws for violation in law(run)]


def _found(law: str, recorded: Recorded, found: str) -> Violation:
    return Violation(law=law, seq=recorded.seq, found=found)


def _violation(law: str, found: str) -> Violation:
    return Violation(law=law, seq=0, found=found)
