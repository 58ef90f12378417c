"""Who gets how much of a group's work: base weights, effective weights, shares, strategy in force.

Rules, as the engine picks by them. A master's effective weight is its base weight while it may
serve (activated or switched to, not fenced, lost or drained since, and not failed since it was
last well), else 0. Its
share is its part of the effective weight of its group; under the strategy *priority* only the
masters of the best priority that have any weight share the work. Shares are parts per million and
add up to exactly 1,000,000 while any master of the group has weight.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from engine.core.events import (
    Activated,
    ActivationLost,
    AnyEvent,
    DrainCancelled,
    DrainEnded,
    DrainStarted,
    MasterAdded,
    MasterDegraded,
    MasterFailed,
    MasterFenced,
    MasterHealthy,
    MasterRemoved,
    PolicyAdopted,
    Recorded,
    RollbackAccepted,
    StrategyChanged,
    Switched,
)
from projections.base import Fold

WHOLE_PPM: Final = 1_000_000
CHANGES_MAX: Final = 1_000  # kept by the view; the log has them all [count]


class Member(msgspec.Struct, kw_only=True):
    """One master, as far as its weight depends on it."""

    group: str
    base: int = 0
    priority: int = 1  # 1 is the first choice
    is_failed: bool = False
    serves: bool = False
    weight: int = 0  # the effective one


class GroupRule(msgspec.Struct, kw_only=True):
    """How a group spreads its work."""

    strategy: str = ""
    strategy_seq: int = 0  # the event that put it in force


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An effective weight changed, by the event `seq`."""

    seq: int
    at_us: int
    master: str
    before: int
    after: int
    kind: str  # of the event


class Weights(msgspec.Struct, kw_only=True):
    """The view; its fold owns it."""

    position: int = 0
    groups: dict[str, GroupRule] = msgspec.field(default_factory=dict)
    members: dict[str, Member] = msgspec.field(default_factory=dict)
    changes: list[Change] = msgspec.field(default_factory=list)  # the newest, in log order


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The weight of one master, and its part of the group's work."""

    subject: str
    group: str
    strategy: str
    base_weight: int
    weight: int
    share_ppm: int


def shares(weights: Mapping[str, int]) -> dict[str, int]:
    """Return each one's part of the whole, by largest remainder.

    Everyone gets the floor of its exact part; what is left goes, one each, to the largest
    remainders, among equals to the first by name.

    Args:
        weights: Weight by name [count, >= 0].

    Returns:
        Parts per million. They add up to exactly 1,000,000, or are all 0 if all weights are.

    Example:
        >>> shares({"a": 1, "b": 1, "c": 1})
        {'a': 333334, 'b': 333333, 'c': 333333}
    """
    total = sum(weights.values())
    if not total:
        return dict.fromkeys(weights, 0)
    parts = {name: weight * WHOLE_PPM // total for name, weight in weights.items()}
    left = WHOLE_PPM - sum(parts.values())
    by_remainder = sorted(weights, key=lambda name: (-(weights[name] * WHOLE_PPM % total), name))
    for name in by_remainder[:left]:
        parts[name] += 1
    return parts


def rows(view: Weights) -> list[Row]:
    """Return a row for each master of the fleet, ordered by group and master."""
    parts: dict[str, int] = {}
    for group in view.groups:
        parts.update(_shares_of(view, group))
    return [
        Row(
            subject=name,
            group=member.group,
            strategy=view.groups[member.group].strategy,
            base_weight=member.base,
            weight=member.weight,
            share_ppm=parts[name],
        )
        for name, member in sorted(view.members.items(), key=lambda item: (item[1].group, item[0]))
    ]


def _shares_of(view: Weights, group: str) -> dict[str, int]:
    members = {name: member for name, member in view.members.items() if member.group == group}
    first = min((member.priority for member in members.values() if member.weight), default=0)
    is_ranked = view.groups[group].strategy == "priority"
    return shares(
        {
            name: 0 if is_ranked and member.priority != first else member.weight
            for name, member in members.items()
        }
    )


# The fold.

# Only proof that it is well makes a failed master serve again: that it answers, or is silent, is
# none.
_FAILED: Final[dict[type[AnyEvent], bool]] = {
    MasterHealthy: False,
    MasterDegraded: False,
    MasterFailed: True,
}
_SERVES: Final[dict[type[AnyEvent], bool]] = {
    Activated: True,
    Switched: True,
    ActivationLost: False,
    MasterFenced: False,
    DrainStarted: False,
    DrainCancelled: True,
    DrainEnded: False,
}


def _weigh(view: Weights, name: str, recorded: Recorded) -> None:
    """Derive the weight of `name` again, and keep the change if there is one."""
    member = view.members[name]
    after = member.base if member.serves and not member.is_failed else 0
    if after != member.weight:
        _note(view, name, recorded, before=member.weight, after=after)
        member.weight = after


def _note(view: Weights, name: str, recorded: Recorded, *, before: int, after: int) -> None:
    kind = type(recorded.event).__name__
    view.changes.append(
        Change(
            seq=recorded.seq,
            at_us=recorded.at_us,
            master=name,
            before=before,
            after=after,
            kind=kind,
        )
    )
    del view.changes[:-CHANGES_MAX]


def _adopted(view: Weights, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, PolicyAdopted)
    for name, policy in event.policy.groups.items():
        _put_in_force(view.groups.setdefault(name, GroupRule()), policy.strategy, recorded)


def _strategy(view: Weights, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, StrategyChanged)
    _put_in_force(view.groups[recorded.subject], event.strategy, recorded)


def _put_in_force(rule: GroupRule, strategy: str, recorded: Recorded) -> None:
    if rule.strategy != strategy:
        rule.strategy, rule.strategy_seq = strategy, recorded.seq


def _rolled_back(view: Weights, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, RollbackAccepted)
    _put_in_force(view.groups[recorded.subject], event.after.strategy, recorded)
    for name, weight in event.after.weights:
        if name in view.members:  # one that has gone since then stays gone
            view.members[name].base = weight
            _weigh(view, name, recorded)


def _added(view: Weights, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, MasterAdded)
    view.groups.setdefault(event.master.group, GroupRule())
    member = view.members.setdefault(recorded.subject, Member(group=event.master.group))
    member.base, member.priority = event.master.weight, event.master.priority
    _weigh(view, recorded.subject, recorded)


def _removed(view: Weights, recorded: Recorded) -> None:
    member = view.members.pop(recorded.subject)
    if member.weight:
        _note(view, recorded.subject, recorded, before=member.weight, after=0)


def _judged(view: Weights, recorded: Recorded) -> None:
    view.members[recorded.subject].is_failed = _FAILED[type(recorded.event)]
    _weigh(view, recorded.subject, recorded)


def _serving(view: Weights, recorded: Recorded) -> None:
    view.members[recorded.subject].serves = _SERVES[type(recorded.event)]
    _weigh(view, recorded.subject, recorded)


_APPLY: Final[dict[type[AnyEvent], Callable[[Weights, Recorded], None]]] = {
    PolicyAdopted: _adopted,
    StrategyChanged: _strategy,
    RollbackAccepted: _rolled_back,
    MasterAdded: _added,
    MasterRemoved: _removed,
    **dict.fromkeys(_FAILED, _judged),
    **dict.fromkeys(_SERVES, _serving),
}


def _apply(view: Weights, recorded: Recorded) -> None:
    apply, name = _APPLY.get(type(recorded.event)), recorded.subject
    if apply is None:
        return
    # A log whose beginning was cut off may speak of masters and groups that it never declared.
    if apply in (_adopted, _added) or name in view.members or name in view.groups:
        apply(view, recorded)


WEIGHTS: Final = Fold(name="weights", version=1, view=Weights, apply=_apply, kinds=_APPLY)
