"""Every setting says whether a log can answer what it would have changed."""

import msgspec
import pytest

from engine.answers.spelling import written
from engine.core.policy import SECOND, Automation, Policy, preset
from engine.whatif import keys
from engine.whatif.keys import Sort, answerable, changes, declared, settings, sort_of, spelled
from tests.engine.whatif.asking import changed

LAN = Policy(groups={"g": preset("lan"), "h": preset("zone")})


def test_somebody_has_thought_about_every_setting() -> None:
    missing = [path for path in settings(preset("zone")) if declared(path) is None]
    assert missing == []


def test_nothing_is_declared_that_there_is_not() -> None:
    there = set(settings(preset("zone")))
    stale = [
        path
        for path in keys.SORTS
        if path not in there
        and not any(one.startswith(f"{path}.") for one in there)
        and path not in ("fleet", "alerts")
    ]
    assert stale == []


@pytest.mark.parametrize(
    ("path", "sort"),
    [
        ("probe.fall", Sort.DECIDED),
        ("probe.timeout_us", Sort.NARROWING),
        ("probe.interval_us", Sort.OBSERVED),
        ("fence.kind", Sort.DECIDED),
        ("nobody.knows", Sort.OBSERVED),
    ],
)
def test_a_setting_has_its_own_sort_or_that_of_what_it_is_part_of(path: str, sort: Sort) -> None:
    assert sort_of(path) is sort


def test_a_time_out_may_become_smaller_and_not_larger() -> None:
    less = changes(LAN, changed(probe__timeout_us=1_000)(LAN))
    more = changes(LAN, changed(probe__timeout_us=SECOND)(LAN))
    assert [found.is_answerable for found in less] == [True, True]
    assert [found.is_answerable for found in more] == [False, False]
    refused = more[0].refusal(written)
    assert "expected less than what was recorded, 100ms, found 1s:" in refused
    assert "tanist simulate can" in refused


def test_what_would_have_been_observed_is_refused_by_name() -> None:
    (first, _) = changes(LAN, changed(probe__interval_us=SECOND * 5)(LAN))
    assert not first.is_answerable
    refused = first.refusal(written)
    assert "probe.interval of g changes what is observed (recorded 100ms, asked 5s)" in refused
    assert "tanist simulate can" in refused


def test_what_is_decided_can_be_asked_about() -> None:
    asked = changed(probe__fall=9, automation=Automation.AUTO)(LAN)
    found = changes(LAN, asked)
    assert [(one.group, one.path, one.after) for one in found if one.group == "g"] == [
        ("g", "automation", "auto"),
        ("g", "probe.fall", 9),
    ]
    assert all(one.is_answerable for one in found)


def test_the_rest_of_a_change_is_left_as_it_was_recorded() -> None:
    before = LAN.groups["g"]
    asked = changed(probe__fall=9, probe__interval_us=1, effects="none")(LAN).groups["g"]
    found = answerable(before, asked, "g")
    assert found == msgspec.structs.replace(
        before, probe=msgspec.structs.replace(before.probe, fall=9)
    )


@pytest.mark.parametrize("path", list(settings(preset("zone"))))
def test_a_setting_is_spelled_as_a_configuration_spells_it(path: str) -> None:
    assert not spelled(path).endswith("_us")
