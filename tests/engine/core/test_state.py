"""The state: its canonical bytes, its copies, what can be read from it."""

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.fleet import Mode
from engine.core.policy import Automation
from engine.core.replay import replay
from engine.core.state import State
from tests.engine.core.build import Story, kinds, loaded, made, story


def busy() -> Story:
    """Return a story with something of everything in its state."""
    tale = story(automation=Automation.AUTO, limit=5)
    for key in "kji":
        tale.accepts(key, lane=key)
    tale.acks("k", "a")
    kept = (("s", 1, b"\x01" * 32),)
    tale.see(ev.MessageAcked(key="i", epoch=tale.epochs["a"], keeps=kept), "a")
    tale.see(ev.CheckpointMarked(name="before", author="x"))
    tale.ask(ev.MaintenanceDeclared(from_us=1, to_us=2, reason="", author="x"), "c")
    tale.crashes("a")
    return tale


def test_a_state_survives_its_stored_form() -> None:
    tale = busy()
    again = st.restore(st.dump(tale.state))
    assert again == tale.state
    assert st.dump(again) == st.dump(tale.state)
    assert list(again.groups["g"].ledger.done) == ["k", "i"]


def test_a_copy_decides_as_its_original_does() -> None:
    tale, twin = busy(), busy()
    twin.state = st.copy(twin.state)
    assert tale.work() == twin.work()
    tale.restarts("a")
    twin.restarts("a")
    assert tale.ok("a", "b", "c", "a") == twin.ok("a", "b", "c", "a")
    assert tale.state == twin.state


def test_a_copy_is_independent() -> None:
    tale = busy()
    digest = st.digest(tale.state)
    twin = st.copy(tale.state)
    replay(tale.work(), state=twin)
    assert st.digest(tale.state) == st.digest(twin) != digest


def test_a_state_is_assembled_from_its_parts() -> None:
    state = busy().state
    parts = st.assembled(
        seq=state.seq, at_us=state.at_us, fleet=state.fleet, groups=dict(state.groups)
    )
    assert (parts, st.digest(parts)) == (state, st.digest(state))
    assert parts.cache.places.keys() == state.cache.places.keys()


def test_the_digest_is_of_the_fold_and_not_of_the_way_to_it() -> None:
    tale = busy()
    assert st.digest(replay(tale.log)) == st.digest(tale.state)
    tale.state.cache.dues.next_us = 12_345
    tale.state.cache.calm["g"].add("b")
    assert st.digest(replay(tale.log)) == st.digest(tale.state)


def test_states_differ_from_what_is_none() -> None:
    assert State() == State()
    assert State() != story().state
    assert State() != "a state"
    with pytest.raises(TypeError):
        hash(State())


def test_a_subject_belongs_to_a_group_or_to_none() -> None:
    state = story().state
    assert state.group_of("a") is state.group_of("g") is state.groups["g"]
    assert state.group_of("z") is None
    assert state.group_of(ev.FLEET) is None


def test_the_control_of_a_group_is_what_a_rollback_goes_back_to() -> None:
    control = st.control_of(story(names="ba").group)
    assert control == ev.GroupControl(
        group="g", assigned="b", strategy="priority", weights=(("a", 1), ("b", 1))
    )
    assert st.control_digest(control) == st.control_digest(control)
    assert len(st.control_digest(control)) == 64


def test_the_active_one_is_active_while_it_drains() -> None:
    tale = story()
    assert st.active_of(tale.group) == "a"
    tale.accepts("k")
    tale.ask(ev.SwitchoverAsked(to="b", author="x"))
    assert "DrainStarted" in kinds(tale.answers("preflight"))
    assert st.active_of(tale.group) == "a"
    assert st.active_of(Story().group) == ""


@pytest.mark.parametrize("mode", Mode)
def test_the_mode_is_that_of_the_policy(mode: Mode) -> None:
    tale = Story(made(mode=mode))
    assert st.is_active_standby(tale.state, tale.group) is (mode is Mode.ACTIVE_STANDBY)
    tale.see(loaded(made(), ()))
    assert st.is_active_standby(tale.state, tale.group)
