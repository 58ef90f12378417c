import asyncio
from collections.abc import Iterator

import msgspec
import pytest

from engine.core import events as ev
from engine.core.errors import LogError, LogFull
from engine.core.events import FLEET, Recorded
from engine.core.fleet import Mode
from engine.core.policy import MS, SECOND
from engine.log.memory import MemoryLog
from engine.runtime.clock import Clock
from engine.runtime.loop import HEARTBEAT_US, STALL_US
from tests.engine.real import (
    GROUP,
    FullLog,
    configuration,
    kinds,
    only,
    policy_of,
    run,
    turning_on,
)
from tests.engine.runtime.turned import (
    DECLARED,
    Jumping,
    NoHands,
    accept,
    marked,
    message,
)

# Answers.


def test_an_answer_comes_when_it_is_durable_and_says_what_was_decided() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with turning_on(log, DECLARED) as at:
            answer = await at.turning.ask(
                ev.StrategyAsked(strategy="round-robin", author="ann"), subject=GROUP
            )
            assert log.head.seq >= answer.seq
            assert at.turning.state.seq == log.head.seq
            assert [type(other.event) for other in answer.decisions] == [ev.StrategyChanged]
            assert answer.reasons == ()

    run(main())


class Counted(tuple[Recorded, ...]):
    """Events that count how often they are gone through."""

    walks = 0

    def __iter__(self) -> Iterator[Recorded]:
        Counted.walks += 1
        return super().__iter__()


def test_many_answers_in_one_batch_take_no_walk_of_their_own_each() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED) as at:
            driver = at.turning.driver
            asked = [at.turning.ask(marked(f"c{number}")) for number in range(100)]
            again = at.turning.ask(marked("c1"))
            batch = driver.take_batch(at.turning.clock.at_us())
            assert batch is not None
            Counted.walks = 0
            at.turning._publish(Counted(driver.durable()))
            assert [(await each).seq for each in asked] == list(
                range(batch.events[0].seq, (await again).seq)
            )
            assert len((await again).reasons) == 1
            assert Counted.walks < 10
            at.log.append(batch.events)

    run(main())


def test_a_refused_command_is_answered_with_the_reasons_that_the_log_has() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with turning_on(log, DECLARED) as at:
            first = await at.turning.ask(marked("monday"))
            again = await at.turning.ask(marked("monday"))
        assert again.reasons == (f"checkpoint 'monday' is taken: it marks {first.seq}",)
        assert [refused.reasons for refused in only(log, ev.Refused)] == [again.reasons]

    run(main())


def test_who_waits_for_an_event_of_somebody_else_outlives_that_one_giving_up() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED) as at:
            event, bodies = message("m")
            asking = at.turning.ask(event, subject=GROUP, bodies=bodies)
            seq = at.turning.driver.working.seq
            waiting = at.turning.durable(seq)
            asking.cancel()
            assert (await waiting).seq == seq

    run(main())


def test_what_is_durable_already_is_answered_at_once() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED) as at:
            seq = await accept(at, "m")
            assert at.turning.durable(seq).done() or (await at.turning.durable(seq)).seq == seq

    run(main())


def test_listeners_hear_every_event_once_in_order_after_it_is_durable() -> None:
    async def main() -> None:
        log = MemoryLog()
        ahead: list[int] = []
        async with turning_on(log, DECLARED) as at:
            at.turning.listen(lambda events: ahead.append(log.head.seq - events[-1].seq))
            for number in range(20):
                await accept(at, f"m-{number}")
        assert at.published.seqs == list(range(1, log.head.seq + 1))
        assert min(ahead) >= 0

    run(main())


def test_a_listener_that_fails_is_reported_and_keeps_nobody_from_hearing() -> None:
    async def main() -> None:
        reported: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(str(context["exception"])))

        def fails(_: object) -> None:
            raise ValueError("not me")

        async with turning_on(MemoryLog(), DECLARED) as at:
            at.turning.listen(fails)
            heard: list[int] = []
            at.turning.listen(lambda events: heard.extend(other.seq for other in events))
            seq = await accept(at, "m")
            at.turning.unlisten(fails)
            assert seq in heard
        assert reported
        assert set(reported) == {"not me"}

    run(main())


# The time.


def test_a_deadline_fires_by_itself() -> None:
    async def main() -> None:
        policy = policy_of()
        probe = policy.probe
        soon = msgspec.structs.replace(probe, unknown_after_us=50 * MS)
        policy = msgspec.structs.replace(policy, probe=soon)
        declared = configuration({"a": "http://127.0.0.1:1"}, policy=policy)
        async with turning_on(MemoryLog(), declared) as at:
            at.turning.start(NoHands())
            await at.answered("a")
            unknown = await at.published.kind(ev.MasterUnknown)
            assert unknown.subject == "a"
            heard = next(
                other for other in at.published.events if isinstance(other.event, ev.ProbeOk)
            )
            passed = await at.published.kind(ev.DeadlinePassed)
            assert passed.at_us == heard.at_us + 50 * MS

    run(main())


def test_a_stall_of_the_engine_is_recorded_before_what_was_seen_after_it() -> None:
    async def main() -> None:
        jumping = Jumping()
        log = MemoryLog()
        async with turning_on(log, DECLARED, clock=Clock(wall=jumping, boot=jumping)) as at:
            await at.answered("a")
            last_us = log.head.at_us
            jumping.us += STALL_US + 1
            await at.answered("b")
        stall = only(log, ev.EngineResumed)
        assert stall == [ev.EngineResumed(stall_us=STALL_US + 1, stopped_at_us=last_us)]
        names = kinds(log)
        assert names.index("EngineResumed") < len(names) - 1 - names[::-1].index("ProbeOk")

    run(main())


def test_a_stall_is_said_before_the_outcome_of_a_step_that_ended_in_it() -> None:
    async def main() -> None:
        jumping = Jumping()
        log = MemoryLog()
        async with turning_on(log, DECLARED, clock=Clock(wall=jumping, boot=jumping)) as at:
            jumping.us += 1
            await at.answered("a", "b")
            (effect,) = at.turning.driver.due_effects(jumping.us)
            jumping.us += 60 * SECOND
            failed = ev.Outcome(
                step=effect.step,
                failover=effect.failover,
                epoch=effect.epoch,
                result=ev.Result.UNKNOWN,
            )
            at.turning.outcome(effect, failed)
            await at.published.kind(ev.Outcome)
        names = kinds(log)
        assert names.index("EngineResumed") < names.index("Outcome")

    run(main())


def test_a_failover_whose_delay_ended_in_a_stall_waits_for_fresh_evidence() -> None:
    async def main() -> None:
        jumping = Jumping()
        log = MemoryLog()
        policy = policy_of(delay_crash_us=10 * SECOND)
        declared = configuration(
            {"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:2"}, policy=policy
        )
        async with turning_on(log, declared, clock=Clock(wall=jumping, boot=jumping)) as at:
            jumping.us += 1
            await at.answered("a", "b")
            while (effects := at.turning.driver.due_effects(jumping.us)) != []:
                for effect in effects:
                    kept = at.turning.state.groups[GROUP].saga
                    ended = ev.Outcome(
                        step=effect.step,
                        failover=effect.failover,
                        epoch=effect.epoch,
                        result=ev.Result.OK,
                        digest="" if kept is None else kept.transfer_digest,
                    )
                    at.turning.outcome(effect, ended)
                await at.turning.ask(marked(f"after-{effects[0].step}"))
            assert at.turning.state.groups[GROUP].masters["a"].role.value == "active"
            at.turning.record(ev.ConnectionClosed(evidence=ev.Evidence.CLOSED), subject="a")
            refused = ev.ProbeFailed(n=9, evidence=ev.Evidence.REFUSED)
            seq = (await at.turning.ask(refused, subject="a")).seq
            jumping.us += 60 * SECOND
            at.turning.kick()
            await at.published.kind(ev.EngineResumed)
        # What it knew of them is a minute old: nothing begins before they were heard again.
        assert kinds(log)[seq:] == ["MasterFailed", "EngineResumed"]

    run(main())


def test_an_engine_that_is_only_a_little_late_says_nothing_of_it() -> None:
    async def main() -> None:
        jumping = Jumping()
        log = MemoryLog()
        async with turning_on(log, DECLARED, clock=Clock(wall=jumping, boot=jumping)) as at:
            jumping.us += STALL_US
            await at.answered("a")
        assert "EngineResumed" not in kinds(log)

    run(main())


def test_the_heartbeat_notices_a_stall_of_an_engine_that_sees_nothing() -> None:
    async def main() -> None:
        jumping = Jumping()
        async with turning_on(MemoryLog(), DECLARED, clock=Clock(wall=jumping, boot=jumping)) as at:
            at.turning.start(NoHands())
            jumping.us += 60 * SECOND
            resumed = await at.published.kind(ev.EngineResumed)
            assert isinstance(resumed.event, ev.EngineResumed)
            assert resumed.event.stall_us == 60 * SECOND
            assert HEARTBEAT_US < STALL_US

    run(main())


# The end.


def test_what_may_wait_for_company_is_durable_before_it_ends() -> None:
    async def main() -> None:
        log = MemoryLog()
        policy = policy_of(Mode.ACTIVE_ACTIVE)
        declared = configuration({"a": "http://127.0.0.1:1"}, policy=policy)
        async with turning_on(log, declared, flush_us=3_600 * SECOND) as at:
            await at.answered("a")
            for n in range(49, 53):  # the first one finds nothing left to decide
                at.turning.record(
                    ev.ProbeOk(n=n, latency_us=1, boot="a", epoch=1, role="active"), subject="a"
                )
                if n == 49:
                    await at.turning.ask(marked("between"))
            at.turning.record(ev.ProbeOk(n=53, latency_us=1, boot="a", epoch=1), subject="a")
            seq = log.head.seq
            assert at.turning.driver.take_batch(at.turning.clock.at_us()) is None  # they may wait
        assert log.head.seq > seq
        counts = [answer.n for answer in only(log, ev.ProbeOk)]
        assert counts[-4:] == [50, 51, 52, 53]

    run(main())


def test_nothing_is_taken_after_the_end() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with turning_on(log, DECLARED) as at:
            pass
        seq = log.head.seq
        with pytest.raises(LogError, match="the engine has ended"):
            await at.turning.ask(marked("late"))
        assert at.turning.record(ev.ProbeOk(n=1, latency_us=1), subject="a") == 0
        assert log.head.seq == seq

    run(main())


def test_it_ends_while_nothing_can_be_written() -> None:
    async def main() -> None:
        log = FullLog()
        async with turning_on(log, DECLARED) as at:
            log.is_full = True
            with pytest.raises(LogFull):
                await accept(at, "m")
        assert at.turning.failure is not None

    run(main())


def test_it_ends_while_its_last_append_fails() -> None:
    async def main() -> None:
        log = FullLog()
        async with turning_on(log, DECLARED) as at:
            log.is_full = True
            asked = at.turning.ask(marked("last"), subject=FLEET)
        with pytest.raises(LogFull):
            await asked

    run(main())


def test_a_wall_clock_that_is_set_is_in_the_log_and_engine_time_goes_on() -> None:
    async def main() -> None:
        log, boot, wall = MemoryLog(), Jumping(), Jumping()
        clock = Clock(wall=wall, boot=boot)
        async with turning_on(log, DECLARED, clock=clock) as at:
            before_us = at.turning.clock.at_us()
            for step_us in (-3_600 * SECOND, 24 * 3_600 * SECOND):
                wall.us += step_us
                at.turning._beat()
                at.turning._beat()
            assert at.turning.clock.at_us() == before_us
            await at.turning.ask(marked("after"))
        found = [seen.event for seen in log.read() if isinstance(seen.event, ev.ClockStepped)]
        assert found == [
            ev.ClockStepped(offset_us=-3_600 * SECOND, step_us=-3_600 * SECOND),
            ev.ClockStepped(offset_us=23 * 3_600 * SECOND, step_us=24 * 3_600 * SECOND),
        ]

    run(main())
