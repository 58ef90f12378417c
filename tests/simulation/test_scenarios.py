"""Incidents as files: the shipped engine meets the oracle of each, a naive controller does not."""

import pytest

from engine.core.errors import ConfigurationError
from engine.simulation import scenarios
from engine.simulation.scenarios.oracle import RULES


@pytest.mark.parametrize("name", scenarios.names())
def test_the_shipped_engine_meets_it_and_a_naive_one_fails_it(name: str) -> None:
    found = scenarios.judge(scenarios.load(name))
    assert found.shipped == ()
    assert found.naive != ()


def test_every_incident_says_what_it_is_like_and_what_it_teaches() -> None:
    loaded = [scenarios.load(name) for name in scenarios.names()]
    assert len(loaded) >= 20
    for scenario in loaded:
        for text in (scenario.incident.shape, scenario.incident.lesson):
            assert text.endswith(".")
        assert scenario.turns
        assert scenario.oracle
        assert bool(scenario.incident.when) <= bool(scenario.incident.source)


def test_each_rule_of_the_oracle_is_asked_somewhere() -> None:
    asked = {rule["rule"] for name in scenarios.names() for rule in scenarios.load(name).oracle}
    assert asked == set(RULES)


def test_a_scenario_that_there_is_not() -> None:
    with pytest.raises(ConfigurationError, match="expected one of all-backups-bad"):
        scenarios.load("nothing")
