"""What a group that should have another active waits for, in words, and what ends the wait.

The reason is the core's own (`blocked`, `waiting`); here it becomes a sentence with the command
that a person can type.
"""

from typing import Final

from engine.answers.words import moment
from engine.core import candidates
from engine.core.blocking import (
    Block,
    Want,
    blocked,
    fence_waits,
    is_draining,
    waiting,
    want,
)
from engine.core.fleet import Health
from engine.core.leasing import unleased
from engine.core.policy import FenceKind
from engine.core.state import GroupState, Phase, State, active_of, is_active_standby
from engine.core.voting import observers_of, votes

NAMED_MAX: Final = 3  # masters in one sentence [count]
_SOURCES: Final = {"failed": "has failed", "activation-lost": "lost its activation"}
_NOBODY: Final = {"first": "nobody is active yet", "headless": "nobody is active"}


def wait_of(state: State, group: GroupState) -> Block | None:
    """Return why a group that wants another active does not get one yet, and when that ends."""
    if not is_active_standby(state, group):
        return None
    saga = group.saga
    if saga is None:
        wanted = want(group)
        if wanted is None:
            return _undecided(state, group)
        return blocked(state, group, wanted, state.at_us)
    match saga.phase:
        case Phase.SELECTING:
            return waiting(state, group, saga, state.at_us)
        case Phase.FENCING if not is_draining(group):
            return fence_waits(state, group)
        case _:
            return None


def _undecided(state: State, group: GroupState) -> Block | None:
    """Return why there is no verdict on the active, although somebody says that it has failed."""
    active = group.masters.get(active_of(group))
    if active is None or active.health is Health.FAILED:
        return None
    if active.disagree_seq:
        return Block(reason="observers contradict")
    quorum = observers_of(state.policy_of(group)).quorum
    if 0 < len(votes(state, group, active, state.at_us)) < quorum:
        return Block(reason="quorum")
    return None


def sentence(state: State, group: GroupState, block: Block) -> str:
    """Return what `group` waits for, and what ends it, for people."""
    saga = group.saga
    if saga is not None:
        lead = f"failover {saga.id} waits"
    else:
        wanted = want(group)
        lead = active_of(group) if wanted is None else _lead(wanted)
    return f"{lead}: {_reason(state, group, block)}"


def _lead(wanted: Want) -> str:
    if not wanted.source:
        return _NOBODY.get(wanted.why, wanted.why)
    return f"{wanted.source} {_SOURCES.get(wanted.why, wanted.why)} and nobody takes over yet"


def _reason(state: State, group: GroupState, block: Block) -> str:
    name = group.id
    ends = f"until {moment(block.until_us)}" if block.until_us else "until told otherwise"
    saga = group.saga
    source = saga.source if saga else getattr(want(group), "source", "")
    match block.reason:
        case "pause":
            return pauses(state, group)
        case "grace":
            return f"the engine has just started and has not heard every master, {ends} at most"
        case "several report themselves active":
            return "several masters report themselves active: end all of them but one"
        case "delay":
            return f"{source} may come back {ends}"
        case "it answers again":
            return f"{source} answers again: it is trusted soon, or fails once more"
        case "retry":
            return f"the last try failed, the next one is at {moment(block.until_us)}"
        case "observing":
            return 'it only observes: automation = "auto" in its file would let it act'
        case "no fit heir":
            return f"nobody is fit to take over ({_unfit(state, group, source)})"
        case "blind":
            return (
                "nobody else was heard since it began to fail, so it may be the engine that is cut "
                "off: the next answer of a standby settles it"
            )
        case "doubt":
            return (
                "it failed while no master was heard, so it may have been the engine that was cut "
                f"off: {source} answers soon, or fails anew"
            )
        case "quorum":
            active = group.masters[active_of(group)]
            against = votes(state, group, active, state.at_us)
            said = " and ".join(vote.observer or "this engine" for vote in against)
            quorum = observers_of(state.policy_of(group)).quorum
            until = (
                "no verdict before the others do"
                if saga is None
                else f"it goes on when the others do, and tanist approve {name} lets it go"
            )
            return (
                f"{said} of the {quorum} observers that are needed say{'s' * (len(against) == 1)} "
                f"that the active has failed: {until}"
            )
        case "observers contradict":
            return (
                "some observers say that the active has failed and at least as many hear it: no "
                "verdict until they agree (tanist why " + active_of(group) + ")"
            )
        case "approval":
            return f"for an approval: tanist approve {name}"
        case "hold-down":
            return f"held down after the last failover, {ends}: tanist approve {name} lets it go"
        case "fence":
            return _fences(state, group)
        case "lease":
            return f"the lease of who was left runs out {ends}"
        case "limit":
            return f"the limit of failovers is spent, {ends}: tanist approve {name} lets it go"
        case "fleet-limit":
            return (
                f"the limit of the fleet's failovers is spent, {ends}: tanist approve {name} lets "
                "it go, tanist release --fleet lifts the limit"
            )
        case other:
            return f"{other}, {ends}"


def _fences(state: State, group: GroupState) -> str:
    """Return whose fence is not confirmed, and what ends that."""
    open_ = [name for name, m in group.masters.items() if m.fence and not m.fence.is_confirmed]
    names = " and ".join(open_)
    policy = state.policy_of(group)
    no_lease = ""
    if policy.fence.kind is FenceKind.LEASE and policy.effects == "redis":
        lacking = unleased(state, group)
        no_lease = (
            f"; no lease can be waited for, because {', '.join(lacking)} says of none that is short"
            if lacking
            else "; the lease runs from when every standby has left"
        )
    return (
        f"{names} has not confirmed that it is fenced{no_lease}: tanist release {open_[0]} lets it "
        "go, if you know that it cannot act"
    )


def pauses(state: State, group: GroupState) -> str:
    """Return which pauses hold `group` up, until when and why, and what ends each."""
    fleet = state.fleet
    found = (
        ("the fleet", fleet.pause_until_us, fleet.pause_reason, "tanist resume"),
        (group.id, group.pause_until_us, group.pause_reason, f"tanist resume {group.id}"),
    )
    by_file = fleet.file_pause
    file = [f"a file pauses the fleet ({by_file}): remove tanist.pause beside the log"]
    return " and ".join(
        ([] if by_file is None else file)
        + [
            f"{who} is paused {f'until {moment(end)}' if end > 0 else 'until told otherwise'} "
            f"({reason}): {command} ends it"
            for who, end, reason, command in found
            if end == -1 or end > state.at_us
        ]
    )


def _unfit(state: State, group: GroupState, source: str) -> str:
    """Return why the first few masters besides `source` are not fit, and how many more are not."""
    table = candidates.table(state, group, state.at_us)
    verdicts = [verdict for verdict in table if verdict.master != source]
    said = ", ".join(f"{verdict.master}: {verdict.rule}" for verdict in verdicts[:NAMED_MAX])
    more = len(verdicts) - NAMED_MAX
    return (f"{said} and {more} more" if more > 0 else said) or "no other masters"
