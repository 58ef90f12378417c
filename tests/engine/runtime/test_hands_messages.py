"""Effects and messages, carried out on real sockets for what a real log owes."""

import asyncio
import base64
from pathlib import Path

from engine.core import events as ev
from engine.core.fleet import Mode
from engine.core.sending import RESEND_US
from engine.log.memory import Failure, MemoryLog
from tests.engine.real import (
    GROUP,
    BodilessLog,
    Published,
    fleet_of,
    kinds,
    only,
    run,
)
from tests.engine.runtime.handled import (
    Said,
    accept,
    by_path,
    done,
    hands_on,
    master,
    obliging,
)
from tests.engine.runtime.peers import answer, request, server


def test_a_message_is_delivered_under_its_epoch_and_done() -> None:
    async def main() -> None:
        said: Said = []
        log = MemoryLog()
        async with (
            server(master(said, obliging)) as address,
            hands_on(log, {"a": address}) as (
                at,
                _,
            ),
        ):
            await at.answered("a")
            await accept(at, "m", body=b"\x00\xff")
            await at.published.kind(ev.MessageDone)
            epoch = at.turning.state.groups[GROUP].masters["a"].epoch
        assert said == [
            (
                "/messages",
                {
                    "epoch": epoch,
                    "key": "m",
                    "lane": "m",
                    "body": base64.b64encode(b"\x00\xff").decode(),
                },
            )
        ]

    run(main())


def test_what_did_not_arrive_is_sent_again_under_its_key_until_it_is_done() -> None:
    async def main() -> None:
        said: Said = []
        log = MemoryLog()

        def third(path: str, body: dict[str, object], n: int) -> bytes:
            return answer(status=503) if n < 3 else answer()

        async with server(master(said, third)) as address, hands_on(log, {"a": address}) as (at, _):
            await at.answered("a")
            await accept(at, "m")
            await at.published.kind(ev.MessageDone)
        assert [body["key"] for _, body in said] == ["m", "m", "m"]
        assert len(only(log, ev.MessageAcked)) == 1

    run(main())


def test_what_was_taken_is_not_sent_again_meanwhile_and_done_when_that_is_said() -> None:
    async def main() -> None:
        said: Said = []
        log = MemoryLog()

        def takes(path: str, body: dict[str, object], n: int) -> bytes:
            return answer(status=202) if body["key"] == "slow" else answer()

        async with (
            server(master(said, takes)) as address,
            hands_on(log, {"a": address}) as (
                at,
                hands,
            ),
        ):
            await at.answered("a")
            hands.bodies.hold(GROUP, "slow", b"slow")
            await accept(at, "slow", body=b"slow")
            until_us = at.turning.clock.at_us() + 4 * RESEND_US
            number = 0
            while at.turning.clock.at_us() < until_us:
                number += 1
                await accept(at, f"m-{number}")
                await at.published.next(done(f"m-{number}"))
            assert [body["key"] for _, body in said].count("slow") == 1
            assert "slow" in at.turning.state.groups[GROUP].ledger.by_key
            epoch = at.turning.state.groups[GROUP].masters["a"].epoch
            await at.turning.ask(ev.MessageAcked(key="slow", epoch=epoch), subject="a")
            assert hands.bodies.held_bytes == 0  # the log has it, should it be sent again
            assert "slow" in at.turning.state.groups[GROUP].ledger.done

    run(main())


def test_a_body_that_is_not_at_hand_is_read_from_the_log() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with hands_on(log, {"a": "http://127.0.0.1:1"}) as (at, _):
            await accept(at, "m", body=b"before the restart")
        said: Said = []
        async with (
            server(master(said, obliging)) as address,
            hands_on(log, {"a": address}) as (
                at,
                _,
            ),
        ):
            await at.answered("a")
            await at.published.kind(ev.MessageDone)
        (_, body) = said[0]
        assert base64.b64decode(str(body["body"])) == b"before the restart"

    run(main())


def test_a_message_whose_body_cannot_be_read_stays_open_and_stops_nobody() -> None:
    async def main() -> None:
        said: Said = []
        log = BodilessLog()
        async with (
            server(master(said, obliging)) as address,
            hands_on(log, {"a": address}) as (
                at,
                hands,
            ),
        ):
            await accept(at, "lost")
            log.how = "broken"
            await at.answered("a")
            hands.bodies.hold(GROUP, "kept", b"kept")
            await accept(at, "kept", body=b"kept")
            await at.published.next(done("kept"))
            assert set(at.turning.state.groups[GROUP].ledger.by_key) == {"lost"}
        assert [body["key"] for _, body in said] == ["kept"]

    run(main())


def test_an_acknowledgement_that_could_not_be_stored_is_asked_for_again() -> None:
    async def main() -> None:
        said: Said = []
        log = MemoryLog()

        def fails_once(path: str, body: dict[str, object], n: int) -> bytes:
            if n == 1:
                log.fail_next(Failure.LOST)  # of the acknowledgement's own append
            return answer()

        async with (
            server(master(said, fails_once)) as address,
            hands_on(log, {"a": address}) as (at, _),
        ):
            await at.answered("a")
            await accept(at, "m")
            await at.published.kind(ev.MessageDone)
        assert [body["key"] for _, body in said] == ["m", "m"]
        assert kinds(log).count("MessageDone") == 1

    run(main())


def test_an_outcome_that_could_not_be_stored_is_asked_for_again_under_its_key() -> None:
    async def main() -> None:
        said: Said = []
        log = MemoryLog()

        def fails_once(path: str, body: dict[str, object], n: int) -> bytes:
            if n == 2:
                log.fail_next(Failure.LOST)  # the outcome of the promotion
            return obliging(path, body, n)

        async with (
            server(master(said, fails_once)) as address,
            hands_on(log, {"a": address}, Mode.ACTIVE_STANDBY) as (at, _),
        ):
            await at.answered("a")
            await at.published.kind(ev.SwitchDone)
        paths = by_path(said)
        assert paths == [
            "/control/transfer",
            "/control/promote",
            "/control/promote",
            "/control/verify",
        ]
        first, second = said[1][1], said[2][1]
        assert {name: first[name] for name in ("failover", "step", "epoch")} == {
            name: second[name] for name in ("failover", "step", "epoch")
        }

    run(main())


def test_what_is_under_way_at_the_end_stays_owed() -> None:
    async def main() -> None:
        reached = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await request(reader)
            reached.set()
            await reader.read()

        said: Said = []
        log = MemoryLog()
        async with server(silent, master(said, obliging)) as address:
            async with hands_on(log, {"a": address}) as (at, _):
                await at.answered("a")
                await accept(at, "m")
                await reached.wait()
            assert "MessageDone" not in kinds(log)
            async with hands_on(log, {"a": address}) as (at, _):
                await at.answered("a")
                await at.published.kind(ev.MessageDone)
        assert [body["key"] for _, body in said] == ["m"]

    run(main())


def test_a_real_master_does_what_it_is_told(tmp_path: Path) -> None:
    with fleet_of(tmp_path, "a") as fleet:

        async def main() -> None:
            log = MemoryLog()
            async with hands_on(log, fleet.addresses, Mode.ACTIVE_STANDBY) as (at, _):
                await at.answered("a")
                await at.published.kind(ev.SwitchDone)
                heard = Published()
                at.turning.listen(heard)
                for number in range(5):
                    await accept(at, f"m-{number}")
                for number in range(5):
                    await heard.next(done(f"m-{number}"))
            assert sorted(await fleet.applied()) == [f"m-{number}" for number in range(5)]

        run(main())
