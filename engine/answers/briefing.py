"""In brief: what is wrong, what was done about it, what comes next and when, what you can type."""

from collections.abc import Iterator
from typing import Any, Final

from engine.answers.alerting import standing
from engine.answers.search import Finder
from engine.answers.telling import sentence as told
from engine.answers.times import iso
from engine.answers.waiting import pauses, sentence, wait_of
from engine.answers.words import harmless, lasting
from engine.core import candidates
from engine.core import events as ev
from engine.core.deadlines import deadlines
from engine.core.fleet import Health, Role
from engine.core.policy import HOUR
from engine.core.state import GroupState, State, active_of, is_active_standby
from engine.log.protocol import Log

DONE_WITHIN_US: Final = 24 * HOUR
DONE_MAX: Final = 5
NEXT_MAX: Final = 5
_NEWS: Final = (
    ev.FailoverEnded,
    ev.FailoverProposed,
    ev.RollbackEnded,
    ev.Switched,
    ev.MasterFailed,
    ev.MasterHealthy,
    ev.Refused,
)
_APPROVED: Final = ("approval", "quorum", "hold-down", "limit", "fleet-limit")  # end these waits
_NEXT: Final = {
    "delay": "the delay ends: another master takes over if {subject} is not back",
    "hold-down": "the hold-down ends: the waiting failover goes on",
    "limit": "the window of the limit moves on: the waiting failover goes on",
    "grace": "the grace after the start ends",
    "pause": "the pause ends",
    "retry": "the next try to find an active master",
    "drain": "the time to drain is up",
    "maintenance": "a maintenance window begins or ends",
}
_ILL: Final = (Health.FAILED, Health.RECOVERING, Health.DEGRADED, Health.UNKNOWN)

Said = dict[str, Any]


def brief(log: Log, state: State) -> Said:
    """Return the four lists, as of the position of `state`."""
    return {
        "seq": state.seq,
        "at": iso(state.at_us),
        "wrong": list(_wrong(state)),
        "done": _done(log, state),
        "next": _next(state),
        "type": list(_commands(state)),
    }


def _wrong(state: State) -> Iterator[Said]:
    fleet = state.fleet
    for alert in standing(state):
        if not alert["acked"]:
            yield _said(
                str(alert["subject"]),
                f"alert {alert['id']}",
                f"{alert['severity']}: {alert['says']}",
            )
    if fleet.file_pause is not None:
        yield _said("fleet", "pause", f"a file beside the log pauses the fleet: {fleet.file_pause}")
    if fleet.doubt_seq:
        yield _said("fleet", "doubt", "no master is heard: the engine may be cut off itself")
    for group in state.groups.values():
        yield from _wrong_of(state, group)
    if fleet.policy_digest != fleet.file_digest:
        yield _said("fleet", "drift", "what is in force is not what the last file says")


def _wrong_of(state: State, group: GroupState) -> Iterator[Said]:
    is_standby = is_active_standby(state, group)
    served = [name for name, one in group.masters.items() if one.role is Role.ACTIVE]
    if not served and group.masters:
        yield _said(group.id, "headless", "nobody serves")
    block = wait_of(state, group)
    if block is not None:
        yield _said(group.id, "waits", sentence(state, group, block))
    elif paused := pauses(state, group):
        yield _said(group.id, "pause", paused)
    verdicts = candidates.table(state, group, state.at_us)
    if is_standby and served and not candidates.heir(verdicts):
        why = ", ".join(f"{one.master}: {one.rule}" for one in verdicts if one.rule != "serving")
        yield _said(group.id, "not ready", f"nobody could take over ({why or 'no other masters'})")
    for name, master in group.masters.items():
        if master.health in _ILL:
            for_us = state.at_us - master.health_since_us if master.health_seq else 0
            since = f" for {lasting(for_us)}" if master.health_seq else ""
            yield _said(name, master.health.value, f"{master.health.value}{since}")
        if master.disagree_seq:
            yield _said(name, "contradiction", "observers contradict: there is no verdict on it")
        if master.flaps is not None and master.flaps.since_seq:
            yield _said(name, "flapping", "it answers and fails by turns")
        if master.fence is not None and not master.fence.is_confirmed:
            yield _said(name, "fence", "fenced, and has not confirmed it")
        if master.is_excluded:
            yield _said(name, "excluded", "excluded: it is never chosen")


def _said(subject: str, what: str, says: str) -> Said:
    return {"subject": subject, "what": what, "says": harmless(says)}


def _done(log: Log, state: State) -> list[Said]:
    """Return the newest things that happened, the last one first."""
    found: list[Said] = []
    for recorded in Finder(log).before(state.seq + 1, _NEWS):
        if len(found) >= DONE_MAX or recorded.at_us < state.at_us - DONE_WITHIN_US:
            break
        found.append({"seq": recorded.seq, "at": iso(recorded.at_us), "says": told(recorded)})
    return found


def _next(state: State) -> list[Said]:
    due = sorted(due for is_acting, due in deadlines(state) if is_acting)
    return [
        {
            "at": iso(at_us),
            "in_us": at_us - state.at_us,
            "subject": subject,
            "what": what,
            "says": _NEXT.get(what, what).format(subject=_source(state, subject)),
        }
        for at_us, _, what, subject in due[:NEXT_MAX]
    ]


def _source(state: State, subject: str) -> str:
    group = state.groups.get(subject)
    return subject if group is None else active_of(group) or subject


def _commands(state: State) -> Iterator[Said]:
    """Return what would help now, a command each, with what it does."""
    for alert in standing(state):
        if not alert["acked"]:
            yield _typed(f"tanist ack {alert['id']}", "silences the alert, and nothing else")
    if state.fleet.pause_until_us:
        yield _typed("tanist resume", "ends the pause of the fleet")
    for group in state.groups.values():
        name = group.id
        if group.pause_until_us:
            yield _typed(f"tanist resume {name}", f"ends the pause of {name}")
        block = wait_of(state, group)
        if block is not None and block.reason in _APPROVED and group.saga is not None:
            yield _typed(f"tanist approve {name}", "lets the waiting failover go")
        if block is not None and block.reason in ("hold-down", "limit"):
            yield _typed(f"tanist release {name}", "lifts what brakes it")
        if group.saga is not None:
            yield _typed(f"tanist why {group.saga.id}", "why it fails over, and to whom")
        for other, master in group.masters.items():
            if master.fence is not None and not master.fence.is_confirmed:
                yield _typed(
                    f"tanist release {other}", f"you vouch that {other} cannot act any more"
                )
            if master.health is Health.FAILED:
                yield _typed(f"tanist why {other}", f"why {other} has failed")
            elif (
                master.health is Health.HEALTHY
                and master.role is Role.STANDBY
                and (block is not None and block.reason == "no fit heir")
            ):
                yield _typed(f"tanist why-not {other}", f"why {other} is not chosen")


def _typed(command: str, does: str) -> Said:
    return {"command": command, "does": does}


def lines(found: Said) -> Iterator[str]:
    """Return the four lists as lines for people."""
    wrong = [f"{one['subject']}: {one['says']}" for one in found["wrong"]]
    yield from _part("What is wrong", wrong or ["nothing"])
    done = [f"{_moment(one['at'])} {one['says']} [why {one['seq']}]" for one in found["done"]]
    yield from _part("What was done", done or ["nothing in the last day"])
    coming = [
        f"{_moment(one['at'])} (in {lasting(one['in_us'])}) {one['subject']}: {one['says']}"
        for one in found["next"]
    ]
    yield from _part("What comes next", coming or ["nothing is waited for"])
    commands = [f"{one['command']}  # {one['does']}" for one in found["type"]]
    yield from _part("What you can type", commands or ["tanist status"])


def _part(title: str, said: list[str]) -> Iterator[str]:
    yield title
    yield from (f"  {line}" for line in said)


def _moment(at: str) -> str:
    return f"{at[:23].replace('T', ' ')}Z"
