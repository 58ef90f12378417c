"""What all observers of a master say together, and whether that is a verdict.

An observer votes that a master has failed when its own count says so: `fall` failed probes in a
row, a closed connection and then a refusal, a phi beyond the threshold, or one failed probe while
the master is recovering. The engine's own eye is one of them. What another observer said holds for
`vote_ttl` by its arrival.

Rule 1: as many votes as the quorum fail a master, if there are more of them than of those who have
heard it since the first failure that is voted on.

The engine itself is counted with those if it has heard it just now and not looked since.

Rule 2: with as many who have heard it, there is no verdict: who is cut off cannot be told. It is
said once, and once that it is over.

Rule 3: a vote from before the last verdict on the master is none any more.

Rule 4: where the quorum cannot be reached, for nobody else is there to say it, those who are cannot
fail a master. But a failover from it is opened, and waits until the quorum is there or a person
lets it go.

Rule 5: a suspicion without hard evidence lasts as the policy says, shorter the more confirm it.

An import may name observers and have none that is the engine's own. Then the shared counters are
moved by all of them, and stand for the engine's.
"""

from collections.abc import Iterator

import msgspec

from engine.core import events as ev
from engine.core import suspicion
from engine.core.candidates import fresh_within_us
from engine.core.events import Figures
from engine.core.fleet import Health
from engine.core.policy import ALONE, GroupPolicy, Observers, Phi
from engine.core.seen import Eye
from engine.core.state import GroupState, MasterState, Place, State
from engine.core.step import Step

OWN = ""  # the name of the engine's own eye


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """An observer says that a master has failed."""

    observer: str
    rule: str
    evidence: tuple[int, ...]
    is_hard: bool
    since_us: int  # the first failed probe
    figures: Figures = ()


def observers_of(policy: GroupPolicy) -> Observers:
    """Return how many observers have to agree."""
    return policy.observers or ALONE


def votes(state: State, group: GroupState, master: MasterState, at_us: int) -> list[Vote]:
    """Return who says that `master` has failed, the engine itself first."""
    policy = state.policy_of(group)
    ttl_us = observers_of(policy).vote_ttl_us
    is_relapse = master.health is Health.RECOVERING
    found: list[Vote] = []
    own = _own(policy, master, at_us)
    if own is not None:
        found.append(own)
    for name, eye in sorted(master.eyes.items()):
        if OWN not in master.observers and observers_of(policy).quorum == 1:
            break  # what it saw is in the shared counters
        rule = _rule(eye, policy.probe.fall, is_relapse=is_relapse)
        # What was said before the last verdict was for that one: it may have answered since.
        is_new = eye.heard_us >= master.health_since_us
        if rule and is_new and at_us - eye.heard_us <= ttl_us:
            is_hard = rule == "closed-then-refused" or eye.refused > 1
            found.append(
                Vote(
                    observer=name,
                    rule=rule,
                    evidence=tuple(eye.failures),
                    is_hard=is_hard,
                    since_us=eye.failing_us,
                )
            )
    return found


def _own(policy: GroupPolicy, master: MasterState, at_us: int) -> Vote | None:
    if OWN not in master.observers and observers_of(policy).quorum > 1:
        return None  # the shared counters are of observers that vote for themselves
    is_relapse = master.health is Health.RECOVERING
    rule = _rule(master, policy.probe.fall, is_relapse=is_relapse)
    figures: Figures = ()
    if policy.probe.phi is not None and master.failures:
        is_beyond, figures = _phi(policy.probe.phi, master, at_us)
        if is_beyond and not rule:
            rule = "phi"
    if not rule:
        return None
    return Vote(
        observer=OWN,
        rule=rule,
        evidence=tuple(master.failures),
        is_hard=master.is_hard or master.refused > 1,
        since_us=master.failing_us,
        figures=figures,
    )


def _rule(counters: MasterState | Eye, fall: int, *, is_relapse: bool) -> str:
    if not counters.failures:
        return ""
    if counters.gone_seq in counters.failures:
        return "closed-then-refused"
    if len(counters.failures) >= fall:
        return "fall"
    return "relapse" if is_relapse else ""


def _phi(phi: Phi, master: MasterState, at_us: int) -> tuple[bool, Figures]:
    """Return whether silence has lasted too long for this master, and the figures of that."""
    gaps = master.gaps
    if gaps is None or gaps.count < phi.warm_up or not master.good_us:
        return False, ()
    deviation_us = suspicion.deviation_us(gaps, least_us=phi.deviation_us_min)
    elapsed_us = at_us - master.good_us
    value = suspicion.phi_milli(elapsed_us, mean_us=gaps.mean_us, deviation_us=deviation_us)
    return value >= phi.threshold_milli, (
        ("phi_milli", value),
        ("elapsed_us", elapsed_us),
        ("mean_us", gaps.mean_us),
        ("deviation_us", deviation_us),
        ("false_alarm_one_in", suspicion.one_in(value)),
    )


def dissent(
    state: State, group: GroupState, master: MasterState, against: list[Vote], at_us: int
) -> list[tuple[str, int]]:
    """Return who has heard `master` since the first failure of `against`, and by which answer."""
    since_us = min(vote.since_us for vote in against)
    found: list[tuple[str, int]] = []
    if (
        OWN in master.observers
        and not master.failures
        and master.good_us > since_us
        and at_us - master.good_us <= fresh_within_us(state, group)
    ):
        found.append((OWN, master.good_seq))
    ttl_us = observers_of(state.policy_of(group)).vote_ttl_us
    found += [
        (name, eye.good_seq)
        for name, eye in sorted(master.eyes.items())
        if OWN in master.observers or observers_of(state.policy_of(group)).quorum > 1
        if not eye.failures and eye.good_us > since_us and at_us - eye.good_us <= ttl_us
    ]
    return found


def verdict(step: Step, place: Place) -> ev.MasterFailed | None:
    """Return that a master has failed, if enough say so; say that observers contradict.

    The caller has seen that it may fail: it has not failed yet.
    """
    state, group, master = step.state, place.group, place.master
    at_us = state.at_us
    against = votes(state, group, master, at_us)
    well = dissent(state, group, master, against, at_us) if against and master.eyes else []
    _note_dissent(step, master, against, well)
    policy = state.policy_of(group)
    quorum = observers_of(policy).quorum
    doubts = len(well) + _looks_soon(state, group, master, against, well)
    if len(against) < quorum or len(against) <= doubts:
        return None
    is_hard = any(vote.is_hard for vote in against)
    held = _held(policy, against, at_us)
    if held and not is_hard:
        return None
    counted = () if not master.eyes else (("votes", len(against)), ("quorum", quorum))
    return ev.MasterFailed(
        evidence=tuple(sorted({seq for vote in against for seq in vote.evidence})),
        hard=is_hard,
        rule=against[0].rule,
        figures=(
            ("failures", len(against[0].evidence)),
            ("fall", policy.probe.fall),
            *against[0].figures,
            *counted,
            *_history(master),
        ),
    )


def lacks_quorum(state: State, group: GroupState, name: str, at_us: int) -> list[Vote]:
    """Return who says that `name` has failed, where all say so who are there, and are too few.

    []: nobody does, or somebody hears it, or is there and has not said so.
    """
    policy = state.policy_of(group)
    quorum = observers_of(policy).quorum
    if quorum == 1:
        return []
    master = group.masters[name]
    against = votes(state, group, master, at_us)
    said = {vote.observer for vote in against}
    if not 0 < len(said) < quorum or not _present(state, group, at_us) <= said:
        return []
    return [] if _held(policy, against, at_us) else against


def _present(state: State, group: GroupState, at_us: int) -> set[str]:
    """Return the observers that have looked at a master of `group` just now."""
    ttl_us = observers_of(state.policy_of(group)).vote_ttl_us
    fresh_us = fresh_within_us(state, group)
    found = set()
    for master in group.masters.values():
        if OWN in master.observers and at_us - master.heard_us <= fresh_us:
            found.add(OWN)
        found.update(eye for eye, it in master.eyes.items() if at_us - it.heard_us <= ttl_us)
    return found


def _looks_soon(
    state: State,
    group: GroupState,
    master: MasterState,
    against: list[Vote],
    well: list[tuple[str, int]],
) -> bool:
    """Return whether the engine itself heard the master just now and has not looked since.

    Another alone fails nobody before it has: its next probe settles it.
    """
    names = {vote.observer for vote in against} | {name for name, _ in well}
    is_fresh = state.at_us - master.good_us <= fresh_within_us(state, group)
    return (
        bool(against)
        and OWN in master.observers
        and OWN not in names
        and is_fresh
        and (not master.failures)
    )


def _held(policy: GroupPolicy, against: list[Vote], at_us: int) -> bool:
    """Return whether a suspicion has not lasted long enough yet."""
    phi = policy.probe.phi
    if phi is None or not phi.suspicion_us_max:
        return False
    lasts_us = suspicion.timeout_us(
        len(against) - 1,
        expected=phi.confirmations,
        timeout_us_min=phi.suspicion_us_min,
        timeout_us_max=phi.suspicion_us_max,
    )
    return at_us - min(vote.since_us for vote in against) < lasts_us


def _history(master: MasterState) -> Iterator[tuple[str, int]]:
    """Yield what this master did before: how often such a thing was nothing, and how often not."""
    yield "probes", max(master.observers.values())
    yield "blips", master.blips
    yield "blip_max", master.blip_max
    yield "verdicts", master.verdicts


def _note_dissent(
    step: Step, master: MasterState, against: list[Vote], well: list[tuple[str, int]]
) -> None:
    contradict = bool(well) and len(against) <= len(well)
    if contradict and not master.disagree_seq:
        step.emit(
            ev.ObserversDisagree(
                against=tuple(vote.observer for vote in against),
                well=tuple(name for name, _ in well),
                evidence=tuple(
                    sorted(
                        {seq for vote in against for seq in vote.evidence}
                        | {seq for _, seq in well}
                    )
                ),
                figures=(("votes", len(against)), ("heard", len(well))),
            )
        )
    elif master.disagree_seq and not contradict:
        step.emit(ev.ObserversAgree(evidence=(step.seq,)))
