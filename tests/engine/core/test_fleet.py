"""Who is there, as it is stored."""

import msgspec
import pytest

from engine.core.fleet import Health, Master, Mode, Role

# Add to these; never change one: logs hold the values.
VALUES = {
    Mode: ["active-active", "active-standby"],
    Health: ["unknown", "healthy", "degraded", "failed", "recovering"],
    Role: ["standby", "promoting", "active", "draining", "fenced"],
}


@pytest.mark.parametrize("kind", VALUES)
def test_the_stored_words_are_frozen(kind: type[Mode | Health | Role]) -> None:
    assert [member.value for member in kind] == VALUES[kind]


def test_a_master_is_stored_as_an_array_whose_end_may_be_missing() -> None:
    short = msgspec.msgpack.encode(["a", "g", "http://h:1"])
    assert msgspec.msgpack.decode(short, type=Master) == Master(
        id="a", group="g", address="http://h:1", priority=1, weight=1, region="", location=None
    )
