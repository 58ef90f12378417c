"""What is the case at a position: groups, masters, what is waited for, what is owed."""

from typing import Final

from engine.answers.alerting import standing
from engine.answers.times import iso
from engine.answers.waiting import sentence, wait_of
from engine.core import candidates, failback
from engine.core.fleet import Mode, Role
from engine.core.owed import owed_of
from engine.core.serving import able, weights
from engine.core.state import (
    GroupState,
    MasterState,
    State,
    control_digest,
    control_of,
    digest,
)

SERVING: Final = (Role.ACTIVE, Role.DRAINING)


def status(state: State) -> dict[str, object]:
    """Return the document that `status --json` and `replay --json` print (interfaces.md).

    Times are ISO 8601; `until` is null where no time ends what is waited for. Everything is as of
    the state's own position, so the same log gives the same document at any time. A version moves
    with what is decided or asked for in its part; a command may name the ones that it expects.
    """
    groups = {name: _group(state, group) for name, group in sorted(state.groups.items())}
    fleet = state.fleet
    return {
        "seq": state.seq,
        "at": iso(state.at_us),
        "digest": digest(state),
        "events": state.seq,
        "fleet_version": fleet.version,
        "paused": _pause(fleet.pause_until_us, fleet.pause_reason, state.at_us),
        "paused_by_file": fleet.file_pause,
        "policy_differs_from_file": _differs(state),
        "alerts": standing(state),
        "groups": groups,
        "masters": {
            name: _master(group, master, weight)
            for group in state.groups.values()
            for (name, master), weight in zip(
                group.masters.items(), weights(state, group).values(), strict=True
            )
        },
    }


def is_ready(state: State, group: GroupState) -> bool:
    """Return whether the group could lose a master that serves now and go on.

    Active-standby: there is a fit heir. Active-active: two masters or more serve.
    """
    if state.policy_of(group).mode is Mode.ACTIVE_STANDBY:
        return bool(candidates.heir(candidates.table(state, group, state.at_us)))
    return len(able(group)) > 1


def _group(state: State, group: GroupState) -> dict[str, object]:
    policy = state.policy_of(group)
    ledger = group.ledger
    return {
        "mode": policy.mode.value,
        "active": [name for name, m in sorted(group.masters.items()) if m.role in SERVING],
        "epoch": group.epoch,
        "version": group.version,
        "strategy": group.strategy,
        "ready": is_ready(state, group),
        "automation": policy.automation.value,
        "failovers": group.failovers,
        "control_digest": control_digest(control_of(group)),
        "paused": _pause(group.pause_until_us, group.pause_reason, state.at_us),
        "waits": _waits(state, group),
        "proposed_seq": group.proposed_seq,
        "failover": _failover(group),
        "scheduled": _scheduled(group),
        "failback": _failback(state, group),
        "rollback": None if group.rollback is None else group.rollback.seq,
        "owed": [
            {"step": effect.step, "master": effect.master, "epoch": effect.epoch}
            for effect in owed_of(state, group)
        ],
        "messages": {
            "accepted": ledger.accepted,
            "done": ledger.finished,
            "open": len(ledger.open),
            "queued": len(ledger.queue),
            "requeued": ledger.requeued,
        },
    }


def _master(group: GroupState, master: MasterState, weight: int) -> dict[str, object]:
    return {
        "group": group.id,
        "health": master.health.value,
        "role": master.role.value,
        "weight": weight,
        "epoch": master.epoch,
        "since": iso(master.health_since_us) if master.health_seq else None,
        "address": master.declared.address,
        "excluded": master.is_excluded,
        "drained": master.is_drained,
        "by_command": master.by_command,
        "follows": master.follows or None,
        "recovery": None
        if master.recovery is None
        else {"attempt": master.recovery.n, "running": master.recovery.is_running},
        "fence": None
        if master.fence is None
        else {
            "confirm_at": master.fence.confirm_at,
            "revokes": master.fence.revokes,
            "confirmed": master.fence.is_confirmed,
        },
    }


def _pause(until_us: int, reason: str, at_us: int) -> dict[str, object] | None:
    if until_us != -1 and until_us <= at_us:
        return None
    return {"until": None if until_us == -1 else iso(until_us), "reason": reason}


def _waits(state: State, group: GroupState) -> dict[str, object] | None:
    """Return why a group that wants another active does not get one yet, and when that ends."""
    block = wait_of(state, group)
    if block is None:
        return None
    return {
        "reason": block.reason,
        "until": iso(block.until_us) if block.until_us else None,
        "says": sentence(state, group, block),
    }


def _failback(state: State, group: GroupState) -> dict[str, object] | None:
    """Return who gets its place back, and what that waits for."""
    if not group.failback_to or not failback.is_wanted(state, group, state.at_us):
        return None
    block = failback.block_of(state, group, state.at_us)
    until_us = 0 if block is None else block.until_us
    return {
        "to": group.failback_to,
        "reason": "" if block is None else block.reason,
        "until": iso(until_us) if until_us else None,
    }


def _scheduled(group: GroupState) -> dict[str, object] | None:
    planned = group.scheduled
    if planned is None:
        return None
    return {
        "seq": planned.seq,
        "to": planned.to,
        "at": iso(planned.due_us),
        "author": planned.author,
    }


def _failover(group: GroupState) -> dict[str, object] | None:
    saga = group.saga
    if saga is None:
        return None
    return {
        "id": saga.id,
        "phase": saga.phase.value,
        "why": saga.why,
        "source": saga.source,
        "to": saga.to,
        "heir": saga.heir,
        "epoch": saga.epoch,
        "attempt": saga.attempt,
        "hook": saga.hook or None,
        "started": iso(saga.started_us),
        "since": iso(saga.since_us),
    }


def _differs(state: State) -> bool:
    """Return whether what is in force is not what the last file says, as far as the log knows."""
    fleet = state.fleet
    if fleet.policy_digest != fleet.file_digest:
        return True
    return any(group.strategy != state.policy_of(group).strategy for group in state.groups.values())
