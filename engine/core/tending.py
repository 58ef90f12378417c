"""A fleet that changes while it runs: masters come, go, rest, and are forgiven.

Rule 1: who serves is not removed, and its work is moved before it rests. Where that cannot be, the
command is refused, with every reason.

Rule 2: a master that a command has added belongs to no file: one that does not name it leaves it
where it is.

Rule 3: to reset is to forget what was counted, not what is: a failed master stays failed, and one
that answers again is trusted at once.
"""

from engine.core import events as ev
from engine.core.commands import open_to, planned, switchable
from engine.core.events import FLEET
from engine.core.fleet import Health, Role
from engine.core.leasing import joining_reasons, renewal_reasons
from engine.core.policy import FenceKind
from engine.core.serving import able, is_out
from engine.core.state import GroupState, MasterState, active_of, is_active_standby
from engine.core.step import Step


def decide_drain(step: Step, event: ev.DrainAsked) -> None:
    """Let a master rest, its work moved first; or let it serve again."""
    place = step.state.cache.places[step.subject]
    group, master = place.group, place.master
    what = "drain" if event.drained else "undrain"
    reasons = []
    serves = master.role in (Role.ACTIVE, Role.DRAINING)
    is_standby = is_active_standby(step.state, group)
    # One that serves on although it was to rest, for the heir was not fit, may be told once more.
    is_again = event.drained and serves and is_standby
    if event.drained is master.is_drained and not is_again:
        already = "drains already" if master.is_drained else "does not drain"
        reasons.append(f"{step.subject} {already}")
    if event.drained:
        reasons += open_to(group, step.subject)
    to = ""
    if not reasons and event.drained and serves:
        if is_standby:
            to, unfit = switchable(step, group, "", is_tolerant=event.at_rest)
            reasons += unfit
        elif not able(group) - {step.subject}:
            reasons.append(f"{step.subject} is the last one of {group.id} that serves")
    if reasons:
        step.emit(ev.Refused(what=what, reasons=tuple(reasons)))
        return
    step.emit(ev.DrainChanged(drained=event.drained, reason=event.reason))
    if to:
        started = planned(step, source=step.subject, to=to, evidence=(step.seq,))
        step.emit(started, subject=group.id)


def decide_add(step: Step, event: ev.MasterAddAsked) -> None:
    """Take a master into a group."""
    state, master = step.state, event.master
    group = state.groups.get(master.group)
    reasons = []
    if master.id in state.cache.places:
        where = state.cache.places[master.id].group.id
        reasons.append(f"{master.id} is a master of {where} already")
    elif master.id in state.groups or master.id == FLEET:
        reasons.append(f"{master.id} is the name of something else")
    if group is None:
        known = ", ".join(sorted(state.groups)) or "none"
        reasons.append(f"no group {master.group!r}: expected one of {known}")
    else:
        reasons += [
            f"{name} of {group.id} has the address {master.address} already"
            for name, other in group.masters.items()
            if other.declared.address == master.address
        ]
        reasons += joining_reasons(state, group, master.id)
    if reasons:
        step.emit(ev.Refused(what="master add", reasons=tuple(reasons)))
        return
    step.emit(ev.MasterAdded(master=master, by_command=True), subject=master.id)


def decide_remove(step: Step) -> None:
    """Let a master go that neither serves nor may still act."""
    place = step.state.cache.places[step.subject]
    group, master = place.group, place.master
    reasons = list(unremovable(step, group, master))
    if len(group.masters) == 1:
        reasons.append(f"{step.subject} is the last master of {group.id}")
    if reasons:
        step.emit(ev.Refused(what="master remove", reasons=tuple(reasons)))
        return
    step.emit(ev.MasterRemoved(group=group.id))


def unremovable(step: Step, group: GroupState, master: MasterState) -> list[str]:
    """Return why a master cannot be taken out of its group."""
    name = master.declared.id
    reasons = []
    is_out = master.fence is not None and (
        master.fence.is_confirmed or step.state.policy_of(group).fence.kind is FenceKind.GATE
    )
    if master.role is not Role.STANDBY and not is_out:
        serves = name == active_of(group) or not is_active_standby(step.state, group)
        way = f": tanist master drain {name}" if serves and master.role is Role.ACTIVE else ""
        reasons.append(f"{name} of {group.id} is {master.role.value}{way}")
    reasons += open_to(group, name)
    reasons += renewal_reasons(step.state, group, name)
    if group.rollback is not None and group.rollback.target == name:
        reasons.append(f"rollback {group.rollback.seq} of {group.id} goes back to {name}")
    if group.scheduled is not None and group.scheduled.to == name:
        reasons.append(f"a switchover of {group.id} to {name} is scheduled: cancel it first")
    return reasons


def decide_reset(step: Step) -> None:
    """Trust whoever answers again and was to prove itself first, and let the ejected serve.

    The fold forgets the counters.
    """
    place = step.state.cache.places.get(step.subject)
    masters = (
        step.state.groups[step.subject].masters if place is None else {step.subject: place.master}
    )
    for name, master in masters.items():
        if master.health is Health.RECOVERING:
            step.emit(ev.MasterHealthy(evidence=(step.seq,), rule="reset"), subject=name)
        if is_out(master):
            step.emit(ev.MasterReadmitted(), subject=name)
