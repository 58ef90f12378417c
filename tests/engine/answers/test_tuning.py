"""Curves of detection time against false verdicts, and their pictures."""

import xml.etree.ElementTree as ET

import msgspec
import pytest

from engine.answers.curves import svg
from engine.answers.tuning import Curve, Point, asked_of, tune
from engine.core import events as ev
from engine.core.errors import ConfigurationError
from engine.core.events import Evidence
from engine.core.policy import preset
from tests.engine.answers.stories import GROUP, Story


def flapping(*runs: int, gap_us: int = 50_000) -> Story:
    """Return the story in which a fails so many probes in a row, each time, and answers again."""
    policy = msgspec.structs.replace(preset("bench"), effects="none")
    story = Story(policy)
    story.probe(3)
    for run in runs:
        for _ in range(run):
            story.n += 1
            story.at_us += gap_us
            story.see(ev.ProbeFailed(n=story.n, evidence=Evidence.OVERDUE), "c")
        story.probe(4)
    return story


@pytest.mark.parametrize(
    ("written", "key", "values", "fixed"),
    [
        (["probe.fall=1..4"], "probe.fall", ("1", "2", "3", "4"), ()),
        (["probe.rise=2", "probe.fall=2,5"], "probe.fall", ("2", "5"), ("probe.rise=2",)),
        (["failover.hold_down=0s, 10s"], "failover.hold_down", ("0s", "10s"), ()),
    ],
)
def test_one_setting_has_several_values(
    written: list[str], key: str, values: tuple[str, ...], fixed: tuple[str, ...]
) -> None:
    asked = asked_of(written)
    assert (asked.key, asked.values, asked.fixed) == (key, values, fixed)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ([], "found 0"),
        (["probe.fall=3"], "found 0"),
        (["probe.fall=1..2", "probe.rise=1..2"], "found 2"),
        (["probe.fall=1..1000"], "at most 100 values"),
        (["fence={a=1,b=2}"], "found 0"),
    ],
)
def test_any_other_number_of_them_is_refused(written: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        asked_of(written)


def test_a_patient_policy_sees_less_and_later() -> None:
    story = flapping(1, 2, 3, 1, 2)
    curve = tune([story.log], asked_of(["probe.fall=1..4"]))
    assert [(point.detections, point.false) for point in curve.points] == [
        (5, 5), (3, 3), (1, 1), (0, 0),
    ]  # fmt: skip
    assert curve.never_more
    assert curve.never_earlier
    assert [point.detect_us_mean for point in curve.points] == [None] * 4  # the last sees none


def test_the_mean_is_that_of_what_every_value_detects() -> None:
    curve = tune([flapping(1, 3).log, flapping(2).log], asked_of(["probe.fall=1..2"]))
    first, second = curve.points
    assert (first.detections, second.detections) == (3, 2)
    assert (first.detect_us_mean, second.detect_us_mean) == (0, 50_000)
    assert (curve.logs, curve.events) == (2, flapping(1, 3).log.head.seq + flapping(2).log.head.seq)


def test_a_value_that_another_beats_is_not_on_the_front() -> None:
    curve = tune([flapping(3, 3).log], asked_of(["probe.fall=1..3"]), false_within_us=0)
    assert [point.false for point in curve.points] == [0, 0, 0]
    assert [point.on_front for point in curve.points] == [True, False, False]


def test_progress_ends_with_all_events_of_all_passes() -> None:
    told: list[tuple[int, int]] = []
    story = flapping(2)
    tune([story.log], asked_of(["probe.fall=1,2"]), progress=lambda *both: told.append(both))
    assert told[-1] == (2 * story.log.head.seq, 2 * story.log.head.seq)


def point(value: str, detect_us: int | None, false: int, *, front: bool = False) -> Point:
    return Point(
        value=value,
        detections=9,
        false_detections=false,
        failovers=0,
        false_failovers=0,
        detect_us_mean=detect_us,
        detect_us_max=0,
        down_us=0,
        worst_us=0,
        on_front=front,
    )


def test_the_picture_has_a_point_for_each_value_and_its_front() -> None:
    points = (
        point("1", 100, 8, front=True),
        point("2", 200, 3, front=True),
        point("3", 300, 3),
        point("<4>", None, 0, front=True),
    )
    curve = Curve(
        key="probe.fall", points=points, never_more=True, never_earlier=True, logs=1, events=9
    )
    root = ET.fromstring(svg(curve))
    space = "{http://www.w3.org/2000/svg}"
    places = [
        (float(one.get("cx", 0)), float(one.get("cy", 0))) for one in root.iter(f"{space}circle")
    ]
    assert len(places) == 4
    # To the right are more false verdicts, upwards is later.
    assert places[0][0] > places[1][0] == places[2][0] > places[3][0]
    assert places[2][1] < places[1][1] < places[0][1] < places[3][1]
    (front,) = root.iter(f"{space}polyline")
    assert len(str(front.get("points")).split()) == 3
    said = [one.text for one in root.iter(f"{space}text")]
    assert "<4>" in said
    assert GROUP not in said


def test_a_picture_of_nothing_false_can_be_drawn() -> None:
    curve = Curve(
        key="k", points=(point("1", 0, 0),), never_more=True, never_earlier=True, logs=1, events=1
    )
    assert ET.fromstring(svg(curve)) is not None
