"""What is kept of owed effects is let go with their group, and the fleet itself owes nothing."""

from engine.core import events as ev
from engine.core import state as st
from tests.engine.core.drive import Engine


def owing() -> Engine:
    """Return an engine whose group h owes the transfer of its first activation."""
    engine = Engine()
    engine.ok("x")
    engine.append()
    assert engine.driver.issuing.next_us() == 0
    return engine


def test_a_group_that_was_dropped_owes_nothing_any_more() -> None:
    engine = owing()
    state = engine.driver.durable_state
    del state.groups["h"]
    st.reindex(state)
    assert engine.driver.issuing.next_us() is None
    assert engine.effects() == []


def test_what_is_held_back_and_owed_no_more_keeps_nothing() -> None:
    engine = owing()
    assert engine.driver.due_effects(engine.at_us, is_paused=True) == []
    assert engine.driver.is_holding
    state = engine.driver.durable_state
    state.groups["h"].saga = None
    state.cache.stir("h")
    assert not engine.driver.has_first
    assert not engine.driver.is_holding
    assert engine.effects() == []


def test_what_happens_to_the_fleet_alone_changes_nothing_that_is_owed() -> None:
    engine = owing()
    (transfer,) = engine.effects()
    engine.see(ev.SpaceShort(left=1, reserve=2))
    engine.append()
    assert engine.driver.issuing.next_us() is None
    assert engine.effects() == []
    engine.ends(transfer)
    engine.append()
    assert [effect.step for effect in engine.effects()] == ["promote"]
