"""Every mistake of a group, a master or what is around them: named, at its line, all at once."""

import pytest

from engine.config import parse
from engine.core.errors import ConfigurationError

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


FIVE = """\
[engine]
listen = "8600"

[groups.cache]
mode = "active-standby"
probe = { interval = "1s", fal = 4 }   # fall
slo = { objective = 99.5, window = 30 }

[[groups.cache.masters]]
id = "a"
address = "http://127.0.0.1:7001"

[[groups.cache.masters]]
id = "a"
address = "redis://127.0.0.1:7002"
"""


def test_five_mistakes_in_one_file_are_all_named_with_their_lines() -> None:
    assert mistakes(FIVE) == (
        't.toml:2: engine.listen: expected HOST:PORT with a port from 0 to 65535, found "8600"; '
        'write as in "127.0.0.1:8600"',
        "t.toml:6: groups.cache.probe.fal: expected one of kind, path, interval, timeout, "
        "recheck, rise, fall, hold_open, late_max, unknown_after, detector, phi, suspicion, "
        'flap_high, flap_low, slow, found the unknown key "fal" (4); did you mean fall?',
        "t.toml:7: groups.cache.slo.window: expected a duration, found 30; write a string with "
        'a unit: us, ms, s, m, h or d, as in "500ms" or "1.5s"',
        "t.toml:14: groups.cache.masters[1].id: expected a name that nothing else has, found "
        '"a", the name of the master on line 10; names of groups and masters are unique in the '
        "whole fleet: choose another",
        "t.toml:15: groups.cache.masters[1].address: expected an http:// URL, found "
        '"redis://127.0.0.1:7002"; redis:// is asked by probe.kind = "redis"',
    )


@pytest.mark.parametrize(
    ("line", "starts", "ends"),
    [
        ("probes = 1", "groups.cache.probes: expected one of", "did you mean probe?"),
        ("zzz = 1", "groups.cache.zzz: expected one of", "remove it"),
        ("balance.ejection.failed = 0", "groups.cache.balance.ejection.failed: ", "as in 99.95"),
        ('balance.slow_start = "x"', "groups.cache.balance.slow_start: expected a", '"1.5s"'),
        ("failover.across_regions = true", "groups.cache.failover.across_regions: ", "remove it"),
        ("failover.delay.crsh = 1", "groups.cache.failover.delay.crsh: ", "did you mean crash?"),
        ("probe = 3", "groups.cache.probe: expected a table, found 3", "… }"),
        ('automation = "atuo"', "groups.cache.automation: expected", 'did you mean "auto"?'),
        ("automation = true", "groups.cache.automation: expected", 'write "observe"'),
        ('strategy = "peak-ewma"', "groups.cache.strategy: expected",
         'this release takes "priority" or "round-robin" only'),
        ('probe.kind = "ping"', 'groups.cache.probe.kind: expected "http" or "https" or "tcp" or '
         '"redis" or "command" or "push" or "python", found "ping"', 'write "http"'),
        ('effects.kind = "htp"', "groups.cache.effects.kind: expected", 'did you mean "http"?'),
        ('fence.kind = "leash"', "groups.cache.fence.kind: expected", 'did you mean "lease"?'),
        ('preset = "zoen"', "groups.cache.preset: expected", 'did you mean "zone"?'),
        ('probe.path = "health"', "groups.cache.probe.path: expected a path", '"/health"'),
        ('probe.path = "/a b"', "groups.cache.probe.path: expected a path", '"/health"'),
        ("probe.rise = 0", "groups.cache.probe.rise: expected a whole number from 1 to 1000",
         "1 would do"),
        ("probe.fall = 9999", "groups.cache.probe.fall: expected a whole number", "1000 would do"),
        ("probe.fall = true", "groups.cache.probe.fall: expected a whole number", "found true; "
         "1 would do"),
        ("probe.fall = 2.0", "groups.cache.probe.fall: expected a whole number", "1 would do"),
        ("probe.hold_open = 1", "groups.cache.probe.hold_open: expected true or false", "quotes"),
        ("probe.interval = 5", "groups.cache.probe.interval: expected a duration, found 5", '"'),
        ("probe.interval = 0", "groups.cache.probe.interval: expected a duration from 1ms to 1d, "
         "found 0", 'the nearest that would do is "1ms"'),
        ('probe.timeout = "2d"', "groups.cache.probe.timeout: expected a duration from",
         'the nearest that would do is "1d"'),
        ('probe.recheck = "1 s"', 'groups.cache.probe.recheck: expected a duration, found "1 s"',
         '"1.5s"'),
        ('probe.unknown_after = "0s"', "groups.cache.probe.unknown_after: expected a duration "
         'from 1ms to 3650d or "never"', 'is "1ms"'),
        ('probe.unknown_after = "1s"', "groups.cache.probe.unknown_after: expected at least 1.5s, "
         "one interval and one time-out, found 1s", 'write unknown_after = "5s"'),
        ('failover.limit = "0/1h"', "groups.cache.failover.limit: expected a count and a window",
         "two failovers within an hour"),
        ('failover.limit = "2/0s"', "groups.cache.failover.limit: expected", "an hour"),
        ('failover.limit = "2 in 1h"', "groups.cache.failover.limit: expected", "an hour"),
        ('failover.failback = "soon"', "groups.cache.failover.failback: expected", '"30m"'),
        ('failover.step_timeout = "11s"', "groups.cache.failover.step_timeout: expected at most "
         "the deadline of the whole failover, 10s, found 11s", 'write step_timeout = "1s"'),
        ("failover.attempts = 0", "groups.cache.failover.attempts: expected", "1 would do"),
        ("slo.objective = 100", "groups.cache.slo.objective: expected a percentage", "99.95"),
        ("slo.objective = nan", "groups.cache.slo.objective: expected a percentage", "99.95"),
        ("slo.objective = 99.99999", "groups.cache.slo.objective: expected a percentage", "99.95"),
        ('slo.objective = "99%"', "groups.cache.slo.objective: expected a percentage", "99.95"),
        ("messages.remember = 0", "groups.cache.messages.remember: expected", "1 would do"),
        ('messages.deliver_timeout = "0s"', "groups.cache.messages.deliver_timeout: expected a "
         "duration from 1ms", 'is "1ms"'),
        ('fence.clients = "direct"', 'groups.cache.fence.clients: expected clients = "route" where '
         'kind = "gate", found "direct"', "if they all leave through route()"),
        ("probe = { fall = 5 }", "groups.cache.detect_within: expected at least 3.75s, the worst "
         "detection (interval 1s + (fall 5 - 1) x 500ms + timeout 500ms + slack 250ms = 3.75s), "
         "found 3.5s, the promise of preset zone", "lower interval, timeout, recheck or fall"),
        ('detect_within = "3s"', "groups.cache.detect_within: expected at least 3.25s",
         'write detect_within = "3.25s", or lower interval, timeout, recheck or fall'),
        ("masters = 3", "groups.cache.masters: expected an array of tables, found 3", "brackets"),
    ],
)  # fmt: skip
def test_a_mistake_of_a_group_is_named_at_its_line(line: str, starts: str, ends: str) -> None:
    text = f'[groups.cache]\nmode = "active-standby"\n{line}\n'
    if not line.startswith("masters"):
        text += '[[groups.cache.masters]]\nid = "a"\naddress = "http://127.0.0.1:7001"\n'
    (mistake,) = mistakes(text)
    # What is promised by a preset stands nowhere in the file: its group does.
    line_number = 1 if line == "probe = { fall = 5 }" else 3
    assert mistake.startswith(f"t.toml:{line_number}: {starts}")
    assert mistake.endswith(ends)
    assert "\n" not in mistake


@pytest.mark.parametrize(
    ("line", "starts"),
    [
        ("prority = 1", "groups.cache.masters[0].prority: expected one of"),
        ("priority = 0", "groups.cache.masters[0].priority: expected a whole number from 1"),
        ("weight = -1", "groups.cache.masters[0].weight: expected a whole number from 0"),
        ('region = ""', "groups.cache.masters[0].region: expected a name"),
        ("location = [91, 0]", "groups.cache.masters[0].location: expected a latitude"),
        ("location = [0, 180.1]", "groups.cache.masters[0].location: expected a latitude"),
        ("location = [0, inf]", "groups.cache.masters[0].location: expected a latitude"),
        ('location = ["0", 1]', "groups.cache.masters[0].location: expected a latitude"),
        ("location = [1]", "groups.cache.masters[0].location: expected a latitude"),
    ],
)
def test_a_mistake_of_a_master_is_named_at_its_line(line: str, starts: str) -> None:
    (mistake,) = mistakes(small(master=line))
    assert mistake.startswith(f"t.toml:7: {starts}")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:7001", "http://127.0.0.1", "http://127.0.0.1:0", "http://127.0.0.1:99999",
     "https://127.0.0.1:1", "http://:7001", "http://a:b@c:1", "http://a:1/x", "http://a:1?q=1",
     "http://a:1#f", "http://a b:1", "http://[::1:1", ""],
)  # fmt: skip
def test_an_address_is_an_http_url_with_host_and_port_only(address: str) -> None:
    text = small().replace("http://127.0.0.1:7001", address)
    (mistake,) = mistakes(text)
    assert mistake.startswith("t.toml:6: groups.cache.masters[0].address: expected an ")


@pytest.mark.parametrize("name", ["1a", "-a", "a b", "", "ä", "a/b", "a" * 65, "a\\nb"])
def test_names_start_with_a_letter_and_hold_few_characters(name: str) -> None:
    (of_master,) = mistakes(small().replace('"a"', f'"{name}"'))
    assert of_master.startswith("t.toml:5: groups.cache.masters[0].id: expected a name of at most")
    quoted = f'groups."{name}"'
    (of_group,) = mistakes(small().replace("groups.cache", quoted))
    assert of_group.startswith("t.toml:1: groups.")
    assert "expected a name of at most 64 characters that starts with a letter" in of_group
    assert "\n" not in of_group


@pytest.mark.parametrize(
    ("name", "owner"),
    [("cache", "the group on line 1"), ("fleet", "the whole fleet"), ("a", "the master on line 5")],
)
def test_a_name_belongs_to_one_thing(name: str, owner: str) -> None:
    second = f'[[groups.cache.masters]]\nid = "{name}"\naddress = "http://127.0.0.1:7002"\n'
    (mistake,) = mistakes(small() + second)
    assert mistake.startswith(
        "t.toml:9: groups.cache.masters[1].id: expected a name that nothing else has, "
        f'found "{name}", the name of {owner}; '
    )


def test_a_group_is_not_called_fleet() -> None:
    (mistake,) = mistakes(small().replace("groups.cache", "groups.fleet"))
    assert mistake.startswith("t.toml:1: groups.fleet: expected a name that nothing else has")


def test_an_id_is_unique_over_all_groups() -> None:
    text = small() + small().replace("cache", "web")
    (mistake,) = mistakes(text)
    assert mistake.startswith("t.toml:12: groups.web.masters[0].id: expected a name that nothing")


def test_two_masters_of_a_group_do_not_share_an_address() -> None:
    text = small() + '[[groups.cache.masters]]\nid = "b"\naddress = "http://127.0.0.1:7001/"\n'
    (mistake,) = mistakes(text)
    assert mistake.startswith("t.toml:10: groups.cache.masters[1].address: expected an address")


def test_two_groups_may_share_an_address() -> None:
    text = small() + small().replace("cache", "web").replace('"a"', '"b"')
    assert len(parse(text, source="t.toml").masters) == 2


@pytest.mark.parametrize("masters", ["", "masters = []"])
def test_an_empty_group_is_refused(masters: str) -> None:
    (mistake,) = mistakes(f'[groups.cache]\nmode = "active-standby"\n{masters}\n')
    assert "groups.cache.masters: expected at least one master, found none; add" in mistake


@pytest.mark.parametrize("text", ["", "[groups]\n", '[engine]\nlog = "x"\n'])
def test_a_file_without_a_group_is_refused(text: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake.startswith("t.toml:1: groups: expected at least one group, found none; add")


def test_what_is_needed_and_not_there_is_named() -> None:
    text = "\n[groups.cache]\n[[groups.cache.masters]]\n"
    assert [mistake.partition(", found nothing; write ")[::2] for mistake in mistakes(text)] == [
        ('t.toml:2: groups.cache.mode: expected "active-active" or "active-standby"',
         'mode = "active-standby"'),
        ("t.toml:3: groups.cache.masters[0].id: expected a name of at most 64 characters that "
         "starts with a letter", 'id = "cache-a"'),
        ("t.toml:3: groups.cache.masters[0].address: expected an URL with host and port",
         'address = "http://127.0.0.1:7001"'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "starts"),
    [
        ('[engine]\nlog = "postgresql://h/d"', "engine.log: expected a path or an sqlite:// URL"),
        ("[engine]\nlog = 1", "engine.log: expected a string"),
        ('[engine]\nlisten = "h:65536"', "engine.listen: expected HOST:PORT"),
        ('[engine]\npreset = "wan"', "engine.preset: expected"),
        ('[engine]\nlogs = "x"', "engine.logs: expected one of preset, log, listen"),
        ('[log]\nflush = "2m"', "log.flush: expected a duration from 0s to 1m"),
        ('[log]\nreserve = "64MB"', "log.reserve: expected a size, found"),
        ('[auth]\nann = "x"', "auth.ann: expected a table"),
        ('[fleet]\nlimit = "2"', "fleet.limit: expected a count or a share of the groups and a"),
        ('[fleet]\nlimit = "101%/1h"', "fleet.limit: expected a count or a share of the groups"),
        ('[alerts]\nfailovers = "3"', "alerts.failovers: expected a count and a window"),
        ('[alerts]\npaused = "0s"', "alerts.paused: expected a duration from 1s"),
        (
            '[alerts]\nno_heir_critical = "1m"',
            "alerts.no_heir_critical: expected at least 2m, as no_heir_warning has it, found 1m",
        ),
        (
            "[alerts]\nqueue_critical = 999",
            "alerts.queue_critical: expected at least 1000, as queue_warning has it, found 999",
        ),
        (
            "[alerts]\ncpu_critical = 84.5",
            "alerts.cpu_critical: expected at least 85, as cpu_warning has it, found 84.5",
        ),
        ("[alerts]\nshare = 100", "alerts.share: expected a percentage above 0 and below 100"),
    ],
)
def test_a_mistake_outside_the_groups_is_named_at_its_line(table: str, starts: str) -> None:
    (mistake,) = mistakes(f"{small()}{table}\n")
    assert mistake.startswith(f"t.toml:9: {starts}")
