import pytest

from engine.bench.report import Bound, Machine, Part, Report, goals, part, unmeasured

LEAST = Bound(of="ratio", at_least=0.8)
MACHINE = Machine(
    sqlite="3.51.3", driver="sqlite3", python="3.11.0", cores=2, load=0.1, system="Linux"
)


def figure(value: float, *, floor: float | None = 100, goal: Bound | None = LEAST) -> Part:
    return part("one", "one event", "events/s", value, floor=floor, goal=goal)


def report(*verdicts: float) -> Report:
    found = {f"P{number}": [figure(value)] for number, value in enumerate(verdicts, start=1)}
    return Report(quick=False, rounds=1, machine=MACHINE, goals=goals(found))


@pytest.mark.parametrize(
    ("bound", "value", "met"),
    [
        (LEAST, 79, False),
        (LEAST, 80, True),
        (Bound(of="ratio", at_most=1.25), 126, False),
        (Bound(of="ratio", at_most=1.25), 125, True),
        (Bound(of="value", at_most=20), 21, False),
        (Bound(of="value", at_most=20), 20, True),
        (Bound(of="value", at_least=20), 19, False),
    ],
)
def test_a_goal_is_about_the_value_or_about_its_ratio_to_the_floor(
    bound: Bound, value: float, met: bool
) -> None:
    found = figure(value, goal=bound)
    assert (found.ratio, found.met) == (value / 100, met)


def test_a_figure_without_a_goal_or_without_a_floor_to_judge_it_by_has_no_verdict() -> None:
    assert figure(50, goal=None).met is None
    alone = figure(50, floor=None)
    assert (alone.ratio, alone.met) == (None, None)


def test_a_goal_is_missed_with_one_of_its_parts_and_open_if_none_was_measured() -> None:
    absent = unmeasured("two", "two", "ms", goal=LEAST, reason="there is none")
    shown = figure(1, goal=None)
    found = goals(
        {
            "P4": [figure(90), figure(10)],
            "P1": [figure(90), shown, absent],
            "P3": [absent, shown],
        }
    )
    assert [(goal.goal, goal.met) for goal in found] == [("P1", True), ("P3", None), ("P4", False)]


def test_the_answer_is_no_if_any_goal_was_missed() -> None:
    assert report(90, 70).is_missed
    assert not report(90, 90).is_missed
    assert not report().is_missed
