"""When something is due by time alone: derived from the state, never stored.

Staleness deadlines say that something is not known any more; acting ones are the ends of what
`blocked` and `waiting` wait for. The first one is found without a walk over all parts (dues.py).
"""

import itertools
from collections.abc import Iterator
from typing import Final

from engine.core import alerts, failback, outliers, scheduling
from engine.core.blocking import (
    blocked,
    drain_ends_us,
    fence_waits,
    heir_waits,
    is_draining,
    waiting,
    want,
)
from engine.core.dues import FAR_US, Due
from engine.core.events import FLEET
from engine.core.fleet import UNKNOWN, Health
from engine.core.healing import healing_due
from engine.core.seen import MAINTENANCE, SILENT
from engine.core.state import GroupState, Phase, State, is_active_standby, windows

SILENCE: Final = "unknown_after"
STALENESS: Final = (SILENCE, SILENT)  # deadlines that only say that something is not known any more
ALERT: Final = "alert"


def deadlines(state: State) -> Iterator[tuple[bool, Due]]:
    """Return every deadline with whether it is an acting one: derived, never stored.

    Staleness deadlines say that something is not known any more; acting ones are the ends of what
    `blocked` and `waiting` wait for.
    """
    for group in (*state.groups.values(), None):
        yield from deadlines_of(state, group)


def deadlines_of(
    state: State, group: GroupState | None, *, acting_only: bool = False
) -> Iterator[tuple[bool, Due]]:
    """Return the deadlines of a part; None: those of the fleet."""
    part = FLEET if group is None else group.id
    for due_us in alerts.alert_deadlines(state, group):
        yield True, (due_us, part, ALERT, part)
    if group is None:
        return
    if group.scheduled is not None:
        yield True, (group.scheduled.due_us, group.id, scheduling.SCHEDULE, group.id)
    if not acting_only:
        yield from staleness(state, group)
    yield from _maintenance(state, group)
    for at_us, name in outliers.ends(group):
        yield True, (at_us, group.id, outliers.EJECTION, name)
    for at_us, name in healing_due(state, group):
        yield True, (at_us, group.id, "recover", name)
    if is_active_standby(state, group):
        yield from _acting(state, group)


def staleness(state: State, group: GroupState, name: str = "") -> Iterator[tuple[bool, Due]]:
    """Return when the masters of a group become stale; with `name`, that one alone."""
    policy = state.policy_of(group)
    masters = {name: group.masters[name]} if name else group.masters
    limit_us = policy.probe.unknown_after_us
    if limit_us:
        for name, master in masters.items():
            if master.health is not UNKNOWN:
                yield False, (master.heard_us + limit_us, group.id, SILENCE, name)
    silent_us = 0 if policy.degraded is None else policy.degraded.silent_after_us
    if silent_us:
        for name, master in masters.items():
            report = master.report
            if report is not None and report.load_us and not report.is_silent:
                yield False, (report.load_us + silent_us, group.id, SILENT, name)


def _stale_us(state: State, group: GroupState) -> int:
    """Return when the first of `staleness` is due [us], sooner than they are listed."""
    policy, masters = state.policy_of(group), group.masters.values()
    limit_us = policy.probe.unknown_after_us
    silent_us = 0 if policy.degraded is None else policy.degraded.silent_after_us
    first_us = int(FAR_US)
    if limit_us:
        heard = [one.heard_us for one in masters if one.health is not Health.UNKNOWN]
        first_us = min(heard) + limit_us if heard else first_us
    if silent_us:
        reports = [one.report for one in masters if one.report is not None]
        loads = [one.load_us for one in reports if one.load_us and not one.is_silent]
        first_us = min(first_us, min(loads) + silent_us) if loads else first_us
    return first_us


def _bound_us(state: State, part: str) -> int:
    """Return before when no deadline of a part is due [us], spent or not."""
    group = state.groups.get(part)
    stale_us = FAR_US if group is None else _stale_us(state, group)
    acting = deadlines_of(state, group, acting_only=True)
    return min(stale_us, min((due[0] for _, due in acting), default=FAR_US))


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
        first_due(state, state.at_us)
    return dues.next_us if dues.next_us < FAR_US else None


def nothing_due_before(state: State, upto_us: int) -> int:
    """Return before when no deadline is due [us], as the state is; looked at up to `upto_us`."""
    first_due(state, upto_us)
    return state.cache.dues.next_us


def unspent(state: State, part: str, *, stale: str = "") -> Due | None:
    """Return the first deadline of a part that has not been acted upon in vain; None: it has none.

    `stale`: of those that say that something is not known any more of this master.
    """
    spent, group = state.cache.dues.spent.get(part, ()), state.groups.get(part)
    if stale:
        assert group is not None
        found = staleness(state, group, stale)
    else:
        found = deadlines_of(state, group)
    return min((due for _, due in found if due not in spent), default=None)


def first_due(state: State, upto_us: int) -> Due | None:
    """Return the first deadline due at `upto_us` or before, and remember when the next one is.

    Only those parts are looked at of which that is not known, and those that may be the first.
    """
    dues = state.cache.dues
    if dues.next_us > upto_us:
        return None
    for part in dues.stirred.take(itertools.chain(state.groups, (FLEET,))):
        dues.bounds.note(part, _bound_us(state, part))
    while True:
        dues.next_us, part = dues.bounds.first()
        if dues.next_us > upto_us:
            return None
        due = unspent(state, part)
        if due is not None and due[0] <= dues.next_us:
            return due
        dues.bounds.note(part, FAR_US if due is None else due[0])
