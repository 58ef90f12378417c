"""Strategies of Hypothesis for policies, fleets and what happens to them.

What they draw shrinks to the plain: one group, few masters, no turns.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from engine.core.fleet import Mode
from engine.core.policy import MS, SECOND, Automation, FenceKind, GroupPolicy
from engine.simulation.schedule import (
    ALL_KINDS,
    COMMANDS,
    DATA_FAULTS,
    FLEET_COMMANDS,
    LINK_FAULTS,
    MASTER_FAULTS,
    MORE_COMMANDS,
    MORE_MASTER_FAULTS,
    REPLICA_FAULTS,
    TRAFFIC,
    GroupSetting,
    Schedule,
    Setting,
    Turn,
    policy,
)

GROUP: Final = "g"
TURNS_MAX: Final = 12
MASTERS_MAX: Final = 4
GAPS_US: Final = (0, MS, 30 * MS, 150 * MS)
_OF_A_MASTER: Final = frozenset(
    (
        *MASTER_FAULTS, *MORE_MASTER_FAULTS, *LINK_FAULTS, *REPLICA_FAULTS, *COMMANDS,
        *MORE_COMMANDS, *FLEET_COMMANDS, *TRAFFIC, *DATA_FAULTS,
    )
)  # fmt: skip
_TIMES: Final = frozenset(
    ("stall", "late", "starve", "locked", "maintain", "pause", "slow", "flap", "lacks")
)
_SIGNED: Final = frozenset(("clock-jump", "strobe", "drift"))


def policies(
    *, automation: Sequence[Automation] = (Automation.AUTO, *Automation)
) -> SearchStrategy[GroupPolicy]:
    """Return policies that are quick enough to be simulated: for tests of rules, not of figures."""
    return st.builds(
        policy,
        mode=st.sampled_from((Mode.ACTIVE_STANDBY, Mode.ACTIVE_STANDBY, Mode.ACTIVE_ACTIVE)),
        automation=st.sampled_from(tuple(automation)),
        fence=st.sampled_from((FenceKind.GATE, FenceKind.CONFIRMED)),
        fall=st.integers(1, 3),
        rise=st.integers(1, 3),
        delay_us=st.sampled_from((0, 80 * MS)),
        hold_down_us=st.sampled_from((0, SECOND)),
        limit=st.integers(0, 1),
    )


_POLICIES: Final = policies()


@st.composite
def settings_of(
    draw: st.DrawFn,
    policies: Mapping[str, GroupPolicy] | None = None,
    *,
    masters_max: int = MASTERS_MAX,
) -> Setting:
    """Return fleets with these policies by group; None: one group with a policy that is drawn."""
    found = dict(policies) if policies else {GROUP: draw(_POLICIES)}
    sizes = st.integers(1, masters_max)
    groups = [GroupSetting(id=name, policy=one, masters=draw(sizes)) for name, one in found.items()]
    return Setting(
        first=groups[0].id,
        policy=groups[0].policy,
        masters=groups[0].masters,
        more=tuple(groups[1:]),
        message_every_us=draw(st.sampled_from((0, 20 * MS))),
        lanes=draw(st.integers(1, 2)),
        acks_later=draw(st.booleans()),
        append_us=draw(st.sampled_from((300, 0, 5 * MS))),
        flush_us=draw(st.sampled_from((0, 30 * MS))),
        down_us=draw(st.sampled_from((1 * MS, 200 * MS))),
        observers=draw(st.integers(0, 1)),
    )


@st.composite
def turns(draw: st.DrawFn, setting: Setting, *, kinds: Sequence[str] = ALL_KINDS) -> Turn:
    """Return things that may happen to a fleet."""
    kind = draw(st.sampled_from(tuple(kinds)))
    subject = draw(st.sampled_from(setting.names())) if kind in _OF_A_MASTER else ""
    if kind in _TIMES:
        count = draw(st.sampled_from((20 * MS, 0, 300 * MS)))
    elif kind in _SIGNED:
        count = draw(st.sampled_from((0, 500, -500, SECOND, -SECOND)))
    else:
        count = draw(st.integers(0, 5))
    return Turn(kind=kind, gap_us=draw(st.sampled_from(GAPS_US)), subject=subject, count=count)


@st.composite
def schedules(
    draw: st.DrawFn,
    *,
    policies: Mapping[str, GroupPolicy] | None = None,
    setting: Setting | None = None,
    kinds: Sequence[str] = ALL_KINDS,
    turns_max: int = TURNS_MAX,
) -> Schedule:
    """Return schedules: a fleet, and what happens to it.

    Args:
        draw: Given by Hypothesis.
        policies: By group; None: drawn.
        setting: The whole fleet; None: drawn.
        kinds: The kinds of turns that there may be.
        turns_max: How many at most.
    """
    fleet = draw(settings_of(policies)) if setting is None else setting
    taken = draw(st.lists(turns(fleet, kinds=kinds), max_size=turns_max))
    return Schedule(setting=fleet, turns=tuple(taken))
