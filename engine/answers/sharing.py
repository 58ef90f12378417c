"""How work is shared now, with the arithmetic; where each message is."""

from collections import Counter
from typing import Any, Final

from engine.answers.search import Finder
from engine.answers.times import iso
from engine.core.errors import ConfigurationError
from engine.core.fleet import Role
from engine.core.serving import PERCENT, is_out, picker, weights
from engine.core.serving import shares as slowed
from engine.core.state import GroupState, MasterState, State
from engine.log.protocol import Log

PICKS: Final = 1_000  # a share is counted over so many
MESSAGES_MAX: Final = 1_000  # of one answer


def shares(state: State) -> dict[str, Any]:
    """Return for each group who gets which share of its work, and why."""
    return {
        "seq": state.seq,
        "at": iso(state.at_us),
        "groups": {name: _group(state, group) for name, group in sorted(state.groups.items())},
    }


def _group(state: State, group: GroupState) -> dict[str, Any]:
    whole = weights(state, group)
    found, changes_us = slowed(state, group, state.at_us)
    scale = PERCENT if changes_us else 1  # while somebody starts slowly, weights are in hundredths
    total = sum(found.values())
    pick = picker(group, found)
    counted = Counter(pick.pick() for _ in range(PICKS)) if total else Counter()
    return {
        "strategy": group.strategy,
        "total": total,
        "slow_start": bool(changes_us),
        "masters": {
            name: {
                "base": master.declared.weight,
                "weight": whole[name],
                "slow_start_percent": PERCENT * found[name] // (whole[name] * scale)
                if whole[name]
                else 0,
                "priority": master.declared.priority,
                "share_ppm": counted[name] * 1_000_000 // PICKS,
                "assigned": group.ledger.assigned.get(name, 0),
                "says": _says(group, name, master, found, scale),
            }
            for name, master in group.masters.items()
        },
    }


def _says(
    group: GroupState, name: str, master: MasterState, found: dict[str, int], scale: int
) -> str:
    weight, total = found[name], sum(found.values())
    if not weight:
        return _why_none(master)
    if weight < master.declared.weight * scale:
        return f"it starts slowly: {weight} of {total} hundredths"
    if group.strategy == "priority":
        able = {other: group.masters[other].declared.priority for other in found if found[other]}
        first = min(able.values())
        if able[name] > first:
            return f"priority {able[name]}, and others of priority {first} serve"
        equals = [other for other, priority in able.items() if priority == first]
        among = sum(found[other] for other in equals)
        return f"priority {first} is the best: {weight} of {among}"
    return f"{weight} of {total}" + (" hundredths" if scale > 1 else "")


def _why_none(master: MasterState) -> str:
    if master.role is not Role.ACTIVE:
        return f"{master.role.value}: only active masters get work"
    if master.is_doubted:
        return "it failed, and is not trusted again yet"
    if master.lost_seq:
        return "it lost its activation"
    if is_out(master):
        return "it is ejected: its requests fail much more than those of others"
    return f"its weight is {master.declared.weight}"


def messages(
    log: Log, state: State, *, group: str | None = None, key: str | None = None
) -> dict[str, Any]:
    """Return where each open message is: the oldest first, so many at most.

    Args:
        log: It says when a message was accepted.
        state: As of when.
        group: Only those of this group.
        key: Only the message of this key; one that is done is named as well.

    Raises:
        ConfigurationError: There is no such group or message.
    """
    if group is not None and group not in state.groups:
        known = ", ".join(sorted(state.groups)) or "none"
        raise ConfigurationError([f"no group {group!r}: expected one of {known}"])
    groups = [one for name, one in sorted(state.groups.items()) if group in (None, name)]
    finder = Finder(log)
    rows: list[dict[str, Any]] = []
    for one in groups:
        for seq in one.ledger.open:
            if len(rows) >= MESSAGES_MAX:
                break
            if key in (None, one.ledger.open[seq].key):
                rows.append(_message(finder, state, one, seq))
    if key is not None and not rows:
        done = [one for one in groups if key in one.ledger.done]
        if not done:
            raise ConfigurationError([f"no message {key!r} is open, nor remembered as done"])
        rows = [{"key": key, "group": one.id, "place": "done"} for one in done]
    return {
        "seq": state.seq,
        "at": iso(state.at_us),
        "groups": {one.id: _counts(one) for one in groups},
        "rows": rows,
        "omitted": max(0, sum(len(one.ledger.open) for one in groups) - len(rows))
        if key is None
        else 0,
    }


def _counts(group: GroupState) -> dict[str, Any]:
    ledger = group.ledger
    return {
        "accepted": ledger.accepted,
        "done": ledger.finished,
        "open": len(ledger.open),
        "queued": len(ledger.queue),
        "assigned": dict(ledger.assigned),
        "requeued": ledger.requeued,
        "lanes": len(ledger.lanes),
    }


def _message(finder: Finder, state: State, group: GroupState, seq: int) -> dict[str, Any]:
    message = group.ledger.open[seq]
    lane = group.ledger.lanes[message.lane]
    place = "queued"
    if message.master:
        place = "under way" if lane[0] == seq else "assigned"
    accepted = finder.at(seq)
    return {
        "key": message.key,
        "seq": seq,
        "group": group.id,
        "lane": message.lane,
        "place": place,
        "master": message.master,
        "epoch": message.epoch,
        "behind": lane.index(seq),  # messages of its lane that go first
        "size": message.size,
        "accepted_at": None if accepted is None else iso(accepted.at_us),
        "age_us": None if accepted is None else state.at_us - accepted.at_us,
    }
