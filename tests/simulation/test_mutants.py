"""Each law catches a planted mutant in drawn worlds, and its schedule is shrunk to ten steps.

The mutants, and stories that catch them, are in tests/properties; here chance has to find them.
"""

import pytest

from engine.core.errors import LogCorrupted
from engine.core.policy import Automation, FenceKind
from engine.simulation import Schedule, Setting, policy, simplify, swarm
from tests.properties.test_laws import (
    FOLLOWED,
    HEALED,
    HELD_UP,
    LEASED,
    MUTANTS,
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
    "healing_is_bounded": HEALED.setting,
    "standbys_follow": FOLLOWED.setting,
    "watched-lease": LEASED.setting,
    "budgets_are_kept": Setting(policy=policy(fall=1, rise=1, limit=1)),
}
# Where the whole mix has it too seldom.
KINDS: dict[str, tuple[str, ...]] = {
    "watched-space": ("fill", "free", "rest"),
    "watched-bodies": ("accept", "sweep", "hang", "continue"),
    "what_is_kept_is_enough": ("crash", "restart", "thin", "rest"),
    "healing_is_bounded": ("crash", "restart", "program-lies", "rest"),
    "rollbacks_are_exact": ("checkpoint", "strategy", "rollback", "rest"),
}
PLAIN = Setting(policy=policy(fall=1, rise=1))


@pytest.mark.parametrize("mutant", MUTANTS, ids=name_of)
def test_chance_finds_the_mutant_of_a_law_and_ten_steps_suffice(mutant: Mutant) -> None:
    law, rules, fold, _, engine, _ = mutant
    setting = SETTINGS.get(name_of(mutant), PLAIN)

    def fails(schedule: Schedule) -> bool:
        try:
            return found_by(law, schedule, rules(), fold(), engine=engine) != []
        except (AssertionError, LookupError, AttributeError, LogCorrupted):
            return False  # the mutant broke something else first

    kinds = KINDS.get(name_of(mutant), ())
    drawn = (swarm(seed, turns=TURNS, setting=setting, kinds=kinds) for seed in SEEDS)
    found = next((schedule for schedule in drawn if fails(schedule)), None)
    assert found is not None, "no seed finds it"
    small = simplify(found, fails)
    assert fails(small)
    assert len(small.turns) <= STEPS_MAX, small.turns
