"""Commands under a key: done once, however often and by however many they are sent."""

import asyncio
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.service.repeats import KEY_CHARACTERS_MAX, Answer, KeyReused, Repeats
from tests.engine.real import GROUP, FullLog, nobody, only, run, seen
from tests.engine.service.api import api_on

PAUSE = {"reason": "work", "author": "ann"}


class Doing:
    """A command that counts how often it is done, and may wait."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.count = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def __call__(self) -> Answer:
        self.count += 1
        await self.goes_on.wait()
        return self.answers[min(self.count, len(self.answers)) - 1]


def test_the_same_command_under_a_key_is_done_once_and_answered_alike(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            key = {"Idempotency-Key": "k-1"}
            first = await api.post("/api/commands/pause", PAUSE, **key)
            assert first[0] == 200
            turned = dict(reversed(PAUSE.items()))
            assert await api.post("/api/commands/pause", turned, **key) == first
            other = await api.post("/api/commands/pause", PAUSE, **{"Idempotency-Key": "k-2"})
            assert other[0] == 200
            assert other != first
            assert (await api.post("/api/commands/pause", PAUSE))[1] not in (first[1], other[1])
        assert len(only(log, ev.Paused)) == 3

    run(main())


@pytest.mark.parametrize(
    ("name", "body"),
    [("pause", {**PAUSE, "reason": "other work"}), ("resume", PAUSE), ("pause", {})],
)
def test_another_command_under_the_same_key_is_refused(
    name: str, body: dict[str, object], tmp_path: Path
) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            key = {"Idempotency-Key": "k"}
            await api.post("/api/commands/pause", PAUSE, **key)
            code, said = await api.post(f"/api/commands/{name}", body, **key)
            assert code == 422
            assert said == {
                "error": "Idempotency-Key 'k': expected the command it was first used for"
            }
        assert len(only(log, ev.Paused)) == 1
        assert only(log, ev.Resumed) == []

    run(main())


def test_a_refusal_is_the_answer_to_every_repeat(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            body = {"group": GROUP, "author": "ann"}
            key = {"Idempotency-Key": "k"}
            first = await api.post("/api/commands/switchover", body, **key)
            assert first[0] == 409
            assert await api.post("/api/commands/switchover", body, **key) == first
        assert len(only(log, ev.Refused)) == 1

    run(main())


def test_what_could_not_be_stored_is_tried_again_under_its_key(tmp_path: Path) -> None:
    async def main() -> None:
        log = FullLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            key = {"Idempotency-Key": "k"}
            log.is_full = True
            assert (await api.post("/api/commands/pause", PAUSE, **key))[0] == 503
            log.is_full = False
            await seen(engine, ev.EngineResumed)
            assert (await api.post("/api/commands/pause", PAUSE, **key))[0] == 200
        assert len(only(log, ev.Paused)) == 1

    run(main())


@pytest.mark.parametrize("key", ["", "k" * (KEY_CHARACTERS_MAX + 1)])
def test_a_key_has_a_length(key: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            code, said = await api.post("/api/commands/pause", PAUSE, **{"Idempotency-Key": key})
            assert code == 400
            assert said == {"error": "Idempotency-Key: expected 1 to 255 characters"}

    run(main())


def test_who_asks_while_it_is_done_waits_for_the_same_answer_also_if_the_first_gives_up() -> None:
    async def main() -> None:
        repeats, doing = Repeats(), Doing((200, {"seq": 7}))
        doing.goes_on.clear()
        asking = [asyncio.create_task(repeats.once("k", "pause", PAUSE, doing)) for _ in range(3)]
        await asyncio.sleep(0)
        asking[0].cancel()
        await asyncio.sleep(0)
        doing.goes_on.set()
        assert await asyncio.gather(*asking[1:]) == [(200, {"seq": 7})] * 2
        assert doing.count == 1

    run(main())


def test_only_the_newest_keys_are_known() -> None:
    async def main() -> None:
        repeats, doing = Repeats(keys_max=3), Doing((200, {}))
        for key in ("a", "b", "c", "d", "b", "d"):
            await repeats.once(key, "pause", PAUSE, doing)
        assert doing.count == 4
        await repeats.once("a", "pause", PAUSE, doing)  # forgotten
        assert doing.count == 5
        with pytest.raises(KeyReused):
            await repeats.once("a", "resume", PAUSE, doing)

    run(main())


def test_a_bug_is_no_answer_to_keep() -> None:
    async def main() -> None:
        repeats, doing = Repeats(), Doing((200, {}))

        async def broken() -> Answer:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await repeats.once("k", "pause", PAUSE, broken)
        assert await repeats.once("k", "pause", PAUSE, doing) == (200, {})

    run(main())
