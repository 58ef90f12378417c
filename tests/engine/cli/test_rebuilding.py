"""rebuild: views folded anew, at rest and by the engine that writes the log; what status says."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from engine.cli.showing import show_status
from engine.core import events as ev
from engine.embed import Engine
from engine.log import SqliteLog, open_log, states
from engine.log.shelf import Parked, StoredView
from engine.service.running import served
from projections.audit import AUDIT
from projections.base import fold
from projections.kept import KEPT
from projections.uptime import UPTIME
from tests.engine.answers.stories import Story, failed_over
from tests.engine.cli.shell import answer, complaint, stored, tanist
from tests.engine.real import nobody, run

NAMES = ["audit", "uptime", "weights"]
PARKED = Parked(version=UPTIME.version, seq=9, reason="ValueError: no such master")


@pytest.fixture
def story() -> Story:
    return failed_over()


@pytest.fixture
def log(story: Story, tmp_path: Path) -> Path:
    return stored(story.log, tmp_path / "x.db")


def views(path: Path) -> dict[str, dict[str, Any]]:
    found = answer("status", path.name, cwd=path.parent)["projections"]
    return {view["name"]: view for view in found}


def damage(log: SqliteLog) -> int:
    """Make an event unreadable that uptime needs, and return its seq."""
    seq = next(each.seq for each in log.read() if isinstance(each.event, ev.MasterAdded))
    log._change("UPDATE events SET payload = x'c1' WHERE seq = ?", [(seq,)])
    return seq


def test_views_are_folded_anew_and_status_says_how_far_they_are(story: Story, log: Path) -> None:
    head = story.log.head.seq
    assert [projection.name for projection in KEPT] == NAMES
    assert {name: view["position"] for name, view in views(log).items()} == dict.fromkeys(NAMES, 0)
    found = answer("rebuild", "x.db", "uptime", cwd=log.parent)
    row = {"name": "uptime", "position": head, "says": ""}
    assert found == {"ok": True, "engine": None, "views": [row]}
    assert {name: view["lag_events"] for name, view in views(log).items()} == {
        "audit": head,
        "uptime": 0,
        "weights": head,
    }
    done = tanist("rebuild", "--log", "x.db", cwd=log.parent)
    assert done.stdout.splitlines() == [
        f"{name}: folded anew, up to event {head:,}" for name in NAMES
    ]
    with open_log(log) as opened:
        kept = opened.load_view("uptime")
    assert kept is not None
    assert kept.data == UPTIME.dump(fold(UPTIME, story.log.read()))


def test_of_the_past_nothing_is_said_of_views(log: Path) -> None:
    found = answer("status", "x.db", "--at", "9", cwd=log.parent)
    assert not {"projections", "log"} & set(found)


def test_status_at_rest_says_how_large_the_log_is(log: Path) -> None:
    found = answer("status", "x.db", cwd=log.parent)["log"]
    assert found["size"] >= log.stat().st_size
    assert found["days_until_full"] is None


def test_a_disk_that_is_full_soon_is_told(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    found = answer("status", "x.db", cwd=log.parent)
    for days, is_told in ((2.9, True), (3.0, False), (None, False)):
        show_status({**found, "log": {"size": 1, "free": 5_000_000, "days_until_full": days}})
        shown = " ".join(capsys.readouterr().out.split())
        assert ("will be full in 2.9 days, as the log grew so far: 5.0 MB" in shown) is is_told


def test_a_rebuild_that_was_interrupted_is_gone_on_with(story: Story, log: Path) -> None:
    view = fold(UPTIME, story.log.read(until=20))
    with open_log(log, mode="write") as opened:
        states.keep(opened, states.state_at(opened))  # what the status is folded from
        assert damage(opened) < 20
        opened.shelf.store_rebuild(
            "uptime", StoredView(version=UPTIME.version, position=20, data=UPTIME.dump(view))
        )
    assert views(log)["uptime"]["rebuild_position"] == 20
    assert answer("rebuild", "uptime", "--log", "x.db", cwd=log.parent)["ok"]
    assert views(log)["uptime"]["rebuild_position"] == 0
    assert views(log)["uptime"]["position"] == story.log.head.seq


def test_a_parked_view_is_told_with_what_to_do_and_freed_by_it(story: Story, log: Path) -> None:
    for words, folded in ((("--retry",), "folded on"), ((), "folded anew")):
        with open_log(log, mode="write") as opened:
            opened.shelf.park("uptime", PARKED, None)
        shown = tanist("status", "x.db", cwd=log.parent).stdout
        assert "the view uptime is parked before event 9" in shown
        assert "tanist rebuild uptime" in shown
        done = tanist("rebuild", "uptime", *words, "--log", "x.db", cwd=log.parent)
        assert done.returncode == 0
        assert done.stdout == f"uptime: {folded}, up to event {story.log.head.seq:,}\n"
        found = views(log)["uptime"]
        assert (found["parked_seq"], found["lag_events"]) == (0, 0)
        assert "parked" not in tanist("status", "x.db", cwd=log.parent).stdout


@pytest.mark.parametrize("words", [(), ("--retry",)])
def test_a_view_that_cannot_be_folded_is_the_answer_no_and_the_others_are_done(
    words: tuple[str, ...], story: Story, log: Path
) -> None:
    view = fold(AUDIT, story.log.read(until=20))
    beyond = StoredView(version=AUDIT.version, position=20, data=AUDIT.dump(view))
    with open_log(log, mode="write") as opened:
        seq = damage(opened)
        opened.shelf.store("audit", beyond)
        opened.shelf.store_rebuild("audit", beyond)
    done = tanist("rebuild", *words, "--log", "x.db", "--json", cwd=log.parent)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    by_name = {view["name"]: view for view in found["views"]}
    assert not found["ok"]
    assert by_name["uptime"]["position"] is None
    assert f"parked before event {seq}" in by_name["uptime"]["says"]
    assert by_name["audit"]["position"] == story.log.head.seq
    shown = tanist("rebuild", *words, "uptime", "--log", "x.db", cwd=log.parent)
    assert shown.returncode == 1
    assert shown.stdout.startswith("uptime: the view 'uptime' is parked before")


def test_a_view_that_there_is_not_is_wrong_usage(log: Path) -> None:
    said = complaint(tanist("rebuild", "--log", "x.db", "sla", cwd=log.parent), 2)
    assert said == "expected a view (audit, uptime, weights), found 'sla'"


def test_a_log_that_a_process_without_an_address_writes_is_left_to_it(log: Path) -> None:
    with open_log(log, mode="write"):
        said = complaint(tanist("rebuild", "--log", "x.db", cwd=log.parent), 1)
    assert "is being written by process" in said
    assert "Engine.rebuild" in said


def test_a_running_engine_does_it_itself(log: Path) -> None:
    with open_log(log, mode="write") as opened:
        states.keep(opened, states.state_at(opened))
        opened.shelf.park("uptime", PARKED, None)

    async def main() -> None:
        async with (
            Engine(nobody(), log=str(log)) as engine,
            served(engine, log, "127.0.0.1:0") as url,
        ):
            shown = await asyncio.to_thread(tanist, "status", "x.db", cwd=log.parent)
            assert "the view uptime is parked before event 9" in shown.stdout
            found = await asyncio.to_thread(answer, "rebuild", "uptime", cwd=log.parent, env=here)
            assert (found["ok"], found["engine"]) == (True, url)
            assert found["views"][0]["position"] > 9
            found = await asyncio.to_thread(answer, "rebuild", "--retry", url, cwd=log.parent)
            assert [view["name"] for view in found["views"]] == NAMES
            assert (await engine.views())[1]["parked_seq"] == 0

    here = {"TANIST_LOG": "x.db", "COLUMNS": "120"}
    run(main())


def test_what_a_running_engine_cannot_fold_is_the_answer_no(log: Path) -> None:
    with open_log(log, mode="write") as opened:
        states.keep(opened, states.state_at(opened))  # what the engine starts from
        seq = damage(opened)

    async def main() -> None:
        async with (
            Engine(nobody(), log=str(log)) as engine,
            served(engine, log, "127.0.0.1:0"),
        ):
            words = ("rebuild", "uptime", "--log", "x.db", "--json")
            done = await asyncio.to_thread(tanist, *words, cwd=log.parent)
            assert done.returncode == 1
            (found,) = json.loads(done.stdout)["views"]
            assert found["position"] is None
            assert f"parked before event {seq}" in found["says"]

    run(main())
