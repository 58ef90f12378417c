"""Secrets: the configuration says where they are, and a wrong one is one clear line."""

import base64
from pathlib import Path

import pytest

from engine.config import load, parse
from engine.config.secrets import Secret, keys
from engine.core.errors import ConfigurationError
from engine.core.policy import DAY

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
REST = (
    '[groups.g]\nmode = "active-active"\n[[groups.g.masters]]\nid = "a"\naddress = "http://a:1"\n'
)


def places(text: str) -> tuple[Secret, ...]:
    return parse(f"[log]\nbodies_key = {text}\n{REST}", source="t.toml").bodies_key


def test_a_place_is_a_variable_or_a_file_and_there_may_be_several() -> None:
    assert parse(REST, source="t").bodies_key == ()
    assert places('{ env = "NAME" }') == (Secret(env="NAME"),)
    assert places('[{ file = "new" }, { env = "OLD" }]') == (Secret(file="new"), Secret(env="OLD"))
    assert [str(place) for place in places('[{ file = "new" }, { env = "OLD" }]')] == [
        "new",
        "$OLD",
    ]


@pytest.mark.parametrize(
    "text",
    [
        '"0123456789abcdef"',
        "{}",
        '{ env = "" }',
        '{ env = "A=B" }',
        '{ env = "A", file = "b" }',
        '{ vault = "x" }',
        "{ file = 3 }",
        '[{ env = "A" }, "secret"]',
    ],
)
def test_a_secret_itself_is_refused_and_never_shown(text: str) -> None:
    with pytest.raises(ConfigurationError) as err:
        places(text)
    (mistake,) = err.value.mistakes
    assert mistake.startswith("t.toml:2: log.bodies_key: expected a place of a secret, never the")
    assert 'write { env = "NAME" } or { file = "PATH" }' in mistake


def test_an_empty_list_is_no_place() -> None:
    with pytest.raises(ConfigurationError, match="from 1 to 16 places"):
        places("[]")


@pytest.mark.parametrize(
    "spell",
    [
        lambda key: key.hex(),
        lambda key: f" {key.hex().upper()}\n",
        lambda key: base64.b64encode(key).decode(),
        lambda key: base64.urlsafe_b64encode(key).decode() + "\n",
    ],
)
def test_a_key_is_read_as_hex_and_as_base64(
    spell: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = bytes([251, 255, 190]) * 10 + b"\xff\xfe"
    assert callable(spell)
    (tmp_path / "key").write_text(spell(key))
    monkeypatch.setenv("BODIES", spell(OTHER))
    source = str(tmp_path / "t.toml")
    found = keys([Secret(file="key"), Secret(env="BODIES")], name="log.bodies_key", source=source)
    assert found == (key, OTHER)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file or directory"),
        (KEY.hex()[:-2], "31 bytes"),
        (KEY.hex() + "00", "33 bytes"),
        ("not a key!", "neither"),
        ("x" * 5_000, "a file that is too long"),
        ("", "0 bytes"),
    ],
)
def test_what_is_no_key_is_one_line_that_does_not_show_it(
    content: str | None, says: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    source = str(tmp_path / "t.toml")
    with pytest.raises(ConfigurationError) as err:
        keys([Secret(file="key")], name="log.bodies_key", source=source)
    expected = f"{source}: log.bodies_key: expected 32 bytes as hex or base64 in key, found {says}"
    assert err.value.mistakes == (expected,)


def test_every_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MISSING", raising=False)
    monkeypatch.setenv("EMPTY", "")
    with pytest.raises(ConfigurationError) as err:
        keys([Secret(env="MISSING"), Secret(env="EMPTY")], name="k", source="t.toml")
    assert [mistake.split(", ")[-1] for mistake in err.value.mistakes] == [
        "found no such variable",
        "found nothing",
    ]


def test_looking_at_a_configuration_needs_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(f'[log]\nbodies_key = {{ env = "NOWHERE" }}\nkeep_bodies = "90m"\n{REST}')
    found = load(path)
    assert found.keep_bodies_us == 90 * 60_000_000
    assert parse(REST, source="t").keep_bodies_us == DAY
