import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import LogError
from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.log.shelf import Parked, StoredView
from engine.service.viewing import UNKNOWN, Kept, Viewing
from projections.kept import KEPT
from projections.uptime import UPTIME
from tests.engine.real import nobody, run
from tests.engine.service.api import Api, api_on

PARKED = Parked(version=UPTIME.version, seq=1, reason="ValueError: as the test wants it")


def parked() -> MemoryLog:
    """Return a log whose uptime is parked before its first event."""
    log = MemoryLog()
    log.shelf.park("uptime", PARKED, None)
    return log


async def views(api: Api) -> dict[str, dict[str, Any]]:
    code, said = await api.get("/api/status")
    assert code == 200
    assert isinstance(said, dict)
    return {view["name"]: view for view in said["projections"]}


def test_the_status_says_how_far_each_view_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            found = await views(api)
            assert sorted(found) == sorted(projection.name for projection in KEPT)
            for view in found.values():
                assert (view["parked_seq"], view["reason"], view["rebuild_position"]) == (0, "", 0)
                assert view["position"] + view["lag_events"] <= engine.state.seq

    run(main())


def test_a_parked_view_is_told_and_makes_no_engine_less_ready(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=parked()) as engine, api_on(engine, tmp_path) as api:
            found = await views(api)
            assert found["uptime"]["parked_seq"] == 1
            assert found["uptime"]["reason"] == PARKED.reason
            assert found["audit"]["parked_seq"] == 0
            code, said = await api.get("/readyz")
            assert code == 200
            assert isinstance(said, dict)
            assert said["ready"]
            assert [view["name"] for view in said["projections"]] == ["uptime"]

    run(main())


def test_a_running_engine_folds_a_parked_view_on_or_anew(tmp_path: Path) -> None:
    async def main() -> None:
        for body in ({"view": "uptime"}, {"view": "uptime", "retry": True}):
            async with Engine(nobody(), log=parked()) as engine, api_on(engine, tmp_path) as api:
                last = engine.state.seq
                code, said = await api.post("/api/commands/rebuild", body)
                assert code == 200
                assert isinstance(said, dict)
                assert said["seq"] >= last
                found = (await views(api))["uptime"]
                assert (found["parked_seq"], found["reason"]) == (0, "")
                assert found["position"] >= last
                assert await api.get("/readyz") == (200, {"ready": True})

    run(main())


def test_a_view_that_there_is_not_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            said = await api.post("/api/commands/rebuild", {"view": "sla"})
            reason = "no view 'sla': expected one of audit, uptime, weights"
            assert said == (409, {"reasons": [reason]})
            code, _ = await api.post("/api/commands/rebuild", {"retry": True})
            assert code == 400
            code, _ = await api.post("/api/commands/rebuild", {"view": "audit"}, Authorization="")
            assert code == 401

    run(main())


def test_the_status_says_how_large_the_log_is(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "x.db"
        async with Engine(nobody(), log=str(path)) as engine, api_on(engine, tmp_path) as api:
            _, said = await api.get("/api/status")
            assert isinstance(said, dict)
            assert said["log"]["size"] > 0
            assert said["log"]["free"] > 0
            assert said["log"]["days_until_full"] is None  # it is not a day old
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            _, said = await api.get("/api/status")
            assert isinstance(said, dict)
            assert said["log"] is None

    run(main())


def test_a_log_that_stands_still_keeps_no_status_waiting() -> None:
    async def main() -> None:
        release, looks = threading.Event(), 0

        async def look() -> Kept:
            nonlocal looks
            looks += 1
            await asyncio.to_thread(release.wait)
            return found

        found = Kept(projections=[{"name": "uptime"}])
        viewing = Viewing(look, look_s=0.01)
        assert await asyncio.gather(viewing.get(), viewing.get()) == [UNKNOWN, UNKNOWN]
        assert await viewing.get() == UNKNOWN
        assert looks == 1
        release.set()
        assert await Viewing(look).get() == found
        assert viewing._under_way is not None
        assert await viewing._under_way == found

    run(main())


@pytest.mark.parametrize("error", [LogError("closed"), OSError("gone")])
def test_a_log_that_cannot_be_read_says_nothing_of_its_views(error: Exception) -> None:
    async def main() -> None:
        async def look() -> Kept:
            raise error

        assert await Viewing(look).get() == UNKNOWN

    run(main())


def test_a_rebuild_gives_way_to_the_end_of_the_engine(tmp_path: Path) -> None:
    """The end comes while the log is folded: what was stored of it is gone on with later."""

    class Slow(MemoryLog):
        def rebuild(self, projection: Any, progress: Any = None) -> int:
            begun.set()
            leaving.wait()
            progress(1, 2)
            return super().rebuild(projection, progress)

    begun, leaving = threading.Event(), threading.Event()

    async def main() -> None:
        log = Slow()
        log.shelf.store("audit", StoredView(version=0, position=0, data=b""))
        async with Engine(nobody(), log=log) as engine:
            rebuilding = asyncio.create_task(engine.rebuild("audit"))
            await asyncio.to_thread(begun.wait)
            engine.leave()
            leaving.set()
            (said,) = await asyncio.gather(rebuilding, return_exceptions=True)
            assert isinstance(said, LogError)
            assert "the engine ends" in str(said)
            (said,) = await asyncio.gather(engine.rebuild("audit"), return_exceptions=True)
            assert "the engine ends" in str(said)

    run(main())
