"""What `check` says of the way in which masters are looked at."""

import msgspec
import pytest

from engine.config.looking import look_sentence, look_warnings
from engine.core.policy import MS, Probe, Secret, preset


def probe(**settings: object) -> Probe:
    return msgspec.structs.replace(preset("lan").probe, **settings)


def warned(**settings: object) -> list[str]:
    policy = msgspec.structs.replace(preset("lan"), probe=probe(**settings))
    return list(look_warnings(policy))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "GET /health by http, over a connection held open, whose end is seen at once"),
        ({"kind": "https", "hold_open": False}, "GET /health by https, over a connection each"),
        ({"kind": "tcp"}, "A process that hangs is not seen"),
        ({"kind": "tcp", "send": "x", "expect": "y"}, "and 'y' has to come; one is held open"),
        ({"kind": "tcp", "hold_open": False}, "none is held open"),
        ({"kind": "redis"}, "role, epoch, position and lag by redis"),
        ({"kind": "redis", "password": Secret(env="RP")}, "logs in with $RP"),
        ({"kind": "command", "command": ("look", "a b")}, "look 'a b' is run"),
        ({"kind": "push"}, "one whose last beat is 200ms old is overdue"),
        ({"kind": "python"}, "@engine.probe"),
    ],
)
def test_each_kind_says_what_it_sees_and_what_it_does_not(
    settings: dict[str, object], says: str
) -> None:
    assert says in look_sentence(probe(**settings))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"verify": False}, "whoever answers"),
        ({"kind": "command", "interval_us": 10 * MS}, "a command each 10ms"),
        ({"kind": "tcp", "hold_open": True}, "serves nobody else"),
        ({"kind": "redis", "hold_open": False}, "a crash is only seen by failed probes"),
    ],
)
def test_what_makes_a_probe_say_less_is_warned_of(settings: dict[str, object], says: str) -> None:
    (warning,) = warned(**settings)
    assert says in warning


def test_what_is_usual_is_not_warned_of() -> None:
    for kind in ("http", "https", "redis", "push", "python"):
        assert warned(kind=kind) == []
    assert warned(kind="tcp", hold_open=False) == []
    assert warned(kind="push", hold_open=False) == []
