"""Alerts from the command line: at rest, of any position, and of a running engine."""

import getpass
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core.policy import ALERTS, MINUTE
from engine.log import open_log
from tests.engine.answers.stories import Story
from tests.engine.cli.shell import answer, complaint, stored, tanist


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log in which b has failed for two minutes, and nobody could take over."""
    story = Story(names="ab", alerts=ALERTS)
    story.probe(5)
    story.dead.add("b")
    story.probe(5)
    story.at_us += 2 * MINUTE
    story.probe(1)
    return stored(story.log, tmp_path / "x.db")


def test_they_are_listed_and_stand_on_top_of_the_status(log: Path) -> None:
    found = answer("alerts", "x.db", cwd=log.parent)["alerts"]
    assert {alert["kind"] for alert in found} == {"no-heir", "master-failed"}
    shown = tanist("alerts", "x.db", cwd=log.parent).stdout
    assert "WARNING nobody of g could take over if who serves failed now, for 2 min" in shown
    status = tanist("status", "x.db", cwd=log.parent).stdout
    assert "WARNING b has failed and is not trusted again" in status
    assert answer("status", "x.db", cwd=log.parent)["alerts"] == found


def test_at_another_position_there_were_others(log: Path) -> None:
    assert answer("alerts", "x.db", "--at", "20", cwd=log.parent)["alerts"] == []
    assert tanist("alerts", "x.db", "--at", "20", cwd=log.parent).stdout == "no alert\n"
    every = answer("alerts", "x.db", "--all", cwd=log.parent)["alerts"]
    assert {alert["kind"] for alert in every} == {"no-heir", "master-failed"}
    assert "stands" in tanist("alerts", "x.db", "--all", cwd=log.parent).stdout
    said = complaint(tanist("alerts", "x.db", "--all", "--at", "20", cwd=log.parent), 2)
    assert said == "expected --at or --all, found both"


def test_an_acknowledgement_at_rest_is_by_the_user_and_silences(log: Path) -> None:
    number = answer("alerts", "x.db", cwd=log.parent)["alerts"][0]["id"]
    found = answer("ack", "x.db", str(number), cwd=log.parent)
    assert (found["at_rest"], found["owed"]) == (True, [])
    with open_log(log) as opened:
        (recorded,) = opened.read(found["seq"] - 1, found["seq"])
    assert recorded.event == ev.AlertAcked(alert=number, author=getpass.getuser(), at_rest=True)
    acked = answer("alerts", "x.db", cwd=log.parent)["alerts"]
    assert [alert["acked"] for alert in acked if alert["id"] == number] == [getpass.getuser()]
    shown = tanist("alerts", "x.db", cwd=log.parent).stdout
    assert f"[alert {number}] (acknowledged by {getpass.getuser()})" in shown


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("9999", 1, "refused: no alert 9999: it is over, or there never was one"),
        ("no-heir", 2, "expected the number of an alert, found 'no-heir'"),
    ],
)
def test_what_is_no_alert_is_refused(log: Path, word: str, code: int, said: str) -> None:
    assert complaint(tanist("ack", "x.db", word, cwd=log.parent), code) == said
    assert "found none" in complaint(tanist("ack", "--log", "x.db", cwd=log.parent), 2)


def test_why_shows_what_an_alert_rests_on(log: Path) -> None:
    found = answer("alerts", "x.db", cwd=log.parent)["alerts"]
    number = next(alert["id"] for alert in found if alert["kind"] == "master-failed")
    chain = answer("why", "x.db", str(number), cwd=log.parent)
    assert chain["kind"] == "AlertRaised"
    assert chain["because"][0]["kind"] == "MasterFailed"
