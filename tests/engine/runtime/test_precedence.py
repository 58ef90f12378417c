import asyncio

import msgspec
import pytest

from engine.core import events as ev
from engine.core.events import Evidence, Result
from engine.core.fleet import Health
from engine.core.owed import Deliver, Effect
from engine.core.policy import SECOND, GroupPolicy
from engine.log.memory import MemoryLog
from engine.runtime import precedence
from engine.runtime.precedence import GO_ON, HOLD_US, Precedence
from engine.runtime.watch import Watch
from tests.engine.core import drive
from tests.engine.real import GROUP, At, configuration, policy_of, run, turning_on
from tests.engine.runtime.turned import DECLARED, Jumping, accept

CLOSED = ev.ConnectionClosed(evidence=Evidence.CLOSED)


class Hands:
    """Carries every effect out at once, and keeps what it is to deliver."""

    def __init__(self, at: At) -> None:
        self.at = at
        self.delivers: list[Deliver] = []

    def start(self, effect: Effect) -> None:
        saga = self.at.turning.state.groups[GROUP].saga
        outcome = ev.Outcome(
            step=effect.step,
            failover=effect.failover,
            epoch=effect.epoch,
            result=Result.OK,
            digest="" if saga is None else saga.transfer_digest,
        )
        asyncio.get_running_loop().call_soon(self.at.turning.outcome, effect, outcome)

    def deliver(self, deliver: Deliver) -> None:
        self.delivers.append(deliver)


async def serving(at: At, hands: Hands) -> None:
    """Let "a" serve."""
    at.turning.start(hands)
    await at.answered("a", "b")
    await at.published.kind(ev.Switched)
    assert at.turning.state.groups[GROUP].assigned == "a"


def fail(at: At, name: str) -> None:
    """Let a probe of a master be refused."""
    n = at.turning.driver.working.cache.places[name].master.observers.get("", 0) + 1
    at.turning.record(ev.ProbeFailed(n=n, evidence=Evidence.REFUSED), subject=name)


def patient_policy() -> GroupPolicy:
    """Return one under which a master has failed after three failures, a second apart."""
    policy = policy_of()
    probe = msgspec.structs.replace(
        policy.probe, fall=3, interval_us=SECOND, recheck_us=SECOND, timeout_us=SECOND
    )
    return msgspec.structs.replace(policy, probe=probe, detect_within_us=60 * SECOND)


async def durable(at: At) -> None:
    """Wait until everything that was observed is durable."""
    await at.turning.durable(at.turning.driver.working.seq)


def test_messages_wait_from_the_first_sign_until_the_switch() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED) as at:
            hands = Hands(at)
            await serving(at, hands)
            held = at.turning.precedence
            at.turning.record(CLOSED, subject="a")
            assert held.is_held
            waiting = asyncio.create_task(held.turn_of_messages())
            await durable(at)
            await accept(at, "m")  # by somebody who did not wait
            assert held.is_held
            assert not waiting.done()
            fail(at, "a")
            await at.published.next(
                lambda it: isinstance(it.event, ev.Switched) and it.subject == "b"
            )
            await waiting
            assert not held.is_held
            await durable(at)
            assert [(each.master, each.key) for each in hands.delivers] == [("b", "m")]

    run(main())


def test_messages_go_on_when_the_master_answers() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED) as at:
            hands = Hands(at)
            await serving(at, hands)
            at.turning.record(CLOSED, subject="a")
            n = at.turning.driver.working.cache.places["a"].master.observers.get("", 0) + 1
            epoch = at.turning.state.groups[GROUP].epoch
            answer = ev.ProbeOk(n=n, latency_us=100, boot="a", epoch=epoch, role="active")
            await at.turning.ask(answer, subject="a")
            assert not at.turning.precedence.is_held

    run(main())


NEVER_S = 1_000.0  # before this no probe comes of itself


def test_whoever_messages_wait_for_is_asked_and_judged_in_one_turn_of_the_loop() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED) as at:
            await serving(at, Hands(at))
            await durable(at)
            watch = Watch(at.turning, "a", phase_s=NEVER_S)
            watch._closed(Evidence.CLOSED)  # nobody listens where it was
            turning = at.turning
            assert turning.driver.working.cache.places["a"].master.health is Health.FAILED
            # What was decided is on its way to the log: nothing that is ready comes before it.
            assert turning.driver.is_appending
            await at.published.next(
                lambda it: isinstance(it.event, ev.Switched) and it.subject == "b"
            )
            await watch.close()

    run(main())


def test_answers_do_not_go_to_the_log_between_the_steps_of_a_failover(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precedence, "HOLD_US", 60 * SECOND)  # whatever the machine has to do

    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED) as at:
            hands = Hands(at)
            await serving(at, hands)
            await at.published.kind(ev.SwitchDone)
            start, held = hands.start, list[Effect]()
            hands.start = held.append  # type: ignore[method-assign]
            at.turning.record(CLOSED, subject="a")
            fail(at, "a")
            await at.published.kind(ev.TransferStarted, after=at.turning.state.seq)
            n = at.turning.driver.working.cache.places["b"].master.observers.get("", 0) + 1
            at.turning.record(ev.ProbeOk(n=n, latency_us=100, boot="b"), subject="b")
            at.turning.record(ev.LoadReported(queue=1), subject="b")
            await asyncio.sleep(0)
            driver = at.turning.driver
            assert (driver.is_pending, driver.is_appending) == (True, False)
            hands.start = start  # type: ignore[method-assign]
            for effect in held:
                start(effect)
            await at.published.next(
                lambda it: isinstance(it.event, ev.Switched) and it.subject == "b"
            )

    run(main())


def test_whoever_nobody_waits_for_is_asked_in_its_turn() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED) as at:
            await serving(at, Hands(at))
            watch = Watch(at.turning, "b", phase_s=NEVER_S)
            watch._closed(Evidence.CLOSED)
            b = at.turning.driver.working.cache.places["b"].master
            assert (bool(b.question), bool(b.failures)) == (True, False)
            await at.published.next(
                lambda it: isinstance(it.event, ev.ProbeFailed) and it.subject == "b"
            )
            await watch.close()

    run(main())


def test_a_look_that_was_not_asked_for_yet_is_not_brought_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precedence, "HOLD_US", 60 * SECOND)  # whatever the machine has to do

    async def main() -> None:
        patient = configuration(
            {"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:2"}, policy=patient_policy()
        )
        async with turning_on(MemoryLog(), patient) as at:
            await serving(at, Hands(at))
            watch = Watch(at.turning, "a", phase_s=NEVER_S)
            watch._closed(Evidence.CLOSED)
            a = at.turning.driver.working.cache.places["a"].master
            before = list(a.failures)
            assert before
            watch.look(Evidence.CLOSED)  # it is looked at again when that is due
            assert at.turning.precedence.has("a")
            assert a.failures == before
            await watch.close()

    run(main())


@pytest.mark.parametrize("who", ["b", GROUP])
def test_nothing_waits_for_what_is_no_failure_of_an_active(who: str) -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED) as at:
            await serving(at, Hands(at))
            if who == GROUP:
                pause = ev.Paused(until_us=0, reason="", author="ann")
                await at.turning.ask(pause, subject=GROUP)
            else:
                at.turning.record(CLOSED, subject=who)
            assert not at.turning.precedence.is_held
            await at.turning.precedence.turn_of_messages()

    run(main())


def test_a_failure_that_is_not_settled_holds_messages_up_for_a_moment_only() -> None:
    async def main() -> None:
        clock, overs = Jumping(), list[int]()
        engine = drive.serving()
        state, active = engine.driver.working, engine.driver.working.groups["g"].assigned
        held = Precedence(clock, lambda: overs.append(clock.us))
        engine.see(CLOSED, active)
        held.observed(state, CLOSED, active)
        held.published(state)
        assert held.is_held
        clock.us += HOLD_US
        # The loop's own clock ends it: who waits is let go with no event at all.
        await held.turn_of_messages()
        assert (held.is_held, overs) == (False, [clock.us])
        clock.us += GO_ON * HOLD_US - 1
        held.observed(state, CLOSED, active)
        assert not held.is_held
        clock.us += 1
        held.observed(state, CLOSED, active)
        assert held.is_held

    run(main())


def test_whoever_waits_is_let_go_when_the_engine_stops() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED) as at:
            await serving(at, Hands(at))
            at.turning.record(CLOSED, subject="a")
            waiting = asyncio.create_task(at.turning.precedence.turn_of_messages())
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting

    run(main())
