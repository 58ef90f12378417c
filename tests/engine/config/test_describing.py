"""What a configuration adds up to, as `tanist check` shows it."""

import json

import pytest

from engine.config import describe, parse, render
from engine.config.describing import Description
from engine.core.events import ProbeOk, encode
from engine.core.fleet import Master
from engine.core.policy import SECOND, Policy, preset

MASTERS = """\
[[groups.cache.masters]]
id = "a"
address = "http://127.0.0.1:7001"
[[groups.cache.masters]]
id = "b"
address = "http://127.0.0.1:7002"
"""


def described(group: str = "", masters: str = MASTERS) -> Description:
    text = f'[groups.cache]\nmode = "active-standby"\n{group}\n{masters}'
    found = parse(text, source="t.toml", masters_needed=bool(masters))
    return describe(found.policy, found.masters)


def test_the_sums_of_the_default_policy() -> None:
    group = described()["groups"]["cache"]
    assert (group["detect_us"], group["slack_us"]) == (3 * SECOND, SECOND // 4)
    assert group["blip_us"] == 2 * SECOND
    assert group["restore_crash_us"] == 13_250_000  # 3.25 s + 0 + 10 s
    assert group["restore_staleness_us"] == 16_250_000  # 3 s more
    assert group["promise_kept"]
    assert group["warnings"] == []
    assert group["masters"] == 2


def test_a_fence_says_what_it_stops_and_what_it_does_not() -> None:
    sentences = {
        described(line)["groups"]["cache"]["fence"]
        for line in (
            "",
            'fence = { kind = "confirmed", clients = "direct" }',
            'fence = { kind = "confirmed", clients = "route" }',
        )
    }
    assert len(sentences) == 3
    for sentence in sentences:
        assert "stops" in sentence
        assert "does not stop" in sentence
        assert sentence.count(".") == 1
        assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("group", "warning"),
    [
        ('preset = "bench"', "preset bench is for loopback only"),
        ('probe.recheck = "100ms"', "recheck 100ms is shorter than timeout 500ms"),
        ('effects.kind = "none"\nfence.kind = "confirmed"', "fence confirmed with effects none"),
    ],
)
def test_a_risk_is_a_warning(group: str, warning: str) -> None:
    (found,) = described(group)["groups"]["cache"]["warnings"]
    assert found.startswith(warning)


def test_a_single_master_is_a_warning() -> None:
    one = MASTERS.partition('[[groups.cache.masters]]\nid = "b"')[0]
    (found,) = described(masters=one)["groups"]["cache"]["warnings"]
    assert found.startswith("there is no standby")


def test_a_promise_that_a_policy_file_does_not_make_is_a_warning_there() -> None:
    group = described("probe.fall = 8", masters="")["groups"]["cache"]
    assert not group["promise_kept"]
    assert group["warnings"][0].startswith("the promise 3.5s cannot be kept: interval 1s + ")
    assert "NOT kept" in render(described("probe.fall = 8", masters=""))


def test_the_log_grows_by_a_row_for_each_good_probe() -> None:
    event = ProbeOk(n=86_400, latency_us=1_000, boot="0" * 8, epoch=1, role="standby")
    content = len(encode(event)[1]) + len("a")
    found = described()
    assert found["log_bytes_a_day"] == found["groups"]["cache"]["log_bytes_a_day"]
    assert 2 * 86_400 * content < found["log_bytes_a_day"] < 2 * 86_400 * 3 * content
    twice = described('probe.interval = "500ms"')["log_bytes_a_day"]
    assert twice >= 2 * found["log_bytes_a_day"]  # the number of a later probe is longer


def test_a_description_is_a_document_of_json_and_lines_for_people() -> None:
    found = described()
    assert json.loads(json.dumps(found)) == found
    lines = render(found).splitlines()
    assert lines[0] == "group cache: active-standby, preset zone, automation observe, masters: 2"
    assert any("worst detection       3s, with slack" in line for line in lines)
    assert any("13.25s after a crash, 16.25s after silence" in line for line in lines)
    assert not any("a day" in line for line in lines)  # of one group it is said of the log


def test_of_several_groups_each_says_what_it_adds_to_the_log() -> None:
    policy = Policy(groups={name: preset("zone") for name in ("g", "h")})
    masters = [
        Master(id=name, group=group, address="http://127.0.0.1:7000")
        for name, group in (("a", "g"), ("b", "h"), ("c", "h"))
    ]
    said = [line for line in render(describe(policy, masters)).splitlines() if "a day" in line]
    assert [line.startswith("  log                   about ") for line in said] == [True, True]
    assert len(set(said)) == 2


def test_brakes_are_said_in_one_sentence() -> None:
    found = [
        described(line)["groups"]["cache"]["brakes"]
        for line in (
            "",
            'failover = { hold_down = "0s", limit = "none", failback = "30m" }',
        )
    ]
    assert found == [
        "held down for 10m, 2 within 1h, max(2, 25%)/10m in the whole fleet; what runs into a "
        "limit waits for approve; no place is given back by itself.",
        "max(2, 25%)/10m in the whole fleet; what runs into a limit waits for approve; its place "
        "is given back after 30m.",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "after 1m; one that fails 85 % of its requests"),
        ('balance.slow_start = "0s"', "is shared at once; one that"),
        ('balance.ejection = { failed = "never" }', "after 1m; while fewer than 30 % of"),
        ('balance = { panic = "never", ejection = { failed = "never" } }', "after 1m."),
        ("balance.ejection = { failed = 50 }", "fails 50 % of"),
    ],
)
def test_where_all_serve_it_says_how_one_begins(line: str, said: str) -> None:
    text = f'[groups.cache]\nmode = "active-active"\n{line}\n{MASTERS}'
    found = parse(text, source="t.toml")
    brakes = describe(found.policy, found.masters)["groups"]["cache"]["brakes"]
    assert brakes.startswith("none: every healthy master serves; one that begins to ")
    assert said in brakes
