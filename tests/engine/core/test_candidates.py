"""Who could be heir, and by which rule everybody else is passed over."""

from collections.abc import Callable

import pytest

from engine.core import candidates
from engine.core import events as ev
from engine.core.events import Result, Verdict
from engine.core.fleet import Health, Master
from engine.core.policy import MS, SECOND, Automation
from tests.engine.core.build import Story, made, only, story


def table(tale: Story, *, is_tolerant: bool = False) -> tuple[Verdict, ...]:
    return candidates.table(tale.state, tale.group, tale.at_us, is_tolerant=is_tolerant)


def ranked(tale: Story) -> list[str]:
    return [verdict.master for verdict in table(tale) if verdict.fit]


def rule_of(tale: Story, name: str, *, is_tolerant: bool = False) -> str:
    (verdict,) = [row for row in table(tale, is_tolerant=is_tolerant) if row.master == name]
    return verdict.rule


def test_every_master_has_a_row_and_the_heir_is_first() -> None:
    rows = table(story())
    assert [(row.master, row.fit, row.rank) for row in rows] == [
        ("b", True, 1),
        ("c", True, 2),
        ("a", False, 0),
    ]
    assert candidates.heir(rows) == "b"


def test_a_table_says_what_it_rests_on() -> None:
    tale = story()
    tale.wait(3 * MS)
    assert table(tale)[0].figures == (
        ("health_rank", 1),
        ("just_left", 0),
        ("priority", 2),
        ("good_age_us", 3 * MS),
    )


def test_nobody_is_heir_of_an_empty_table() -> None:
    assert candidates.heir(()) == ""


def test_health_goes_before_priority() -> None:
    tale = story(fall=1)
    tale.degraded("b")
    assert ranked(tale) == ["c", "b"]


def test_who_was_just_left_comes_after_priority() -> None:
    tale = story()
    tale.crashes("a")
    tale.work()
    tale.restarts("a")
    tale.ok("a", "a", "a", "b", "c")
    tale.answers("fence")
    assert ranked(tale) == ["c", "a"]
    assert dict(table(tale)[1].figures)["just_left"] == 1


def test_equal_priorities_go_by_id() -> None:
    masters = [Master(id=name, group="g", address="http://h:1") for name in "cab"]
    tale = Story(made(automation=Automation.CONFIRM), masters=tuple(masters))
    tale.ok(*"cab")
    assert ranked(tale) == ["a", "b", "c"]


def serving(tale: Story) -> str:
    return "a"


def fenced(tale: Story) -> str:
    tale.crashes("a")
    return "a"


def promoting(tale: Story) -> str:
    tale.crashes("a")
    tale.answers("transfer")
    return "b"


def excluded(tale: Story) -> str:
    tale.ask(ev.ExclusionAsked(excluded=True, reason="", author="x"), "b")
    return "b"


def maintained(tale: Story) -> str:
    until_us = tale.at_us + 1
    tale.ask(ev.MaintenanceDeclared(from_us=tale.at_us, to_us=until_us, reason="", author="x"), "b")
    return "b"


def failed(tale: Story) -> str:
    tale.fails("b")
    return "b"


def recovering(tale: Story) -> str:
    tale.fails("b")
    tale.ok("b")
    return "b"


def unknown(tale: Story) -> str:
    tale.wait(6 * SECOND)
    tale.tick()
    return "b"


def stale(tale: Story) -> str:
    tale.wait(70 * MS + 1)
    return "b"


def spent(tale: Story) -> str:
    tale.crashes("a")
    tale.answers("transfer", ev.Result.FAILED)
    return "b"


@pytest.mark.parametrize(
    ("happens", "rule", "rule_when_tolerant"),
    [
        (serving, "serving", "serving"),
        (fenced, "fenced", "fenced"),
        (promoting, "promoting", "promoting"),
        (excluded, "excluded", "excluded"),
        (maintained, "maintenance", "maintenance"),
        (failed, "health-failed", "health-failed"),
        (recovering, "health-recovering", "health-recovering"),
        (unknown, "health-unknown", "ranked"),
        (stale, "stale", "ranked"),
        (spent, "failed-attempt", "failed-attempt"),
    ],
)
def test_each_rule_passes_over(
    happens: Callable[[Story], str], rule: str, rule_when_tolerant: str
) -> None:
    tale = story()
    name = happens(tale)
    assert rule_of(tale, name) == rule
    assert rule_of(tale, name, is_tolerant=True) == rule_when_tolerant


def test_a_good_probe_is_fresh_for_two_intervals_and_a_time_out() -> None:
    tale = story()
    assert candidates.fresh_within_us(tale.state, tale.group) == 70 * MS
    tale.wait(70 * MS)
    assert rule_of(tale, "b") == "ranked"
    tale.wait(1)
    assert rule_of(tale, "b") == "stale"


@pytest.mark.parametrize(("from_us", "to_us"), [(-9, 0), (1, 9)])
def test_maintenance_that_is_over_or_to_come_passes_nobody_over(from_us: int, to_us: int) -> None:
    tale = story()
    declared = ev.MaintenanceDeclared(
        from_us=tale.at_us + from_us, to_us=tale.at_us + to_us, reason="", author="x"
    )
    tale.ask(declared, "b")
    assert rule_of(tale, "b") == "ranked"


def test_every_rule_that_is_failed_can_be_told() -> None:
    tale = story()
    excluded(tale)
    tale.fails("b")
    tale.wait(SECOND)
    rules = candidates.every_rule(tale.state, tale.group, "b", tale.at_us)
    assert [rule for rule, _ in rules] == ["excluded", "health-failed", "stale"]


def test_who_is_unknown_ranks_last_when_tolerated() -> None:
    tale = story()
    unknown(tale)
    tale.ok("c")
    rows = table(tale, is_tolerant=True)
    assert [row.master for row in rows if row.fit] == ["c", "b"]
    assert tale.master("b").health is Health.UNKNOWN


@pytest.mark.parametrize(
    ("result", "heir"), [(Result.REFUSED, "a"), (Result.FAILED, "c"), (Result.UNKNOWN, "c")]
)
def test_once_an_heir_was_refused_for_its_data_who_has_the_most_comes_first(
    result: Result, heir: str
) -> None:
    tale = story(names="abcd")
    tale.crashes("a")
    tale.restarts("a")
    for _ in range(2):
        tale.ok("a")
    tale.answers("fence")
    for name in "bcd":
        tale.see(ev.LoadReported(position=300), name)
    tale.see(ev.LoadReported(position=400), "a")
    taken = tale.answers("transfer", result)
    assert only(taken, ev.AttemptStarted).heir == heir  # a was just left, so it comes last else
