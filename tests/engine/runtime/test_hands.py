"""Effects and messages, carried out on real sockets for what a real log owes."""

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core.events import Recorded, Result
from engine.core.fleet import Mode
from engine.log.memory import Failure, MemoryLog
from engine.runtime.failpoints import nothing
from engine.runtime.hands import UNDELIVERED_US, HttpHands
from engine.samples.master import state_digest
from tests.engine.real import (
    GROUP,
    At,
    BodilessLog,
    Published,
    configuration,
    fleet_of,
    kinds,
    of,
    only,
    policy_of,
    run,
    turning_on,
)
from tests.engine.runtime.peers import Handler, answer, request, server

Said = list[tuple[str, dict[str, object]]]


@contextlib.asynccontextmanager
async def hands_on(
    log: MemoryLog, addresses: dict[str, str], mode: Mode = Mode.ACTIVE_ACTIVE
) -> AsyncIterator[tuple[At, HttpHands]]:
    """Turn with hands; active-active by default: whoever answers is given messages."""
    declared = configuration(addresses, policy=policy_of(mode))
    async with turning_on(log, declared) as at:
        hands = HttpHands(at.turning, failpoint=nothing, on_switch=lambda: None)
        at.turning.start(hands)
        try:
            yield at, hands
        finally:
            await hands.close()


def done(key: str) -> Callable[[Recorded], bool]:
    return lambda recorded: recorded.event == ev.MessageDone(key=key)


async def accept(at: At, key: str, *, body: bytes = b"work") -> None:
    digest = hashlib.sha256(body).digest()
    accepted = ev.MessageAccepted(key=key, lane=key, size=len(body), digest=digest)
    await at.turning.ask(accepted, subject=GROUP, bodies={digest: body})


def master(said: Said, reply: Callable[[str, dict[str, object], int], bytes]) -> Handler:
    """Serve requests, keep them in `said`, and answer the n-th (from 1) as `reply` says."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, body = await request(reader)
            path = line.split()[1]
            said.append((path, body))
            writer.write(reply(path, body, len(said)))

    return handler


def obliging(path: str, body: dict[str, object], _: int) -> bytes:
    """Answer as a master that does whatever it is told."""
    if path == "/control/transfer":
        state = body["state"]
        assert isinstance(state, dict)
        blobs = {key: base64.b64decode(text) for key, text in state.items()}
        return answer(json.dumps({"digest": state_digest(blobs)}))
    return answer()


def by_path(said: Said) -> list[str]:
    return [path for path, _ in said]


# Steps.


def test_a_group_gets_its_first_active_step_by_step() -> None:
    async def main() -> None:
        said: Said = []
        log = MemoryLog()
        async with (
            server(master(said, obliging)) as address,
            hands_on(log, {"a": address}, Mode.ACTIVE_STANDBY) as (at, _),
        ):
            await at.answered("a")
            await at.published.kind(ev.SwitchDone)
            epoch = at.turning.state.groups[GROUP].epoch
        assert by_path(said) == ["/control/transfer", "/control/promote", "/control/verify"]
        for (path, body), step in zip(said, ("transfer", "promote", "verify"), strict=True):
            assert path == f"/control/{step}"
            assert body["step"] == step
            assert (body["epoch"], body["group"]) == (epoch, GROUP)
            assert body["failover"]
        outcomes = [(outcome.step, outcome.result) for outcome in only(log, ev.Outcome)]
        steps = ("transfer", "promote", "verify", "switch")
        assert outcomes == [(step, Result.OK) for step in steps]
        assert all(
            outcome.elapsed_us > 0 for outcome in only(log, ev.Outcome) if outcome.step != "switch"
        )

    run(main())


def test_what_the_group_keeps_is_transferred_whole_with_its_digest() -> None:
    async def main() -> None:
        said: Said = []
        log = MemoryLog()
        blob = base64.b64encode(b"seven").decode()

        def keeping(path: str, body: dict[str, object], n: int) -> bytes:
            if path == "/messages":
                return answer(json.dumps({"state": {"sessions/x": blob, "gone": None}}))
            return obliging(path, body, n)

        async with (
            server(master(said, keeping)) as address,
            hands_on(log, {"a": address, "b": address}, Mode.ACTIVE_STANDBY) as (at, _),
        ):
            await at.answered("a", "b")
            await at.published.kind(ev.SwitchDone)
            await accept(at, "m")
            done = await at.published.kind(ev.MessageDone)
            await at.answered("a", "b")
            await at.turning.ask(ev.FailoverAsked(to="b", author="ann"), subject=GROUP)
            await at.published.next(of(ev.Switched, "b"), after=done.seq)
        transfers = [body for path, body in said if path == "/control/transfer"]
        assert transfers[0]["state"] == {}
        assert transfers[1]["state"] == {"sessions/x": blob}
        assert transfers[1]["digest"] == state_digest({"sessions/x": b"seven"})
        assert {(kept.key, kept.size) for kept in only(log, ev.StateKept)} == {
            ("sessions/x", 5),
            ("gone", -1),
        }

    run(main())


@pytest.mark.parametrize(
    ("how", "detail"), [("broken", "cannot be read"), ("lost", "holds no body of sessions/x")]
)
def test_state_that_the_log_cannot_give_is_a_failed_transfer_with_its_reason(
    how: str, detail: str
) -> None:
    async def main() -> None:
        said: Said = []
        log = BodilessLog()
        blob = base64.b64encode(b"seven").decode()

        def keeping(path: str, body: dict[str, object], n: int) -> bytes:
            if path == "/messages":
                return answer(json.dumps({"state": {"sessions/x": blob}}))
            return obliging(path, body, n)

        async with (
            server(master(said, keeping)) as address,
            hands_on(log, {"a": address, "b": address}, Mode.ACTIVE_STANDBY) as (at, _),
        ):
            await at.answered("a", "b")
            await at.published.kind(ev.SwitchDone)
            await accept(at, "m")
            done = await at.published.kind(ev.MessageDone)
            log.how = how
            said.clear()
            await at.answered("a", "b")
            await at.turning.ask(ev.FailoverAsked(to="b", author="ann"), subject=GROUP)
            failed = await at.published.next(
                lambda r: isinstance(r.event, ev.Outcome) and r.event.step == "transfer",
                after=done.seq,
            )
            assert isinstance(failed.event, ev.Outcome)
            assert failed.event.result is Result.FAILED
            assert detail in failed.event.detail
        assert "/control/transfer" not in by_path(said)

    run(main())


@pytest.mark.parametrize(
    ("status", "result"), [(423, Result.REFUSED), (409, Result.REFUSED), (200, Result.OK)]
)
def test_each_step_has_one_outcome(status: int, result: Result) -> None:
    async def main() -> None:
        said: Said = []
        log = MemoryLog()

        def says(path: str, body: dict[str, object], n: int) -> bytes:
            if path == "/control/promote" and status != 200:
                return answer('{"reason":"no"}', status=status)
            return obliging(path, body, n)

        async with (
            server(master(said, says)) as address,
            hands_on(log, {"a": address}, Mode.ACTIVE_STANDBY) as (at, _),
        ):
            await at.answered("a")
            promoted = await at.published.next(
                lambda r: isinstance(r.event, ev.Outcome) and r.event.step == "promote"
            )
            assert isinstance(promoted.event, ev.Outcome)
            assert promoted.event.result is result
        promotions = [o for o in only(log, ev.Outcome) if o.step == "promote"]
        assert len({(o.failover, o.epoch) for o in promotions}) == len(promotions)

    run(main())


# Messages.


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
            hands.remember(hashlib.sha256(b"slow").digest(), b"slow")
            await accept(at, "slow", body=b"slow")
            until_us = at.turning.clock.at_us() + 4 * UNDELIVERED_US
            number = 0
            while at.turning.clock.at_us() < until_us:
                number += 1
                await accept(at, f"m-{number}")
                await at.published.next(done(f"m-{number}"))
            assert [body["key"] for _, body in said].count("slow") == 1
            assert "slow" in at.turning.state.groups[GROUP].ledger.by_key
            epoch = at.turning.state.groups[GROUP].masters["a"].epoch
            await at.turning.ask(ev.MessageAcked(key="slow", epoch=epoch), subject="a")
            assert hands._bodies == {}  # the log has it, should it be sent again
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
            hands.remember(hashlib.sha256(b"kept").digest(), b"kept")
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

        log = MemoryLog()
        async with server(silent) as address, hands_on(log, {"a": address}) as (at, _):
            await at.answered("a")
            await accept(at, "m")
            await reached.wait()
        assert "MessageDone" not in kinds(log)
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
