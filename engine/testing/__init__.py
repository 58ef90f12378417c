"""What services test their own policies with.

    from hypothesis import given
    from engine.simulation import run, violations
    from engine.testing import schedules

    @given(schedules(policies={"bots": mine}))
    def test_my_policy(schedule):
        assert violations(run(schedule)) == []

The simulator's world as a state machine of Hypothesis, with a rule for each kind of fault, is
`FleetMachine`; masters with effects of their own are a subclass of `SimulatedMaster`. Both need the
package hypothesis.

`plugin` is loaded by every run of pytest where Tanist is installed, so nothing is imported here
before it is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from engine.testing.machine import FleetMachine
    from engine.testing.strategies import policies, schedules, settings_of, turns

__all__ = ["FleetMachine", "policies", "schedules", "settings_of", "turns"]

_PLACES: Final = {
    "FleetMachine": "machine",
    "policies": "strategies",
    "schedules": "strategies",
    "settings_of": "strategies",
    "turns": "strategies",
}


def __getattr__(name: str) -> Any:
    """Return what is imported when it is asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
