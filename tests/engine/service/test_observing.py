"""An observer beside engines that answer, do not, or answer nonsense; masters are real sockets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from engine.config import Configuration
from engine.core.errors import CommandRefused, ConfigurationError
from engine.core.fleet import Mode
from engine.core.policy import MS
from engine.runtime.lookout import observed
from engine.runtime.seen import Answer
from engine.service import observing
from engine.service.observing import Away, Observer, Wire
from tests.engine.real import configuration, policy_of, run
from tests.engine.runtime.peers import (
    Handler,
    answer,
    closes,
    free_port,
    request,
    says,
    says_then_closes,
    server,
)

WELL = answer('{"status":"ok","boot":"b1"}')
POORLY = answer('{"status":"degraded","reason":"slow"}')


def declared(addresses: dict[str, str], **probe: object) -> Configuration:
    policy = policy_of(Mode.ACTIVE_ACTIVE)
    settings = msgspec.structs.replace(policy.probe, **probe)
    return configuration(addresses, policy=msgspec.structs.replace(policy, probe=settings))


class Engine:
    """What an engine answers to batches, and what it was told."""

    def __init__(self, *masters: str) -> None:
        self.batches: list[dict[str, object]] = []
        self.taken: list[dict[str, object]] = []  # of their observations
        self.status = 200
        self.refusing = ""  # what is answered with 409
        self.raw = b""  # what is answered in place of everything
        self.last = dict.fromkeys(masters, 0)
        self._more = asyncio.Event()

    async def handler(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, batch = await request(reader)
            assert line.startswith("POST /api/observations ")
            self.batches.append(batch)
            writer.write(self._answer(batch))
            self._more.set()

    def _answer(self, batch: dict[str, object]) -> bytes:
        if self.raw:
            return self.raw
        if self.refusing:
            return answer(json.dumps({"reasons": [self.refusing]}), status=409)
        if self.status != 200:
            return answer('{"error":"why"}', status=self.status)
        rows = batch.get("observations", [])
        assert isinstance(rows, list)
        for row in rows:
            self.last[row["master"]] = max(self.last[row["master"]], row["n"])
            self.taken.append(row)
        told = {"recorded": len(rows), "unknown": [], "last": self.last}
        return answer(json.dumps(told))

    async def until(self, wanted: Callable[[dict[str, object]], bool]) -> dict[str, object]:
        """Return the first observation that was taken and is wanted, so far or to come."""
        while True:
            self._more.clear()
            for row in self.taken:
                if wanted(row):
                    return row
            await self._more.wait()


@contextlib.asynccontextmanager
async def observing_by(
    engine: Engine, offered: Configuration
) -> AsyncIterator[tuple[asyncio.Event, "asyncio.Task[None]", list[str]]]:
    """Run an observer of `offered` that tells `engine`, until it is told to end."""
    said: list[str] = []
    ended = asyncio.Event()
    async with server(engine.handler) as url:
        wire = Wire(url, "token")
        running = asyncio.create_task(Observer(offered, "o2", wire, said.append).run(ended))
        try:
            yield ended, running, said
        finally:
            ended.set()
            await asyncio.gather(running, return_exceptions=True)
            await wire.close()


def test_everything_is_told_and_counted_on_from_what_the_engine_has() -> None:
    async def main() -> None:
        engine = Engine("a", "b", "c")
        engine.last["a"] = 41
        async with (
            server(says_then_closes(WELL), says(WELL)) as a,
            server(says(POORLY)) as b,
        ):
            masters = {"a": a, "b": b, "c": f"http://127.0.0.1:{free_port()}"}
            async with observing_by(engine, declared(masters)) as (ended, running, said):
                first = await engine.until(lambda row: row["master"] == "a")
                assert (first["n"], first["outcome"], first["boot"]) == (42, "ok", "b1")
                closed = await engine.until(lambda row: row["outcome"] == "closed")
                assert (closed["master"], closed["n"]) == ("a", 42)
                poor = await engine.until(lambda row: row["master"] == "b")
                assert (poor["outcome"], poor["reason"]) == ("degraded", "slow")
                failed = await engine.until(lambda row: row["master"] == "c")
                assert (failed["outcome"], failed["evidence"]) == ("failed", "refused")
                ended.set()
                await running
            assert said == ["o2 looks at a, b, c"]
        assert engine.batches[0]["hello"] is True
        assert len({batch["session"] for batch in engine.batches}) == 1
        assert {batch["observer"] for batch in engine.batches} == {"o2"}

    run(main())


def test_masters_that_the_engine_has_not_or_listens_to_itself_are_not_looked_at() -> None:
    async def main() -> None:
        engine = Engine("a")
        masters = {"a": "bot://127.0.0.1:1", "z": "bot://127.0.0.1:2"}
        async with observing_by(engine, declared(masters, kind="push")) as (_, _running, said):
            async with asyncio.timeout(20):
                while len(said) < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0)
        assert said == [
            "the engine has no master z: not looked at",
            "o2 looks at a",
            "a is not looked at: probe.kind = push is the engine's",
        ]

    run(main())


@pytest.mark.parametrize(
    "trouble", [{"status": 503}, {"raw": b"garbage"}, {"raw": answer("no JSON")}]
)
def test_a_batch_that_was_not_taken_is_told_again_and_what_is_old_is_dropped(
    trouble: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "KEEP_US", 50 * MS)
    monkeypatch.setattr(observing, "PAUSE_US", 30 * MS)

    async def main() -> None:
        engine = Engine("a")
        async with (
            server(says(WELL)) as a,
            observing_by(engine, declared({"a": a})) as (_, _running, said),
        ):
            await engine.until(lambda row: row["n"] == 1)
            for name, value in trouble.items():
                setattr(engine, name, value)
            before = len(engine.batches)
            async with asyncio.timeout(20):
                while len(engine.batches) < before + 5:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            assert said[-1].startswith("the engine is away (")
            engine.status, engine.raw = 200, b""
            newest = engine.last["a"]
            later = await engine.until(lambda row: int(str(row["n"])) > newest + 5)
            assert later["outcome"] == "ok"
            async with asyncio.timeout(20):
                while "the engine is there again" not in said[-1]:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            assert "observations were dropped" in said[-1]

    run(main())


@pytest.mark.parametrize(
    ("setting", "value", "error", "word"),
    [
        ("refusing", "another has the name", CommandRefused, "another has the name"),
        ("status", 401, ConfigurationError, "the engine says 401: why"),
        ("status", 400, ConfigurationError, "the engine says 400: why"),
    ],
)
def test_an_engine_that_says_no_ends_the_observer(
    setting: str, value: object, error: type[Exception], word: str
) -> None:
    async def main() -> None:
        engine = Engine("a")
        async with (
            server(says(WELL)) as a,
            observing_by(engine, declared({"a": a})) as (_, running, _said),
        ):
            await engine.until(lambda row: row["n"] == 1)
            setattr(engine, setting, value)
            with pytest.raises(error, match=word):
                await running

    run(main())


def test_what_was_seen_last_is_told_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "TELL_US", 3_600_000_000)  # a good probe waits for company

    async def main() -> None:
        engine = Engine("a")
        answered = asyncio.Event()

        async def well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await request(reader)
                writer.write(WELL)
                answered.set()

        async with (
            server(well) as a,
            observing_by(engine, declared({"a": a})) as (ended, running, _),
        ):
            await answered.wait()
            async with asyncio.timeout(20):
                while not any(task.get_name() == "look at a" for task in asyncio.all_tasks()):  # noqa: ASYNC110
                    await asyncio.sleep(0)
            for _ in range(100):
                await asyncio.sleep(0)
            ended.set()
            await running
        assert (await engine.until(lambda row: row["n"] == 1))["outcome"] == "ok"

    run(main())


@pytest.mark.parametrize("handler", [closes, says(b"")])
def test_an_engine_that_does_not_answer_is_away(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "ANSWER_US", 50 * MS)

    async def main() -> None:
        async with server(handler) as url:
            wire = Wire(url, "token")
            with pytest.raises(Away):
                await wire.tell(observing.Batch(observer="o2", session="s"))
            await wire.close()

    run(main())


def test_a_probe_that_lacks_something_is_said() -> None:
    async def main() -> None:
        engine = Engine("a")
        offered = declared({"a": "https://127.0.0.1:1"}, kind="https", ca="none.pem")
        async with observing_by(engine, offered) as (_, running, _said):
            with pytest.raises(ConfigurationError, match=r"probe\.ca"):
                await running

    run(main())


def test_an_answer_keeps_what_it_says_on_the_way() -> None:
    seen = Answer(latency_us=7, boot="b", epoch=3, role="active")
    told = observed("a", 2, seen)
    assert (told.n, told.outcome, told.latency_us) == (2, "ok", 7)
    assert (told.boot, told.epoch, told.role) == ("b", 3, "active")
