"""One contract for everything that carries effects out: HTTP, programs, Redis, functions."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import msgspec
import pytest

from engine.core.errors import EffectRefused
from engine.core.events import Result
from engine.core.fleet import Health, Role
from engine.core.policy import MS, SECOND
from engine.core.transfer import kept_digest
from engine.runtime.carriers.access import OPEN
from engine.runtime.carriers.asked import DETAIL_MAX, Asked, Carrier, Member
from engine.runtime.carriers.command import CommandCarrier
from engine.runtime.carriers.function import Functions
from engine.runtime.carriers.http import HttpCarrier
from engine.runtime.carriers.redis import RedisCarrier
from engine.runtime.carriers.redis_facts import key_of
from tests.engine.real import run
from tests.engine.redis import RedisProcess, free_port, needs_redis
from tests.engine.runtime.peers import answer, request, sample, server

LONG_US: Final = 20 * SECOND
SHORT_US: Final = 400 * MS
STATE: Final[dict[str, bytes]] = {}
KINDS: Final = ("http", "command", pytest.param("redis", marks=needs_redis), "python")
# Of a receiver that keeps what it did: obliging, refusing, hanging, or not there at all.
MANNERS: Final = ("obliging", "refusing", "hanging", "absent")


class Told(msgspec.Struct):
    """A carrier, where its receiver is, and how often the receiver took a promotion."""

    carrier: Carrier
    address: str
    taken: Callable[[], int]
    reached: asyncio.Event | None = None  # set when a request has come to one that hangs


@contextlib.asynccontextmanager
async def http(manner: str, directory: Path) -> AsyncIterator[Told]:
    carrier = HttpCarrier(lambda group: OPEN)
    try:
        if manner == "obliging":
            with sample("master", "--group", "g", "--name", "b") as master:
                yield Told(carrier, master.address, lambda: 1)
        elif manner == "absent":
            yield Told(carrier, f"http://127.0.0.1:{free_port()}", lambda: 0)
        else:
            reached = asyncio.Event()

            async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while True:
                    await request(reader)
                    reached.set()
                    if manner == "refusing":
                        writer.write(answer('{"reason":"no,\\n never"}', status=423))

            async with server(refuses) as address:
                yield Told(carrier, address, lambda: 0, reached)
    finally:
        await carrier.close()


PROGRAM: Final = """
import json, os, pathlib, sys, time
manner, done = sys.argv[1], pathlib.Path(sys.argv[2])
asked = json.load(sys.stdin)
if manner == "hanging":
    time.sleep(1000)
if manner == "refusing":
    print("no,\\n never")
    sys.exit(1)
key = " ".join(os.environ["TANIST_" + word] for word in ("FAILOVER", "STEP", "MASTER", "EPOCH"))
keys = done.read_text().splitlines() if done.exists() else []
if key not in keys:
    done.write_text("\\n".join([*keys, key]))
"""


@contextlib.asynccontextmanager
async def command(manner: str, directory: Path) -> AsyncIterator[Told]:
    done = directory / "done"
    argv = [sys.executable, "-c", PROGRAM, manner, str(done)]
    carrier = CommandCarrier(["/no/such/program"] if manner == "absent" else argv)
    yield Told(
        carrier,
        "http://127.0.0.1:1",
        lambda: sum("promote" in line for line in done.read_text().splitlines()),
    )
    await carrier.close()


@contextlib.asynccontextmanager
async def redis(manner: str, directory: Path) -> AsyncIterator[Told]:
    process = RedisProcess(directory / "b")
    carrier = RedisCarrier()
    try:
        if manner == "refusing":
            process.ask("SET", key_of("g", "epoch"), "99")
        elif manner == "hanging":
            process.strike(signal.SIGSTOP)
        elif manner == "absent":
            process.end()
        yield Told(
            carrier, process.address, lambda: int(process.ask("GET", key_of("g", "epoch")) == b"3")
        )
    finally:
        await carrier.close()
        process.end()


@contextlib.asynccontextmanager
async def python(manner: str, directory: Path) -> AsyncIterator[Told]:
    functions = Functions()
    done: set[tuple[str, str, int, int]] = set()

    async def does(asked: Asked) -> None:
        if manner == "hanging":
            await asyncio.Event().wait()
        if manner == "refusing":
            raise EffectRefused("no,\n never")
        done.add(asked.key)

    for step in ("preflight", "fence", "transfer", "promote", "verify", "follow"):
        functions.register("g", step, does)
    yield Told(functions, "http://127.0.0.1:1", lambda: sum(key[0] == "promote" for key in done))
    await functions.close()


MAKE: Final[dict[str, Callable[[str, Path], AbstractAsyncContextManager[Told]]]] = {
    "http": http,
    "command": command,
    "redis": redis,
    "python": python,
}


def asked(told: Told, step: str, *, timeout_us: int = LONG_US) -> Asked:
    b = Member(id="b", address=told.address, health=Health.HEALTHY, role=Role.STANDBY)
    return Asked(
        step=step, group="g", mode="active-standby", master="b", address=told.address, failover=7,
        epoch=3, timeout_us=timeout_us, members=(b,), state=STATE, digest=kept_digest(STATE),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_is_done_and_once_for_its_key(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with MAKE[kind]("obliging", tmp_path) as told:
            for step in ("transfer", "promote", "promote", "verify", "verify"):
                done = await told.carrier.carry(asked(told, step))
                assert done.result is Result.OK, (step, done)
                if step == "transfer":
                    assert done.digest == kept_digest(STATE)
            assert told.taken() == 1

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_clear_no_is_a_refusal_with_its_reason_on_one_line(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with MAKE[kind]("refusing", tmp_path) as told:
            said = await told.carrier.carry(asked(told, "promote"))
        assert said.result is Result.REFUSED
        assert said.detail
        assert len(said.detail) <= DETAIL_MAX
        assert not said.digest

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_of_one_that_hangs_nothing_is_known_when_its_time_is_up(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with MAKE[kind]("hanging", tmp_path) as told:
            # A fence goes out at once, whatever is known of who shall have it.
            said = await told.carrier.carry(asked(told, "fence", timeout_us=SHORT_US))
        assert said.result is Result.UNKNOWN, said
        assert said.detail

    run(main())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "python"])
def test_one_that_is_not_there_was_told_nothing(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with MAKE[kind]("absent", tmp_path) as told:
            said = await told.carrier.carry(asked(told, "promote", timeout_us=SHORT_US))
        assert said.result is Result.FAILED, said
        assert said.detail

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_who_gives_an_effect_up_leaves_nothing_behind(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with MAKE[kind]("hanging", tmp_path) as told:
            carrying = asyncio.create_task(told.carrier.carry(asked(told, "fence")))
            if told.reached is not None:
                await told.reached.wait()
            await asyncio.sleep(0)
            carrying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await carrying

    run(main())  # which holds that no task is left and nothing is open


def test_of_a_function_that_fails_nothing_is_known_and_one_may_block() -> None:
    functions = Functions()

    def blocks(asked: Asked) -> str:
        return "the digest"

    async def fails(asked: Asked) -> None:
        raise ZeroDivisionError("of all things")

    functions.register("g", "transfer", blocks)
    functions.register("g", "promote", fails)
    told = Told(functions, "http://127.0.0.1:1", lambda: 0)

    async def main() -> None:
        done = await functions.carry(asked(told, "transfer"))
        assert (done.result, done.digest) == (Result.OK, "the digest")
        failed = await functions.carry(asked(told, "promote"))
        assert failed.result is Result.UNKNOWN
        assert failed.detail == "ZeroDivisionError('of all things')"
        # What nobody wrote cannot be done; what changes nothing that counts need not be.
        assert (await functions.carry(asked(told, "fence"))).result is Result.REFUSED
        assert (await functions.carry(asked(told, "switch"))).result is Result.OK

    run(main())


def test_a_step_has_one_function() -> None:
    functions = Functions()
    functions.register("g", "fence", lambda asked: None)
    with pytest.raises(ValueError, match="found a second one"):
        functions.register("g", "fence", lambda asked: None)
    with pytest.raises(ValueError, match="expected one of preflight"):
        functions.register("g", "dance", lambda asked: None)
    assert functions.has("g", "fence")
    assert not functions.has("h", "fence")


def test_the_input_of_a_program_is_what_a_master_is_sent_over_http(tmp_path: Path) -> None:
    code = "import json, sys; print(json.dumps(json.load(sys.stdin), sort_keys=True)[:190])"

    async def main() -> None:
        carrier = CommandCarrier([sys.executable, "-c", code])
        said = await carrier.carry(asked(Told(carrier, "http://127.0.0.1:1", int), "promote"))
        assert json.loads(said.detail) == {
            "epoch": 3, "failover": 7, "group": "g", "master": "b", "mode": "active-standby",
            "step": "promote",
        }  # fmt: skip

    run(main())
