import asyncio
import signal

import pytest

from engine.core.events import Result
from engine.runtime import control as control_module
from engine.runtime.control import Control
from engine.runtime.seen import Answer
from tests.engine.runtime.links import http_link
from tests.engine.runtime.peers import (
    LONG_US,
    SECOND,
    SHORT_US,
    Handler,
    answer,
    closes,
    free_port,
    request,
    resets,
    sample,
    says,
    says_nothing,
    says_then_closes,
    server,
)

BODY: dict[str, object] = {"failover": 3, "epoch": 6, "attempt": 1}
STEP_US = 3 * SHORT_US  # of a step that is asked again until its time is up


@pytest.mark.parametrize(
    ("handler", "result", "detail"),
    [
        pytest.param(says(answer('{"digest":"d"}')), Result.OK, "", id="done"),
        pytest.param(says(answer("no JSON")), Result.OK, "", id="done, without a word"),
        pytest.param(says(answer(status=409)), Result.REFUSED, "stale epoch", id="stale"),
        pytest.param(
            says(answer('{"reason":"no disk"}', status=423)), Result.REFUSED, "no disk", id="423"
        ),
        pytest.param(says(answer(status=423)), Result.REFUSED, "status 423", id="423, no reason"),
        pytest.param(says(answer(status=404)), Result.REFUSED, "status 404", id="404"),
        pytest.param(says(answer(status=202)), Result.UNKNOWN, "still under way", id="under way"),
        pytest.param(says(answer(status=500)), Result.UNKNOWN, "status 500", id="500"),
        pytest.param(says(answer(status=302)), Result.UNKNOWN, "status 302", id="302"),
        pytest.param(closes, Result.UNKNOWN, "closed", id="cut"),
        pytest.param(resets, Result.UNKNOWN, "reset", id="reset"),
        pytest.param(says(b"garbage"), Result.UNKNOWN, "protocol", id="garbage"),
        pytest.param(says_nothing, Result.UNKNOWN, "no answer in time", id="silence"),
    ],
)
def test_a_step_gets_one_reply(handler: Handler, result: Result, detail: str) -> None:
    async def body() -> None:
        async with server(handler) as address:
            control = Control(address)
            reply = await control.step("fence", BODY, timeout_us=STEP_US)
            assert reply.result is result
            assert reply.detail.startswith(detail)
            await control.close()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("host", "detail"),
    [("127.0.0.1", "refused"), ("255.255.255.255", "unreachable"), ("a..b", "dns")],
)
def test_a_step_that_was_never_sent_failed(host: str, detail: str) -> None:
    async def body() -> None:
        control = Control(f"http://{host}:{free_port()}")
        reply = await control.step("promote", BODY, timeout_us=STEP_US)
        assert reply.result is Result.FAILED
        assert reply.detail.startswith(detail)
        await control.close()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("step", "path"),
    [
        ("fence", "/control/fence"),
        ("promote", "/control/promote"),
        ("demote", "/control/demote"),
        ("transfer", "/control/transfer"),
        ("verify", "/control/verify"),
        ("preflight", "/control/verify"),
    ],
)
def test_a_step_is_posted_with_its_fields(step: str, path: str) -> None:
    async def body() -> None:
        seen: list[tuple[str, dict[str, object]]] = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await request(reader))
            writer.write(answer('{"digest":"d"}'))
            await reader.read()

        async with server(handler) as address:
            control = Control(address)
            reply = await control.step(step, {**BODY, "state": {"k": b"\0\1"}}, timeout_us=LONG_US)
            assert reply.data == {"digest": "d"}
            await control.close()
        fields = {**BODY, "step": step, "state": {"k": "AAE="}}
        assert seen == [(f"POST {path} HTTP/1.1", fields)]

    asyncio.run(body())


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(says_then_closes(answer(status=202)), id="under way"),
        pytest.param(says_then_closes(answer(status=503)), id="not now"),
        pytest.param(closes, id="cut"),
    ],
)
def test_a_step_is_asked_again_until_the_answer_is_clear(first: Handler) -> None:
    async def body() -> None:
        async with server(first, says(answer())) as address:
            control = Control(address)
            assert (await control.step("promote", BODY, timeout_us=LONG_US)).result is Result.OK
            await control.close()

    asyncio.run(body())


def test_a_master_that_comes_up_within_the_time_is_reached() -> None:
    async def body() -> None:
        port = free_port()
        control = Control(f"http://127.0.0.1:{port}")
        waiting = asyncio.create_task(control.step("fence", BODY, timeout_us=LONG_US))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.1)
        with sample("master", "--port", str(port)):
            assert (await waiting).result is Result.OK
        await control.close()

    asyncio.run(body())


def test_a_step_that_was_sent_once_is_unknown_whatever_comes_after() -> None:
    with sample("master") as master:

        async def body() -> None:
            control = Control(master.address)
            master.process.send_signal(signal.SIGSTOP)
            waiting = asyncio.create_task(control.step("promote", BODY, timeout_us=2 * SECOND))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(waiting), 0.1)
            master.process.kill()  # cut after it was sent, and refused from then on
            reply = await waiting
            assert reply.result is Result.UNKNOWN
            assert "refused" in reply.detail
            await control.close()

        asyncio.run(body())


def test_a_fence_waits_for_a_stopped_master_and_binds_it_when_it_goes_on() -> None:
    with sample("master", "--role", "active") as master:

        async def body() -> None:
            control = Control(master.address)
            delivery = await control.deliver(
                epoch=5, key="m-1", lane="l", body=b"x", timeout_us=LONG_US
            )
            assert delivery.kind == "done"
            master.process.send_signal(signal.SIGSTOP)
            reply = await control.step("fence", BODY, timeout_us=SHORT_US)
            assert reply.result is Result.UNKNOWN
            control.close_idle()
            master.process.send_signal(signal.SIGCONT)
            link = http_link(master.address, lambda evidence: None)
            while True:
                probed = await link.probe(fresh=False, timeout_us=LONG_US)
                assert isinstance(probed, Answer)
                if probed.role == "fenced":
                    break
            assert probed.epoch == 6
            await link.close()
            await control.close()

        asyncio.run(body())


def test_connections_with_unanswered_steps_are_left_open_up_to_a_number() -> None:
    async def body() -> None:
        open_now = most = 0
        shut = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            await reader.read()
            open_now -= 1
            if open_now == 0:
                shut.set()

        async with server(silent) as address:
            control = Control(address)
            for _ in range(control_module.PARKED_MAX + 3):
                await control.step("fence", BODY, timeout_us=SHORT_US // 5)
            assert most <= control_module.PARKED_MAX + 1
            assert open_now >= control_module.PARKED_MAX
            await control.close()
            await shut.wait()

    asyncio.run(body())


def test_a_step_never_waits_behind_messages() -> None:
    async def body() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line, _ = await request(reader)
            if "/control/" in line:
                writer.write(answer())
            await reader.read()

        async with server(handler) as address:
            control = Control(address)
            waiting = [
                asyncio.create_task(
                    control.deliver(epoch=1, key=f"m-{n}", lane="", body=b"", timeout_us=LONG_US)
                )
                for n in range(control_module.LINES_MAX + 1)
            ]
            assert (await control.step("fence", BODY, timeout_us=LONG_US)).result is Result.OK
            await control.close()
            kinds = {delivery.kind for delivery in await asyncio.gather(*waiting)}
            assert kinds <= {"unknown", "failed"}

    asyncio.run(body())
