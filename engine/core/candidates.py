"""Who could be heir: every master of a group with its rank, or with the rule that passes it over.

A pure function of the state and the time; the table goes into the event that rests on it.
"""

from collections.abc import Iterator
from typing import Final

from engine.core.events import Figures, Verdict
from engine.core.fleet import Health, Role
from engine.core.load import business, freshness, staleness, told
from engine.core.policy import fresh_us
from engine.core.state import GroupState, MasterState, State, active_of, leaves_no_doubt, windows

UNHEARD: Final = "unheard"
ACTS: Final = Role.ACTIVE.value  # what a master says of its role; an enum gives its value slowly


def fresh_within_us(state: State, group: GroupState) -> int:
    """Return how old a candidate's last good probe may be [us]: 2 * interval + timeout."""
    return fresh_us(state.policy_of(group))


def table(
    state: State, group: GroupState, at_us: int, *, is_tolerant: bool = False
) -> tuple[Verdict, ...]:
    """Return the verdict on every master of `group`, the heir first.

    Ranked by whether somebody promoted it by hand, then those that do not flap, by health, then
    those not just left, then priority, then how fresh its data is and how busy it is, as far as
    that is said, then whether it is in the region of the one that served, then id. Once an heir
    was refused for what it lacks, how fresh the data is comes before whether it was just left.
    `is_tolerant`: a master of which nothing is known may be chosen (it is looked at before
    anything is taken from others).
    """
    left_last_us = _left_last_us(group)
    fit: list[tuple[tuple[int | str, ...], Verdict]] = []
    unfit: list[Verdict] = []
    for name in sorted(group.masters):
        passed = passed_over(state, group, name, at_us, is_tolerant=is_tolerant)
        if passed is not None:
            rule, figures = passed
            unfit.append(Verdict(master=name, fit=False, rank=0, rule=rule, figures=figures))
            continue
        key, figures = _rank(group, name, at_us, left_last_us)
        fit.append((key, Verdict(master=name, fit=True, rank=0, rule="ranked", figures=figures)))
    ranked = [
        Verdict(master=verdict.master, fit=True, rank=rank, rule="ranked", figures=verdict.figures)
        for rank, (_, verdict) in enumerate(sorted(fit, key=lambda pair: pair[0]), start=1)
    ]
    return (*ranked, *unfit)


def _left_last_us(group: GroupState) -> int:
    """Return when a master was left by a failover the last time [us]; 0: none was."""
    return max((each.left_at_us for each in group.masters.values()), default=0)


def _rank(
    group: GroupState, name: str, at_us: int, left_last_us: int
) -> tuple[tuple[int | str, ...], Figures]:
    """Return what a master is ranked by, the best first, and the same as figures."""
    master = group.masters[name]
    last = group.masters.get(group.assigned)
    region = "" if last is None else last.declared.region
    just_left = int(0 < left_last_us == master.left_at_us)
    acts = int(is_stray(master))
    flaps = int(master.flaps is not None and master.flaps.since_seq > 0)
    away = int(bool(region) and master.declared.region != region)
    fresh = freshness(master)
    key = (
        -acts,
        flaps,
        _health_rank(master),
        *(fresh if group.saga is not None and group.saga.seeks_data else ()),
        just_left,
        master.declared.priority,
        *fresh,
        business(master),
        away,
        name,
    )
    figures = (
        *((("acts", acts),) if acts else ()),
        *((("flaps", flaps),) if flaps else ()),
        ("health_rank", _health_rank(master)),
        ("just_left", just_left),
        ("priority", master.declared.priority),
        ("good_age_us", at_us - master.good_us),
        *told(master),
        *((("away", away),) if region else ()),
    )
    return key, figures


def better_heard_us(state: State, group: GroupState, at_us: int) -> int:
    """Return until when a better heir than those that were heard may still be heard [us]; 0: none.

    On soft evidence whoever answers first would be chosen otherwise, whatever its rank. The next
    probe of each comes within an interval, and its answer within a time-out.
    """
    active = group.masters.get(active_of(group))
    if active is None or not active.failing_us:
        return 0
    probe = state.policy_of(group).probe
    until_us = active.failing_us + probe.interval_us + probe.timeout_us
    if at_us >= until_us:
        return 0
    passed = {name: passed_over(state, group, name, at_us) for name in group.masters}
    heard = [name for name, rule in passed.items() if rule is None]
    unheard = [name for name, rule in passed.items() if rule is not None and rule[0] == UNHEARD]
    if not unheard or not heard:
        return 0
    left_us = _left_last_us(group)
    keys = {name: _rank(group, name, at_us, left_us)[0] for name in (*heard, *unheard)}
    return until_us if min(keys, key=keys.__getitem__) in unheard else 0


def heir(verdicts: tuple[Verdict, ...]) -> str:
    """Return the master of rank 1; "" if nobody is fit."""
    return verdicts[0].master if verdicts and verdicts[0].fit else ""


def has_heir(state: State, group: GroupState, at_us: int) -> bool:
    """Return whether `table` has an heir; most masters of a fleet that is down take no time."""
    return any(
        passed_over(state, group, name, at_us) is None
        for name, master in group.masters.items()
        if master.health in (Health.HEALTHY, Health.DEGRADED)
    )


def passed_over(
    state: State, group: GroupState, name: str, at_us: int, *, is_tolerant: bool = False
) -> tuple[str, Figures] | None:
    """Return the first rule that `name` fails, with its figures; None if it could be heir."""
    return next(every_rule(state, group, name, at_us, is_tolerant=is_tolerant), None)


def every_rule(
    state: State, group: GroupState, name: str, at_us: int, *, is_tolerant: bool = False
) -> Iterator[tuple[str, Figures]]:
    """Return every rule that `name` fails, with the figures it rests on."""
    master = group.masters[name]
    if master.role in (Role.ACTIVE, Role.DRAINING):
        yield "serving", (("epoch", master.epoch),)
    if master.fence is not None:
        yield "fenced", (("confirm_at", master.fence.confirm_at),)
    if master.role is Role.PROMOTING:
        yield "promoting", (("epoch", master.epoch),)
    if master.is_excluded:
        yield "excluded", ()
    if master.is_drained:
        yield "drained", ()
    for from_us, to_us in windows(state, group, master):
        if from_us <= at_us < to_us:
            yield "maintenance", (("until_us", to_us),)
    if group.saga is not None and name in group.saga.spent:
        yield "failed-attempt", (("attempts", group.saga.spent.count(name)),)
    if master.health in (Health.FAILED, Health.RECOVERING):
        yield f"health-{master.health.value}", (("since_us", at_us - master.health_since_us),)
    if is_tolerant:
        return
    if master.health is Health.UNKNOWN:
        yield "health-unknown", (("silent_us", at_us - master.heard_us),)
    age_us, limit_us = at_us - master.good_us, fresh_within_us(state, group)
    if age_us > limit_us:
        yield "stale", (("good_age_us", age_us), ("limit_us", limit_us))
    yield from staleness(state.policy_of(group), group, master)
    yield from _unheard(group, master)


def _unheard(group: GroupState, master: MasterState) -> Iterator[tuple[str, Figures]]:
    """Yield that nothing was heard of `master` since the active began to fail on soft evidence.

    Then it may be the observer that is cut off, and nobody is to be promoted by what it believes.
    """
    active = group.masters.get(group.assigned)
    if (
        active is not None
        and active.role in (Role.ACTIVE, Role.DRAINING)
        and active.health is Health.FAILED
        and not leaves_no_doubt(active)
        and not active.lost_seq
        and master.good_us < active.failing_us
    ):
        yield UNHEARD, (("heard_before_us", active.failing_us - master.good_us),)


def is_blind(state: State, group: GroupState, at_us: int) -> bool:
    """Return whether somebody would be fit if only it were heard again.

    So it is while all masters of a group fall silent at once, until they have failed, too.
    """
    return any(
        rules and rules <= {UNHEARD, "stale"}
        for rules in (
            {rule for rule, _ in every_rule(state, group, name, at_us)}
            for name, master in group.masters.items()
            if master.health in (Health.HEALTHY, Health.DEGRADED)
        )
        if UNHEARD in rules
    )


def is_doubtful(state: State, master: MasterState) -> bool:
    """Return whether all that speaks against a failed master is soft, and was seen in doubt.

    When the first of all masters is heard again, the others may be heard in a moment, and a probe
    sent before that may still end. So what they fail after that is counted anew: as many as are
    kept, which is one more than fail a master.
    """
    if master.lost_seq or leaves_no_doubt(master):
        return False
    first = master.failures[0] if master.failures else master.health_seq
    return bool(state.fleet.doubt_seq) or first < state.fleet.trusted_seq


def is_stray(master: MasterState) -> bool:
    """Return whether a master acts that nobody activated: somebody promoted it by hand."""
    return (
        master.role is Role.STANDBY and master.reported_role == ACTS and not master.is_claim_known
    )


def _health_rank(master: MasterState) -> int:
    return {Health.HEALTHY: 1, Health.DEGRADED: 2}.get(master.health, 3)
