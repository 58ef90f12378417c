import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from engine.core.transfer import kept_digest
from engine.samples.master import Json, Master, Peer, Session, state_digest
from engine.samples.sink import Sink
from tests.engine.runtime.peers import Sample, sample


def master(*, role: str = "standby", epoch: int = 0) -> Master:
    made = Master(name="a", group="main", boot="b1", role=role, sink=None)
    made.epoch = epoch
    made.fenced_at = epoch if role == "fenced" else 0
    return made


def post(made: Master, path: str, **body: object) -> tuple[int, Json]:
    return asyncio.run(made.answer("POST", path, body))


# What (role, epoch 5) makes of each step under an older, the same and a newer epoch.
CELLS = [
    ("fence", "standby", (409, 200, 200)),
    ("fence", "active", (409, 200, 200)),
    ("fence", "fenced", (409, 200, 200)),
    ("demote", "standby", (409, 200, 200)),
    ("demote", "active", (409, 200, 200)),
    ("demote", "fenced", (409, 200, 200)),
    ("promote", "standby", (409, 200, 200)),
    ("promote", "active", (409, 200, 200)),
    ("promote", "fenced", (409, 409, 200)),
    ("transfer", "standby", (409, 200, 200)),
    ("transfer", "active", (409, 423, 423)),
    ("transfer", "fenced", (409, 200, 200)),
    ("verify", "standby", (409, 423, 423)),
    ("verify", "active", (409, 200, 423)),
    ("verify", "fenced", (409, 423, 423)),
]
AFTER = {"fence": "fenced", "demote": "standby", "promote": "active"}


@pytest.mark.parametrize(("step", "role", "statuses"), CELLS)
def test_every_step_is_answered_by_role_and_epoch(
    step: str, role: str, statuses: tuple[int, int, int]
) -> None:
    for epoch, expected in zip((4, 5, 6), statuses, strict=True):
        made = master(role=role, epoch=5)
        status, said = post(
            made,
            f"/control/{step}",
            failover=1,
            step=step,
            epoch=epoch,
            state={},
            digest=state_digest({}),
        )
        assert status == expected
        if status == 200:
            assert made.role == AFTER.get(step, role)
            assert made.epoch == epoch
        else:
            assert (made.role, made.epoch) == (role, 5)
            assert said["reason"]


@pytest.mark.parametrize(
    ("role", "statuses"),
    [("standby", (409, 409, 409)), ("active", (409, 200, 200)), ("fenced", (409, 409, 409))],
)
def test_a_message_is_answered_by_role_and_epoch(role: str, statuses: tuple[int, int, int]) -> None:
    for epoch, expected in zip((4, 5, 6), statuses, strict=True):
        made = master(role=role, epoch=5)
        status, _ = post(made, "/messages", epoch=epoch, key="m-1", lane="l", body="")
        assert status == expected
        assert made.epoch == (epoch if status == 200 else 5)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/control/fence", {"epoch": "6"}),
        ("/control/fence", {}),
        ("/control/fence", {"epoch": True}),
        ("/control/fence", {"epoch": 6, "step": "promote"}),
        ("/control/promote", {"epoch": 6, "step": "preflight"}),
        ("/control/transfer", {"epoch": 6}),
        ("/messages", {"epoch": 5, "key": 1}),
        ("/messages", {"key": "m-1"}),
    ],
)
def test_a_request_without_its_fields_changes_nothing(path: str, body: Json) -> None:
    made = master(epoch=5)
    assert post(made, path, **body)[0] == 400
    assert (made.role, made.epoch) == ("standby", 5)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/messages"), ("POST", "/control/switch"), ("POST", "/health")],
)
def test_what_is_not_in_the_protocol_is_not_found(method: str, path: str) -> None:
    assert asyncio.run(master().answer(method, path, {}))[0] == 404


def test_a_preflight_looks_and_compares_no_epoch() -> None:
    for role in ("standby", "active", "fenced"):
        made = master(role=role, epoch=5)
        assert post(made, "/control/verify", failover=1, step="preflight", epoch=0)[0] == 200
        assert (made.role, made.epoch) == (role, 5)


def transfer(made: Master, blobs: dict[str, bytes], *, epoch: int = 6, digest: str = "") -> int:
    state = {key: base64.b64encode(blob).decode() for key, blob in blobs.items()}
    digest = digest or state_digest(blobs)
    body = {"failover": 1, "step": "transfer", "epoch": epoch, "state": state, "digest": digest}
    status, said = post(made, "/control/transfer", **body)
    assert status != 200 or said["digest"] == digest
    return status


def test_state_comes_as_a_whole_or_not_at_all() -> None:
    made = master()
    good = {"sessions/l": b"3 m-3", "configuration": b"opaque"}
    assert transfer(made, {**good, "sessions/x": b"no count"}) == 423
    assert transfer(made, good, digest="0" * 64) == 423
    assert (made.sessions, made.epoch) == ({}, 0)
    assert transfer(made, good) == 200
    assert {lane: session.count for lane, session in made.sessions.items()} == {"l": 3}


def test_a_step_that_was_done_is_not_done_again() -> None:
    made = master()
    assert transfer(made, {"sessions/l": b"3 m-3"}) == 200
    made.sessions["l"].add("m-4")
    assert transfer(made, {"sessions/l": b"3 m-3"}) == 200
    assert made.sessions["l"].count == 4


def test_a_step_that_was_refused_is_tried_anew() -> None:
    made = master(epoch=6)
    step = {"failover": 1, "step": "verify", "epoch": 6}
    assert post(made, "/control/verify", **step)[0] == 423
    made.role = "active"
    assert post(made, "/control/verify", **step)[0] == 200


def test_an_older_step_that_was_done_is_stale_all_the_same() -> None:
    made = master()
    promote = {"failover": 1, "step": "promote", "epoch": 6}
    assert post(made, "/control/promote", **promote)[0] == 200
    assert post(made, "/control/fence", failover=2, step="fence", epoch=7)[0] == 200
    assert post(made, "/control/promote", **promote)[0] == 409
    assert made.role == "fenced"


def test_a_fenced_master_takes_over_under_the_epoch_of_its_transfer() -> None:
    made = master(epoch=4)
    assert post(made, "/control/fence", failover=1, step="fence", epoch=5)[0] == 200
    assert transfer(made, {"sessions/l": b"3 m-3"}, epoch=6) == 200
    assert post(made, "/control/promote", failover=2, step="promote", epoch=6)[0] == 200
    assert (made.role, made.epoch) == ("active", 6)


def test_sessions_count_each_message_once_and_move_on() -> None:
    one = master(role="active", epoch=5)
    blobs: dict[str, bytes] = {}
    for key in ("m-1", "m-2", "m-2", "m-3"):
        status, said = post(one, "/messages", epoch=5, key=key, lane="l", body="")
        assert status == 200
        state = said["state"]
        assert isinstance(state, dict)
        blobs = {name: base64.b64decode(text) for name, text in state.items()}
    assert blobs == {"sessions/l": b"3 m-3"}
    two = master()
    assert transfer(two, blobs) == 200
    assert post(two, "/control/promote", failover=1, step="promote", epoch=6)[0] == 200
    _, said = post(two, "/messages", epoch=6, key="m-3", lane="l", body="")
    assert said == {"state": {"sessions/l": base64.b64encode(b"3 m-3").decode()}}


def test_the_digest_is_that_of_the_engine() -> None:
    blobs = {"b": b"2", "a": b"1", "ä": b""}
    sums = {key: hashlib.sha256(blob).digest() for key, blob in blobs.items()}
    assert state_digest(blobs) == kept_digest(sums)
    assert state_digest(blobs) != state_digest({**blobs, "b": b"3"})


def test_a_session_survives_its_blob() -> None:
    session = Session.read(Session(7, "a key with spaces").blob())
    assert (session.count, session.last) == (7, "a key with spaces")


# Whole processes.

Ask = Callable[..., Coroutine[Any, Any, tuple[int, Json]]]


@contextlib.asynccontextmanager
async def asker(process: Sample) -> AsyncIterator[Ask]:
    peer = Peer(process.address)

    async def ask(path: str, **body: object) -> tuple[int, Json]:
        return await peer.ask("POST" if body else "GET", path, body)

    try:
        yield ask
    finally:
        await peer.close()


async def fail_over(to_a: Ask, to_b: Ask, to_sink: Ask) -> None:
    for n in (1, 2):
        message = {"epoch": 5, "key": f"m-{n}", "lane": "l", "body": "eA=="}
        status, said = await to_a("/messages", **message)
        assert status == 200
    kept = said["state"]
    step = {"failover": 1, "epoch": 6}
    assert isinstance(kept, dict)
    digest = state_digest({key: base64.b64decode(text) for key, text in kept.items()})
    assert (await to_b("/control/verify", step="preflight", **step))[0] == 200
    assert (await to_b("/control/verify", step="verify", **step))[0] == 423
    status, said = await to_b("/control/transfer", state=kept, digest=digest, **step)
    assert (status, said["digest"]) == (200, digest)
    # A preflight moves no epoch at the sink: a still works.
    message = {"epoch": 5, "key": "m-3", "lane": "l", "body": "eA=="}
    assert (await to_a("/messages", **message))[0] == 200
    assert (await to_b("/control/promote", **step))[0] == 200
    assert (await to_b("/control/verify", **step))[0] == 200
    # a was never fenced, and learns from the sink that it is over.
    assert (await to_a("/messages", **{**message, "key": "m-4"}))[0] == 409
    assert (await to_a("/health"))[1]["role"] == "fenced"
    for key in ("m-3", "m-4"):
        assert (await to_b("/messages", **{**message, "key": key, "epoch": 6}))[0] == 200
    _, health = await to_b("/health")
    assert (health["role"], health["epoch"], health["freshness"]) == ("active", 6, 4)
    assert set(health) >= {"status", "boot", "epoch", "role", "load", "freshness"}
    _, report = await to_sink("/report?keys=1")
    assert report["keys_by_group"] == {"main": ["m-1", "m-2", "m-3", "m-4"]}
    counts = ("applied", "applied_twice", "repeated", "refused_stale", "out_of_order")
    assert [report[name] for name in counts] == [4, 0, 1, 1, 0]


def test_a_failover_with_its_zombie_loses_nothing_and_applies_nothing_twice(
    tmp_path: Path,
) -> None:
    with (
        sample("sink", "--file", str(tmp_path / "sink.db")) as sink,
        sample("master", "--sink", sink.address, "--boot", "a", "--role", "active") as a,
        sample("master", "--sink", sink.address, "--boot", "b") as b,
    ):

        async def body() -> None:
            async with asker(a) as to_a, asker(b) as to_b, asker(sink) as to_sink:
                await fail_over(to_a, to_b, to_sink)

        asyncio.run(body())


def test_without_its_sink_a_master_does_no_work_and_says_so(tmp_path: Path) -> None:
    with sample("sink", "--file", str(tmp_path / "sink.db")) as sink:
        gone = sink.address
    with sample("master", "--sink", gone, "--role", "active") as process:

        async def body() -> None:
            async with asker(process) as ask:
                message = {"epoch": 0, "key": "m-1", "lane": "l", "body": ""}
                assert (await ask("/messages", **message))[0] == 503
                for step in ("preflight", "verify"):
                    status, said = await ask("/control/verify", failover=1, step=step, epoch=0)
                    assert status == 423
                    assert "sink" in str(said["reason"])

        asyncio.run(body())


def test_the_same_step_asked_twice_at_once_is_under_way() -> None:
    gate = asyncio.Event()
    asked = asyncio.Event()

    class Slow(Peer):
        async def ask(self, method: str, path: str, body: Json) -> tuple[int, Json]:
            asked.set()
            await gate.wait()
            return 200, {}

    async def body() -> None:
        made = Master(name="a", group="main", boot="b", role="active", sink=Slow("http://x:1"))
        step: Json = {"failover": 1, "step": "verify", "epoch": 0}
        first = asyncio.create_task(made.answer("POST", "/control/verify", step))
        await asked.wait()
        assert (await made.answer("POST", "/control/verify", step))[0] == 202
        gate.set()
        assert (await first)[0] == 200

    asyncio.run(body())


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"POST /messages HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /messages HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /messages HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST /messages HTTP/1.1\r\nContent-Length: 1\r\n\r\n[",
        b"POST /messages HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 9_000 + b"\r\n",
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_cut(data: bytes) -> None:
    with sample("master") as process:

        async def body() -> None:
            port = int(process.address.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            assert (await reader.read()).startswith(b"HTTP/1.1 400")
            writer.close()
            async with asker(process) as ask:
                assert (await ask("/health"))[0] == 200

        asyncio.run(body())


def test_a_master_ends_cleanly_when_told(tmp_path: Path) -> None:
    with (
        sample("sink", "--file", str(tmp_path / "sink.db")) as sink,
        sample("master", "--sink", sink.address, "--role", "active") as process,
    ):

        async def body() -> None:
            async with asker(process) as ask:
                message = {"epoch": 0, "key": "m-1", "lane": "l", "body": ""}
                assert (await ask("/messages", **message))[0] == 200
                for one in (process, sink):  # each with a connection open
                    one.process.terminate()
                    assert one.process.wait() == 0

        asyncio.run(body())


def test_where_all_serve_at_once_each_has_epochs_of_its_own_at_the_sink(tmp_path: Path) -> None:
    sink = Sink(str(tmp_path / "sink.db"))

    class Direct:
        async def ask(self, method: str, path: str, body: Json) -> tuple[int, Json]:
            return await sink.answer(method, path, body)

    async def play() -> list[int]:
        statuses = []
        for name, epoch in (("a", 7), ("b", 5)):
            peer = cast("Peer", Direct())
            made = Master(name=name, group="main", boot=name, role="standby", sink=peer)
            promote = {"failover": 0, "step": "promote", "epoch": epoch, "mode": "active-active"}
            await made.answer("POST", "/control/promote", promote)
            message = {"epoch": epoch, "key": name, "lane": "l", "body": ""}
            status, _ = await made.answer("POST", "/messages", message)
            statuses.append(status)
        return statuses

    assert asyncio.run(play()) == [200, 200]
    sink.close()


@pytest.mark.parametrize("mode", ["active-standby", "active-active"])
def test_a_sink_that_has_seen_newer_epochs_than_the_engine_says_which(
    tmp_path: Path, mode: str
) -> None:
    with (
        sample("sink", "--file", str(tmp_path / "sink.db")) as sink,
        sample("master", "--sink", sink.address, "--name", "a", "--boot", "1") as first,
        sample("master", "--sink", sink.address, "--name", "a", "--boot", "2") as second,
    ):

        async def body() -> None:
            step = {"failover": 1, "mode": mode}
            message = {"lane": "l", "body": "eA=="}
            async with asker(first) as ask:
                assert (await ask("/control/promote", epoch=9, **step))[0] == 200
                assert (await ask("/messages", epoch=9, key="m-1", **message))[0] == 200
            async with asker(second) as ask:
                assert (await ask("/control/promote", epoch=6, **step))[0] == 200
                assert (await ask("/messages", epoch=6, key="m-2", **message))[0] == 409
                _, health = await ask("/health")
                assert (health["role"], health["epoch"]) == ("fenced", 9)
                assert (await ask("/control/fence", epoch=10, failover=0))[0] == 200
                assert (await ask("/control/promote", epoch=11, **step))[0] == 200
                assert (await ask("/messages", epoch=11, key="m-2", **message))[0] == 200

        asyncio.run(body())
