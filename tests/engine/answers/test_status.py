from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from engine.answers.status import status
from engine.answers.times import iso
from engine.core import events as ev
from engine.core import state as st
from engine.core.events import FLEET
from engine.core.evolve import evolve
from engine.core.policy import Automation, preset
from engine.core.state import State
from projections.base import fold
from projections.weights import WEIGHTS
from projections.weights import rows as weight_rows
from tests.engine.answers.stories import GROUP, Story, failed_over, serving

HOUR_US = 3_600_000_000


def document(state: State) -> dict[str, Any]:
    """Return the status as who reads the JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(status(state)))


def test_an_empty_log_has_a_status_too() -> None:
    found = document(State())
    assert (found["seq"], found["events"], found["groups"], found["masters"]) == (0, 0, {}, {})


def test_after_a_failover_the_heir_serves_and_the_old_one_is_fenced() -> None:
    story = failed_over()
    found = document(story.state)
    group = found["groups"][GROUP]
    assert found["digest"] == st.digest(story.state)
    assert found["at"] == iso(story.state.at_us)
    assert (group["mode"], group["active"], group["failovers"]) == ("active-standby", ["b"], 1)
    assert (group["strategy"], group["automation"], group["ready"]) == ("priority", "auto", True)
    assert group["control_digest"] == st.control_digest(st.control_of(story.state.groups[GROUP]))
    assert group["epoch"] == story.state.groups[GROUP].epoch
    assert found["masters"]["a"]["health"] == "failed"
    assert found["masters"]["a"]["role"] == "fenced"
    assert found["masters"]["a"]["fence"]["confirmed"] is False
    assert found["masters"]["b"] | {"role": "active", "weight": 1} == found["masters"]["b"]
    assert group["owed"] == [
        {
            "step": "fence",
            "master": "a",
            "epoch": found["masters"]["a"]["fence"]["confirm_at"],
        }
    ]


def test_without_another_fit_master_a_group_is_not_ready() -> None:
    story = failed_over()
    story.kill("c")
    assert document(story.state)["groups"][GROUP]["ready"] is False


def test_an_active_active_group_is_ready_while_two_serve() -> None:
    story = serving()
    assert document(story.state)["groups"][GROUP]["ready"] is True
    assert document(story.state)["groups"][GROUP]["active"] == ["a", "b", "c"]
    story.kill("a")
    assert document(story.state)["groups"][GROUP]["ready"] is True
    story.kill("b")
    assert document(story.state)["groups"][GROUP]["ready"] is False


@pytest.mark.parametrize("make", [failed_over, serving])
def test_weights_are_those_of_the_projection_at_every_position(
    make: Callable[[], Story],
) -> None:
    story = make()
    story.kill("c")
    story.see(ev.ExclusionAsked(excluded=True, reason="old", author="me"), "b")
    story.probe(2)
    view, state = WEIGHTS.new(), State()
    for recorded in story.log.read():
        WEIGHTS.project(view, recorded)
        evolve(state, recorded)
        found = {name: master["weight"] for name, master in document(state)["masters"].items()}
        if found:
            assert found == {row.subject: row.weight for row in weight_rows(view)}, recorded.seq
    assert fold(WEIGHTS, story.log.read()) == view


def test_a_pause_says_until_when_and_ends_by_itself() -> None:
    story = failed_over()
    until_us = story.at_us + HOUR_US
    story.see(ev.Paused(until_us=until_us, reason="racks", author="me"), FLEET)
    story.see(ev.Paused(until_us=0, reason="longer", author="me"), GROUP)
    found = document(story.state)
    assert found["paused"] == {"until": iso(until_us), "reason": "racks"}
    assert found["groups"][GROUP]["paused"] == {"until": None, "reason": "longer"}
    story.at_us = until_us
    story.see(ev.Resumed(author="me"), GROUP)
    found = document(story.state)
    assert found["paused"] is None
    assert found["groups"][GROUP]["paused"] is None


def test_what_is_waited_for_is_said_with_its_end() -> None:
    story = Story()
    story.probe(3)
    until_us = story.at_us + HOUR_US
    story.see(ev.Paused(until_us=until_us, reason="racks", author="me"), GROUP)
    story.kill("a")
    found = document(story.state)["groups"][GROUP]
    assert (found["waits"]["reason"], found["waits"]["until"]) == ("pause", iso(until_us))
    assert found["failover"] is None
    assert found["active"] == ["a"]


def test_an_open_failover_that_waits_for_approval_is_shown() -> None:
    policy = msgspec.structs.replace(preset("bench"), automation=Automation.CONFIRM)
    story = Story(policy)
    story.probe(3)
    waits = document(story.state)["groups"][GROUP]["waits"]
    assert (waits["reason"], waits["until"]) == ("approval", None)
    failover = document(story.state)["groups"][GROUP]["failover"]
    assert (failover["phase"], failover["why"], failover["source"]) == ("selecting", "first", "")
    story.see(ev.Approved(author="me"), GROUP)
    assert document(story.state)["groups"][GROUP]["failover"] is None
    assert document(story.state)["groups"][GROUP]["active"] == ["a"]


def test_a_policy_changed_by_command_differs_from_the_file() -> None:
    story = failed_over()
    assert document(story.state)["policy_differs_from_file"] is False
    story.see(ev.StrategyAsked(strategy="round-robin", author="me"), GROUP)
    assert document(story.state)["policy_differs_from_file"] is True
