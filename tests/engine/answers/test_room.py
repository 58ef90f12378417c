"""How long the disk of a log lasts, if the log grows on as it did."""

from pathlib import Path

import pytest

from engine.answers.room import figures_of_room, room
from engine.core.policy import DAY
from engine.log import SqliteLog, open_log
from tests.engine.log.events import at, probe


def of_days(path: Path, days: float) -> SqliteLog:
    log = open_log(path, mode="write", create=True)
    first = probe(1)
    last = at(2, first.event, at_us=first.at_us + round(days * DAY))
    log.append([first, last])
    return log


def test_a_disk_lasts_as_long_as_the_log_took_for_as_much(tmp_path: Path) -> None:
    with of_days(tmp_path / "x.db", 2) as log:
        found = room(log, log.path)
        size, free = found["size"], found["free"]
        assert isinstance(size, int)
        assert isinstance(free, int)
        assert size == log.size().file
        assert found["days_until_full"] == round(free / size * 2, 1)


@pytest.mark.parametrize(
    ("days", "bounds"),
    [
        (0.9, {}),
        (2, {"keep_us": 2 * DAY}),
        (2, {"size_max": 1}),
        (2, {"grows": False}),
    ],
    ids=["too young", "as old as it gets", "room for all of it", "at rest"],
)
def test_where_it_does_not_grow_on_there_is_no_such_day(
    days: float, bounds: dict[str, int], tmp_path: Path
) -> None:
    with of_days(tmp_path / "x.db", days) as log:
        assert room(log, log.path, **bounds)["days_until_full"] is None  # type: ignore[arg-type]


def test_bounds_that_lie_beyond_the_disk_are_none(tmp_path: Path) -> None:
    with of_days(tmp_path / "x.db", 2) as log:
        for bounds in ({"keep_us": 3 * DAY}, {"size_max": 1 << 60}):
            assert room(log, log.path, **bounds)["days_until_full"] is not None


def test_an_empty_log_lasts_for_ever(tmp_path: Path) -> None:
    with open_log(tmp_path / "x.db", mode="write", create=True) as log:
        assert room(log, log.path)["days_until_full"] is None


@pytest.mark.parametrize(
    ("days", "size_max", "figures"),
    [
        (None, 0, {"used_ppm": 900_000, "free": 100, "lacking": -1, "left_us": -1}),
        (2.5, 700, {"used_ppm": 900_000, "free": 100, "lacking": 200, "left_us": 5 * DAY // 2}),
        (0.0, 400, {"used_ppm": 900_000, "free": 100, "lacking": 0, "left_us": 0}),
    ],
)
def test_what_alerts_of_the_disk_rest_on(
    days: float | None, size_max: int, figures: dict[str, int]
) -> None:
    found = {"size": 500, "free": 100, "total": 1_000, "days_until_full": days}
    assert dict(figures_of_room(found, size_max=size_max) or ()) == figures


def test_a_log_in_no_file_has_no_disk() -> None:
    assert figures_of_room(None, size_max=0) is None
