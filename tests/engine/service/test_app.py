import asyncio
import json
import threading
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from starlette.requests import Request

from engine.answers.asked import QUESTIONS
from engine.core import events as ev
from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.log.protocol import Log
from engine.service import app
from engine.service.access import Access
from engine.service.app import EVENTS_MAX, TOGETHER
from engine.service.running import served
from tests.engine.real import (
    GROUP,
    HANG_S,
    Fleet,
    FullLog,
    configuration,
    fleet,
    kinds,
    nobody,
    run,
    seen,
    served_by,
)
from tests.engine.service.api import api_on

__all__ = ["fleet"]


# Looking.


def test_the_status_is_that_of_the_durable_state(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            code, said = await api.get("/api/status")
            assert code == 200
            assert isinstance(said, dict)
            assert said["groups"][GROUP]["automation"] == "auto"
            assert set(said["masters"]) == {"a", "b"}
            assert 0 < said["seq"] <= engine.state.seq

    run(main())


async def checkpoints(engine: Engine, count: int) -> int:
    """Mark so many places at once; return the seq of the last."""
    marked = [ev.CheckpointMarked(name=f"m{n}", author="ann") for n in range(count)]
    return (await asyncio.gather(*map(engine._turning.ask, marked)))[-1].seq


def test_pages_of_events_are_written_beside_the_loop_also_where_they_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: dict[int, int] = {}
    before = app._row

    def row(recorded: Recorded) -> dict[str, object]:
        written[recorded.seq] = threading.get_ident()
        return before(recorded)

    async def main() -> None:
        monkeypatch.setattr(app, "_row", row)
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            last = await checkpoints(engine, 2 * EVENTS_MAX)
            code, rows = await api.get("/api/events?after=0")
            assert (code, [one["seq"] for one in rows]) == (200, [*range(1, EVENTS_MAX + 1)])
            assert threading.get_ident() not in written.values()
            written.clear()
            async with api.http.get(f"{api.url}/api/events?follow=1") as answer:
                seqs = []
                while not seqs or seqs[-1] < last:
                    line = await answer.content.readline()
                    if line.startswith(b"id: "):
                        seqs.append(int(line[4:]))
            assert seqs == [*range(1, last + 1)]
            own = [seq for seq, thread in written.items() if thread == threading.get_ident()]
            assert len(own) < EVENTS_MAX  # the last ones, which may come one by one

    run(main())


def test_what_comes_at_once_is_sent_together_and_then_there_is_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(delay_s: float) -> None:
        if delay_s == app.PACE_S:
            pauses.append(delay_s)
            delay_s = 0
        await sleep(delay_s)

    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            stream = app._Api(engine, Access("secret"))._stream(engine.state.seq)
            following = asyncio.ensure_future(anext(stream))
            await sleep(0)
            monkeypatch.setattr(app.asyncio, "sleep", noted)
            last = await checkpoints(engine, TOGETHER + 1)
            sent = [await following]
            while f"id: {last}\n".encode() not in sent[-1]:
                sent.append(await anext(stream))
            assert len(pauses) == len(sent) - 1
            assert len(sent) <= 3  # checkpoints, and what else there was in between
            await stream.aclose()

    run(main())


def test_no_more_clients_follow_than_the_engine_can_spare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.setattr(app, "STREAMS_MAX", 1)
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            url = f"{api.url}/api/events?follow=1"
            async with api.http.get(url) as first:
                assert await first.content.readline() == b"id: 1\n"
                refused = await api.get("/api/events?follow=1")
                assert refused == (503, {"error": "1 clients follow already: end one of them"})
            while True:  # until the engine has noticed
                async with api.http.get(url) as next_one:
                    if next_one.status == 200:
                        return

    run(main())


def test_who_follows_counts_before_the_first_event_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(app, "STREAMS_MAX", 1)
        scope = {"type": "http", "method": "GET", "query_string": b"follow=1", "headers": []}
        async with Engine(nobody(), log=MemoryLog()) as engine:
            api = app._Api(engine, Access("secret"))
            first, second = [await api.events(Request(scope)) for _ in range(2)]
            assert (first.status_code, second.status_code) == (200, 503)

            async def gone() -> dict[str, str]:
                return {"type": "http.disconnect"}

            async def heard(_: object) -> None:
                pass

            await first(scope, gone, heard)
            assert (await api.events(Request(scope))).status_code == 200

    run(main())


def test_events_come_in_order_after_the_seq_that_was_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            first = await engine.checkpoint("monday")
            await engine.checkpoint("tuesday")
            code, rows = await api.get(f"/api/events?after={first - 1}")
            assert code == 200
            assert isinstance(rows, list)
            assert [row["seq"] for row in rows][:2] == [first, first + 1]
            assert rows[0]["kind"] == "CheckpointMarked"
            assert rows[0]["data"]["name"] == "monday"
            assert rows[0]["at"].endswith("Z")
            assert await api.get(f"/api/events?after={10**17}") == (200, [])

    run(main())


def test_one_answer_holds_only_so_many_events(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            for number in range(EVENTS_MAX + 10):
                engine._turning.record(ev.CheckpointMarked(name=f"c{number}", author="ann"))
            await engine.checkpoint("last")
            _, rows = await api.get("/api/events")
            assert isinstance(rows, list)
            assert [row["seq"] for row in rows] == list(range(1, EVENTS_MAX + 1))

    run(main())


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "", "%C2%B2", "9" * 19, "9" * 5_000])
def test_what_is_no_seq_is_a_bad_request(after: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            code, said = await api.get(f"/api/events?after={after}")
            assert code == 400
            assert "expected a seq" in str(said)

    run(main())


async def streamed(answer: aiohttp.ClientResponse, count: int) -> list[tuple[int, str]]:
    """Return the id and the kind of the next `count` events of a stream."""
    found: list[tuple[int, str]] = []
    while len(found) < count:
        name, _, value = (await answer.content.readline()).decode().strip().partition(": ")
        if name == "id":
            number = int(value)
        elif name == "data":
            row = json.loads(value)
            assert row["seq"] == number
            found.append((number, row["kind"]))
    return found


def test_a_stream_goes_on_after_the_last_event_that_was_seen(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            mark = await engine.checkpoint("begin")
            url = f"{api.url}/api/events?follow=1&after={mark}"
            async with api.http.get(url) as answer:
                assert answer.content_type == "text/event-stream"
                await engine.checkpoint("one")
                (first,) = await streamed(answer, 1)
                assert first == (mark + 1, "CheckpointMarked") or first[0] == mark + 1
            # The connection is lost: the browser asks again with what it had.
            await engine.checkpoint("two")
            headers = {"Last-Event-ID": str(first[0])}
            async with api.http.get(url, headers=headers) as answer:
                await engine.checkpoint("three")
                found = await streamed(answer, 2)
            assert [seq for seq, _ in found] == [first[0] + 1, first[0] + 2]

    run(main())


def test_a_stream_ends_whole_when_the_service_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, aiohttp.ClientSession() as http:
            async with served(engine, tmp_path / "t.db", "127.0.0.1:0") as url:
                answer = await http.get(f"{url}/api/events?follow=1")
                ((first, _),) = await streamed(answer, 1)
                rest = asyncio.create_task(answer.read())
                last = await engine.checkpoint("last")
            # A stream that was cut off would end with an error.
            ids = [line for line in (await rest).decode().splitlines() if line.startswith("id: ")]
            seqs = [int(line.removeprefix("id: ")) for line in ids]
            assert seqs == list(range(first + 1, first + 1 + len(seqs)))
            assert seqs[-1] >= last

    run(main())


def test_a_route_is_the_pick_of_the_engine(fleet: Fleet, tmp_path: Path) -> None:
    async def main() -> None:
        declared = configuration(fleet.addresses)
        async with Engine(declared, log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            await served_by(engine, "a")
            route = engine.pick(GROUP)
            assert route is not None
            expected = {"master": "a", "address": fleet.addresses["a"], "epoch": route.epoch}
            assert await api.get(f"/api/route/{GROUP}") == (200, expected)

    run(main())


def test_where_nobody_serves_there_is_no_route(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            assert await api.get(f"/api/route/{GROUP}") == (503, {"error": "nobody of g serves"})
            code, said = await api.get("/api/route/nothing")
            assert code == 404
            assert said == {"error": "no group 'nothing': expected one of g"}

    run(main())


def test_what_is_not_served_is_said_in_json(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            code, said = await api.get("/api/nothing")
            assert code == 404
            assert said == {
                "error": "there is no /api/nothing here; the README lists what there is"
            }
            code, said = await api.post("/api/status", {})
            assert (code, said) == (405, {"error": "/api/status: expected GET, HEAD, found POST"})

    run(main())


def test_it_is_ready_while_the_log_can_be_written_and_says_why_not(tmp_path: Path) -> None:
    async def main() -> None:
        log = FullLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            assert await api.get("/readyz") == (200, {"ready": True})
            log.is_full = True
            with pytest.raises(LogError):
                await engine.checkpoint("c")
            expected = {"error": "no space is left, as the test wants it"}
            assert await api.get("/readyz") == (503, expected)
            assert await api.get("/livez") == (200, {"alive": True})
            code, _ = await api.post("/api/commands/resume", {"author": "ann"})
            assert code == 503
            code, _ = await api.post("/api/acks", {"master": "a", "key": "m", "epoch": 1})
            assert code == 503
            log.is_full = False
            await seen(engine, ev.EngineResumed)
            assert await api.get("/readyz") == (200, {"ready": True})

    run(main())


# Who may.


@pytest.mark.parametrize("path", ["/api/commands/checkpoint", "/api/acks"])
@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer wrong", "Basic dTpw", "Bearer \u00e9"])
def test_without_the_token_nothing_is_taken(path: str, given: str, tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            body = {"name": "monday", "author": "eve", "master": "a", "key": "m", "epoch": 0}
            code, said = await api.post(path, body, Authorization=given)
            assert code == 401
            assert said == {"error": "expected the token that lies beside the log"}
        assert not {"CheckpointMarked", "MessageAcked"} & set(kinds(log))

    run(main())


FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "evil.example:8600"},
    {"Host": "[::1"},
    {"Host": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://[::1"},
    {"Origin": "http://127.0.0.1.evil.example"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/api/status", "/livez", "/api/nothing"])
def test_what_a_foreign_page_sends_is_refused(
    headers: dict[str, str], path: str, tmp_path: Path
) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            code, said = await api.get(path, **headers)
            assert code == 403
            assert "is not this engine's" in str(said)
            code, _ = await api.post("/api/commands/resume", {"author": "eve"}, **headers)
            assert code == 403

    run(main())


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost"},
        {"Host": "localhost:1"},
        {"Host": "[::1]:8600"},
        {"Host": "LOCALHOST"},
        {"Origin": "http://localhost:8600"},
        {"Origin": "http://127.0.0.1"},
    ],
)
def test_what_comes_from_this_machine_is_answered(headers: dict[str, str], tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            assert await api.get("/livez", **headers) == (200, {"alive": True})

    run(main())


def test_a_check_of_an_old_proxy_that_names_no_host_is_answered(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            host, _, port = api.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
            assert (await reader.readline()).split()[1] == b"200"
            writer.close()
            await writer.wait_closed()

    run(main())


def test_what_nobody_waits_for_any_more_is_not_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, asked = threading.Event(), []

    def slow(_: Log, params: Mapping[str, str]) -> dict[str, object]:
        asked.append(params["n"])
        free.wait(HANG_S)
        return {"n": params["n"]}

    async def main() -> None:
        monkeypatch.setitem(QUESTIONS, "weights", slow)
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            first = asyncio.create_task(api.get("/api/weights?n=1"))
            while not asked:  # noqa: ASYNC110 - no event says so
                await asyncio.sleep(0)
            reader, writer = await asyncio.open_connection(*api.url[7:].split(":"))
            writer.write(b"GET /api/weights?n=2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            last = asyncio.create_task(api.get("/api/weights?n=3"))
            while len(handled()) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0)
            writer.close()
            assert await reader.read() == b""
            assert (await api.get("/livez"))[0] == 200  # by now the server knows that, too
            free.set()
            assert (await first, await last) == ((200, {"n": "1"}), (200, {"n": "3"}))
        assert asked == ["1", "3"]

    def handled() -> list[object]:
        """Return the requests under way."""
        tasks = [task.get_coro() for task in asyncio.all_tasks()]
        return [each for each in tasks if getattr(each, "__name__", "") == "run_asgi"]

    run(main())
