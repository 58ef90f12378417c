"""Effects and messages, carried out on real sockets for what a real log owes."""

import asyncio
import base64
import json

import msgspec
import pytest

from engine.core import events as ev
from engine.core.events import Result
from engine.core.fleet import Mode
from engine.core.policy import Hooks
from engine.log.memory import MemoryLog
from engine.runtime.failpoints import nothing
from engine.runtime.hands import EffectHands
from engine.samples.master import state_digest
from tests.engine.real import (
    GROUP,
    BodilessLog,
    configuration,
    of,
    only,
    policy_of,
    run,
    turning_on,
)
from tests.engine.runtime.handled import (
    Said,
    accept,
    by_path,
    hands_on,
    master,
    obliging,
)
from tests.engine.runtime.peers import answer, server


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
            hands_on(log, {"a": address, "b": address}, Mode.ACTIVE_STANDBY) as (at, hands),
        ):
            await at.answered("a", "b")
            await at.published.kind(ev.SwitchDone)
            await accept(at, "m")
            done = await at.published.kind(ev.MessageDone)
            log.how = how
            hands.bodies.keep(GROUP, "sessions/x", b"", None)  # as in an engine that began since
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


def test_a_program_that_the_policy_has_no_more_holds_nobody_up() -> None:
    async def main() -> None:
        said: Said = []
        log = MemoryLog()
        async with server(master(said, obliging)) as address:
            plain = configuration({"a": address}, policy=policy_of(Mode.ACTIVE_STANDBY))
            bad = msgspec.structs.replace(
                policy_of(Mode.ACTIVE_STANDBY), hooks=Hooks(before_transfer=("/nowhere",))
            )
            async with turning_on(log, configuration({"a": address}, policy=bad)) as at:
                hands = EffectHands(at.turning, failpoint=nothing, on_switch=lambda: None)
                await at.answered("a")
                await at.published.kind(ev.HookStarted)
                at.turning.record(
                    ev.ConfigurationLoaded(
                        digest=plain.digest, policy=plain.policy, masters=plain.masters
                    )
                )
                await at.published.next(
                    lambda r: (
                        isinstance(r.event, ev.PolicyAdopted) and r.event.policy == plain.policy
                    )
                )
                at.turning.start(hands)
                ended = await at.published.kind(ev.HookEnded)
                assert isinstance(ended.event, ev.HookEnded)
                why = (ended.event.result, ended.event.reason)
                assert why == ("failed", "no program any more")
                await at.answered("a")
                await at.published.kind(ev.SwitchDone)
                await hands.close()

    run(main())


def test_a_step_that_breaks_has_an_outcome_and_is_tried_again() -> None:
    async def main() -> None:
        said: Said = []
        log = MemoryLog()
        broken = [RuntimeError("it broke")]
        reported: list[object] = []

        def on_switch() -> None:
            if broken:
                raise broken.pop()

        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context["message"])
        )
        async with server(master(said, obliging)) as address:
            declared = configuration({"a": address}, policy=policy_of(Mode.ACTIVE_STANDBY))
            async with turning_on(log, declared) as at:
                hands = EffectHands(at.turning, failpoint=nothing, on_switch=on_switch)
                at.turning.start(hands)
                await at.answered("a")
                await at.published.kind(ev.SwitchDone)
                await hands.close()
        switches = [(o.result, o.detail) for o in only(log, ev.Outcome) if o.step == "switch"]
        assert switches == [(Result.UNKNOWN, "RuntimeError: it broke"), (Result.OK, "")]
        assert reported == ["switch of 'a' could not be carried out"]

    run(main())
