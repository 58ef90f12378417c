"""The kinds of probes, each with the keys that it takes and the addresses that it asks."""

import pytest

from engine.config import override, parse
from engine.core.errors import ConfigurationError
from engine.core.policy import GroupPolicy, Policy, Secret

ADDRESSES = {
    "http": "http://127.0.0.1:1",
    "https": "https://a.example:1",
    "tcp": "tcp://127.0.0.1:1",
    "redis": "rediss://127.0.0.1:1",
    "command": "postgres://127.0.0.1:1",
    "push": "bot://127.0.0.1:1",
    "python": "http://127.0.0.1:1",
}


def text(probe: str, address: str, more: str = "") -> str:
    return (
        f'[groups.g]\nmode = "active-standby"\nprobe = {{ {probe} }}\n{more}\n'
        f'[[groups.g.masters]]\nid = "a"\naddress = "{address}"\n'
    )


def read(probe: str, address: str, more: str = "") -> GroupPolicy:
    return parse(text(probe, address, more), source="t.toml").policy.groups["g"]


def mistake(probe: str, address: str, more: str = "") -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse(text(probe, address, more), source="t.toml")
    (found,) = caught.value.mistakes
    return found


NEEDED = {"command": ', command = ["look"]'}


@pytest.mark.parametrize("kind", ADDRESSES)
def test_each_kind_asks_addresses_of_its_own(kind: str) -> None:
    probe = f'kind = "{kind}"{NEEDED.get(kind, "")}'
    assert read(probe, ADDRESSES[kind], 'effects.kind = "none"').probe.kind == kind
    if kind in ("command", "push", "python"):
        return
    for other, address in ADDRESSES.items():
        if address.partition(":")[0] != ADDRESSES[kind].partition(":")[0]:
            found = mistake(probe, address, 'effects.kind = "none"')
            assert found.startswith(f"t.toml:7: groups.g.masters[0].address: expected an {kind}://")
            if other in ("http", "https", "tcp", "redis"):
                assert f'probe.kind = "{other}"' in found


@pytest.mark.parametrize("kind", ADDRESSES)
def test_only_who_speaks_http_is_sent_the_control_protocol_by_default(kind: str) -> None:
    probe = f'kind = "{kind}"{NEEDED.get(kind, "")}'
    if kind in ("tcp", "redis"):
        assert read(probe, ADDRESSES[kind]).effects == "none"
        found = mistake(probe, ADDRESSES[kind], 'effects.kind = "http"')
        assert found.endswith('write effects = { kind = "none" }')
    elif kind in ("command", "push"):
        assert mistake(probe, ADDRESSES[kind]).endswith('write effects = { kind = "none" }')
        assert read(probe, "https://a:1").effects == "http"
    else:
        assert read(probe, ADDRESSES[kind]).effects == "http"


def test_over_bare_tcp_no_connection_is_held_unless_it_is_written() -> None:
    assert not read('kind = "tcp"', "tcp://a:1").probe.hold_open
    assert read('kind = "tcp", hold_open = true', "tcp://a:1").probe.hold_open
    assert read('kind = "redis"', "redis://a:1").probe.hold_open
    held = Policy(groups={"g": read('kind = "tcp", hold_open = true', "tcp://a:1")})
    assert override(held, "probe.fall=1").groups["g"].probe.hold_open


def test_what_only_some_kinds_take_reaches_its_field() -> None:
    https = read('kind = "https", verify = false, ca = "ca.pem", path = "/up"', "https://a:1").probe
    assert (https.verify, https.ca, https.path) == (False, "ca.pem", "/up")
    tcp = read('kind = "tcp", send = "PING\\r\\n", expect = "+PONG"', "tcp://a:1").probe
    assert (tcp.send, tcp.expect) == ("PING\r\n", "+PONG")
    redis = read('kind = "redis", user = "u", password = { env = "P" }', "redis://a:1").probe
    assert (redis.user, redis.password) == ("u", Secret(env="P"))
    command = read('kind = "command", command = ["look", "-q"]', "http://a:1").probe
    assert command.command == ("look", "-q")


@pytest.mark.parametrize(
    ("probe", "place", "remedy"),
    [
        ('kind = "redis", path = "/x"', "path: expected no path", 'kind = "http" or "https"'),
        ('kind = "tcp", verify = false', "verify: expected no verify", '"https" or "redis"'),
        ('kind = "redis", command = ["x"]', "command: expected no", 'write kind = "command"'),
        ('kind = "redis", password = "x"', "password: expected a place of a secret", "PATH"),
        ('kind = "redis", user = "u"', "user: expected the password", 'env = "NAME"'),
        ('kind = "tcp", send = "x"', "send: expected an answer to wait for", '"+PONG"'),
        ('kind = "tcp", expect = ""', "expect: expected a string of 1 to", "PING"),
        ('kind = "command"', "command: expected a program", "--quick"),
        ('kind = "command", command = []', "command: expected a list of 1", "--quick"),
        ('kind = "command", command = "x"', "command: expected a list of 1", "--quick"),
        ('kind = "command", command = [" "]', "command: expected a list of 1", "--quick"),
        ('kind = "command", command = ["a\\u0000"]', "command: expected a list of 1", "--quick"),
        ('kind = "push", hold_open = true', "hold_open: expected no hold_open", '"redis"'),
    ],
)
def test_what_a_kind_cannot_take_is_one_line(probe: str, place: str, remedy: str) -> None:
    kind = probe.split('"')[1]
    found = mistake(probe, ADDRESSES[kind], 'effects.kind = "none"')
    assert found.startswith(f"t.toml:3: groups.g.probe.{place}")
    assert remedy in found


def test_a_password_in_an_address_is_refused_because_the_log_is_for_all_to_read() -> None:
    found = mistake('kind = "redis"', "redis://u:p@a:1")
    assert 'write probe.password = { env = "NAME" }' in found
