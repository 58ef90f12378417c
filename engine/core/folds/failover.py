"""The fold over activations, failovers and rollbacks."""

from typing import Final

import msgspec

from engine.core import events as ev
from engine.core import messages
from engine.core import state as st
from engine.core.errors import LogCorrupted
from engine.core.events import Recorded
from engine.core.fleet import Role
from engine.core.folds.places import group_of, place_of, saga_of
from engine.core.machines import FAILOVER, ROLE
from engine.core.state import Phase, State

COUNTED_MAX: Final = 1_000  # starts of failovers kept for the limit of a group [count]


def activated(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.Activated)
    place = place_of(state, recorded)
    group, master = place.group, place.master
    master.role = ROLE.move(master.role, recorded)
    master.epoch = event.epoch
    group.epoch = max(group.epoch, event.epoch)
    master.is_unjudged = True
    master.active_us = recorded.at_us
    group.failed_id = 0
    master.promote_owed = master.reported_epoch != event.epoch
    master.is_adopted = event.rule == "reported"
    st.forget_follow(master)
    group.proposed_seq = 0
    group.retry_us = group.retry_at_us = 0
    if st.is_active_standby(state, group):
        group.assigned, group.leaver = recorded.subject, ""
        group.switch_epoch = event.epoch


def role(state: State, recorded: Recorded) -> None:
    master = place_of(state, recorded).master
    master.role = ROLE.move(master.role, recorded)
    if master.role is Role.STANDBY:
        master.epoch, master.lost_seq, master.promote_owed = 0, 0, False
        master.active_us, master.is_adopted = 0, False


def drain_ended(state: State, recorded: Recorded) -> None:
    """Let it stand by; what it still had (an observed one may be left with work) goes back."""
    role(state, recorded)
    ledger = place_of(state, recorded).group.ledger
    messages.requeue(ledger, messages.assigned_to(ledger, recorded.subject))


def proposed(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.FailoverProposed)
    group_of(state, recorded).proposed_seq = event.evidence[0] if event.evidence else recorded.seq


def failover_started(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.FailoverStarted)
    group = group_of(state, recorded)
    if group.saga is not None:
        raise LogCorrupted(recorded.seq, f"a failover of {group.id} is open already")
    group.saga = st.Saga(
        id=event.id,
        seq=recorded.seq,
        phase=FAILOVER.move(Phase.IDLE, recorded),
        why=event.why,
        source=event.source,
        to=event.to,
        planned=event.planned,
        waits=event.waits,
        counts=event.counts,
        started_us=recorded.at_us,
        since_us=recorded.at_us,
    )
    state.cache.idle.add(event.id)
    if event.counts:
        group.counted_us.append(recorded.at_us)
        del group.counted_us[:-COUNTED_MAX]
        if state.fleet.policy.fleet is not None:
            state.fleet.counted.append((recorded.at_us, event.id))
            del state.fleet.counted[:-COUNTED_MAX]
            state.cache.stir_all()  # the limit of the fleet is everybody's
    if event.why == "rollback" and group.rollback is not None:
        group.rollback.switching = event.id


def approval_given(state: State, recorded: Recorded) -> None:
    group = group_of(state, recorded)
    if group.saga is None:
        raise LogCorrupted(recorded.seq, f"no failover of {group.id} is open")
    group.saga.is_approved = True


def _uncount(state: State, saga: st.Saga) -> bool:
    """Take a failover out of those of the fleet; return whether it was among them."""
    for index, (_, id_) in enumerate(state.fleet.counted):
        if id_ == saga.id:
            del state.fleet.counted[index]
            state.cache.stir_all()
            return True
    return False


def attempt_started(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.AttemptStarted)
    group = group_of(state, recorded)
    saga = saga_of(group, recorded)
    if event.epoch <= group.epoch:
        raise LogCorrupted(recorded.seq, f"epoch {event.epoch} is not above {group.epoch}")
    if not saga.attempt and _uncount(state, saga):
        state.fleet.counted.append((recorded.at_us, saga.id))  # it counts from when it begins
    state.cache.idle.discard(saga.id)
    saga.attempt, saga.heir, saga.epoch, saga.waits = event.n, event.heir, event.epoch, ""
    saga.hook, saga.hooks, saga.lacks = "", [], 0
    group.epoch = event.epoch


def master_fenced(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MasterFenced)
    place = place_of(state, recorded)
    group, master = place.group, place.master
    back = messages.assigned_to(group.ledger, recorded.subject)
    found = (len(back), messages.digest_of(back))
    if found != (event.requeued, event.digest):
        raise LogCorrupted(
            recorded.seq, f"expected {event.requeued} messages of {recorded.subject}, found {found}"
        )
    messages.requeue(group.ledger, back)
    if master.role is not Role.FENCED:
        master.left_at_us = recorded.at_us
    is_serving = master.role in (Role.ACTIVE, Role.DRAINING)
    if group.saga is None and is_serving and recorded.subject == group.assigned:
        group.leaver = recorded.subject
    master.role = ROLE.move(master.role, recorded)
    before = master.fence
    # Fenced anew it need not be waited for again, unless it may act by now.
    stands_by = master.reported_role in (Role.STANDBY.value, Role.FENCED.value)
    master.fence = st.Fence(
        confirm_at=event.confirm_at,
        revokes=event.revokes,
        is_confirmed=before is not None and before.is_confirmed and stands_by,
        is_restarted=before is not None and before.is_restarted,
        failover=0 if group.saga is None else group.saga.id,
    )
    master.epoch, master.lost_seq, master.promote_owed = 0, 0, False
    master.active_us, master.is_adopted = 0, False
    # Also one that has not said so yet: the answer to a probe from before may be under way.
    master.is_claim_known = master.reported_role == Role.ACTIVE.value or event.revokes > 0
    st.forget_follow(master)
    group.epoch = max(group.epoch, event.confirm_at)


def fence_confirmed(state: State, recorded: Recorded) -> None:
    master = place_of(state, recorded).master
    if master.fence is None:
        raise LogCorrupted(recorded.seq, f"{recorded.subject} is not fenced")
    master.fence.is_confirmed = True


def rejoined(state: State, recorded: Recorded) -> None:
    role(state, recorded)
    place_of(state, recorded).master.fence = None


def transfer_started(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.TransferStarted)
    saga_of(place_of(state, recorded).group, recorded).transfer_digest = event.digest


def promotion_started(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.PromotionStarted)
    place = place_of(state, recorded)
    saga_of(place.group, recorded)
    place.master.role = ROLE.move(place.master.role, recorded)
    place.master.epoch = event.epoch
    st.forget_follow(place.master)


def saga_moved(state: State, recorded: Recorded) -> None:
    saga_of(place_of(state, recorded).group, recorded)


def switched(state: State, recorded: Recorded) -> None:
    place = place_of(state, recorded)
    group, master = place.group, place.master
    saga = saga_of(group, recorded)
    master.role = ROLE.move(master.role, recorded)
    master.is_unjudged = True
    master.active_us = recorded.at_us
    group.failed_id = 0
    group.assigned = recorded.subject
    group.failovers += saga.why != "first"  # the first activation replaces nobody
    group.retry_us = group.retry_at_us = group.proposed_seq = 0


def switch_done(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.SwitchDone)
    place_of(state, recorded).group.switch_epoch = event.epoch


def attempt_failed(state: State, recorded: Recorded) -> None:
    saga = saga_of(place_of(state, recorded).group, recorded)
    saga.spent.append(saga.heir)
    saga.hook = ""


def compensated(state: State, recorded: Recorded) -> None:
    saga = saga_of(group_of(state, recorded), recorded)
    saga.heir, saga.epoch, saga.preflight, saga.transfer_digest = "", 0, "", ""


def failover_ended(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.FailoverEnded)
    group = group_of(state, recorded)
    saga = saga_of(group, recorded)
    if event.result != "completed" and saga.started_us in group.counted_us:
        group.counted_us.remove(saga.started_us)  # one that was abandoned does not count
    if event.result != "completed":
        _uncount(state, saga)
    is_tried_again = saga.attempt and saga.why not in st.ASKED and event.retry_at_us
    if event.result != "completed" and is_tried_again:
        group.failed_id = saga.id
    group.saga = None
    state.cache.idle.discard(saga.id)
    group.hold_until_us = event.hold_until_us
    group.retry_us = max(0, event.retry_at_us - recorded.at_us)
    group.retry_at_us = event.retry_at_us
    group.failback_to, group.failback_us = event.failback_to, event.failback_us
    if event.result == "completed":
        group.leaver = ""


def outcome(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.Outcome)
    place = place_of(state, recorded)
    group, master = place.group, place.master
    saga = group.saga
    if event.step == "preflight":
        if saga is not None and (saga.id, saga.phase) == (event.failover, Phase.SELECTING):
            saga.preflight, saga.preflight_detail = event.result.value, event.detail
    elif event.step == "transfer":
        if saga is not None and (saga.id, saga.epoch) == (event.failover, event.epoch):
            saga.lacks = event.lacks
            saga.seeks_data = saga.seeks_data or event.result is ev.Result.REFUSED
    elif event.step == "recover" and master.recovery is not None:
        if event.failover == master.recovery.seq:
            master.recovery.is_running = False
    elif (
        event.step == "promote"
        and master.promote_owed
        and (event.failover, event.epoch) == (0, master.epoch)
        and event.result in (ev.Result.OK, ev.Result.ASSUMED)
    ):
        # Its next answer may have been sent before it was told.
        master.promote_owed, master.is_unjudged = False, True
        master.is_adopted = False


def rollback_accepted(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.RollbackAccepted)
    group = group_of(state, recorded)
    group.strategy = event.after.strategy
    for name, weight in event.after.weights:
        if name in group.masters:
            master = group.masters[name]
            master.declared = msgspec.structs.replace(master.declared, weight=weight)
    group.rollback = st.Rollback(
        seq=recorded.seq,
        digest=event.digest,
        target=event.after.assigned,
        force=event.force,
    )


def rollback_ended(state: State, recorded: Recorded) -> None:
    group_of(state, recorded).rollback = None
