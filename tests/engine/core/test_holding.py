"""What a pause that the log does not know of holds back: a failover that has had no effect yet."""

from engine.core import events as ev
from engine.core import state as st
from engine.core.driver import Driver
from engine.core.events import Result
from engine.core.fleet import Role
from engine.core.holding import Holding
from engine.core.policy import SECOND, FenceKind, Hooks
from engine.core.state import Phase
from tests.engine.core.build import Story, story
from tests.engine.core.drive import Engine


def crashed() -> Engine:
    """Return an engine whose failover from a is durable, and has had no effect."""
    engine = Engine()
    engine.ok("a", "b", "c")
    engine.work()
    engine.ok("a", "b", "c")
    engine.append()
    engine.crashes("a")
    engine.append()
    return engine


def test_its_first_effect_waits_for_the_end_of_the_pause() -> None:
    engine = crashed()
    driver = engine.driver
    assert driver.has_first
    assert driver.due_effects(engine.at_us, is_paused=True) == []
    assert driver.is_holding
    # What is held back wakes nobody: without the file there is no time at which it would go.
    wake_us = driver.wake_at_us()
    assert wake_us is not None
    assert wake_us > engine.at_us
    steps = {effect.step for effect in driver.due_effects(engine.at_us)}
    assert steps == {"fence", "transfer"}
    assert not driver.is_holding


def test_what_has_begun_goes_on() -> None:
    engine = crashed()
    driver = engine.driver
    for effect in engine.effects():
        assert not driver.has_first
        engine.ends(effect)
    engine.append()
    assert [effect.step for effect in driver.due_effects(engine.at_us, is_paused=True)] == [
        "promote"
    ]
    assert not driver.is_holding


def test_a_retry_of_the_same_step_is_no_first_effect() -> None:
    engine = crashed()
    for effect in engine.effects():
        engine.ends(effect, Result.OK if effect.step == "transfer" else Result.FAILED)
    engine.append()
    assert not engine.driver.has_first


def test_what_a_person_asked_for_is_not_held_back() -> None:
    tale = story()
    tale.ask(ev.FailoverAsked(to="b", author="x"))
    holding = Holding()
    holding.look(tale.group, is_owing=True)
    assert holding.firsts == {}
    holding.hold(is_paused=True)
    assert holding.held == {}


def test_a_failover_that_is_over_is_forgotten() -> None:
    engine = crashed()
    engine.work()
    engine.ok("b", "c")
    engine.append()
    assert not engine.driver.has_first
    assert engine.driver.durable_state.groups["g"].saga is None


def due(tale: Story) -> set[str]:
    """Return what a process that began with this log issues while the file pauses."""
    driver = Driver(st.copy(tale.state))
    return {effect.step for effect in driver.due_effects(tale.at_us, is_paused=True)}


def test_one_of_which_the_fence_was_answered_had_an_effect() -> None:
    tale = story(fence=FenceKind.CONFIRMED, unknown_after_us=0)
    tale.crashes("a")
    assert due(tale) == set()
    tale.restarts("a")
    tale.answers("fence")
    assert tale.group.saga is not None
    assert (tale.group.saga.phase, tale.master("a").role) == (Phase.TRANSFERRING, Role.STANDBY)
    assert due(tale) == {"transfer"}


def test_one_whose_program_has_ended_had_an_effect() -> None:
    tale = story(hooks=Hooks(before_fence=("notify",)), unknown_after_us=0)
    tale.crashes("a")
    assert due(tale) == set()
    tale.answers("before-fence")
    assert due(tale) == {"fence", "transfer"}


def test_neither_a_start_nor_a_stall_lets_one_go_that_had_no_effect() -> None:
    tale = story(fence=FenceKind.CONFIRMED, unknown_after_us=0)
    tale.crashes("a")
    tale.wait(SECOND)
    assert due(tale) == set()
    tale.see(ev.EngineResumed(stall_us=2 * SECOND, stopped_at_us=tale.state.at_us))
    assert due(tale) == set()
    tale.see(ev.EngineStarted(release="1", stopped_at_us=tale.state.at_us))
    assert due(tale) == set()


def test_the_last_active_has_its_place_back_in_a_pause() -> None:
    tale = story(names="ab", unknown_after_us=0)
    tale.see(ev.Paused(until_us=0, reason="r", author="x", by_file=True))
    tale.wait(SECOND)
    tale.restarts("a")
    tale.ok("a")
    tale.answers("fence")
    tale.ok("a", "b")
    assert tale.group.saga is not None
    assert (tale.group.saga.why, tale.group.saga.to) == ("headless", "a")
    assert due(tale) == {"transfer"}
