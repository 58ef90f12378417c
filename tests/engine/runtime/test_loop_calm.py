"""Good probes that call for no decision: nine of ten events of a large fleet, taken by a short way.

What the log has, who hears of it and when are the same as by the long one.
"""

import asyncio

import msgspec
import pytest

from engine.config import Configuration
from engine.core import events as ev
from engine.core import state as st
from engine.core.decider import decide
from engine.core.fleet import Health, Mode
from engine.core.policy import MS, SECOND
from engine.core.replay import replay
from engine.core.step import Step
from engine.log.memory import MemoryLog
from engine.runtime.clock import Clock
from engine.runtime.loop import COMPANY_EVENTS
from tests.engine.real import GROUP, At, configuration, only, policy_of, run, turning_on
from tests.engine.runtime.turned import Jumping, NoHands, marked

POLICY = policy_of(Mode.ACTIVE_ACTIVE)
DECLARED = configuration({"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:2"}, policy=POLICY)
LONG_US = 3_600 * SECOND


def good(at: At, n: int, subject: str = "a") -> None:
    answer = ev.ProbeOk(n=n, latency_us=1, boot=subject, epoch=0, role="active")
    at.turning.record(answer, subject=subject)


async def calmed(at: At, subject: str = "a") -> int:
    """Let good probes of `subject` call for no decision any more; return the next number."""
    await at.answered(subject)
    n = 1_000
    while subject not in at.turning.driver.working.cache.calm[GROUP]:
        good(at, n, subject)
        n += 1
        await at.turning.ask(marked(f"{subject}-{n}"))
    return n


def test_they_wait_for_company_and_for_no_longer_than_that() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED, flush_us=20 * MS) as at:
            n = await calmed(at)
            seq = at.turning.state.seq
            good(at, n)
            good(at, n + 1)
            heard = await at.published.kind(ev.ProbeOk, after=seq)
            assert at.turning.clock.at_us() >= heard.at_us + 20 * MS
            assert at.turning.state.seq == heard.seq + 1

    run(main())


def test_where_they_are_many_they_wait_for_no_more() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED, flush_us=LONG_US) as at:
            n = await calmed(at)
            seq = at.turning.state.seq
            for more in range(COMPANY_EVENTS):
                good(at, n + more)
            await at.published.kind(ev.ProbeOk, after=seq)
            assert at.turning.state.seq == seq + COMPANY_EVENTS

    run(main())


def test_where_they_come_while_many_are_written_they_follow() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED, flush_us=LONG_US) as at:
            n = await calmed(at)
            seq = at.turning.state.seq
            for more in range(COMPANY_EVENTS):
                good(at, n + more)
            await asyncio.sleep(0)
            assert at.turning.driver.is_appending
            for more in range(COMPANY_EVENTS):
                good(at, n + COMPANY_EVENTS + more)
            last = await at.published.kind(ev.ProbeOk, after=seq + COMPANY_EVENTS)
            assert last.seq == seq + COMPANY_EVENTS + 1

    run(main())


def test_nobody_has_to_look_what_else_is_due_for_them() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED, flush_us=LONG_US) as at:
            at.turning.start(NoHands())
            n = await calmed(at)
            good(at, n)
            assert at.turning._is_kicked  # the first: from here on something waits
            await asyncio.sleep(0)
            for more in range(1, 10):
                good(at, n + more)
                assert not at.turning._is_kicked
            at.turning.record(ev.ConnectionClosed(evidence=ev.Evidence.CLOSED), subject="a")
            assert at.turning._is_kicked

    run(main())


def test_they_pass_every_failpoint() -> None:
    async def main() -> None:
        passed: list[tuple[str, str]] = []
        log = MemoryLog()
        hit = lambda name, detail: passed.append((name, detail))  # noqa: E731
        async with turning_on(log, DECLARED, failpoint=hit) as at:
            n = await calmed(at)
            passed.clear()
            seq = at.turning.state.seq
            good(at, n)
            await at.published.kind(ev.ProbeOk, after=seq)
            await asyncio.sleep(0)
        assert passed[:4] == [
            (name, "ProbeOk")
            for name in ("observe.after", "durable.before", "durable.after", "publish.after")
        ]

    run(main())


def quiet_after(us: int) -> Configuration:
    probe = msgspec.structs.replace(POLICY.probe, unknown_after_us=us)
    policy = msgspec.structs.replace(POLICY, probe=probe)
    return configuration({"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:2"}, policy=policy)


def test_what_was_due_before_one_of_them_is_decided_first_and_durable_at_once() -> None:
    async def main() -> None:
        log, time = MemoryLog(), Jumping()
        clock = Clock(wall=time, boot=time)
        declared = quiet_after(600 * MS)
        async with turning_on(log, declared, clock=clock, flush_us=LONG_US) as at:
            await calmed(at, "b")
            n = await calmed(at)
            for _ in range(2):
                time.us += 400 * MS
                good(at, n)
                n += 1
            unknown = await at.published.kind(ev.MasterUnknown)
            assert unknown.subject == "b"
            assert at.turning.state.groups[GROUP].masters["a"].health is Health.HEALTHY

    run(main())


def test_a_rule_that_fails_under_one_of_them_leaves_nothing_half_moved() -> None:
    def broken(step: Step, event: ev.Observation) -> None:
        if isinstance(event, ev.DeadlinePassed) and not said:
            step.emit(ev.ApprovalGiven())  # no failover is open
        decide(step, event)

    said: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: said.append(context["message"]))
        log, time = MemoryLog(), Jumping()
        clock = Clock(wall=time, boot=time)
        declared = quiet_after(600 * MS)
        async with turning_on(log, declared, clock=clock, flush_us=LONG_US, rules=broken) as at:
            await calmed(at, "b")
            n = await calmed(at)
            seq = at.turning.driver.working.seq
            time.us += 400 * MS
            good(at, n)
            time.us += 400 * MS
            good(at, n + 1)
            await at.published.kind(ev.EngineResumed, after=seq)
            assert st.digest(at.turning.state) == st.digest(at.turning.driver.working)
        assert said == ["a rule failed"]
        assert st.digest(replay(log.read())) == st.digest(at.turning.state)

    run(main())


@pytest.mark.parametrize("flush_us", [0, LONG_US])
def test_what_is_seen_before_the_end_is_durable(flush_us: int) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with turning_on(log, DECLARED, flush_us=flush_us) as at:
            n = await calmed(at)
            good(at, n)
            await asyncio.sleep(0)
            good(at, n + 1)
        assert [seen.n for seen in only(log, ev.ProbeOk)][-2:] == [n, n + 1]

    run(main())
