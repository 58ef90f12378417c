"""One key of a policy changed for every group."""

import pytest

from engine.config import override
from engine.core.errors import ConfigurationError
from engine.core.fleet import Mode
from engine.core.policy import MS, SECOND, Automation, Policy, preset

POLICY = Policy(groups={"cache": preset("zone"), "web": preset("lan", mode=Mode.ACTIVE_ACTIVE)})


def test_a_key_changes_in_every_group_and_nothing_else_does() -> None:
    changed = override(POLICY, "probe.fall=1")
    assert [group.probe.fall for group in changed.groups.values()] == [1, 1]
    back = override(Policy(groups={"cache": changed.groups["cache"]}), "probe.fall=4")
    assert back.groups == {"cache": preset("zone")}


@pytest.mark.parametrize("written", ["automation=auto", 'automation="auto"', " automation = auto "])
def test_a_bare_word_is_a_string(written: str) -> None:
    changed = override(POLICY, written)
    assert {group.automation for group in changed.groups.values()} == {Automation.AUTO}


def test_what_is_no_toml_is_a_string_too() -> None:
    cache = override(override(POLICY, "failover.limit=3/2h"), "probe.interval=1500ms").groups[
        "cache"
    ]
    assert cache.failover.limit == 3
    assert cache.probe.interval_us == 1500 * MS


def test_a_promise_is_not_held_against_a_question() -> None:
    assert override(POLICY, "probe.fall=8").groups["cache"].probe.fall == 8


def test_a_default_follows_and_a_setting_stays() -> None:
    slower = override(POLICY, "probe.timeout=3s").groups["cache"]
    assert slower.probe.late_us_max == 1500 * MS
    assert slower.probe.unknown_after_us == 12 * SECOND
    settled = override(override(POLICY, "probe.late_max=1ms"), "probe.timeout=3s").groups["cache"]
    assert settled.probe.late_us_max == MS


def test_a_new_preset_replaces_the_whole_of_the_old_one() -> None:
    changed = override(override(POLICY, "probe.fall=9"), "preset=region")
    assert changed.groups == {
        "cache": preset("region"),
        "web": preset("region", mode=Mode.ACTIVE_ACTIVE),
    }


def test_a_mode_is_changed_alone() -> None:
    changed = override(POLICY, "mode=active-active").groups["cache"]
    assert changed.mode is Mode.ACTIVE_ACTIVE
    assert changed.probe == POLICY.groups["cache"].probe


@pytest.mark.parametrize(
    ("assignment", "mistake"),
    [
        ("probe.fal=1", 'found the unknown key "fal" (1); did you mean fall?'),
        ("probe.fall=x", 'probe.fall: expected a whole number from 1 to 1000, found "x"; 1 would'),
        ("probe=1", "probe: expected a table, found 1"),
        ("fence.clients=direct", 'expected clients = "route" where kind = "gate"'),
        ("detect_within=1ms", "detect_within: expected at least 3.25s"),
        ("probe.fall", "expected KEY=VALUE"),
        ("probe.fall=", "expected KEY=VALUE"),
        ("probe..fall=1", "expected KEY=VALUE"),
        ("=1", "expected KEY=VALUE"),
        ("strategy=least-loaded", "this release takes"),
        ("automation='a'\nb = 1", "automation: expected"),
    ],
)
def test_what_cannot_be_set_is_refused(assignment: str, mistake: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        override(POLICY, assignment)
    assert mistake in caught.value.mistakes[0]
    assert caught.value.mistakes[0].startswith("--set ")
    assert "\n" not in caught.value.mistakes[0]
