"""What services write with `engine.testing`: their policy, their effects, a property, a machine.

The first half of this file is an example that can be copied.
"""

import subprocess
import sys
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from engine.core.policy import MS, SECOND, FenceKind
from engine.simulation import (
    Answer,
    Schedule,
    Setting,
    SimulatedMaster,
    World,
    policy,
    run,
    violations,
)
from engine.simulation.schedule import ALL_KINDS
from engine.testing import FleetMachine, policies, schedules, settings_of, turns
from tests.engine.cli.shell import environment

FAST = settings(
    max_examples=25,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

# An example: a service whose sessions are warmed up before they are promoted.

MINE = policy(fall=2, rise=1, fence=FenceKind.CONFIRMED, delay_us=20 * MS)


class WarmedUp(SimulatedMaster):
    """It loads its state when that is transferred, and is never promoted without."""

    is_warm = False

    def control(
        self, step: str, *, failover: int, epoch: int, kept: Mapping[str, bytes]
    ) -> Answer | None:
        answer = super().control(step, failover=failover, epoch=epoch, kept=kept)
        if step == "transfer":
            self.is_warm = True
        if step == "promote":
            assert self.is_warm
        return answer


class WarmFleet(FleetMachine):
    def fleet(self) -> Setting:
        return Setting(policy=MINE, masters=3)

    def master(self) -> type[SimulatedMaster]:
        return WarmedUp

    def check(self, world: World) -> None:
        believers = [m for m in world.masters.values() if m.believes]
        assert all(master.is_warm for master in believers)  # type: ignore[attr-defined]


@FAST
@given(schedules(policies={"sessions": MINE}))
def test_every_law_holds_of_my_policy(schedule: Schedule) -> None:
    assert violations(run(schedule)) == []


def test_my_effects_hold_under_every_fault() -> None:
    run_state_machine_as_test(WarmFleet, settings=FAST)


# And that such a machine finds what is wrong.


class Forgetful(SimulatedMaster):
    """It says that it was fenced, and goes on."""

    def yield_(self) -> None:
        pass


class ForgetfulFleet(FleetMachine):
    def fleet(self) -> Setting:
        return Setting(policy=policy(fall=1, rise=1, fence=FenceKind.CONFIRMED))

    def master(self) -> type[SimulatedMaster]:
        return Forgetful


def test_a_master_that_lies_about_its_fence_is_found() -> None:
    machine = ForgetfulFleet()
    machine.begin()
    machine.wait(SECOND)
    machine.nothing_is_broken()
    machine.command("switchover", 1, 0)
    machine.wait(SECOND)
    with pytest.raises(AssertionError, match="one believes itself active"):
        machine.nothing_is_broken()
    with pytest.raises(AssertionError):
        machine.teardown()


@FAST
@given(st.data())
def test_what_is_drawn_is_what_was_asked_for(data: st.DataObject) -> None:
    mine = {"one": MINE, "two": policy()}
    setting = data.draw(settings_of(mine, masters_max=2))
    assert [group.id for group in setting.groups()] == ["one", "two"]
    assert all(group.masters <= 2 for group in setting.groups())
    turn = data.draw(turns(setting, kinds=("crash", "isolate")))
    assert turn.kind in ("crash", "isolate")
    assert (turn.subject in setting.names()) is (turn.kind == "crash")
    schedule = data.draw(schedules(setting=setting, turns_max=3))
    assert schedule.setting == setting
    assert {one.kind for one in schedule.turns} <= set(ALL_KINDS)
    assert data.draw(policies()).probe.fall in (1, 2, 3)


def test_nothing_heavy_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, engine.testing; assert not {'hypothesis', 'msgspec'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(), timeout=60)


def test_what_there_is_not_is_said() -> None:
    import engine.testing

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        engine.testing.nothing  # noqa: B018
