"""Commands under a key, over HTTP: done once, however often they come, by whatever process."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core.terms import KEY_CHARACTERS_MAX
from engine.embed import Engine
from engine.log import open_log
from engine.log.memory import Failure, MemoryLog
from engine.log.protocol import Log
from tests.engine.real import GROUP, FullLog, nobody, only, run, seen
from tests.engine.service.api import Api, api_on

PAUSE = {"reason": "work", "author": "ann"}
KEY = {"Idempotency-Key": "k"}


@contextlib.asynccontextmanager
async def served(log: str | Log, directory: Path) -> AsyncIterator[Api]:
    """Run an engine on `log`, and serve it."""
    async with Engine(nobody(), log=log) as engine, api_on(engine, directory) as api:
        yield api


async def fleet_version(api: Api) -> int:
    code, said = await api.get("/api/status")
    assert code == 200
    assert isinstance(said, dict)
    found = said["fleet_version"]
    assert isinstance(found, int)
    return found


def test_the_same_command_under_a_key_is_done_once_and_answered_alike(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with served(log, tmp_path) as api:
            first = await api.post("/api/commands/pause", PAUSE, **KEY)
            assert first[0] == 200
            turned = dict(reversed(PAUSE.items()))
            assert await api.post("/api/commands/pause", turned, **KEY) == first
            other = await api.post("/api/commands/pause", PAUSE, **{"Idempotency-Key": "k-2"})
            assert other[0] == 200
            assert other != first
            assert (await api.post("/api/commands/pause", PAUSE))[1] not in (first[1], other[1])
        assert len(only(log, ev.Paused)) == 3

    run(main())


def test_it_is_done_once_also_by_the_next_process(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "t.db"
        async with served(str(path), tmp_path) as api:
            first = await api.post("/api/commands/pause", {**PAUSE, "for_us": 9_000_000}, **KEY)
            refused = await api.post(
                "/api/commands/switchover",
                {"group": GROUP, "author": "ann"},
                **{"Idempotency-Key": "s"},
            )
            assert (first[0], refused[0]) == (200, 409)
        async with served(str(path), tmp_path) as api:
            again = await api.post("/api/commands/pause", {**PAUSE, "for_us": 9_000_000}, **KEY)
            assert again == first
            body = {"group": GROUP, "author": "ann"}
            key = {"Idempotency-Key": "s"}
            assert await api.post("/api/commands/switchover", body, **key) == refused
            assert (await api.post("/api/commands/pause", PAUSE, **KEY))[0] == 422
        with open_log(path) as log:
            assert (len(only(log, ev.Paused)), len(only(log, ev.SwitchoverAsked))) == (1, 1)

    run(main())


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("pause", {**PAUSE, "reason": "other work"}),
        ("pause", {**PAUSE, "for_us": 1}),
        ("pause", {**PAUSE, "group": GROUP}),
        ("pause", {**PAUSE, "author": "bob"}),
        ("resume", PAUSE),
    ],
)
def test_another_command_under_the_same_key_is_refused(
    name: str, body: dict[str, object], tmp_path: Path
) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with served(log, tmp_path) as api:
            _, said = await api.post("/api/commands/pause", PAUSE, **KEY)
            assert isinstance(said, dict)
            answer = await api.post(f"/api/commands/{name}", body, **KEY)
            expected = f"the key 'k' was used for another command: event {said['seq']}"
            assert answer == (422, {"error": expected})
        assert len(only(log, ev.Paused)) == 1
        assert only(log, ev.Resumed) == []

    run(main())


def test_a_refusal_is_the_answer_to_every_repeat(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with served(log, tmp_path) as api:
            body = {"group": GROUP, "author": "ann"}
            first = await api.post("/api/commands/switchover", body, **KEY)
            assert first[0] == 409
            assert await api.post("/api/commands/switchover", body, **KEY) == first
        assert len(only(log, ev.Refused)) == 1

    run(main())


def test_what_was_not_recorded_is_looked_at_anew(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with served(log, tmp_path) as api:
            assert (await api.post("/api/commands/pause", {}, **KEY))[0] == 400
            nowhere = {**PAUSE, "group": "nowhere"}
            assert (await api.post("/api/commands/pause", nowhere, **KEY))[0] == 409
            assert (await api.post("/api/commands/pause", PAUSE, **KEY))[0] == 200
        assert len(only(log, ev.Paused)) == 1

    run(main())


def test_what_could_not_be_stored_is_tried_again_under_its_key(tmp_path: Path) -> None:
    async def main() -> None:
        log = FullLog()
        async with served(log, tmp_path) as api:
            log.is_full = True
            assert (await api.post("/api/commands/pause", PAUSE, **KEY))[0] == 503
            log.is_full = False
            await seen(api.engine, ev.EngineResumed)
            assert (await api.post("/api/commands/pause", PAUSE, **KEY))[0] == 200
        assert len(only(log, ev.Paused)) == 1

    run(main())


def test_what_was_stored_though_nobody_knew_is_found_under_its_key(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with served(log, tmp_path) as api:
            log.fail_next(Failure.STORED)
            assert (await api.post("/api/commands/pause", PAUSE, **KEY))[0] == 503
            await seen(api.engine, ev.EngineResumed)
            code, said = await api.post("/api/commands/pause", PAUSE, **KEY)
            assert code == 200
            assert isinstance(said, dict)
            (recorded,) = log.read(said["seq"] - 1, said["seq"])
            assert isinstance(recorded.event, ev.Paused)
        assert len(only(log, ev.Paused)) == 1

    run(main())


@pytest.mark.parametrize("key", ["", "k" * (KEY_CHARACTERS_MAX + 1)])
def test_a_key_has_a_length(key: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with served(MemoryLog(), tmp_path) as api:
            code, said = await api.post("/api/commands/pause", PAUSE, **{"Idempotency-Key": key})
            assert code == 400
            assert said == {"error": "Idempotency-Key: expected 1 to 255 characters"}

    run(main())


def test_many_who_send_a_command_at_once_get_one_answer(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with served(log, tmp_path) as api:
            sent = [api.post("/api/commands/pause", PAUSE, **KEY) for _ in range(20)]
            answers = await asyncio.gather(*sent)
            assert answers == answers[:1] * 20
            assert answers[0][0] == 200
        assert len(only(log, ev.Paused)) == 1

    run(main())


# What a command expects.


async def paused(api: Api, **headers: str) -> tuple[dict[str, object], object]:
    """Pause the fleet as it was looked at, looking again if it was another; return what was sent.

    With it comes the answer.
    """
    while True:
        expected = await fleet_version(api)
        body = {**PAUSE, "expected_versions": {ev.FLEET: expected}}
        code, said = await api.post("/api/commands/pause", body, **headers)
        if code == 200:
            return body, said
        assert code == 409


def test_a_command_is_done_where_it_finds_what_it_expects(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with served(log, tmp_path) as api:
            body, _ = await paused(api)
            code, said = await api.post("/api/commands/pause", body)
            assert code == 409
            assert isinstance(said, dict)
            (reason,) = said["reasons"]
            assert re.fullmatch(r"expected version \d+ of fleet, found \d+", reason)
        assert len(only(log, ev.Paused)) == 1

    run(main())


def test_a_repeat_is_answered_whatever_it_expects(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with served(log, tmp_path) as api:
            body, first = await paused(api, **KEY)
            assert await api.post("/api/commands/pause", body, **KEY) == (200, first)
        assert len(only(log, ev.Paused)) == 1

    run(main())


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("expected_head", "7", 'expected_head: expected a count, found "7"'),
        ("expected_head", -1, "expected_head: expected a count, found -1"),
        ("expected_versions", [], "expected_versions: expected an object of counts, found []"),
        ("expected_versions", {"g": None}, "g: expected a count, found null"),
    ],
)
def test_an_expectation_that_is_not_understood_is_a_bad_request(
    field: str, value: object, what: str, tmp_path: Path
) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with served(log, tmp_path) as api:
            answer = await api.post("/api/commands/pause", {**PAUSE, field: value})
            assert answer == (400, {"error": what})
        assert only(log, ev.Paused) == []

    run(main())
