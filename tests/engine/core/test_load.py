"""What masters say of themselves: what of it is recorded, and what an heir is chosen by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core import candidates
from engine.core import events as ev
from engine.core.fleet import Master, Mode
from engine.core.load import COUNT_STEP, LAG_STEP_US, SHARE_STEP_PPM, is_worth_recording
from engine.core.policy import MS, SECOND
from engine.core.seen import FIGURES
from tests.engine.core.build import Story, force, kinds, made, only, refused, story

SAID = ev.LoadReported(
    cpu_ppm=500_000, memory_ppm=0, queue=40, active=4, errors_ppm=0, position=1_000, lag_us=SECOND
)


def reports(tale: Story, name: str, **said: object) -> list[ev.Recorded]:
    return tale.see(ev.LoadReported(**said), name)  # type: ignore[arg-type]


def is_worth(tale: Story, name: str = "b", **said: object) -> bool:
    report = ev.LoadReported(**said)  # type: ignore[arg-type]
    return is_worth_recording(tale.state, name, report, tale.at_us)


def told(**changes: object) -> Story:
    tale = story(**changes)  # type: ignore[arg-type]
    tale.see(SAID, "b")
    return tale


def rules(tale: Story) -> dict[str, str]:
    rows = candidates.table(tale.state, tale.group, tale.at_us)
    return {row.master: row.rule for row in rows}


def ranked(tale: Story) -> list[str]:
    return [row.master for row in candidates.table(tale.state, tale.group, tale.at_us) if row.fit]


# The state.


def test_what_is_not_said_anew_is_as_it_was() -> None:
    tale = story()
    reports(tale, "b", cpu_ppm=7, follows="a:1", lease_us=0)
    tale.wait(MS)
    reports(tale, "b", position=9)
    said = tale.master("b").report
    assert said is not None
    assert (said.cpu_ppm, said.position, said.follows, said.lease_us) == (7, 9, "a:1", 0)
    assert (said.load_us, said.position_us) == (tale.at_us - MS, tale.at_us)
    assert (said.seq, said.at_us, said.queue) == (tale.state.seq, tale.at_us, -1)


def test_a_report_is_no_answer_and_moves_no_version() -> None:
    tale = story()
    before, heard_us = tale.group.version, tale.master("b").heard_us
    tale.wait(MS)
    assert kinds(reports(tale, "b", queue=1)) == []
    assert (tale.group.version, tale.master("b").heard_us) == (before, heard_us)


def test_a_good_probe_is_quiet_again_after_a_report() -> None:
    tale = told()
    tale.ok("b")
    assert "b" in tale.state.cache.places["b"].calm


# What is recorded.


def test_the_first_report_is_and_the_same_again_is_not() -> None:
    tale = story()
    assert not is_worth(tale)
    assert is_worth_recording(tale.state, "b", SAID, tale.at_us)
    tale.see(SAID, "b")
    tale.wait(60 * SECOND)
    assert not is_worth_recording(tale.state, "b", SAID, tale.at_us)


def test_nobody_says_nothing() -> None:
    assert not is_worth_recording(story().state, "z", SAID, 0)


@pytest.mark.parametrize("name", FIGURES)
def test_what_is_said_for_the_first_time_is_recorded(name: str) -> None:
    tale = story()
    reports(tale, "b", follows="a:1")
    assert is_worth(tale, **{name: 0})


@pytest.mark.parametrize(
    ("said", "worth"),
    [
        ({"cpu_ppm": 500_000 + SHARE_STEP_PPM}, True),
        ({"cpu_ppm": 500_000 - SHARE_STEP_PPM + 1}, False),
        ({"memory_ppm": SHARE_STEP_PPM}, True),
        ({"errors_ppm": SHARE_STEP_PPM - 1}, False),
        ({"queue": 30}, False),
        ({"queue": 29}, True),
        ({"queue": 53}, False),
        ({"queue": 54}, True),
        ({"active": 4 + COUNT_STEP}, False),
        ({"active": 5 + COUNT_STEP}, True),
        ({"lag_us": SECOND - SECOND // 4}, False),
        ({"lag_us": SECOND - SECOND // 4 - 1}, True),
        ({"lag_us": SECOND + LAG_STEP_US}, False),
        ({"lease_us": 0}, True),
        ({"follows": "a:1"}, True),
    ],
)
def test_a_step_is_recorded_and_less_is_not(said: dict[str, object], worth: bool) -> None:
    assert is_worth(told(), **said) is worth


@pytest.mark.parametrize(
    ("before", "now", "worth"),
    [(999, 1_000, False), (1_000, 1_001, True), (1_001, 1_000, True), (1_001, 1_002, False)],
)
def test_the_other_side_of_a_limit_is_recorded(before: int, now: int, worth: bool) -> None:
    tale = story(lag_us_max=1_000)
    reports(tale, "b", lag_us=before)
    assert is_worth(tale, lag_us=now) is worth


def test_a_position_is_recorded_at_every_tenth_probe() -> None:
    tale = told()
    tale.wait(100 * MS - 1)
    assert not is_worth(tale, position=9_999_999)
    tale.wait(1)
    assert is_worth(tale, position=1_001)
    assert not is_worth(tale, position=1_000)


def test_a_position_that_goes_back_is_recorded_at_once() -> None:
    tale = told()
    assert is_worth(tale, position=999)
    assert is_worth(tale, position=0)
    assert not is_worth(tale, position=-1)  # that it says none says nothing


def test_what_another_process_had_is_not_what_this_one_has() -> None:
    tale = story(behind_max=100, lag_us_max=SECOND)
    for name in "abc":
        reports(tale, name, position=30_305, lag_us=0, cpu_ppm=7)
    assert rules(tale)["b"] == "ranked"
    tale.restarts("b")
    tale.ok("b")
    assert tale.master("b").report is None
    assert rules(tale)["b"] == "behind"
    assert is_worth(tale, position=1)
    reports(tale, "b", position=1)
    assert ranked(tale) == ["c"]


def test_a_position_is_recorded_at_once_while_an_heir_may_be_chosen() -> None:
    tale = told(fall=2)
    tale.fails("a")
    assert is_worth(tale, position=1_001)
    tale.ok("a")
    assert not is_worth(tale, position=1_001)
    tale.closes("a")
    assert is_worth(tale, position=1_001)
    tale.refuses("a")
    assert is_worth(tale, position=1_001)
    tale.ask(ev.ExclusionAsked(excluded=True, reason="", author="x"), "c")
    tale.work()
    assert tale.group.saga is None
    assert not is_worth(tale, position=1_001)


def test_a_position_is_recorded_at_once_while_nobody_serves_or_who_does_is_unknown() -> None:
    nobody = Story(made())
    nobody.see(SAID, "b")
    assert is_worth(nobody, position=1_001)
    silent = told(interval_us=SECOND, unknown_after_us=5 * SECOND)
    silent.wait(6 * SECOND)
    silent.tick()
    assert is_worth(silent, position=1_001)


def test_nobody_is_chosen_where_everybody_serves() -> None:
    tale = story(mode=Mode.ACTIVE_ACTIVE)
    tale.see(SAID, "b")
    tale.fails("a")
    assert not is_worth(tale, position=1_001)


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=200))
def test_what_is_kept_is_never_further_off_than_a_step(queues: list[int]) -> None:
    tale = story()
    for queue in queues:
        if is_worth(tale, queue=queue):
            reports(tale, "b", queue=queue)
        said = tale.master("b").report
        assert said is not None
        assert abs(said.queue - queue) <= max(COUNT_STEP, max(said.queue, queue) // 4)


# Who is heir.


def test_the_freshest_of_equals_is_heir_and_the_table_says_so() -> None:
    masters = [Master(id=name, group="g", address="http://h:1") for name in "abcd"]
    tale = Story(made(), masters=tuple(masters)).serve()
    assert ranked(tale) == ["b", "c", "d"]
    reports(tale, "c", position=5, lag_us=9)
    assert ranked(tale) == ["c", "b", "d"]
    reports(tale, "d", position=5, lag_us=8)
    assert ranked(tale) == ["d", "c", "b"]
    reports(tale, "b", position=6)
    assert ranked(tale) == ["b", "d", "c"]
    rows = candidates.table(tale.state, tale.group, tale.at_us)
    assert rows[1].figures[-2:] == (("position", 5), ("lag_us", 8))
    tale.crashes("a")
    tale.work()
    assert tale.group.assigned == "b"


def test_then_who_is_least_busy_then_who_is_near() -> None:
    near = [("a", "eu"), ("b", "us"), ("c", "eu")]
    masters = [Master(id=name, group="g", address="http://h:1", region=at) for name, at in near]
    tale = Story(made(), masters=tuple(masters)).serve()
    assert ranked(tale) == ["c", "b"]
    reports(tale, "c", cpu_ppm=390_000, memory_ppm=100_000)
    reports(tale, "b", cpu_ppm=100_000, memory_ppm=310_000)
    assert ranked(tale) == ["c", "b"]
    reports(tale, "b", memory_ppm=299_999)
    assert ranked(tale) == ["b", "c"]
    rows = candidates.table(tale.state, tale.group, tale.at_us)
    assert rows[0].figures[-2:] == (("load_tenths", 2), ("away", 1))


def test_priority_goes_before_freshness() -> None:
    tale = story()
    reports(tale, "c", position=9)
    assert ranked(tale) == ["b", "c"]


def test_who_says_it_is_behind_too_far_is_passed_over() -> None:
    tale = story(lag_us_max=SECOND)
    reports(tale, "b", lag_us=SECOND)
    assert rules(tale)["b"] == "ranked"
    reports(tale, "b", lag_us=SECOND + 1)
    (row,) = [
        row for row in candidates.table(tale.state, tale.group, tale.at_us) if row.master == "b"
    ]
    assert (row.rule, row.figures) == (
        "lagging",
        (("lag_us", SECOND + 1), ("lag_us_max", SECOND)),
    )
    tale.crashes("a")
    tale.work()
    assert tale.group.assigned == "c"


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        ({}, []),  # nobody says anything: nobody is held against it
        ({"a": 100}, ["b", "c"]),
        ({"a": 100, "b": 90}, ["c"]),
        ({"a": 100, "b": 89, "c": 90}, ["b"]),
        ({"b": 5}, []),
        ({"b": 10}, ["c"]),
    ],
)
def test_who_lacks_too_much_of_the_newest_position_is_passed_over(
    said: dict[str, int], passed: list[str]
) -> None:
    tale = story(behind_max=10)
    for name, position in said.items():
        reports(tale, name, position=position)
    assert [name for name, rule in rules(tale).items() if rule == "behind"] == passed


def test_the_verdict_names_what_is_lacking() -> None:
    tale = story(behind_max=0)
    reports(tale, "a", position=7)
    row = candidates.table(tale.state, tale.group, tale.at_us)[1]
    assert (row.master, row.figures) == (
        "b",
        (("position", -1), ("newest", 7), ("behind_max", 0)),
    )


def test_where_loss_is_allowed_both_only_rank() -> None:
    tale = story(behind_max=0, lag_us_max=1, allow_loss=True)
    reports(tale, "a", position=7)
    reports(tale, "b", lag_us=9)
    assert set(rules(tale).values()) == {"ranked", "serving"}


def test_a_group_whose_standbys_all_lag_waits_and_is_served_when_one_has_caught_up() -> None:
    tale = story(behind_max=0)
    reports(tale, "a", position=7)
    assert "FailoverStarted" not in kinds(tale.crashes("a"))
    taken = reports(tale, "c", position=7)
    assert only(taken, ev.AttemptStarted).heir == "c"


def test_a_person_who_chooses_one_that_lags_is_told_so() -> None:
    tale = story(behind_max=0)
    reports(tale, "a", position=7)
    assert refused(force(tale, "b")) == ("b: behind (position -1, newest 7, behind_max 0)",)
    reports(tale, "b", position=7)
    assert only(force(tale, "b"), ev.AttemptStarted).heir == "b"
