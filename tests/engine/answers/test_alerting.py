"""Alerts in words: every kind has its sentence, those that stand, and all that ever were."""

import re
from pathlib import Path

import pytest

from engine.answers.alerting import history, says, standing
from engine.core import conditions as core
from engine.core import events as ev
from engine.core import gauges
from engine.core.policy import ALERTS, MINUTE
from tests.engine.answers.stories import GROUP, Story

FIGURES = {
    "masters": 3, "id": 7, "until_us": 9, "failovers": 3, "window_us": 60_000_000, "claims": 2,
    "burn_1h": 15_000, "burn_6h": 7_000, "burn_1d": 3_000, "burn_3d": 1_500, "uptime_ppm": 990_000,
    "queue": 1_001, "cpu_ppm": 900_000, "memory_ppm": 905_000, "calls": 90, "errors": 30,
    "group_calls": 100, "p99_us": 90_000, "usual_us": 2_000, "used_ppm": 850_000, "behind_us": 6,
    "stall_us": 3_000_000, "step_us": -5, "left": 1 << 20, "left_us": 3, "reserve": 4 << 20,
    "bytes": 30,
}  # fmt: skip
OF_THE_ENGINE = ("clock", "doubt", "engine-late", "disk-full", "disk-filling", "view-behind")
KINDS = sorted(
    set(re.findall(r'kind="([a-z-]+)"', Path(core.__file__).read_text()))
    | {kind for kinds in gauges.KINDS.values() for kind in kinds}
    | {"cpu", "memory", "queue"}
    | {kind for kind, _ in core._WAITS.values()}
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_sentence_of_its_own(kind: str) -> None:
    said = says(kind, "g", FIGURES)
    assert "g" in said or kind in OF_THE_ENGINE
    assert said != f"{kind} of g"


def test_there_are_as_many_sentences_as_kinds_and_a_newer_kind_is_named() -> None:
    assert len({says(kind, "g", FIGURES) for kind in KINDS}) == len(KINDS) > 15
    assert says("novel", "g", {}) == "novel of g"


def warned() -> Story:
    """Return a story in which b has failed, and nobody could take over for two minutes."""
    story = Story(names="ab", alerts=ALERTS)
    story.probe(5)
    story.dead.add("b")
    story.probe(5)
    story.at_us += 2 * MINUTE
    story.probe(1)
    return story


def test_those_that_stand_come_with_what_can_be_typed() -> None:
    story = warned()
    found = {str(alert["kind"]): alert for alert in standing(story.driver.durable_state)}
    assert set(found) == {"no-heir", "master-failed"}
    heir = found["no-heir"]
    assert (heir["severity"], heir["subject"], heir["part"]) == ("warning", GROUP, GROUP)
    assert heir["says"] == "nobody of g could take over if who serves failed now"
    assert heir["type"] == "tanist status"
    assert heir["acked"] is None
    assert isinstance(heir["lasts_us"], int)
    assert heir["lasts_us"] >= 2 * MINUTE
    assert found["master-failed"]["part"] == GROUP


def test_the_history_has_each_alert_once_with_its_end_and_who_saw_it() -> None:
    story = warned()
    found = standing(story.driver.durable_state)
    number = next(alert["id"] for alert in found if alert["kind"] == "no-heir")
    assert isinstance(number, int)
    story.see(ev.AlertAcked(alert=number, author="ann"), GROUP)
    other = next(alert["id"] for alert in found if alert["kind"] == "master-failed")
    assert isinstance(other, int)
    story.see(ev.AlertAcked(alert=other, author="bob"), GROUP)
    story.at_us += 13 * MINUTE  # it becomes critical, and is the same one
    story.probe(1)
    story.dead.clear()
    story.probe(10)
    assert standing(story.driver.durable_state) == []
    rows = {row["id"]: row for row in history(story.log)}
    heir = rows[number]
    # Whoever saw it saw something less bad.
    assert (heir["kind"], heir["severity"], heir["acked"]) == ("no-heir", "critical", None)
    number = next(id_ for id_, row in rows.items() if row["kind"] == "master-failed")
    assert rows[number]["acked"] == "bob"
    assert heir["cleared"] is not None
    assert isinstance(heir["lasted_us"], int)
    assert heir["lasted_us"] > 15 * MINUTE
    assert sum(row["kind"] == "no-heir" for row in rows.values()) == 1
    assert len(rows) == 2


def test_an_alert_that_comes_again_is_another_one() -> None:
    story = warned()
    story.dead.clear()
    story.probe(10)
    story.dead.add("b")
    story.probe(5)
    rows = [row for row in history(story.log) if row["kind"] == "master-failed"]
    assert [row["cleared"] is None for row in rows] == [False, True]
