"""Each law catches a planted mutant in drawn worlds, and its schedule is shrunk to ten steps.

The mutants, and stories that catch them, are in tests/properties; here chance has to find them.
"""

from collections.abc import Callable

import pytest

from engine.core.decider import Decide
from engine.core.errors import LogCorrupted
from engine.core.policy import Automation, FenceKind
from engine.core.step import Evolve
from engine.simulation import Schedule, Setting, policy, simplify, swarm
from engine.simulation.checkers import Law
from tests.properties.test_laws import MUTANTS, found_by

STEPS_MAX = 10
SEEDS = range(400)
TURNS = 40

# What a mutant has to meet, where a drawn fleet seldom has it.
SETTINGS: dict[str, Setting] = {
    "one_failover": Setting(policy=policy(automation=Automation.CONFIRM)),
    "fence_before_promote": Setting(policy=policy(fall=1, rise=1, fence=FenceKind.CONFIRMED)),
    "budgets_are_kept": Setting(policy=policy(fall=1, rise=1, limit=1)),
}
# Where the whole mix has it too seldom.
KINDS: dict[str, tuple[str, ...]] = {
    "rollbacks_are_exact": ("checkpoint", "strategy", "rollback", "rest"),
}
PLAIN = Setting(policy=policy(fall=1, rise=1))


@pytest.mark.parametrize(
    ("law", "rules", "fold"),
    [mutant[:3] for mutant in MUTANTS],
    ids=[mutant[0].__name__ for mutant in MUTANTS],
)
def test_chance_finds_the_mutant_of_a_law_and_ten_steps_suffice(
    law: Law, rules: Callable[[], Decide], fold: Callable[[], Evolve]
) -> None:
    setting = SETTINGS.get(law.__name__, PLAIN)

    def fails(schedule: Schedule) -> bool:
        try:
            return found_by(law, schedule, rules(), fold()) != []
        except (AssertionError, LookupError, AttributeError, LogCorrupted):
            return False  # the mutant broke something else first

    kinds = KINDS.get(law.__name__, ())
    drawn = (swarm(seed, turns=TURNS, setting=setting, kinds=kinds) for seed in SEEDS)
    found = next((schedule for schedule in drawn if fails(schedule)), None)
    assert found is not None, "no seed finds it"
    small = simplify(found, fails)
    assert fails(small)
    assert len(small.turns) <= STEPS_MAX, small.turns
