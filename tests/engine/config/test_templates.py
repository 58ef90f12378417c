"""The file that `tanist init` writes."""

import re

import pytest

from engine.config import parse, template
from engine.core.errors import ConfigurationError
from engine.core.policy import PRESETS, Automation


@pytest.mark.parametrize("name", PRESETS)
def test_the_template_says_what_its_preset_says_but_only_observes(name: str) -> None:
    found = parse(template(None, name), source="tanist.toml")
    group = found.policy.groups["main"]
    assert group.preset == name
    assert group.automation is Automation.OBSERVE
    assert found.flush_us == PRESETS[name].flush_us
    assert [master.priority for master in found.masters] == [1, 2, 3]


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_behind_a_comment_is_what_is_in_force(name: str) -> None:
    text = template(None, name)
    bare, count = re.subn(r"(?m)^# (?=[a-z_]+ = )(?!region)", "", text)
    assert count == text.count("\n# ") - 3  # the two lines of the head, and the region
    found = parse(bare, source="tanist.toml")
    assert found == parse(text, source="tanist.toml")


def test_the_template_has_the_masters_it_is_given() -> None:
    given = ("http://10.0.0.1:80", "http://10.0.0.2:80/")
    found = parse(template(given, "lan"), source="tanist.toml")
    assert [(master.id, master.address, master.priority) for master in found.masters] == [
        ("m1", "http://10.0.0.1:80", 1),
        ("m2", "http://10.0.0.2:80", 2),
    ]


def test_comments_stand_in_one_column_and_lines_are_short() -> None:
    lines = template(None, "region").splitlines()
    assert max(map(len, lines)) <= 110
    columns = [line.rindex("  # ") for line in lines if "  # " in line]
    assert len(columns) > 20
    assert columns.count(30) >= len(columns) - 2


def test_addresses_that_are_none_or_there_twice_are_all_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        template(("ftp://x", "http://a:1", "http://a:1/"), "zone")
    first, second = caught.value.mistakes
    assert first.startswith('--http: expected an http:// URL, found "ftp://x"; ')
    assert second.startswith('--http: expected each address once, found "http://a:1" again')


def test_a_preset_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected one of bench, lan, zone, region"):
        template(None, "wan")
