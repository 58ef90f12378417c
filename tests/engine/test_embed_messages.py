import asyncio
import contextlib
import signal
from pathlib import Path

import msgspec
import pytest

from engine.core import events as ev
from engine.core.errors import (
    CommandRefused,
    LogError,
    LogFull,
    LogLocked,
    LogUncertain,
)
from engine.core.fleet import Mode
from engine.core.policy import Automation, GroupPolicy
from engine.embed import Engine, Receipt
from engine.log.memory import Failure, MemoryLog
from engine.log.sqlite import open_log
from engine.runtime.routes import Route
from tests.engine.real import (
    GROUP,
    NOBODY,
    Fleet,
    FullLog,
    configuration,
    fleet,
    nobody,
    only,
    policy_of,
    run,
    seen,
    served_by,
)
from tests.engine.runtime.handled import take

__all__ = ["fleet"]


async def asks(route: Route) -> str:
    return route.master


# Messages.


def test_an_accepted_message_is_durable_when_its_receipt_is_there(tmp_path: Path) -> None:
    path = str(tmp_path / "t.db")

    async def main() -> None:
        async with Engine(nobody(), log=path) as engine:
            receipt = await engine.accept(GROUP, b"work", key="m")
            with open_log(path) as reader:  # what a process sees that knows nothing of this one
                (recorded,) = reader.read(after=receipt.seq - 1, until=receipt.seq)
                assert isinstance(recorded.event, ev.MessageAccepted)
                assert recorded.event.key == "m"
                assert reader.body(recorded.event.digest) == b"work"

    run(main())


def test_a_message_is_accepted_once_whoever_sends_it_again() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            first = await engine.accept(GROUP, b"work", key="m")
            assert await engine.accept(GROUP, b"work", key="m") == first
        async with Engine(nobody(), log=log) as engine:
            assert await engine.accept(GROUP, b"work", key="m") == first
        assert len(only(log, ev.MessageAccepted)) == 1

    run(main())


def test_many_senders_of_one_message_get_one_receipt_also_when_the_first_gives_up() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            sending = [
                asyncio.create_task(engine.accept(GROUP, b"work", key="m")) for _ in range(5)
            ]
            await asyncio.sleep(0)
            sending[0].cancel()
            results = await asyncio.gather(*sending, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        (seq,) = {result.seq for result in results[1:] if isinstance(result, Receipt)}
        assert len(only(log, ev.MessageAccepted)) == 1
        assert seq > 0

    run(main())


@pytest.mark.parametrize(
    ("group", "body", "reason"),
    [
        (GROUP, b"other work", "key 'm': expected the body that it was first used for"),
        ("nothing", b"work", "no group 'nothing'"),
    ],
)
def test_a_message_that_cannot_be_taken_is_refused(group: str, body: bytes, reason: str) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            await engine.accept(GROUP, b"work", key="m")
            with pytest.raises(CommandRefused) as refused:
                await engine.accept(group, body, key="m")
            assert refused.value.reasons == (reason,)

    run(main())


def test_a_message_that_is_done_is_known_and_not_done_again(fleet: Fleet) -> None:
    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
            await engine.accept(GROUP, b"work", key="m")
            await seen(engine, ev.MessageDone)
            assert await engine.accept(GROUP, b"work", key="m") == Receipt(seq=0, key="m")
            with pytest.raises(CommandRefused):
                await engine.accept(GROUP, b"other work", key="m")
        assert await fleet.applied() == ["m"]

    run(main())


def test_a_message_is_finished_by_the_acknowledgement_of_the_master_it_is_assigned_to() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(Mode.ACTIVE_ACTIVE), log=log) as engine:
            await take(engine._turning, "m")
            for name in "ab":
                engine._turning.record(ev.ProbeOk(n=99, latency_us=1, boot=name), subject=name)
            assigned = await seen(engine, ev.MessagesAssigned)
            assert isinstance(assigned.event, ev.MessagesAssigned)
            epoch, (other,) = assigned.event.epoch, set("ab") - {assigned.subject}
            assert not await engine.acknowledge(other, key="m", epoch=epoch)
            assert not await engine.acknowledge(assigned.subject, key="m", epoch=epoch - 1)
            assert not await engine.acknowledge(assigned.subject, key="never", epoch=epoch)
            assert "m" in engine.state.groups[GROUP].ledger.by_key
            assert await engine.acknowledge(assigned.subject, key="m", epoch=epoch)
            assert await engine.acknowledge(assigned.subject, key="m", epoch=epoch)
            with pytest.raises(CommandRefused, match="no master 'c'"):
                await engine.acknowledge("c", key="m", epoch=epoch)
        assert len(only(log, ev.MessageDone)) == 1

    run(main())


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (
            msgspec.structs.replace(policy_of(), automation=Automation.OBSERVE),
            "g only observes: nothing would be delivered",
        ),
        (policy_of(Mode.ACTIVE_ACTIVE), 'g has effects = "none": nothing would be delivered'),
    ],
)
def test_a_message_that_nobody_would_be_sent_is_refused(policy: GroupPolicy, reason: str) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(NOBODY, policy=policy), log=log) as engine:
            with pytest.raises(CommandRefused) as refused:
                await engine.accept(GROUP, b"work", key="m")
            assert refused.value.reasons == (reason,)
            await take(engine._turning, "before")
            again = await engine.accept(GROUP, b"work", key="before")  # it was taken while it could
            assert again.seq > 0
        assert [accepted.key for accepted in only(log, ev.MessageAccepted)] == ["before"]

    run(main())


def test_no_body_is_held_but_those_of_open_messages(fleet: Fleet) -> None:
    async def main() -> None:
        log = FullLog()
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            bodies = engine._hands.bodies
            await served_by(engine, "a")
            await engine.accept(GROUP, b"work", key="m")
            await seen(engine, ev.MessageDone)
            assert bodies.held_bytes == 0
            await engine.accept(GROUP, b"work", key="m")  # it is done
            with pytest.raises(CommandRefused):
                await engine.accept(GROUP, b"other work", key="m")
            assert bodies.held_bytes == 0
            log.is_full = True
            sent = [
                asyncio.create_task(engine.accept(GROUP, b"work", key=f"m-{number // 2}"))
                for number in range(6)
            ]
            await asyncio.sleep(0)
            assert bodies.held_bytes == 3 * len(b"work")  # two sent each of them
            sent[0].cancel()
            results = await asyncio.gather(*sent, return_exceptions=True)
            assert {type(result) for result in results[1:]} == {LogFull}
            assert bodies.held_bytes == 0
            log.is_full = False

    run(main())


# The log says no.


@pytest.mark.parametrize(
    ("failure", "error", "is_stored"),
    [
        (Failure.FAILED, LogError, False),
        (Failure.LOST, LogUncertain, False),
        (Failure.STORED, LogUncertain, True),
    ],
)
def test_a_message_whose_append_failed_is_accepted_when_it_is_sent_again(
    failure: Failure, error: type[LogError], *, is_stored: bool
) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            await seen(engine, ev.PolicyAdopted)
            turning = engine._turning
            while turning.driver.is_appending or turning.driver.is_pending:
                await turning.durable(turning.driver.working.seq)  # what masters were found to be
            log.fail_next(failure)
            sent = [
                asyncio.create_task(engine.accept(GROUP, b"work", key=f"m-{n}")) for n in range(3)
            ]
            results = await asyncio.gather(*sent, return_exceptions=True)
            assert [type(result) for result in results] == [error] * 3
            # At once, while the working state may still hold what never happened.
            with pytest.raises(LogError):
                await engine.accept(GROUP, b"work", key="m-0")
            await seen(engine, ev.EngineResumed)
            assert engine.failure == ""
            held = {accepted.key for accepted in only(log, ev.MessageAccepted)}
            assert held == ({"m-0", "m-1", "m-2"} if is_stored else set())
            for n in range(3):
                receipt = await engine.accept(GROUP, b"work", key=f"m-{n}")
                (recorded,) = log.read(after=receipt.seq - 1, until=receipt.seq)
                assert isinstance(recorded.event, ev.MessageAccepted)
                assert recorded.event.key == f"m-{n}"
        assert len(only(log, ev.MessageAccepted)) == 3

    run(main())


def test_nothing_acknowledged_is_lost_while_appends_fail_now_and_then(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        keys = {f"m-{number:03d}" for number in range(60)}

        async def send(engine: Engine, key: str) -> None:
            while True:
                with contextlib.suppress(LogError):
                    await engine.accept(GROUP, b"work", key=key, lane=key[-1])
                    return
                await seen(engine, ev.EngineResumed, after=engine.state.seq)

        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
            sending = []
            for place, key in enumerate(sorted(keys)):
                if place % 15 == 7:
                    log.fail_next([Failure.FAILED, Failure.LOST, Failure.STORED][place // 15 % 3])
                sending.append(asyncio.create_task(send(engine, key)))
                await asyncio.sleep(0)
            await asyncio.gather(*sending)
            await seen(engine, lambda _: len(engine.state.groups[GROUP].ledger.done) == len(keys))
        assert (await fleet.report())["applied_twice"] == 0
        applied = await fleet.applied()
        assert set(applied) == keys
        accepted = [event.key for event in only(log, ev.MessageAccepted)]
        for lane in "0123456789":  # in each lane they took effect in the order of acceptance
            assert [key for key in applied if key[-1] == lane] == [
                key for key in accepted if key[-1] == lane
            ]

    run(main())


def test_while_the_disk_is_full_the_engine_says_so_and_traffic_goes_on(fleet: Fleet) -> None:
    async def main() -> None:
        log = FullLog()
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
            assert engine.failure == ""
            tried = asyncio.Event()
            loop = asyncio.get_running_loop()

            def on_try(tries: int) -> None:
                if tries == 3:
                    loop.call_soon_threadsafe(tried.set)

            log.on_try, log.is_full = on_try, True
            await tried.wait()
            assert engine.failure == "no space is left, as the test wants it"
            with pytest.raises(LogFull):
                await engine.accept(GROUP, b"work", key="m")
            with pytest.raises(LogFull):
                await engine.pause(reason="why not")
            assert await engine.call(GROUP, asks) == "a"
            fleet.masters["a"].process.send_signal(signal.SIGKILL)
            full_until = engine.state.seq
            log.is_full = False
            await served_by(engine, "b")
            assert engine.failure == ""
            names = [type(r.event).__name__ for r in log.read(after=full_until)]
            assert names[0] == "EngineResumed"

    run(main())


def test_an_engine_that_cannot_write_from_the_start_does_not_start() -> None:
    async def main() -> None:
        log = FullLog()
        log.is_full = True
        with pytest.raises(LogFull):
            async with Engine(nobody(), log=log):
                pass
        log.is_full = False
        async with Engine(nobody(), log=log) as engine:
            assert engine.failure == ""

    run(main())


def test_a_log_has_one_engine_and_the_second_leaves_the_first_alone(tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "t.db")
        async with Engine(nobody(), log=path) as engine:
            with pytest.raises(LogLocked):
                async with Engine(nobody(), log=path):
                    pass
            assert (await engine.accept(GROUP, b"work", key="m")).seq
        async with Engine(nobody(), log=path):
            pass

    run(main())
