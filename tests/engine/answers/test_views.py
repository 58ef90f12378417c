"""How far views are behind, in events and in the log's own time, and what people are told of it."""

from typing import Any

import pytest

from engine.answers.views import BEHIND_S, figures_of_lags, lags, said, worth_a_word
from engine.core.events import Recorded
from engine.core.policy import SECOND
from engine.log import MemoryLog
from tests.contracts.folds import Failing, damage, parked
from tests.engine.log.events import SeenFold, at, probe, probes


def seconds(*times_s: int) -> list[Recorded]:
    """Return a log whose events are at these times [s]."""
    return [
        at(seq, probe(seq).event, subject="m", at_us=time_s * SECOND)
        for seq, time_s in enumerate(times_s, 1)
    ]


def log_of(events: list[Recorded], *, folded: int, fold: SeenFold | None = None) -> MemoryLog:
    log = MemoryLog()
    log.attach(fold or SeenFold())
    log.append(events)
    if folded:
        log.catch_up("seen", limit_events=folded)
    return log


def view(**given: object) -> dict[str, Any]:
    usual = {
        "name": "uptime",
        "position": 9,
        "lag_events": 0,
        "lag_s": 0.0,
        "parked_seq": 0,
        "reason": "",
        "rebuild_position": 0,
    }
    return {**usual, **given}


@pytest.mark.parametrize(
    ("folded", "lag_events", "lag_s"), [(0, 4, 3_609.0), (2, 2, 3_600.5), (3, 1, 0.0), (4, 0, 0.0)]
)
def test_a_view_lags_since_the_first_event_that_it_has_not(
    folded: int, lag_events: int, lag_s: float
) -> None:
    events = seconds(1, 2, 10, 3_610)
    events[2] = at(3, events[2].event, at_us=9_500_000)
    (found,) = lags(log_of(events, folded=folded))
    assert found == view(name="seen", position=folded, lag_events=lag_events, lag_s=lag_s)


def test_an_empty_log_has_no_lag() -> None:
    assert lags(log_of([], folded=0)) == [view(name="seen", position=0)]


def test_how_long_a_view_lags_is_not_known_where_the_log_cannot_be_read() -> None:
    log = log_of(probes(1, 1_500), folded=0)
    assert log.seal() == 1
    log._blocks = [(*block[:4], b"x", block[5]) for block in log._blocks]
    (found,) = lags(log)
    assert (found["lag_events"], found["lag_s"]) == (1_500, None)
    damage(log, 5)
    (line,) = said([found], runs=True)
    assert "the view seen is 1,500 events behind" in line


def test_a_parked_view_says_before_what_and_why() -> None:
    log = log_of(probes(1, 10), folded=0, fold=Failing(8))
    parked(log)
    (found,) = lags(log)
    assert (found["position"], found["parked_seq"]) == (7, 8)
    assert found["reason"] == "ZeroDivisionError: no masters"
    for runs in (False, True):
        (line,) = said([found], runs=runs)
        assert "parked before event 8" in line
        assert "no masters" in line
        assert line.endswith("tanist rebuild seen")


@pytest.mark.parametrize(("lag_s", "is_told"), [(BEHIND_S, False), (BEHIND_S + 0.1, True)])
def test_only_a_lag_of_more_than_five_seconds_is_told(lag_s: float, is_told: bool) -> None:
    found = [view(lag_events=12_000, lag_s=lag_s), view(name="audit")]
    assert BEHIND_S == 5
    assert [each["name"] for each in worth_a_word(found)] == ["uptime"] * is_told
    assert len(said(found, runs=True)) == is_told
    assert len(said(found, runs=False)) == is_told


def test_a_lag_at_rest_is_told_in_one_line_and_without_alarm() -> None:
    found = [view(lag_events=3, lag_s=None), view(name="weights", lag_events=70, lag_s=9)]
    (line,) = said(found, runs=False)
    assert "(uptime, weights): up to 70 events" in line
    assert "behind" not in line
    assert [each.split(" is ")[0] for each in said(found, runs=True)] == [
        "the view uptime",
        "the view weights",
    ]
    assert "9 s (70 events)" in said(found, runs=True)[1]


def test_an_alert_of_views_rests_on_the_last_of_them() -> None:
    views: list[dict[str, object]] = [{"lag_s": 1.5}, {"lag_s": None}, {"lag_s": 7.25}]
    assert figures_of_lags(views) == (("behind_us", 7_250_000),)
    assert figures_of_lags([]) == (("behind_us", 0),)
