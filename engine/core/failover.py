"""What is to be done for a group: activations, failovers, and who gets the messages.

`consider` is asked after every step until it has nothing more to say. So nothing depends on which
event made something necessary, and a group whose heir died in a moment that nobody thought of is
looked after all the same.

A failover that is open goes on as saga.py says.
"""

from typing import Final

from engine.core import candidates
from engine.core import events as ev
from engine.core.blocking import (
    Want,
    blocked,
    claims,
    suspects,
    waiting,
    want,
)
from engine.core.failback import consider_failback
from engine.core.fencing import Todo, fenced, is_lost, is_told, stray_fenced
from engine.core.fleet import ACTIVE, DRAINING, FAILED, STANDBY, WELL, Health, Role
from engine.core.healing import consider_healing
from engine.core.policy import Automation
from engine.core.saga import consider_saga
from engine.core.serving import in_panic, is_soft, rests
from engine.core.state import (
    GroupState,
    MasterState,
    Phase,
    Saga,
    State,
    active_of,
    control_digest,
    control_of,
    is_active_standby,
    newest_reported,
    next_epoch,
    paused_until,
)

PIECES: Final = 4  # of what each master gets of a long queue, in a group whose masters all serve


def consider(state: State, group: GroupState, at_us: int) -> Todo | None:
    """Return the next thing to do for `group` and its subject, or None."""
    assert at_us >= state.at_us
    todo = _consider_fences(state, group)
    if todo is not None:
        return todo
    if is_active_standby(state, group):
        todo = _consider_standby(state, group, at_us)
    else:
        todo = _consider_serving(state, group, at_us)
    return todo or consider_healing(state, group, at_us) or _consider_queue(state, group)


def consider_messages(state: State, group: GroupState, at_us: int) -> Todo | None:
    """Return what `consider` does, after an event that only passed through the queue.

    Nothing else was left to do before it, and nothing else reads the queue but who waits until
    somebody has emptied it.
    """
    is_waited_for = group.saga is not None or group.rollback is not None
    if is_waited_for or not is_active_standby(state, group):
        return consider(state, group, at_us)
    return _consider_queue(state, group)


def consider_asked(state: State, group: GroupState, at_us: int, *, asked: int) -> Todo | None:
    """Return what the command at the seq `asked`, to a stopped log, calls for at once.

    What was open before it goes on when an engine runs, and not because somebody asked for
    something else.
    """
    if group.saga is not None:
        is_its_own = group.saga.seq > asked
        return consider_saga(state, group, group.saga, at_us) if is_its_own else None
    if group.rollback is not None and group.rollback.seq > asked:
        return _consider_rollback(state, group)
    return None


def _consider_standby(state: State, group: GroupState, at_us: int) -> Todo | None:
    if group.saga is not None:
        return consider_saga(state, group, group.saga, at_us)
    if group.rollback is not None:
        return _consider_rollback(state, group)
    # Who is the first is settled by `want`: only when every master was heard, or the grace is over.
    if group.epoch and state.policy_of(group).automation is Automation.OBSERVE:
        todo = _follow_reports(group)
        if todo is not None:
            return todo
    wanted = want(group)
    if wanted is not None:
        return _consider_want(state, group, wanted, at_us)
    todo = _consider_strays(state, group, at_us)
    return todo or consider_failback(state, group, at_us)


def consider_suspects(state: State, group: GroupState, at_us: int) -> Todo | None:
    """Return that a failover is opened and waits, because too few are there to fail the active.

    It is asked when a probe of the active has failed: silence alone is no evidence.
    """
    if group.saga is not None or group.rollback is not None or want(group) is not None:
        return None
    wanted = suspects(state, group, at_us)
    return None if wanted is None else _consider_want(state, group, wanted, at_us)


def _consider_want(state: State, group: GroupState, wanted: Want, at_us: int) -> Todo | None:
    block = blocked(state, group, wanted, at_us)
    if wanted.why == "first" and (block is None or block.reason in ("observing", "no fit heir")):
        for name in group.masters:
            if claims(group, name):
                return name, ev.Activated(epoch=_adopted_epoch(group, name), rule="reported")
    if block is None:
        evidence = wanted.evidence
        # In a pause nobody but the last one may have its own place back.
        to = group.assigned if paused_until(state, group, at_us) else ""
        started = ev.FailoverStarted(
            id=state.seq + 1,
            why=wanted.why,
            source=wanted.source,
            to=to,
            planned=False,
            waits=_first_wait(state, group, wanted, to, at_us),
            counts=bool(wanted.source),
            evidence=evidence,
        )
        return group.id, started
    if block.reason == "observing":
        verdicts = candidates.table(state, group, at_us)
        if not _is_proposed(group, wanted) and candidates.heir(verdicts):
            return group.id, ev.FailoverProposed(
                why=wanted.why,
                source=wanted.source,
                heir=candidates.heir(verdicts),
                table=verdicts,
                evidence=wanted.evidence,
            )
        return None
    acts = state.policy_of(group).automation is not Automation.OBSERVE
    if wanted.why == "activation-lost" and acts:
        # It does not act under its activation, so nothing is taken from anybody.
        return fenced(group, wanted.source, reason="it lost its activation")
    return None


def _is_proposed(group: GroupState, wanted: Want) -> bool:
    """Return whether it was said already what would be done: once for each failure."""
    if not wanted.source:
        return group.proposed_seq > 0
    source = group.masters[wanted.source]
    return group.proposed_seq >= (source.lost_seq or source.failed_seq)


def _consider_strays(state: State, group: GroupState, at_us: int) -> Todo | None:
    """Fence who acts beside the active, once the active has said that it acts.

    One that says it does not act, while another does, was replaced by hand: its activation is lost.
    So is that of one that says so while another knows a newer epoch, or that it is fenced, whoever
    acts: an engine has told them whose log is gone. Not in a pause: then somebody may be at work by
    hand.
    """
    if not is_told(state, group) or paused_until(state, group, at_us):
        return None
    active = active_of(group)
    serving = group.masters[active]
    is_vouched = (
        serving.health in (Health.HEALTHY, Health.DEGRADED)
        and serving.good_us > state.fleet.started_us
        and serving.reported_epoch in (None, serving.epoch)
        and not serving.promote_owed
    )
    if not is_vouched:
        return None
    if serving.reported_role in ("", Role.ACTIVE.value):
        return stray_fenced(group, but="", reason=f"it acts beside {active}")
    strays = [other.good_seq for other in group.masters.values() if candidates.is_stray(other)]
    # Its answer may have been sent before it was activated.
    is_new = not serving.is_unjudged and serving.excused_seq != serving.good_seq
    is_told_otherwise = (
        serving.reported_role == Role.FENCED.value
        or newest_reported(group, but=active) > serving.epoch
    )
    if not is_new or not (strays or is_told_otherwise):
        return None
    evidence = (serving.good_seq, *strays)
    return active, ev.ActivationLost(epoch=serving.epoch, found=serving.epoch, evidence=evidence)


def _consider_fences(state: State, group: GroupState) -> Todo | None:
    """Fence anew who knows a newer epoch than that of its fence, which it refuses for ever.

    That is so if the log is an older copy of the one that drew that epoch.
    """
    if not is_told(state, group):
        return None
    for name, master in group.masters.items():
        fence = master.fence
        if fence is not None and (master.reported_epoch or 0) > fence.confirm_at:
            return fenced(group, name, reason=f"it knows epoch {master.reported_epoch}")
    return None


def _first_wait(state: State, group: GroupState, wanted: Want, to: str, at_us: int) -> str:
    """Return what a failover that is opened now will wait for."""
    probe = Saga(
        id=state.seq + 1, seq=0, phase=Phase.SELECTING, why=wanted.why, source=wanted.source, to=to,
        planned=False, waits="", counts=True, started_us=at_us + 1, since_us=at_us,
    )  # fmt: skip
    block = waiting(state, group, probe, at_us)
    return "" if block is None else block.reason


def _adopted_epoch(group: GroupState, name: str) -> int:
    """Return the epoch a running primary is adopted under: its own, if that is the newest one."""
    reported = group.masters[name].reported_epoch or 0
    newest = max(group.epoch, newest_reported(group, but=name))
    return reported if reported > newest else next_epoch(group)


def _follow_reports(group: GroupState) -> Todo | None:
    """Observing only: the roles are those that the masters report."""
    claimed = [name for name in group.masters if claims(group, name)]
    active = active_of(group)
    if len(claimed) != 1:
        return None
    claims_anew = claimed[0] == active and group.masters[active].lost_seq
    if group.masters[claimed[0]].role is not Role.STANDBY and not claims_anew:
        return None  # the active itself, or one that is fenced
    if active and group.masters[active].role is Role.ACTIVE:
        return active, ev.DrainStarted(reason=f"{claimed[0]} reports itself active")
    if active:
        return active, ev.DrainEnded()
    return claimed[0], ev.Activated(epoch=_adopted_epoch(group, claimed[0]), rule="reported")


def _consider_rollback(state: State, group: GroupState) -> Todo | None:
    rollback = group.rollback
    assert rollback is not None
    active = active_of(group)
    target = rollback.target if is_active_standby(state, group) else ""
    if not target or active == target:
        digest = control_digest(control_of(group))
        result = "complete" if digest == rollback.digest else "incomplete"
        return group.id, ev.RollbackEnded(result=result, digest=digest)
    if not rollback.switching:
        return group.id, ev.FailoverStarted(
            id=state.seq + 1,
            why="rollback",
            source=active,
            to=target,
            planned=True,
            waits="preflight",
            counts=False,
            evidence=(rollback.seq,),
        )
    return group.id, ev.RollbackEnded(result="incomplete", digest=control_digest(control_of(group)))


# Groups whose healthy masters all serve, and the queue.


def _consider_serving(state: State, group: GroupState, at_us: int) -> Todo | None:
    if group.rollback is not None:
        return _consider_rollback(state, group)
    acts = state.policy_of(group).automation is not Automation.OBSERVE
    is_panic = in_panic(state, group)
    for name, master in group.masters.items():
        is_out = rests(state, group, master, at_us)
        role = master.role
        if role is STANDBY and not is_out:
            if master.health in WELL:
                return name, ev.Activated(epoch=next_epoch(group), rule="healthy")
            if is_panic and acts and is_soft(master):
                return name, ev.Activated(epoch=next_epoch(group), rule="panic")
        elif role is ACTIVE or role is DRAINING:
            if (
                acts
                and is_lost(master)
                and not candidates.is_doubtful(state, master)
                and not (is_panic and is_soft(master))
            ):
                lost = master.health is not FAILED
                reason = "it lost its activation" if lost else "failed"
                return fenced(group, name, reason=reason)
            if role is ACTIVE and is_out:
                return name, ev.DrainStarted(reason=_out(master))
            if role is DRAINING and not group.ledger.assigned.get(name):
                return name, ev.DrainEnded()
    return None


def _out(master: MasterState) -> str:
    """Return why a master that serves has to stop."""
    return "it rests" if master.is_drained else "excluded or under maintenance"


def _consider_queue(state: State, group: GroupState) -> Todo | None:
    """Give what is queued to whoever may have it."""
    if not group.ledger.queue or state.policy_of(group).automation is Automation.OBSERVE:
        return None
    able = [
        name
        for name, master in group.masters.items()
        if master.role is Role.ACTIVE and not is_lost(master) and not master.promote_owed
    ]
    if not able:
        return None
    ledger = group.ledger
    if is_active_standby(state, group):
        upto = ledger.queue[-1]
        return able[0], ev.MessagesAssigned(epoch=group.masters[able[0]].epoch, upto=upto)
    least = min(able, key=lambda name: (ledger.assigned.get(name, 0), name))
    # A long queue goes out in pieces, the last ones single: few events, and an even share.
    upto = ledger.queue[len(ledger.queue) // (PIECES * len(able))]
    return least, ev.MessagesAssigned(epoch=group.masters[least].epoch, upto=upto)
