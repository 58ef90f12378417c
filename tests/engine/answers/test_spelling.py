"""Settings are shown as a configuration has them: held against the file that init writes."""

import re

import pytest

from engine.answers.spelling import shown, written
from engine.config import template
from engine.core.policy import ALERTS, PRESETS, Policy, preset
from engine.whatif.keys import fleet_settings, settings, spelled

LINE = re.compile(r'^(?:# )?(\w+) = (?:"([^"]*)"|([\w.]+))(?: |$)')


def in_file(name: str) -> dict[str, str]:
    """Return the plain values of the template, by their keys without those of the group."""
    found, section = {}, ""
    for line in template(None, name).splitlines():
        if line.startswith("["):
            section = line.strip("[]").removeprefix("groups.main").lstrip(".")
        elif (match := LINE.match(line)) is not None:
            key, text, bare = match.groups()
            found[f"{section}.{key}".lstrip(".")] = bare if text is None else text
    return found


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_shown_is_what_the_file_has(name: str) -> None:
    file = in_file(name)
    policy = preset(name)
    ours = {
        **shown(settings(policy)),
        **shown(fleet_settings(Policy(groups={}, alerts=ALERTS))),
    }
    keys = {spelled(path).removesuffix("_ppm"): value for path, value in ours.items()}
    said_by_init = {"automation", "mode", "fence.kind", "fence.clients", "effects.kind"}
    both = file.keys() & keys.keys() - said_by_init
    assert {key: keys[key] for key in both} == {key: file[key] for key in both}
    assert len(both) > 45
    assert {"failover.limit", "alerts.failovers", "alerts.queue_for", "probe.flap_high"} <= both
    assert {"failover.lag_max", "failover.behind_max", "probe.slow", "failover.failback"} <= both


def test_what_says_nothing_is_left_out() -> None:
    assert shown({"probe.send": "", "probe.phi": None, "fence.lease_us": 0}) == {}
    assert shown({"failover.limit": 0, "failover.limit_window_us": 1}) == {"failover.limit": "none"}
    both = {"failover.failback": "auto", "failover.failback_us": 1_800_000_000}
    assert shown(both) == {"failover.failback": "30m"}
    assert written("probe.ca", None) == "-"
