"""uptime and audit: one answer, whatever is stored beside the events that it rests on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from engine.answers.times import iso, microseconds
from engine.core import events as ev
from engine.core.events import FLEET
from engine.log import SqliteLog, open_log
from engine.log.shelf import StoredView
from projections import audit, uptime
from projections.audit import AUDIT
from projections.base import fold
from projections.uptime import UPTIME
from tests.engine.answers.stories import Story, failed_over
from tests.engine.cli.shell import answer, complaint, stored, tanist

Keep: TypeAlias = Callable[[SqliteLog], object]


@pytest.fixture(scope="module")
def story() -> Story:
    told = failed_over()
    told.probe(400)
    told.see(ev.CheckpointMarked(name="half", author="me"), FLEET)
    told.see(ev.Paused(until_us=0, reason="r", author="me"), FLEET)
    told.kill("b")
    told.probe(400)
    assert 2_000 < told.log.head.seq < 3_000
    return told


def nothing(log: SqliteLog) -> None:
    assert log.load_view("uptime") is None


def views(log: SqliteLog, *, until: int) -> None:
    for projection in (AUDIT, UPTIME):
        log.attach(projection)
        log.catch_up(projection.name, limit_events=until)


def whole(log: SqliteLog) -> None:
    views(log, until=log.head.seq)


def lagging(log: SqliteLog) -> None:
    views(log, until=700)


def of_another_version(log: SqliteLog) -> None:
    for name in ("audit", "uptime"):
        log.shelf.store(name, StoredView(version=0, position=9, data=b"another"))


def damaged(log: SqliteLog) -> None:
    for name in ("audit", "uptime"):
        log.shelf.store(name, StoredView(version=1, position=9, data=b"\xc1"))


KEPT = (nothing, whole, lagging, of_another_version, damaged)


def questions(story: Story) -> list[tuple[str, ...]]:
    (half,) = (found.at_us for found in story.log.read() if _is_half(found.event))
    middle, end_us = iso(half), story.log.head.at_us
    return [
        (),
        ("--by", "group"),
        ("--by", "fleet", "--from", middle),
        ("--to", middle),
        ("--from", iso(half - 100_000), "--to", middle, "--degraded", "down"),
        ("--to", iso(end_us + 3_600_000_000), "--unknown", "down"),
    ]


def _is_half(event: ev.AnyEvent) -> bool:
    return isinstance(event, ev.CheckpointMarked)


def expected(story: Story, words: tuple[str, ...]) -> Any:
    """Return the rows of a question that ends within the log, folded event by event."""
    asked = dict(zip(words[::2], words[1::2], strict=True))
    view = fold(UPTIME, story.log.read())
    found = uptime.answer(
        view,
        by=asked.get("--by", "master"),  # type: ignore[arg-type]
        from_us=microseconds(asked["--from"]) if "--from" in asked else None,
        to_us=microseconds(asked["--to"]) if "--to" in asked else None,
        degraded=asked.get("--degraded", "up"),  # type: ignore[arg-type]
    )
    return msgspec.to_builtins(found)


@pytest.mark.parametrize("is_sealed", [False, True], ids=["hot", "sealed"])
@pytest.mark.parametrize("keep", KEPT, ids=lambda keep: keep.__name__)
def test_the_answer_is_the_same_whatever_is_stored(
    keep: Keep, is_sealed: bool, story: Story, tmp_path: Path
) -> None:
    bare = stored(story.log, tmp_path / "bare.db")
    path = stored(story.log, tmp_path / "x.db")
    with open_log(path, mode="write") as log:
        keep(log)
        assert log.seal(blocks_max=9 * is_sealed) == 2 * is_sealed
    for words in questions(story):
        found = answer("uptime", "x.db", *words, cwd=tmp_path)
        assert found == answer("uptime", bare.name, *words, cwd=tmp_path)
        if "--unknown" not in words:
            assert found["rows"] == expected(story, words)
    rows = answer("audit", "x.db", cwd=tmp_path)["rows"]
    assert [{name: row[name] for name in row if name != "at"} for row in rows] == audit.rows(
        fold(AUDIT, story.log.read())
    )
    assert {row["kind"] for row in rows} >= {"CheckpointMarked", "Paused", "Failover"}


def test_what_a_stored_view_was_folded_from_is_not_read_again(story: Story, tmp_path: Path) -> None:
    path = stored(story.log, tmp_path / "x.db")
    before = answer("uptime", "x.db", cwd=tmp_path)
    added = next(found.seq for found in story.log.read() if isinstance(found.event, ev.MasterAdded))
    with open_log(path, mode="write") as log:
        log._change("UPDATE events SET payload = x'c1' WHERE seq = ?", [(added,)])
    said = complaint(tanist("uptime", "x.db", cwd=tmp_path), 3)
    assert f"event {added}" in said
    assert "parked" not in said
    view = fold(UPTIME, story.log.read(until=700))
    with open_log(path, mode="write") as log:
        log.shelf.store(
            "uptime", StoredView(version=UPTIME.version, position=700, data=UPTIME.dump(view))
        )
    assert answer("uptime", "x.db", cwd=tmp_path) == before
