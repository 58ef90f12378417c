"""A group whose masters all serve, when so few are left that soft evidence counts no more."""

import pytest

from engine.core import events as ev
from engine.core.fleet import Health, Mode, Role
from engine.core.policy import PRESETS, SECOND, Automation, Balance, preset
from engine.core.serving import able, in_panic, weights
from tests.engine.core.build import Story, declared, kinds, made, only, story, subjects


def serving(names: str = "abc", *, percent: int = 30, **changes: object) -> Story:
    """Return a group of `names` that all serve, and one of a master that is always heard."""
    balance = Balance(slow_start_us=0, panic_ppm=percent * 10_000)
    own = made(mode=Mode.ACTIVE_ACTIVE, unknown_after_us=0, balance=balance, **changes)
    heard = made(mode=Mode.ACTIVE_ACTIVE, unknown_after_us=0)
    masters = (*declared(names), *declared("z", group="h"))
    tale = Story({"g": own, "h": heard}, masters=masters)
    for _ in range(2):
        tale.ok(*names, "z")
        tale.work()
    return tale


def shared(tale: Story) -> str:
    return "".join(name for name, weight in weights(tale.state, tale.group).items() if weight)


def fail(tale: Story, *names: str) -> list[str]:
    """Let masters hang, one after the other, while another group is heard; return who is fenced."""
    found = []
    for name in names:
        tale.wait(SECOND)
        tale.ok("z")
        found += subjects(tale.fails(name), ev.MasterFenced)
    return found


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_published_share(name: str) -> None:
    balance = preset(name, mode=Mode.ACTIVE_ACTIVE).balance
    assert balance is not None
    assert balance.panic_ppm == (500_000 if name == "region" else 300_000)
    assert preset(name).balance is None


@pytest.mark.parametrize(
    ("names", "percent", "left"),
    [
        ("abc", 30, 0),
        ("abc", 34, 1),
        ("abcd", 30, 1),
        ("abcd", 25, 0),
        ("ab", 50, 0),
        ("ab", 51, 1),
    ],
)
def test_a_panic_begins_below_the_share(names: str, percent: int, left: int) -> None:
    tale = serving(names, percent=percent)
    count = len(names)
    for number, name in enumerate(names, start=1):
        tale.master(name).is_doubted = True
        assert in_panic(tale.state, tale.group) is (count - number <= left)


@pytest.mark.parametrize("how", ["drain", "exclude", "maintenance"])
def test_who_rests_because_somebody_wants_it_is_none_that_is_lacking(how: str) -> None:
    tale = serving("abcdefghij")
    for name in "cdefghij":
        asked: ev.Observation = ev.DrainAsked(drained=True, reason="night", author="ann")
        if how == "exclude":
            asked = ev.ExclusionAsked(excluded=True, reason="night", author="ann")
        elif how == "maintenance":
            asked = ev.MaintenanceDeclared(
                from_us=tale.at_us, to_us=tale.at_us + 3_600 * SECOND, reason="night", author="ann"
            )
        tale.see(asked, name)
    tale.work()
    assert shared(tale) == "ab"
    assert not in_panic(tale.state, tale.group)
    # One of the two that are left hangs: it is as in a group of two.
    assert fail(tale, "a") == ["a"]
    assert shared(tale) == "b"


def test_the_last_ones_that_fail_softly_serve_on() -> None:
    tale = serving()
    assert fail(tale, "a", "b") == ["a", "b"]
    assert shared(tale) == "c"
    assert fail(tale, "c") == []
    assert (tale.master("c").health, tale.master("c").role) == (Health.FAILED, Role.ACTIVE)
    # Whoever was out on soft evidence is back, and that is no heir.
    assert shared(tale) == "abc"
    assert able(tale.group) == set()


def test_that_they_are_back_is_said_with_its_reason() -> None:
    tale = serving()
    fail(tale, "a", "b")
    tale.wait(SECOND)
    tale.ok("z")
    back = [r for r in tale.fails("c") if isinstance(r.event, ev.Activated)]
    assert [(r.subject, r.event.rule) for r in back] == [("a", "panic"), ("b", "panic")]


def test_when_one_is_well_again_the_others_are_out_again() -> None:
    tale = serving()
    fail(tale, "a", "b", "c")
    tale.wait(SECOND)
    tale.ok("b")
    taken = tale.ok("b")
    assert sorted(subjects(taken, ev.MasterFenced)) == ["a", "c"]
    assert shared(tale) == "b"


def test_hard_evidence_counts_in_a_panic_too() -> None:
    tale = serving()
    fail(tale, "a", "b")
    assert subjects(tale.crashes("c"), ev.MasterFenced) == ["c"]
    assert shared(tale) == "ab"
    # And one that is refused while it serves in the panic is out.
    assert subjects(tale.crashes("a"), ev.MasterFenced) == ["a"]
    assert shared(tale) == "b"


def test_whoever_has_not_confirmed_its_fence_is_not_back() -> None:
    tale = serving(effects="http")
    fail(tale, "a", "b", "c")
    assert shared(tale) == "c"
    assert {tale.master(name).role for name in "ab"} == {Role.FENCED}


def test_an_engine_that_only_observes_sends_traffic_all_the_same() -> None:
    tale = serving(automation=Automation.OBSERVE)
    assert fail(tale, "a", "b", "c") == []
    assert shared(tale) == "abc"


def test_where_it_is_never_nobody_serves_then() -> None:
    tale = serving(percent=0)
    assert fail(tale, "a", "b", "c") == ["a", "b", "c"]
    assert shared(tale) == ""


def test_who_is_excluded_is_not_back() -> None:
    tale = serving()
    tale.ask(ev.ExclusionAsked(excluded=True, reason="r", author="x"), "a")
    assert "Activated" not in kinds(tale.tick())
    fail(tale, "b", "c")
    assert "a" not in shared(tale)


def test_one_active_alone_knows_no_panic() -> None:
    tale = story(balance=Balance(slow_start_us=0, panic_ppm=900_000), unknown_after_us=0)
    assert not in_panic(tale.state, tale.group)
    assert only(tale.crashes("a"), ev.MasterFailed).hard
