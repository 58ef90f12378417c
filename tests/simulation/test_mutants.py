"""Each law catches a planted mutant in drawn worlds, and its schedule is shrunk to ten steps.

The mutants, and stories that catch them, are in tests/properties; here chance has to find them.
"""

import pytest

from engine.core.errors import LogCorrupted
from engine.core.policy import Automation, FenceKind
from engine.simulation import Schedule, Setting, policy, simplify, swarm
from tests.properties.test_laws import (
    BEHIND,
    EJECTED,
    FOLLOWED,
    HEALED,
    HELD_UP,
    LACKING,
    LEASED,
    LET_GO,
    MUTANTS,
    OUT_OF_REACH,
    Mutant,
    found_by,
    name_of,
)

STEPS_MAX = 10
SEEDS = range(400)
TURNS = 40

# What a mutant has to meet, where a drawn fleet seldom has it.
SETTINGS: dict[str, Setting] = {
    "one_failover": Setting(policy=policy(automation=Automation.CONFIRM)),
    "fence_before_promote": Setting(policy=policy(fall=1, rise=1, fence=FenceKind.CONFIRMED)),
    "programs_are_heeded": HELD_UP.setting,
    "programs_are_heeded-no": HELD_UP.setting,
    "healing_is_bounded": HEALED.setting,
    "enough_serve": EJECTED.setting,
    "standbys_follow": FOLLOWED.setting,
    "watched-lease": LEASED.setting,
    "heirs_are_fresh": BEHIND.setting,
    "acknowledged_writes_are_kept": LACKING.setting,
    "old_primaries_are_fenced": OUT_OF_REACH.setting,
    "losses_are_said": LET_GO.setting,
    "budgets_are_kept": Setting(policy=policy(fall=1, rise=1, limit=1)),
}
# Where the whole mix has it too seldom.
KINDS: dict[str, tuple[str, ...]] = {
    "programs_are_heeded-no": ("crash", "restart", "program-fails", "rest"),
    "messages_are_done_once-thinned": ("accept", "hang", "continue", "thin", "engine-crash"),
    "watched-space": ("fill", "free", "rest"),
    "watched-bodies": ("accept", "sweep", "hang", "continue"),
    "what_is_kept_is_enough": ("crash", "restart", "thin", "rest"),
    "healing_is_bounded": ("crash", "restart", "program-lies", "rest"),
    "enough_serve": ("calls", "crash", "restart", "rest"),
    "standbys_follow": ("stray", "crash", "restart", "rest"),
    "one_failover": ("pause", "resume", "rest"),
    "rollbacks_are_exact": ("checkpoint", "strategy", "rollback", "rest"),
}
PLAIN = Setting(policy=policy(fall=1, rise=1))


def hunted(mutant: Mutant) -> tuple[int, Schedule]:
    """Return the first seed that finds a mutant, and its schedule made small.

    Raises:
        LookupError: None does.
    """
    law, rules, fold, _, engine, _ = mutant
    name = name_of(mutant)

    def fails(schedule: Schedule) -> bool:
        try:
            return found_by(law, schedule, rules(), fold(), engine=engine) != []
        except (AssertionError, LookupError, AttributeError, LogCorrupted):
            return False  # the mutant broke something else first

    setting, kinds = SETTINGS.get(name, PLAIN), KINDS.get(name, ())
    for seed in SEEDS:
        schedule = swarm(seed, turns=TURNS, setting=setting, kinds=kinds)
        if fails(schedule):
            small = simplify(schedule, fails)
            assert fails(small)
            return seed, small
    raise LookupError(f"no seed finds the mutant of {name}")


@pytest.mark.parametrize("mutant", MUTANTS, ids=name_of)
def test_chance_finds_the_mutant_of_a_law_and_ten_steps_suffice(mutant: Mutant) -> None:
    _, small = hunted(mutant)
    assert len(small.turns) <= STEPS_MAX, small.turns
