import asyncio
from pathlib import Path

import pytest

from engine.runtime import control as control_module
from engine.runtime.control import Control, Delivery
from tests.engine.runtime.peers import (
    LONG_US,
    SHORT_US,
    Handler,
    answer,
    closes,
    free_port,
    open_files,
    request,
    says,
    says_nothing,
    server,
)

BODY: dict[str, object] = {"failover": 3, "epoch": 6}


async def sent(control: Control, *, timeout_us: int = LONG_US, key: str = "m-1") -> Delivery:
    return await control.deliver(epoch=5, key=key, lane="l", body=b"\0body", timeout_us=timeout_us)


@pytest.mark.parametrize(
    ("handler", "delivery"),
    [
        pytest.param(says(answer("")), Delivery(kind="done"), id="done"),
        pytest.param(
            says(answer('{"state":{"a":"AAE=","b":null}}')),
            Delivery(kind="done", state={"a": b"\0\1", "b": None}),
            id="done, with state",
        ),
        pytest.param(says(answer(status=202)), Delivery(kind="taken"), id="taken"),
        pytest.param(
            says(answer(status=409)), Delivery(kind="stale", detail="stale epoch"), id="stale"
        ),
        pytest.param(
            says(answer(status=400)), Delivery(kind="failed", detail="status 400"), id="refused"
        ),
        pytest.param(
            says(answer(status=503)), Delivery(kind="unknown", detail="status 503"), id="503"
        ),
        pytest.param(
            closes, Delivery(kind="unknown", detail="closed: closed by the master"), id="cut"
        ),
        pytest.param(
            says_nothing, Delivery(kind="unknown", detail="no answer in time"), id="silence"
        ),
    ],
)
def test_a_delivery_ends_in_one_of_five_ways(handler: Handler, delivery: Delivery) -> None:
    async def body() -> None:
        async with server(handler) as address:
            control = Control(address)
            assert await sent(control, timeout_us=SHORT_US) == delivery
            await control.close()

    asyncio.run(body())


def test_a_delivery_without_a_connection_failed() -> None:
    async def body() -> None:
        control = Control(f"http://127.0.0.1:{free_port()}")
        delivery = await sent(control)
        assert delivery.kind == "failed"
        assert delivery.detail.startswith("refused")
        await control.close()

    asyncio.run(body())


def test_state_that_cannot_be_read_is_no_acknowledgement() -> None:
    async def body() -> None:
        async with server(says(answer('{"state":{"a":"?"}}'))) as address:
            control = Control(address)
            assert (await sent(control)).kind == "unknown"
            await control.close()

    asyncio.run(body())


def test_a_message_is_posted_with_its_body_in_base64() -> None:
    async def body() -> None:
        seen: list[tuple[str, dict[str, object]]] = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await request(reader))
            writer.write(answer())
            await reader.read()

        async with server(handler) as address:
            control = Control(address)
            await sent(control)
            await control.close()
        fields = {"epoch": 5, "key": "m-1", "lane": "l", "body": "AGJvZHk="}
        assert seen == [("POST /messages HTTP/1.1", fields)]

    asyncio.run(body())


def counting(count: list[int]) -> Handler:
    """Answer everything; `count[0]` is the number of connections."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count[0] += 1
        while True:
            await request(reader)
            writer.write(answer())

    return handler


def test_what_may_not_be_sent_any_more_leaves_its_connection_to_the_next() -> None:
    async def body() -> None:
        seen: list[object] = []
        count = 0

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            count += 1
            while True:
                seen.append((await request(reader))[1]["key"])
                writer.write(answer())

        async with server(handler) as address:
            control = Control(address)
            revoked = await control.deliver(
                epoch=5, key="m-0", lane="l", body=b"", timeout_us=LONG_US, may_send=lambda: False
            )
            assert revoked == Delivery(kind="failed", detail="not sent: it was revoked")
            assert (await sent(control)).kind == "done"
            await control.close()
        assert (seen, count) == (["m-1"], 1)

    asyncio.run(body())


def test_connections_are_used_again_and_bounded_in_number() -> None:
    async def body() -> None:
        count = [0]
        async with server(counting(count)) as address:
            control = Control(address)
            for _ in range(5):
                await sent(control)
            assert count == [1]
            many = 3 * control_module.LINES_MAX
            done = await asyncio.gather(*(sent(control, key=f"m-{n}") for n in range(many)))
            assert {delivery.kind for delivery in done} == {"done"}
            assert count[0] <= control_module.LINES_MAX
            await control.close()

    asyncio.run(body())


def test_close_idle_closes_all_but_the_connection_for_steps() -> None:
    async def body() -> None:
        count = [0]
        async with server(counting(count)) as address:
            control = Control(address)
            await sent(control)
            await control.step("fence", BODY, timeout_us=LONG_US)  # takes over the idle one
            await sent(control)
            assert count == [2]
            control.close_idle()
            await control.step("fence", BODY, timeout_us=LONG_US)
            assert count == [2]
            await sent(control)
            assert count == [3]
            await control.close()

    asyncio.run(body())


def test_close_idle_lets_a_busy_connection_finish_and_uses_it_no_more() -> None:
    async def body() -> None:
        arrived, gate = asyncio.Event(), asyncio.Event()
        count = [0]

        async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            arrived.set()
            await gate.wait()
            writer.write(answer())
            assert await reader.read() == b""

        async with server(waits, counting(count)) as address:
            control = Control(address)
            busy = asyncio.create_task(sent(control))
            await arrived.wait()
            control.close_idle()
            gate.set()
            assert (await busy).kind == "done"
            assert (await sent(control, key="m-2")).kind == "done"
            assert count == [1]
            await control.close()

    asyncio.run(body())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to count open files")
def test_closing_leaves_no_socket_and_no_task_behind() -> None:
    async def body() -> None:
        async with server(says_nothing) as address:
            before = open_files()
            control = Control(address)
            await control.step("fence", BODY, timeout_us=SHORT_US)
            waiting = asyncio.create_task(sent(control))
            cancelled = asyncio.create_task(sent(control))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(cancelled, 0.05)
            await control.close()
            assert (await waiting).kind == "unknown"
            assert (await sent(control)).kind == "failed"
        assert open_files() < before
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(body())
