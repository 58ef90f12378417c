"""Presets and their sums, held against the table of the documentation."""

import msgspec
import pytest

from engine.core.fleet import Mode
from engine.core.policy import (
    HOUR,
    MINUTE,
    MS,
    PRESETS,
    SECOND,
    STRATEGIES,
    Automation,
    FenceKind,
    GroupPolicy,
    Phi,
    Policy,
    Secret,
    Sums,
    content_digest,
    preset,
    sums,
)
from tests.engine.core.build import declared, made


@pytest.mark.parametrize(
    ("name", "blip_us", "detect_us", "slack_us"),
    [
        ("bench", 50 * MS, 60 * MS, 25 * MS),
        ("lan", 300 * MS, 400 * MS, 50 * MS),
        ("zone", 2 * SECOND, 3 * SECOND, 250 * MS),
        ("region", 4_500 * MS, 6_500 * MS, 750 * MS),
    ],
)
def test_the_published_sums_of_each_preset(
    name: str, blip_us: int, detect_us: int, slack_us: int
) -> None:
    total = sums(preset(name))
    assert (total.blip_us, total.detect_us, total.slack_us) == (blip_us, detect_us, slack_us)


@pytest.mark.parametrize(
    ("name", "crash_us", "staleness_us"),
    [
        ("bench", 2_085 * MS, 2_085 * MS),
        ("lan", 5_450 * MS, 5_450 * MS),
        ("zone", 13_250 * MS, 16_250 * MS),
        ("region", 77_250 * MS, 127_250 * MS),
    ],
)
def test_restoration_adds_the_delay_of_its_evidence(
    name: str, crash_us: int, staleness_us: int
) -> None:
    total = sums(preset(name))
    assert (total.restore_crash_us, total.restore_staleness_us) == (crash_us, staleness_us)


def test_a_recheck_slower_than_the_timeout_is_what_counts() -> None:
    total = sums(made(fall=3, interval_us=10, recheck_us=100, timeout_us=50))
    assert (total.blip_us, total.detect_us) == (250, 260)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("mode", Mode)
def test_every_preset_keeps_its_own_promises(name: str, mode: Mode) -> None:
    policy = preset(name, mode=mode)
    probe = policy.probe
    assert sums(policy).detect_us <= policy.detect_within_us
    assert probe.recheck_us >= probe.timeout_us > 0
    assert probe.late_us_max * 2 == probe.timeout_us
    assert policy.failover.step_timeout_us * 10 == policy.failover.deadline_us
    assert policy.messages.deliver_timeout_us >= SECOND
    assert policy.strategy in STRATEGIES


@pytest.mark.parametrize(
    ("name", "automation", "limit", "window_us", "hold_down_us"),
    [
        ("bench", Automation.AUTO, 0, HOUR, 0),
        ("lan", Automation.OBSERVE, 3, 10 * MINUTE, MINUTE),
        ("zone", Automation.OBSERVE, 2, HOUR, 10 * MINUTE),
        ("region", Automation.OBSERVE, 1, 24 * HOUR, HOUR),
    ],
)
def test_trust_is_earned_but_on_the_bench(
    name: str, automation: Automation, limit: int, window_us: int, hold_down_us: int
) -> None:
    policy = preset(name)
    failover = policy.failover
    assert policy.automation is automation
    assert (failover.limit, failover.limit_window_us) == (limit, window_us)
    assert failover.hold_down_us == hold_down_us


def test_the_mode_chooses_strategy_and_effects() -> None:
    standby, active = preset("zone"), preset("zone", mode=Mode.ACTIVE_ACTIVE)
    assert (standby.strategy, standby.effects) == ("priority", "http")
    assert (active.strategy, active.effects) == ("round-robin", "none")
    assert standby.fence.kind is FenceKind.GATE


def test_a_policy_survives_its_stored_form() -> None:
    policy = Policy(groups={"g": preset("lan")})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(policy), type=Policy) == policy


def test_a_setting_that_an_older_log_lacks_takes_its_default() -> None:
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(preset("lan")))
    del stored["messages"]["remember_max"]
    assert msgspec.convert(stored, GroupPolicy) == preset("lan")


def test_the_digest_is_of_what_is_said_and_not_of_its_order() -> None:
    one, two = preset("lan"), preset("zone")
    masters = declared("ab")
    digest = content_digest(Policy(groups={"g": one, "h": two}), masters)
    assert digest == content_digest(Policy(groups={"h": two, "g": one}), masters)
    assert digest != content_digest(Policy(groups={"g": two, "h": one}), masters)
    assert digest != content_digest(Policy(groups={"g": one, "h": two}), masters[:1])


def test_phi_may_shorten_the_blip_and_a_suspicion_lengthens_detection() -> None:
    zone = preset("zone")
    phi = Phi(threshold_milli=1_000, deviation_us_min=100 * MS, warm_up=9)

    def summed(found: Phi) -> Sums:
        probe = msgspec.structs.replace(zone.probe, phi=found)
        return sums(msgspec.structs.replace(zone, probe=probe))

    # 1.28 deviations beyond the interval, less the time-out.
    assert summed(phi).blip_us == pytest.approx(1_128 * MS - 500 * MS, abs=MS)
    assert summed(phi).detect_us == sums(zone).detect_us
    long = msgspec.structs.replace(phi, suspicion_us_min=3 * SECOND, suspicion_us_max=10 * SECOND)
    assert (summed(long).blip_us, summed(long).detect_us) == (3 * SECOND, 12 * SECOND)
    assert summed(msgspec.structs.replace(phi, threshold_milli=300_000)).blip_us == (
        sums(zone).blip_us
    )


def test_a_secret_is_shown_by_where_it_is() -> None:
    assert (str(Secret(env="NAME")), str(Secret(file="/a/b"))) == ("$NAME", "/a/b")
