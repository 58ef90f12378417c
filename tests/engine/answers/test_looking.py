"""What is different, shared, in force, and wrong: answers from a state and its log."""

from typing import Any

import msgspec
import pytest

from engine.answers.between import diff
from engine.answers.briefing import brief, lines
from engine.answers.folds import state_at
from engine.answers.inforce import in_force
from engine.answers.sharing import messages, shares
from engine.config import parse
from engine.core import events as ev
from engine.core.errors import ConfigurationError
from engine.core.events import FLEET
from engine.core.fleet import Master, Mode
from engine.core.policy import SECOND, Automation, Balance, Policy, content_digest, preset
from tests.engine.answers.stories import GROUP, Story, failed_over, serving


def changed(story: Story, before: int, after: int | None = None) -> list[tuple[Any, ...]]:
    found = diff(story.log, state_at(story.log, before), state_at(story.log, after))
    return [
        (one["subject"], one.get("key", one["what"]), one["before"], one["after"])
        for one in found["changes"]
    ]


def test_nothing_differs_from_itself() -> None:
    story = failed_over()
    assert changed(story, 20, 20) == []


def test_a_failover_changes_roles_health_epochs_and_marks() -> None:
    story = failed_over()
    before = story.last(ev.MasterFailed) - 3
    found = changed(story, before)
    assert ("g", "active", "a", "b") in found
    assert ("a", "role", "active", "fenced") in found
    assert ("a", "health", "healthy", "failed") in found
    assert ("g", "failovers", 1, 2) in found or ("g", "failovers", 0, 1) in found
    assert ("a", "fence", None, "below 3, not confirmed") in found


def test_the_order_of_the_positions_is_kept_and_decisions_between_are_counted() -> None:
    story = failed_over()
    first, last = state_at(story.log, 5), story.state
    there, back = diff(story.log, first, last), diff(story.log, last, first)
    assert [(one["before"], one["after"]) for one in back["changes"]] == [
        (one["after"], one["before"]) for one in there["changes"]
    ]
    assert there["decisions"] == back["decisions"]
    assert there["decisions"]["MasterFailed"] == 1


def test_a_policy_differs_setting_by_setting() -> None:
    story = failed_over()
    before = story.state.seq
    policy = msgspec.structs.replace(preset("bench"), automation=Automation.CONFIRM)
    masters = tuple(
        Master(id=name, group=GROUP, address=f"http://{name}:1", priority=number)
        for number, name in enumerate("abc", start=1)
    )
    whole = Policy(groups={GROUP: policy})
    loaded = ev.ConfigurationLoaded(
        digest=content_digest(whole, masters), policy=whole, masters=masters
    )
    story.see(loaded)
    assert changed(story, before) == [("g", "automation", "auto", "confirm")]


def test_marks_and_queues_differ() -> None:
    story = failed_over()
    before = story.state.seq
    story.see(ev.Paused(until_us=0, reason="racks", author="x"), FLEET)
    story.see(ev.CheckpointMarked(name="here", author="x"), FLEET)
    story.see(ev.ExclusionAsked(excluded=True, reason="disk", author="x"), "c")
    story.see(ev.MessageAccepted(key="k", lane="l", size=1, digest=b"d"), GROUP)
    found = changed(story, before)
    assert ("fleet", "pause", None, "until told otherwise: racks") in found
    assert ("here", "checkpoint", None, story.last(ev.CheckpointMarked)) in found
    assert ("c", "excluded", False, True) in found
    assert ("g", "open messages", 0, 1) in found


# Shares and messages.


def test_the_shares_of_masters_that_all_serve_follow_their_weights() -> None:
    story = serving()
    found = shares(story.state)["groups"][GROUP]
    assert [one["share_ppm"] for one in found["masters"].values()] == pytest.approx(
        [333_333] * 3, abs=1_000
    )
    assert {one["says"] for one in found["masters"].values()} == {"1 of 3"}
    story.kill("a")
    found = shares(story.state)["groups"][GROUP]["masters"]
    assert found["a"]["share_ppm"] == 0
    assert "only active masters get work" in found["a"]["says"]
    assert [found[name]["share_ppm"] for name in "bc"] == [500_000, 500_000]


def test_who_starts_slowly_gets_a_part_that_grows() -> None:
    policy = preset("bench", mode=Mode.ACTIVE_ACTIVE)
    slow = msgspec.structs.replace(policy, balance=Balance(slow_start_us=SECOND))
    story = Story(slow)
    story.probe(120)
    assert shares(story.state)["groups"][GROUP]["slow_start"] is False
    story.kill("a")
    story.dead.discard("a")
    story.probe(3)
    found = shares(story.state)["groups"][GROUP]
    assert found["slow_start"] is True
    a, b = found["masters"]["a"], found["masters"]["b"]
    assert (a["weight"], b["weight"]) == (1, 1)
    assert a["slow_start_percent"] < b["slow_start_percent"] == 100
    assert 0 < a["share_ppm"] < b["share_ppm"]
    assert a["says"].startswith("it starts slowly: 10 of 210")


def test_the_active_of_a_group_has_all_of_the_work() -> None:
    found = shares(failed_over().state)["groups"][GROUP]["masters"]
    assert {name: one["share_ppm"] for name, one in found.items()} == {
        "a": 0,
        "b": 1_000_000,
        "c": 0,
    }
    assert found["b"]["says"] == "priority 2 is the best: 1 of 1"


def test_each_message_is_in_its_place() -> None:
    story = failed_over()
    for key, lane in (("k1", "l"), ("k2", "l"), ("k3", "m")):
        story.see(ev.MessageAccepted(key=key, lane=lane, size=1, digest=b"d"), GROUP)
        story.at_us += SECOND
    found = messages(story.log, story.state)
    assert [(one["key"], one["place"], one["master"], one["behind"]) for one in found["rows"]] == [
        ("k1", "under way", "b", 0),
        ("k2", "assigned", "b", 1),
        ("k3", "under way", "b", 0),
    ]
    assert [one["age_us"] for one in found["rows"]] == [2 * SECOND, SECOND, 0]
    assert found["groups"][GROUP]["assigned"] == {"b": 3}
    story.see(ev.MessageAcked(key="k1", epoch=2), "b")
    assert messages(story.log, story.state, key="k1")["rows"] == [
        {"key": "k1", "group": GROUP, "place": "done"}
    ]
    assert [one["key"] for one in messages(story.log, story.state, key="k2")["rows"]] == ["k2"]


def test_what_nobody_has_is_in_the_queue() -> None:
    story = failed_over()
    story.kill("b")
    story.kill("c")
    story.see(ev.MessageAccepted(key="k", lane="l", size=1, digest=b"d"), GROUP)
    (row,) = messages(story.log, story.state, group=GROUP)["rows"]
    assert (row["place"], row["master"]) == ("queued", "")


def test_messages_of_nobody_are_refused() -> None:
    story = failed_over()
    with pytest.raises(ConfigurationError, match="no message 'z' is open"):
        messages(story.log, story.state, key="z")
    with pytest.raises(ConfigurationError, match="no group 'z': expected one of g"):
        messages(story.log, story.state, group="z")


# What is in force.

FILE = """
[groups.g]
mode = "active-standby"
preset = "bench"
automation = "auto"
probe = { fall = 2 }
strategy = "priority"
[[groups.g.masters]]
id = "a"
address = "http://a:1"
priority = 7
[[groups.g.masters]]
id = "z"
address = "http://z:1"
"""


def test_each_setting_says_where_it_came_from() -> None:
    story = failed_over()
    story.see(ev.StrategyAsked(strategy="round-robin", author="x"), GROUP)
    found = in_force(story.log, story.state, None)
    settings = found["groups"][GROUP]
    assert (settings["probe.fall"]["value"], settings["probe.fall"]["from"]) == (1, "preset")
    assert settings["strategy"] == {
        "path": "strategy",
        "value": "round-robin",
        "from": "command",
        "seq": story.last(ev.StrategyChanged),
    }
    assert found["adopted"]["seq"] == story.last(ev.PolicyAdopted)
    assert (found["file"], found["drift"]) == (None, [])


def test_what_a_file_says_otherwise_is_listed() -> None:
    story = failed_over()
    found = in_force(story.log, story.state, parse(FILE, source="f.toml", masters_needed=False))
    drift = {(one["subject"], one["key"]): (one["in_force"], one["file"]) for one in found["drift"]}
    assert drift["g", "probe.fall"] == (1, 2)
    assert drift["z", "master"] == (False, True)
    assert drift["b", "master"] == (True, False)
    assert drift["a", "priority"] == (1, 7)
    assert found["file"]["is_adopted"] is False


# In brief.


def test_nothing_is_wrong_with_a_fleet_that_is_well() -> None:
    story = Story()
    story.probe(3)
    found = brief(story.log, story.state)
    assert (found["wrong"], found["next"], found["type"]) == ([], [], [])
    said = list(lines(found))
    assert said[:2] == ["What is wrong", "  nothing"]
    assert "  tanist status" in said


def test_what_is_wrong_and_what_was_done_and_what_to_type() -> None:
    story = failed_over()
    found = brief(story.log, story.state)
    assert {(one["subject"], one["what"]) for one in found["wrong"]} == {
        ("a", "failed"),
        ("a", "fence"),
    }
    assert any("b is active" in one["says"] for one in found["done"])
    assert {one["command"] for one in found["type"]} == {"tanist release a", "tanist why a"}


def test_what_comes_next_has_its_time() -> None:
    policy = msgspec.structs.replace(preset("region"), automation=Automation.AUTO)
    story = Story(policy)
    story.probe(4)
    story.kill("a")
    found = brief(story.log, story.state)
    (coming,) = found["next"]
    assert (coming["what"], coming["in_us"]) == ("delay", 10 * SECOND)
    assert coming["says"] == "the delay ends: another master takes over if a is not back"
    assert any("in 10 s" in line for line in lines(found))


def test_nobody_left_and_who_waits_for_a_person_are_said() -> None:
    story = Story(msgspec.structs.replace(preset("bench"), automation=Automation.CONFIRM))
    story.probe(3)
    found = brief(story.log, story.state)
    said = {one["what"]: one["says"] for one in found["wrong"]}
    assert said["headless"] == "nobody serves"
    assert "approve g" in said["waits"]
    assert any(one["command"] == "tanist approve g" for one in found["type"])


def test_a_group_without_a_backup_is_not_ready() -> None:
    story = failed_over()
    story.kill("c")
    story.probe()
    said = {one["what"]: one["says"] for one in brief(story.log, story.state)["wrong"]}
    assert said["not ready"].startswith("nobody could take over (")
    assert "c: health-failed" in said["not ready"]
