"""Reading a file: what it says, and every mistake in it at its line."""

from pathlib import Path

import pytest

from engine.config import Configuration, load, parse
from engine.config.loading import FILE_BYTES_MAX
from engine.core.errors import ConfigurationError
from engine.core.fleet import Master, Mode
from engine.core.policy import (
    DAY,
    HOUR,
    MINUTE,
    MS,
    PRESETS,
    SECOND,
    Automation,
    Degraded,
    Failover,
    Fence,
    FenceKind,
    GroupPolicy,
    Messages,
    Observers,
    Phi,
    Probe,
    Slo,
    preset,
    sums,
)

WHOLE = """\
[engine]
log = "sqlite:///ha.db"
listen = "[::1]:0"
preset = "lan"

[log]
flush = "20ms"

[groups.cache]
mode = "active-standby"
preset = "region"
automation = "confirm"
strategy = "round-robin"
detect_within = "20s"
slo = { objective = 99.95, window = "7d" }
effects = { kind = "none" }
fence = { kind = "confirmed", clients = "direct" }
messages = { deliver_timeout = "3s", remember = 50, open_max = 7 }

[groups.cache.probe]
kind = "http"
path = "/up?deep=1"
interval = "3s"
timeout = "1.5s"
recheck = "2s"
rise = 6
fall = 7
hold_open = false
late_max = "10ms"
unknown_after = "never"
detector = "phi"
phi = { threshold = 5.5, deviation = "700ms", warm_up = 30 }
suspicion = { least = "1s", most = "8s", confirmations = 2 }
flap_high = 40
flap_low = 12.5
slow = "900ms"

[groups.cache.observers]
quorum = 2
vote_ttl = "9s"

[groups.cache.degraded]
cpu = 91
memory = 92
errors = 0.5
queue = 1000
reports = 4
silent_after = "30s"

[groups.cache.failover]
deadline = "20s"
step_timeout = "4s"
attempts = 2
delay = { crash = "1s", staleness = "2s" }
hold_down = "5m"
limit = "4/2h"
grace = "9s"
failback = "never"

[[groups.cache.masters]]
id = "cache-a"
address = "http://127.0.0.1:7001/"
priority = 2
weight = 0
region = "eu-west"
location = [51.5, -0.13]

[[groups.cache.masters]]
id = "cache-b"
address = "http://[::1]:7002"

[groups.web]
mode = "active-active"
masters = [{ id = "w", address = "http://web.internal:80" }]
"""

SMALL = """\
[groups.cache]
mode = "active-standby"
{group}
[[groups.cache.masters]]
id = "a"
address = "http://127.0.0.1:7001"
{master}
"""


def small(group: str = "", master: str = "") -> str:
    return SMALL.format(group=group, master=master)


def mistakes(text: str, *, masters_needed: bool = True) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, source="t.toml", masters_needed=masters_needed)
    return caught.value.mistakes


def group(line: str) -> GroupPolicy:
    return parse(small(line), source="t.toml").policy.groups["cache"]


def test_every_key_reaches_its_field() -> None:
    found = parse(WHOLE, source="whole.toml")
    assert found.log == "sqlite:///ha.db"
    assert found.listen == "[::1]:0"
    assert found.flush_us == 20 * MS
    assert found.source == "whole.toml"
    assert found.policy.groups["cache"] == GroupPolicy(
        mode=Mode.ACTIVE_STANDBY,
        preset="region",
        automation=Automation.CONFIRM,
        strategy="round-robin",
        detect_within_us=20 * SECOND,
        effects="none",
        probe=Probe(
            kind="http",
            path="/up?deep=1",
            interval_us=3 * SECOND,
            timeout_us=1500 * MS,
            recheck_us=2 * SECOND,
            rise=6,
            fall=7,
            hold_open=False,
            late_us_max=10 * MS,
            unknown_after_us=0,
            phi=Phi(
                threshold_milli=5_500,
                deviation_us_min=700 * MS,
                warm_up=30,
                suspicion_us_min=SECOND,
                suspicion_us_max=8 * SECOND,
                confirmations=2,
            ),
            flap_high_ppm=400_000,
            flap_low_ppm=125_000,
            slow_us=900 * MS,
        ),
        fence=Fence(kind=FenceKind.CONFIRMED, clients="direct"),
        failover=Failover(
            deadline_us=20 * SECOND,
            step_timeout_us=4 * SECOND,
            attempts_max=2,
            delay_crash_us=SECOND,
            delay_staleness_us=2 * SECOND,
            hold_down_us=5 * MINUTE,
            limit=4,
            limit_window_us=2 * HOUR,
            grace_us=9 * SECOND,
            failback="never",
        ),
        messages=Messages(deliver_timeout_us=3 * SECOND, remember_max=50, open_max=7),
        slo=Slo(objective_ppm=999_500, window_us=7 * DAY),
        observers=Observers(quorum=2, vote_ttl_us=9 * SECOND),
        degraded=Degraded(
            cpu_ppm=910_000,
            memory_ppm=920_000,
            errors_ppm=5_000,
            queue=1_000,
            reports=4,
            silent_after_us=30 * SECOND,
        ),
    )
    assert found.policy.groups["web"] == preset("lan", mode=Mode.ACTIVE_ACTIVE)
    assert found.masters == (
        Master(
            id="cache-a",
            group="cache",
            address="http://127.0.0.1:7001",
            priority=2,
            weight=0,
            region="eu-west",
            location=(51_500_000, -130_000),
        ),
        Master(id="cache-b", group="cache", address="http://[::1]:7002"),
        Master(id="w", group="web", address="http://web.internal:80"),
    )


def test_a_file_that_says_little_gets_the_defaults() -> None:
    found = parse(small(), source="t.toml")
    assert (found.log, found.listen) == ("tanist.db", "127.0.0.1:8600")
    assert found.flush_us == PRESETS["zone"].flush_us
    assert found.policy.groups == {"cache": preset("zone")}


def test_the_digest_is_of_the_content_and_not_of_the_bytes() -> None:
    digest = parse(small(), source="t.toml").digest
    same = small('probe = { interval = "1000ms" } # the same')
    assert parse(same, source="u.toml").digest == digest
    assert parse(small("probe.fall = 3"), source="t.toml").digest != digest


# policies.md; the last five follow from the settings by the arithmetic.
@pytest.mark.parametrize(
    ("name", "ms", "counts", "automation"),
    [
        ("bench", (10, 50, 50, 120, 25, 0, 0, 2_000, 0, 1_000, 5_000, 5, 50, 60),
         (1, 2, 0, 3_600_000), "auto"),
        ("lan", (100, 100, 100, 500, 50, 0, 0, 5_000, 60_000, 5_000, 5_000, 250, 300, 400),
         (3, 5, 3, 600_000), "observe"),
        ("zone", (1_000, 500, 500, 3_500, 250, 0, 3_000, 10_000, 600_000, 30_000, 5_000, 1_000,
                  2_000, 3_000), (4, 5, 2, 3_600_000), "observe"),
        ("region", (2_000, 1_500, 1_500, 8_000, 750, 10_000, 60_000, 60_000, 3_600_000, 60_000,
                    10_500, 1_000, 4_500, 6_500), (3, 5, 1, 86_400_000), "observe"),
    ],
)  # fmt: skip
def test_a_preset_has_the_values_of_the_table_and_keeps_its_promise(
    name: str, ms: tuple[int, ...], counts: tuple[int, ...], automation: str
) -> None:
    found = parse(f'[engine]\npreset = "{name}"\n' + small(), source="t.toml")
    policy = found.policy.groups["cache"]
    probe, failover, total = policy.probe, policy.failover, sums(policy)
    times_us = (
        probe.interval_us, probe.timeout_us, probe.recheck_us, policy.detect_within_us,
        probe.late_us_max, failover.delay_crash_us, failover.delay_staleness_us,
        failover.deadline_us, failover.hold_down_us, failover.grace_us, probe.unknown_after_us,
        found.flush_us, total.blip_us, total.detect_us,
    )  # fmt: skip
    assert times_us == tuple(value * MS for value in ms)
    window_ms = failover.limit_window_us // MS
    assert (probe.fall, probe.rise, failover.limit, window_ms) == counts
    assert policy.automation.value == automation
    assert total.detect_us + total.slack_us <= policy.detect_within_us
    assert failover.step_timeout_us * 10 == failover.deadline_us
    assert failover.attempts_max == 3


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("a = 1\nb = = 2\n", "t.toml:2: expected TOML, found: "),
        ("a = 1\na = 2\n", "t.toml:2: expected TOML, found: "),
        ("a = 1\n[b", "t.toml:2: expected TOML, found: "),
        ("a = " + "[" * 5_000, "t.toml:1: expected TOML, found: "),
        ("a = " + "9" * 5_000, "t.toml: expected TOML, found: "),
    ],
)
def test_what_is_no_toml_is_one_line_with_its_place(text: str, starts: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake.startswith(starts)
    assert mistake.endswith("; correct this line first")
    assert "\n" not in mistake


def test_a_shorter_recheck_than_time_out_is_taken_and_the_larger_counts() -> None:
    found = group('detect_within = "3.25s"\nprobe.recheck = "100ms"')
    assert sums(found).detect_us == 3 * SECOND


def test_defaults_follow_what_they_are_made_from() -> None:
    found = group(
        'detect_within = "20s"\nprobe = { interval = "2s", timeout = "1s" }\n'
        'failover = { deadline = "30s" }'
    )
    assert found.probe.late_us_max == 500 * MS
    assert found.probe.unknown_after_us == 9 * SECOND
    assert found.failover.step_timeout_us == 3 * SECOND
    assert found.messages.deliver_timeout_us == 15 * SECOND


def test_no_limit_is_zero() -> None:
    assert group('failover.limit = "none"').failover.limit == 0


def test_a_policy_file_needs_no_masters() -> None:
    text = '[groups.cache]\nmode = "active-active"\n'
    found = parse(text, source="p.toml", masters_needed=False)
    assert found.masters == ()
    assert found.policy.groups == {"cache": preset("zone", mode=Mode.ACTIVE_ACTIVE)}


def test_a_policy_file_is_held_to_a_promise_only_if_it_makes_one() -> None:
    text = '[groups.cache]\nmode = "active-active"\nprobe.fall = 8\n'
    found = parse(text, source="p.toml", masters_needed=False)
    assert found.policy.groups["cache"].probe.fall == 8
    (mistake,) = mistakes(text + 'detect_within = "3.5s"\n', masters_needed=False)
    assert mistake.startswith("t.toml:4: groups.cache.detect_within: expected at least 5.25s")


def test_a_file_is_loaded_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "tanist.toml"
    path.write_bytes(b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode())
    found: Configuration = load(path)
    assert found.digest == parse(WHOLE, source="t.toml").digest
    assert found.source == str(path)


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(ConfigurationError) as caught:
            load(path)
        (mistake,) = caught.value.mistakes
        assert mistake.startswith(f"{path}: expected a file that can be read, found ")


def test_a_file_that_is_no_utf8_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "tanist.toml"
    path.write_bytes(b'[engine]\nlog = "\xe4.db"\n')
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert caught.value.mistakes == (
        f"{path}:2: expected UTF-8, found the byte 0xe4; save the file as UTF-8",
    )


def test_a_file_too_large_to_be_a_configuration_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "tanist.toml"
    with path.open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(ConfigurationError, match="expected at most 16,777,216 bytes, found more"):
        load(path)


def test_the_limits_of_freshness() -> None:
    written = group('failover = { lag_max = "2s", behind_max = 0, allow_loss = true }').failover
    assert (written.lag_us_max, written.behind_max, written.allow_loss) == (2 * SECOND, 0, True)
    silent = group('failover = { lag_max = "any", behind_max = "any" }').failover
    assert (silent.lag_us_max, silent.behind_max, silent.allow_loss) == (0, -1, False)
    assert (
        'a whole number from 0 to 1125899906842624 or "any"'
        in mistakes(small("failover = { behind_max = -1 }"))[0]
    )
    assert "a duration from 1ms" in mistakes(small('failover = { lag_max = "0s" }'))[0]
