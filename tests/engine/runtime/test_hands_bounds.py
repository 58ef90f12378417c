"""What is under way at once: bounded for each master, never twice, never under a revoked epoch."""

import asyncio
import itertools
import threading

from engine.core import events as ev
from engine.core.errors import LogError
from engine.core.events import Evidence
from engine.core.fleet import Mode
from engine.core.owed import Deliver
from engine.core.sending import RESEND_US
from engine.log.memory import Failure, MemoryLog
from engine.runtime.control import LINES_MAX
from tests.engine.real import GROUP, At, run
from tests.engine.runtime.handled import Said, accept, by_path, done, hands_on, master, obliging
from tests.engine.runtime.peers import answer, request, says_nothing, server
from tests.engine.runtime.turned import marked


class SlowBodies(MemoryLog):
    """A log that gives out no body before it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()
        self.reading = threading.Event()

    def body(self, digest: bytes) -> bytes | None:
        self.reading.set()
        assert self.released.wait(60)
        return super().body(digest)


async def fails(at: At, name: str) -> None:
    """Let a master be gone, beyond doubt."""
    at.turning.record(ev.ConnectionClosed(evidence=Evidence.CLOSED), subject=name)
    gone = ev.ProbeFailed(n=1_000, evidence=Evidence.REFUSED)
    await at.turning.ask(gone, subject=name)


async def loses_an_append(at: At, log: MemoryLog) -> None:
    """Have the working state thrown away, and wait until it was folded again."""
    before = at.turning.state.seq
    log.fail_next(Failure.FAILED)
    with_failure = await asyncio.gather(at.turning.ask(marked("lost")), return_exceptions=True)
    assert isinstance(with_failure[0], LogError)
    await at.published.kind(ev.EngineResumed, after=before)


def test_a_master_that_hangs_holds_up_only_itself() -> None:
    async def main() -> None:
        said: Said = []
        log = MemoryLog()
        async with (
            server(says_nothing) as silent,
            server(master(said, obliging)) as address,
            hands_on(log, {"a": silent, "b": address}) as (at, hands),
        ):
            await at.answered("a", "b")
            count = 8 * LINES_MAX
            await asyncio.gather(*(accept(at, f"m-{number}") for number in range(count)))
            messages = at.turning.state.groups[GROUP].ledger
            mine = [message.key for message in messages.open.values() if message.master == "a"]
            assert LINES_MAX < len(mine) < count
            for key in {f"m-{number}" for number in range(count)} - set(mine):
                await at.published.next(done(key))
            assert len(hands._tasks) == LINES_MAX  # and nobody else waits anywhere
            assert at.turning.driver.wake_at_us() is None  # nor does the timer fire for them
        assert len(said) == count - len(mine)

    run(main())


def test_a_message_that_its_master_refuses_is_sent_later_and_later() -> None:
    async def main() -> None:
        came: list[int] = []
        enough = asyncio.Event()

        async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await request(reader)
                came.append(at.turning.clock.at_us())
                if len(came) == 5:
                    enough.set()
                writer.write(answer(status=400))

        async with (
            server(refuses) as address,
            hands_on(MemoryLog(), {"a": address}) as (at, _),
        ):
            await at.answered("a")
            await accept(at, "m")
            await enough.wait()
        pauses = [later - earlier for earlier, later in itertools.pairwise(came)]
        assert all(pause >= RESEND_US << place for place, pause in enumerate(pauses))

    run(main())


def test_who_is_fenced_is_not_sent_what_was_not_sent_yet() -> None:
    async def main() -> None:
        first, second = Said(), Said()
        log = SlowBodies()
        async with (
            server(master(first, obliging)) as old,
            server(master(second, obliging)) as new,
            hands_on(log, {"a": old, "b": new}) as (at, hands),
        ):
            try:
                await at.answered("a")
                await accept(at, "m")
                await asyncio.to_thread(log.reading.wait)
                (under_way,) = hands._messages
                await at.answered("b")
                await fails(at, "a")  # while its body is read: the loop turns all the same
                await at.published.kind(ev.MasterFenced)
                await asyncio.sleep(0)
                assert under_way not in hands._messages
            finally:
                log.released.set()
            await at.published.kind(ev.MessageDone)
        assert "/messages" not in by_path(first)
        assert by_path(second) == ["/messages"]

    run(main())


def test_what_was_revoked_while_it_waited_for_a_connection_is_not_sent() -> None:
    async def main() -> None:
        said: Said = []
        log = MemoryLog()
        async with (
            server(master(said, obliging)) as address,
            hands_on(log, {"a": address}) as (at, hands),
        ):
            await at.answered("a")
            epoch = at.turning.state.groups[GROUP].masters["a"].epoch
            revoked = Deliver(
                group=GROUP, master="a", epoch=epoch - 1, seq=1, key="m", lane="m", digest=b""
            )
            hands.bodies.hold(GROUP, "m", b"work")
            hands.deliver(revoked)
            await asyncio.gather(*hands._tasks)
            await accept(at, "n")
            await at.published.next(done("n"))
        assert [body["key"] for _, body in said] == ["n"]

    run(main())


def test_what_is_under_way_is_not_sent_again_because_an_append_failed() -> None:
    async def main() -> None:
        said: list[str] = []
        arrived: asyncio.Queue[str] = asyncio.Queue()
        goes_on = asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                _, body = await request(reader)
                said.append(str(body["key"]))
                arrived.put_nowait(said[-1])
                await goes_on.wait()
                writer.write(answer())

        log = MemoryLog()
        async with server(slow) as address, hands_on(log, {"a": address}) as (at, _):
            await at.answered("a")
            await accept(at, "m")
            assert await arrived.get() == "m"
            await loses_an_append(at, log)
            await accept(at, "n")
            assert await arrived.get() == "n"
            goes_on.set()
            await at.published.next(done("m"))
        assert said == ["m", "n"]

    run(main())


def test_a_step_that_is_under_way_is_not_begun_again_because_an_append_failed() -> None:
    async def main() -> None:
        said: list[str] = []
        arrived, goes_on = asyncio.Event(), asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                line, body = await request(reader)
                path = line.split()[1]
                said.append(path)
                arrived.set()
                await goes_on.wait()
                writer.write(obliging(path, body, 0))

        log = MemoryLog()
        async with (
            server(slow) as address,
            hands_on(log, {"a": address}, Mode.ACTIVE_STANDBY) as (at, hands),
        ):
            await at.answered("a")
            await arrived.wait()
            await loses_an_append(at, log)
            assert len(hands._tasks) == 1
            goes_on.set()
            await at.published.kind(ev.SwitchDone)
        assert said == ["/control/transfer", "/control/promote", "/control/verify"]

    run(main())


def test_hands_that_are_closed_begin_nothing() -> None:
    async def main() -> None:
        async with hands_on(MemoryLog(), {"a": "http://127.0.0.1:1"}) as (at, hands):
            await hands.close()
            await at.answered("a")
            await accept(at, "m")
            assert at.turning.state.groups[GROUP].ledger.assigned == {"a": 1}
            assert hands._tasks == set()

    run(main())


def test_a_message_that_cannot_be_sent_at_all_is_said_and_stops_nobody() -> None:
    async def main() -> None:
        said: Said = []
        reported: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
        log = MemoryLog()
        async with (
            server(master(said, obliging)) as address,
            hands_on(log, {"a": "nowhere", "b": address}) as (at, _),
        ):
            await at.answered("a", "b")
            for number in range(4):
                await accept(at, f"m-{number}")
            messages = at.turning.state.groups[GROUP].ledger
            lost = {message.key for message in messages.open.values() if message.master == "a"}
            for key in {f"m-{number}" for number in range(4)} - lost:
                await at.published.next(done(key))
        assert lost
        assert {f"message {key!r} could not be sent" for key in lost} <= set(reported)

    run(main())
