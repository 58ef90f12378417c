import asyncio
import os
import signal

import pytest

from engine.core.events import Evidence
from engine.runtime.clock import monotonic_us
from engine.runtime.seen import LATE_OWN_US, Answer, Failure
from tests.engine.runtime.links import HEALTH, ask, boot_of, evidence_of, link_to
from tests.engine.runtime.peers import (
    LONG_US,
    SHORT_US,
    answer,
    free_port,
    request,
    sample,
    says,
    says_nothing,
    server,
)


def test_silence_is_overdue_after_the_time_out() -> None:
    async def body() -> None:
        async with server(says_nothing) as address, link_to(address) as (link, _):
            probed = await ask(link, timeout_us=SHORT_US)
            assert isinstance(probed, Failure)
            assert probed.evidence is Evidence.OVERDUE
            assert probed.waited_us >= SHORT_US

    asyncio.run(body())


def test_after_a_time_out_the_next_probe_is_fresh_and_the_old_connection_is_still_watched() -> None:
    gate = asyncio.Event()

    async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer(HEALTH))
        await request(reader)
        await gate.wait()

    async def body() -> None:
        async with (
            server(hangs, says_nothing) as address,
            link_to(address) as (link, ends),
        ):
            assert isinstance(await ask(link), Answer)
            for _ in range(2):
                assert evidence_of(await ask(link, timeout_us=SHORT_US)) is Evidence.OVERDUE
            assert ends.seen == []
            gate.set()
            assert await ends.next() is Evidence.CLOSED

    asyncio.run(body())


def test_a_late_answer_is_not_taken_for_that_of_another_probe() -> None:
    async def body() -> None:
        gate, sent = asyncio.Event(), asyncio.Event()

        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            writer.write(answer(HEALTH))
            await request(reader)
            await gate.wait()
            writer.write(answer('{"boot":"late"}'))
            await request(reader)
            writer.write(answer('{"boot":"again"}'))
            await reader.read()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            gate.set()
            sent.set()
            await reader.read()

        async with server(late, slow) as address, link_to(address) as (link, ends):
            assert isinstance(await ask(link), Answer)
            assert evidence_of(await ask(link, timeout_us=SHORT_US)) is Evidence.OVERDUE
            assert evidence_of(await ask(link, timeout_us=SHORT_US)) is Evidence.OVERDUE
            assert sent.is_set()
            assert await boot_of(link) == "again"  # on the old one, which owes nothing any more
            assert ends.seen == []

    asyncio.run(body())


def stall(us: int) -> None:
    """Keep the loop from turning, as a busy thread or a stopped observer does."""
    until_us = monotonic_us() + us
    while monotonic_us() < until_us:
        pass


def test_an_answer_that_is_there_is_read_before_a_time_out_is_judged() -> None:
    with sample("master") as master:

        async def body() -> None:
            async with link_to(master.address) as (link, _):
                await ask(link)
                probe = link.probe(fresh=False, timeout_us=SHORT_US)
                # The answer comes while the loop stands still, past the time-out.
                asyncio.get_running_loop().call_soon(stall, 3 * SHORT_US)
                assert isinstance(await probe, Answer)

        asyncio.run(body())


def test_an_answer_is_read_even_if_the_loop_stalls_in_the_turn_of_the_time_out() -> None:
    with sample("master") as master:

        async def body() -> None:
            async with link_to(master.address) as (link, _):
                await ask(link)
                os.kill(master.process.pid, signal.SIGSTOP)
                loop = asyncio.get_running_loop()

                def go_on() -> None:
                    os.kill(master.process.pid, signal.SIGCONT)
                    stall(2 * SHORT_US)

                # Due in the same turn as the time-out, and called before it.
                due_s = loop.time() + SHORT_US / 1e6
                loop.call_at(due_s - 0.001, stall, 20_000)
                loop.call_at(due_s - 0.0005, go_on)
                assert isinstance(await link.probe(fresh=False, timeout_us=SHORT_US), Answer)

        asyncio.run(body())


def test_an_observer_that_was_late_says_by_how_much() -> None:
    async def body() -> None:
        async with server(says_nothing) as address, link_to(address) as (link, _):
            for fresh in (False, True):
                probe = link.probe(fresh=fresh, timeout_us=SHORT_US)
                asyncio.get_running_loop().call_later(SHORT_US / 2e6, stall, 2 * SHORT_US)
                probed = await probe
                assert isinstance(probed, Failure)
                assert probed.late_us >= SHORT_US

    asyncio.run(body())


def test_an_observer_that_was_late_asks_over_the_held_connection_again() -> None:
    """It cannot tell a master that hangs from its own trouble, and opening would be more work."""

    async def body() -> None:
        seen = asyncio.Event()

        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            writer.write(answer(HEALTH))
            await request(reader)
            await request(reader)
            seen.set()
            writer.write(answer('{"boot":"first"}'))
            await request(reader)
            writer.write(answer('{"boot":"second"}') + answer('{"boot":"third"}'))
            await reader.read()

        async with server(late, says_nothing) as address, link_to(address) as (link, ends):
            await ask(link)
            held = link._held
            probe = link.probe(fresh=False, timeout_us=SHORT_US)
            asyncio.get_running_loop().call_later(SHORT_US / 2e6, stall, 2 * SHORT_US)
            assert evidence_of(await probe) is Evidence.OVERDUE
            probe = link.probe(fresh=False, timeout_us=LONG_US)
            await seen.wait()
            # The answer to the question that was overdue counts for nothing.
            await asyncio.sleep(0)
            assert not probe.done()
            assert link._held is held
            probe.cancel()
            assert await boot_of(link) == "third"
            assert link._held is held
            assert ends.seen == []

    asyncio.run(body())


def test_an_observer_that_stays_late_takes_a_fresh_connection_after_two_questions() -> None:
    async def body() -> None:
        async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            writer.write(answer(HEALTH))
            await reader.read()

        async with server(first, says(answer(HEALTH))) as address, link_to(address) as (link, _):
            await ask(link)
            held = link._held
            for _ in range(2):
                probe = link.probe(fresh=False, timeout_us=SHORT_US)
                asyncio.get_running_loop().call_later(SHORT_US / 2e6, stall, 2 * SHORT_US)
                assert evidence_of(await probe) is Evidence.OVERDUE
                assert link._held is held
            assert isinstance(await ask(link), Answer)
            assert link._held is not held

    asyncio.run(body())


def test_a_stall_before_the_request_went_out_counts_as_lateness() -> None:
    async def body() -> None:
        async with server(says_nothing) as address, link_to(address) as (link, _):
            probe = link.probe(fresh=True, timeout_us=2 * SHORT_US)
            asyncio.get_running_loop().call_soon(stall, SHORT_US)
            probed = await probe
            assert isinstance(probed, Failure)
            assert probed.evidence is Evidence.OVERDUE
            assert probed.late_us >= SHORT_US // 2

    asyncio.run(body())


def test_an_observer_without_files_blames_itself_beyond_every_limit() -> None:
    resource = pytest.importorskip("resource", reason="this system has no limits to set")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def body() -> None:
        async with link_to(f"http://127.0.0.1:{free_port()}") as (link, _):
            resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
            try:
                probed = await ask(link)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert isinstance(probed, Failure)
            assert probed.evidence is Evidence.OVERDUE
            assert probed.late_us == LATE_OWN_US

    asyncio.run(body())
