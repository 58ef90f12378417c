"""What is different between two positions: policy, strategy, roles, health, epochs, and marks."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from engine.answers.times import iso
from engine.core.events import KINDS, OBSERVATIONS, READ_AS
from engine.core.serving import weights
from engine.core.state import FleetState, GroupState, MasterState, State
from engine.log.protocol import Log
from engine.whatif.keys import changes

EVENTS_COUNTED_MAX: Final = 2_000_000  # between the positions; of more, only how many
ORDER: Final = (
    *("policy", "strategy", "active", "role", "health", "epoch", "weight", "priority", "address"),
    *("queued", "open messages", "done messages", "failovers", "failover", "rollback", "hold-down"),
    *("pause", "maintenance", "excluded", "fence", "checkpoint", "member", "kept"),
)


def diff(log: Log, before: State, after: State) -> dict[str, Any]:
    """Return what differs between two states of `log`, and what happened between them."""
    ours, theirs = dict(_facts(before)), dict(_facts(after))
    found = [
        {"what": what, "subject": subject, "before": ours.get(key), "after": theirs.get(key)}
        for key in {**ours, **theirs}
        if ours.get(key) != theirs.get(key)
        for subject, what in (key,)
    ]
    policy = [
        {"what": "policy", "subject": one.group or "fleet", "key": one.key, "path": one.path,
         "before": one.before, "after": one.after}
        for one in changes(before.fleet.policy, after.fleet.policy)
    ]  # fmt: skip
    low, high = sorted((before.seq, after.seq))
    return {
        "from": {"seq": before.seq, "at": iso(before.at_us)},
        "to": {"seq": after.seq, "at": iso(after.at_us)},
        "changes": [*policy, *sorted(found, key=_place)],
        "events": high - low,
        "decisions": _decisions(log, low, high),
    }


def _place(change: dict[str, Any]) -> tuple[int, str]:
    what = change["what"]
    return ORDER.index(what) if what in ORDER else len(ORDER), str(change["subject"])


def _decisions(log: Log, low: int, high: int) -> dict[str, int]:
    """Return how many decisions of each kind lie between; {} if there are too many events."""
    if high - low > EVENTS_COUNTED_MAX:
        return {}
    decided = {code for code, kind in KINDS.items() if kind not in OBSERVATIONS}
    count = Counter(row[2] for row in log.rows(low, high) if row[2] in decided)
    named = {READ_AS[code].__name__: number for code, number in count.items()}
    return dict(sorted(named.items()))


def _facts(state: State) -> Iterator[tuple[tuple[str, str], object]]:
    yield from _fleet(state.fleet, state.at_us)
    for group in state.groups.values():
        yield from _group(group, state.at_us)
        for (name, master), weight in zip(
            group.masters.items(), weights(state, group).values(), strict=True
        ):
            yield from _master(name, master, weight)


def _fleet(fleet: FleetState, at_us: int) -> Iterator[tuple[tuple[str, str], object]]:
    yield ("fleet", "pause"), _pause(fleet.pause_until_us, fleet.pause_reason, at_us)
    yield ("fleet", "maintenance"), _windows(fleet.maintenance)
    for name, seq in fleet.checkpoints.items():
        yield (name, "checkpoint"), seq


def _group(group: GroupState, at_us: int) -> Iterator[tuple[tuple[str, str], object]]:
    ledger, saga = group.ledger, group.saga
    serving = [name for name, one in group.masters.items() if one.role.value == "active"]
    facts: dict[str, object] = {
        "strategy": group.strategy,
        "active": ", ".join(serving) or None,
        "epoch": group.epoch,
        "failovers": group.failovers,
        "failover": None if saga is None else f"{saga.id} {saga.phase.value}",
        "rollback": None if group.rollback is None else group.rollback.seq,
        "hold-down": iso(group.hold_until_us) if group.hold_until_us > at_us else None,
        "pause": _pause(group.pause_until_us, group.pause_reason, at_us),
        "maintenance": _windows(group.maintenance),
        "queued": len(ledger.queue),
        "open messages": len(ledger.open),
        "done messages": ledger.finished,
        "kept": len(group.kept),
    }
    yield from (((group.id, what), value) for what, value in facts.items())


def _master(
    name: str, master: MasterState, weight: int
) -> Iterator[tuple[tuple[str, str], object]]:
    fence = master.fence
    facts: dict[str, object] = {
        "member": True,
        "role": master.role.value,
        "health": master.health.value,
        "epoch": master.epoch,
        "weight": weight,
        "priority": master.declared.priority,
        "address": master.declared.address,
        "excluded": master.is_excluded,
        "fence": None
        if fence is None
        else f"below {fence.confirm_at}, {'' if fence.is_confirmed else 'not '}confirmed",
        "maintenance": _windows(master.maintenance),
    }
    yield from (((name, what), value) for what, value in facts.items())


def _pause(until_us: int, reason: str, at_us: int) -> str | None:
    if until_us != -1 and until_us <= at_us:
        return None
    return f"{'until told otherwise' if until_us == -1 else f'until {iso(until_us)}'}: {reason}"


def _windows(spans: list[tuple[int, int]]) -> str | None:
    return ", ".join(f"{iso(from_us)} to {iso(to_us)}" for from_us, to_us in spans) or None
