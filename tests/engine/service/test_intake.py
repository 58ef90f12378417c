"""What masters and other observers post: beats, loads, observations."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from engine.config import Configuration
from engine.core import events as ev
from engine.core.events import Evidence
from engine.core.fleet import Mode
from engine.core.policy import MS
from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.runtime.hearing import BATCH_MAX, OBSERVERS_MAX
from engine.service.intake import BATCH_BYTES_MAX, BEAT_BYTES_MAX
from tests.engine.real import FullLog, configuration, nobody, of, only, policy_of, run, seen
from tests.engine.service.api import api_on


def pushed(*, timeout_us: int = 5_000 * MS) -> Configuration:
    policy = policy_of(Mode.ACTIVE_ACTIVE)
    probe = msgspec.structs.replace(policy.probe, kind="push", timeout_us=timeout_us)
    return configuration(
        {"a": "bot://127.0.0.1:1"}, policy=msgspec.structs.replace(policy, probe=probe)
    )


def told(n: int, outcome: str = "ok", **fields: object) -> dict[str, object]:
    return {"master": "a", "n": n, "outcome": outcome, **fields}


def batch(*observations: dict[str, object], session: str = "s1", **more: object) -> object:
    return {"observer": "o2", "session": session, "observations": list(observations), **more}


# Beats.


def test_a_beat_is_an_answer_and_says_what_the_master_may_do(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(pushed(), log=log) as engine, api_on(engine, tmp_path) as api:
            health = {"status": "ok", "boot": "b1", "load": {"cpu": 0.5}}
            code, said = await api.post("/api/beat/a", health)
            assert (code, said) == (200, {"role": "standby", "epoch": 0})
            answered = await seen(engine, of(ev.ProbeOk, "a"))
            assert isinstance(answered.event, ev.ProbeOk)
            assert (answered.event.n, answered.event.boot) == (1, "b1")
            reported = await seen(engine, of(ev.LoadReported, "a"))
            assert reported.event == ev.LoadReported(cpu_ppm=500_000)
            await seen(engine, of(ev.Activated, "a"))
            code, said = await api.post("/api/beat/a", {}, b"")  # nothing is well, too
            assert code == 200
            assert isinstance(said, dict)
            assert said["role"] == "active"
            assert said["epoch"] > 0

    run(main())


def test_a_beat_that_says_no_is_a_failed_probe(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(pushed(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            await api.post("/api/beat/a", {"status": "failing", "reason": "disk"})
            failed = (await seen(engine, of(ev.ProbeFailed, "a"))).event
            assert isinstance(failed, ev.ProbeFailed)
            assert (failed.evidence, failed.detail) == (Evidence.STATUS, "disk")

    run(main())


def test_beats_that_stop_are_overdue_until_the_master_has_failed(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        declared = pushed(timeout_us=20 * MS)
        async with Engine(declared, log=log) as engine, api_on(engine, tmp_path) as api:
            await api.post("/api/beat/a", {"status": "ok"})
            failed = (await seen(engine, of(ev.MasterFailed, "a"))).event
            assert isinstance(failed, ev.MasterFailed)
            assert failed.rule == "fall"
            await api.post("/api/beat/a", {"status": "ok"})
            await seen(engine, of(ev.MasterRecovering, "a"))
        evidence = {event.evidence for event in only(log, ev.ProbeFailed)}
        assert evidence == {Evidence.OVERDUE}
        assert {event.detail for event in only(log, ev.ProbeFailed)} == {"no beat"}

    run(main())


def test_a_beat_to_nobody_or_to_one_that_is_probed_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            code, said = await api.post("/api/beat/z", {})
            assert (code, said) == (409, {"reasons": ["no master 'z'"]})
            code, said = await api.post("/api/beat/a", {})
            assert code == 409
            assert "probe.kind = push" in str(said)
        async with Engine(pushed(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            code, _ = await api.post("/api/beat/a", {}, b"x" * (BEAT_BYTES_MAX + 1))
            assert code == 400

    run(main())


# Loads.


def test_a_load_is_recorded_if_it_says_something_new(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            body = {
                "master": "a",
                "load": {"cpu": 0.25, "memory": 1, "queued": 7, "active": 3, "errors": 0.001},
                "freshness": {"position": 70, "lag_ms": 1.5},
            }
            assert await api.post("/api/load", body) == (200, {"recorded": True})
            assert await api.post("/api/load", body) == (200, {"recorded": False})
            body["load"] = {"cpu": 0.9}
            assert await api.post("/api/load", body) == (200, {"recorded": True})
        first, second = only(log, ev.LoadReported)
        assert first == ev.LoadReported(
            cpu_ppm=250_000,
            memory_ppm=1_000_000,
            queue=7,
            active=3,
            errors_ppm=1_000,
            position=70,
            lag_us=1_500,
        )
        assert second.cpu_ppm == 900_000

    run(main())


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{", "truncated"),
        (b"[]", "object"),
        (b'{"load":{}}', "master"),
        (b'{"master":"a"}', "expected"),
        (b'{"master":"a","load":{"cpu":1.5,"active":-1,"queued":"x"}}', "shares are numbers"),
        (b'{"master":"a","load":[1],"freshness":{"lag_ms":-1}}', "shares are numbers"),
        (b"[" * 100_000, ""),
        (b"\xff", ""),
    ],
)
def test_a_load_that_cannot_be_read_is_one_line(body: bytes, word: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            code, said = await api.post("/api/load", None, body)
            assert code == 400
            assert isinstance(said, dict)
            assert word in said["error"]

    run(main())


# Observations.


def test_what_an_observer_saw_is_recorded_under_its_name(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            code, said = await api.post("/api/observations", batch(hello=True))
            assert (code, said) == (
                200,
                {"recorded": 0, "unknown": [], "last": {"a": 0, "b": 0}},
            )
            code, said = await api.post(
                "/api/observations",
                batch(
                    told(1, latency_us=70, boot="b1", epoch=3, role="standby"),
                    told(2, "degraded", latency_us=80, reason="slow"),
                    told(2, "closed", evidence="reset"),
                    told(3, "failed", evidence="refused", late_us=4, waited_us=5, detail="d"),
                    {**told(1), "master": "z"},
                ),
            )
            assert (code, said) == (
                200,
                {"recorded": 4, "unknown": ["z"], "last": {"a": 3, "b": 0}},
            )
        mine = [
            recorded.event
            for recorded in log.read()
            if getattr(recorded.event, "observer", "") == "o2"
        ]
        assert mine == [
            ev.ProbeOk(n=1, latency_us=70, boot="b1", epoch=3, role="standby", observer="o2"),
            ev.ProbeDegraded(n=2, latency_us=80, reason="slow", observer="o2"),
            ev.ConnectionClosed(evidence=Evidence.RESET, observer="o2"),
            ev.ProbeFailed(
                n=3,
                evidence=Evidence.REFUSED,
                late_us=4,
                waited_us=5,
                detail="d",
                observer="o2",
            ),
        ]

    run(main())


def test_a_batch_that_is_told_again_is_recorded_once(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            again = batch(told(1), told(1, "closed"), told(2, "failed"), told(3))
            _, first = await api.post("/api/observations", again)
            _, second = await api.post("/api/observations", again)
            assert isinstance(first, dict)
            assert isinstance(second, dict)
            assert (first["recorded"], second["recorded"]) == (4, 0)
            assert first["last"] == second["last"]

    run(main())


def test_the_process_that_said_hello_last_has_the_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:

            async def post(body: object) -> int:
                return (await api.post("/api/observations", body))[0]

            assert await post(batch(told(1), session="s1")) == 200  # a new engine knows nobody
            assert await post(batch(told(2), session="s2")) == 409
            assert await post(batch(session="s2", hello=True)) == 200
            assert await post(batch(told(3), session="s1")) == 409
            assert await post(batch(told(3), session="s2")) == 200

    run(main())


def test_an_engine_takes_so_many_observers_and_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            for number in range(OBSERVERS_MAX + 1):
                body = {"observer": f"o{number}", "session": "s", "hello": True}
                code, said = await api.post("/api/observations", body)
                assert code == (200 if number < OBSERVERS_MAX else 400), said
            body = {"observer": "o0", "session": "s", "observations": [told(1)]}
            assert (await api.post("/api/observations", body))[0] == 200

    run(main())


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"observer": "o2"}, "session"),
        ({"observer": "", "session": "s"}, "observer: expected a name"),
        ({"observer": "traffic", "session": "s"}, "this engine itself"),
        ({"observer": "o" * 65, "session": "s"}, "observer: expected a name"),
        ({"observer": "o2", "session": "\n"}, "session: expected a name"),
        (batch(told(-1)), "observations[0]: a count"),
        (batch(told(1), told(2**63)), "observations[1]: a count"),
        (batch(told(2**70)), "observations[0]: a count"),
        (batch(told(1, "well")), "outcome"),
        (batch(told(1, "failed", evidence="bad")), "evidence"),
        (batch(*[told(n) for n in range(1, BATCH_MAX + 2)]), "at most 1000"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused_as_a_whole(
    body: object, word: str, tmp_path: Path
) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            code, said = await api.post("/api/observations", body)
            assert code == 400
            assert isinstance(said, dict)
            assert word in said["error"]
            code, _ = await api.post("/api/observations", None, b" " * (BATCH_BYTES_MAX + 1))
            assert code == 400
        assert not [event for event in only(log, ev.ProbeOk) if event.observer]

    run(main())


def test_each_of_them_needs_the_token_and_a_log_that_can_be_written(tmp_path: Path) -> None:
    async def main() -> None:
        log = FullLog()
        async with Engine(pushed(), log=log) as engine, api_on(engine, tmp_path) as api:
            bodies = {
                "/api/beat/a": {},
                "/api/load": {"master": "a", "load": {"cpu": 0.5}},
                "/api/observations": batch(told(1, "failed")),
            }
            for path, body in bodies.items():
                code, _ = await api.post(path, body, None, Authorization="Bearer nobody's")
                assert code == 401
            log.is_full = True
            code, _ = await api.post("/api/observations", bodies["/api/observations"])
            assert code == 503
            for path, body in bodies.items():
                code, _ = await api.post(path, body)
                assert code == 503
            log.is_full = False
            async with asyncio.timeout(20):
                while (await api.post("/api/observations", bodies["/api/observations"]))[0] != 200:
                    pass

    run(main())
