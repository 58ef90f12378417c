import asyncio
from collections.abc import Iterator, Mapping, Sequence

import pytest
from msgspec.structs import replace

from engine.core import events as ev
from engine.core import state as st
from engine.core.decider import decide
from engine.core.errors import LogConflict, LogError, LogFull, LogUncertain
from engine.core.events import Recorded
from engine.core.owed import owed
from engine.core.policy import SECOND
from engine.core.replay import replay
from engine.core.step import Step
from engine.core.terms import Keyed
from engine.log.append_keys import Appended
from engine.log.memory import Failure, MemoryLog
from engine.log.protocol import CHUNK_EVENTS, NO_BODIES
from engine.runtime.clock import Clock
from tests.engine.real import (
    GROUP,
    FullLog,
    configuration,
    only,
    policy_of,
    run,
    turning_on,
)
from tests.engine.runtime.turned import (
    DECLARED,
    Jumping,
    accept,
    failing,
    marked,
)


@pytest.mark.parametrize(
    ("failure", "error"), [(Failure.FAILED, LogError), (Failure.LOST, LogUncertain)]
)
def test_what_was_not_stored_never_happened(failure: Failure, error: type[LogError]) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with turning_on(log, DECLARED) as at:
            await accept(at, "before")
            log.fail_next(failure)
            with pytest.raises(error):
                await accept(at, "lost")
            assert failing(at)
            resumed = await at.published.kind(ev.EngineResumed)
            assert not failing(at)
            assert await accept(at, "after") == resumed.seq + 1
            ledger = at.turning.state.groups[GROUP].ledger
            assert set(ledger.by_key) == {"before", "after"}
            assert st.digest(at.turning.state) == st.digest(at.turning.driver.working)
        assert st.digest(replay(log.read())) == st.digest(at.turning.state)
        assert at.published.seqs == list(range(1, log.head.seq + 1))

    run(main())


def test_what_was_stored_without_anybody_knowing_is_published_when_it_is_known() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with turning_on(log, DECLARED) as at:
            log.fail_next(Failure.STORED)
            with pytest.raises(LogUncertain):
                await accept(at, "stored")
            await at.published.kind(ev.EngineResumed)
            assert "stored" in at.turning.state.groups[GROUP].ledger.by_key
        assert at.published.seqs == list(range(1, log.head.seq + 1))
        assert [accepted.key for accepted in only(log, ev.MessageAccepted)] == ["stored"]

    run(main())


def test_nobody_is_told_that_a_lost_event_is_durable_because_another_got_its_seq() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with turning_on(log, DECLARED) as at:
            log.fail_next(Failure.FAILED)
            with pytest.raises(LogError):
                await accept(at, "lost")
            lost = at.turning.driver.working.seq  # not thrown away yet
            assert lost > at.turning.state.seq
            with pytest.raises(LogError):
                await at.turning.durable(lost)
            await at.published.kind(ev.EngineResumed)
        assert only(log, ev.MessageAccepted) == []

    run(main())


def test_everybody_who_waits_for_the_failed_append_hears_of_it() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with turning_on(log, DECLARED) as at:
            log.fail_next(Failure.FAILED)
            asked = [at.turning.ask(marked(f"c{number}")) for number in range(3)]
            results = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(result) for result in results] == [LogError] * 3
            await at.published.kind(ev.EngineResumed)
        assert only(log, ev.CheckpointMarked) == []

    run(main())


def test_while_nothing_can_be_written_the_engine_stands_still_and_says_so_all_the_time() -> None:
    async def main() -> None:
        log = FullLog()
        async with turning_on(log, DECLARED) as at:
            await at.answered("a", "b")
            before = st.digest(at.turning.state)
            said: list[str] = []
            enough = asyncio.Event()
            loop = asyncio.get_running_loop()

            def tried(tries: int) -> None:
                said.append(str(at.turning.failure or ""))
                if tries == 4:
                    loop.call_soon_threadsafe(enough.set)

            log.on_try, log.is_full = tried, True
            with pytest.raises(LogFull):
                await accept(at, "m")
            assert at.turning.record(ev.ProbeOk(n=99, latency_us=1), subject="a") == 0
            with pytest.raises(LogFull):
                await accept(at, "m")
            await enough.wait()
            assert said == ["", *["no space is left, as the test wants it"] * 3]
            assert st.digest(at.turning.state) == before
            log.is_full = False
            resumed = await at.published.kind(ev.EngineResumed)
            assert at.turning.failure is None
            assert isinstance(resumed.event, ev.EngineResumed)
            assert resumed.event.stall_us > 0
            assert resumed.event.stopped_at_us < resumed.at_us
            await accept(at, "m")

    run(main())


def test_how_long_it_stood_still_is_counted_from_the_first_failure() -> None:
    async def main() -> None:
        jumping = Jumping()
        log = FullLog()
        async with turning_on(log, DECLARED, clock=Clock(wall=jumping, boot=jumping)) as at:
            last_us = at.turning.state.at_us
            log.is_full = True
            with pytest.raises(LogFull):
                await accept(at, "m")
            jumping.us += 7 * SECOND
            log.is_full = False
            resumed = await at.published.kind(ev.EngineResumed)
        assert resumed.event == ev.EngineResumed(stall_us=7 * SECOND, stopped_at_us=last_us)

    run(main())


def test_what_is_asked_while_nothing_can_be_written_fails_at_once() -> None:
    async def main() -> None:
        log = FullLog()
        async with turning_on(log, DECLARED) as at:
            log.is_full = True
            with pytest.raises(LogFull):
                await at.turning.ask(marked("one"))
            asked = at.turning.ask(marked("two"))
            assert isinstance(asked.exception(), LogFull)

    run(main())


def test_a_rule_that_fails_leaves_nothing_half_moved_and_is_said() -> None:
    def broken(step: Step, event: ev.Observation) -> None:
        if isinstance(event, ev.Paused):
            step.emit(ev.ApprovalGiven())  # no failover is open
        decide(step, event)

    async def main() -> None:
        said: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        log = MemoryLog()
        async with turning_on(log, DECLARED, rules=broken) as at:
            await accept(at, "before")
            under_way = at.turning.ask(marked("under-way"))
            await asyncio.sleep(0)  # its append has begun
            with pytest.raises(LogError, match="a rule failed"):
                await at.turning.ask(ev.Paused(until_us=0, reason="", author="ann"), subject=GROUP)
            assert (await under_way).reasons == ()
            await at.published.kind(ev.EngineResumed)
            assert await accept(at, "after")
            assert st.digest(at.turning.state) == st.digest(at.turning.driver.working)
        assert [context["message"] for context in said] == ["a rule failed"]
        assert only(log, ev.Paused) == []
        assert [accepted.key for accepted in only(log, ev.MessageAccepted)] == ["before", "after"]
        assert st.digest(replay(log.read())) == st.digest(at.turning.state)

    run(main())


# What is worse than a log that says no.


class Unreadable(MemoryLog):
    """A log that cannot be read while there is an error to raise."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    def read(
        self, after: int = 0, until: int | None = None, *, chunk: int = CHUNK_EVENTS
    ) -> Iterator[Recorded]:
        if self.errors:
            raise self.errors.pop(0)
        return super().read(after, until, chunk=chunk)


@pytest.mark.parametrize("error", [MemoryError("no room"), OSError("gone"), AssertionError("odd")])
def test_whatever_keeps_the_log_from_being_read_is_said_and_it_is_read_again(
    error: Exception,
) -> None:
    async def main() -> None:
        said: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        log = Unreadable()
        async with turning_on(log, DECLARED) as at:
            log.errors = [error, LogError("and this is said by `failure`"), error]
            log.fail_next(Failure.FAILED)
            with pytest.raises(LogError):
                await accept(at, "lost")
            await at.published.kind(ev.EngineResumed)
            assert not failing(at)
            assert not at.turning.ended.is_set()
            await accept(at, "after")
        assert [context["message"] for context in said] == ["the log could not be read again"] * 2
        assert [context["exception"] for context in said] == [error, error]

    run(main())


class Contested(MemoryLog):
    """A log whose next appends meet another writer, so many of them."""

    conflicts = 0

    def append(
        self,
        events: Sequence[Recorded],
        *,
        bodies: Mapping[bytes, bytes] = NO_BODIES,
        key: str = "",
        keyed: Sequence[Keyed] = (),
    ) -> Appended:
        if self.conflicts:
            self.conflicts -= 1
            raise LogConflict("another writer took the log over")
        return super().append(events, bodies=bodies, key=key, keyed=keyed)


def test_a_log_that_another_writes_ends_the_engine_which_says_so() -> None:
    async def main() -> None:
        log = Contested()
        async with turning_on(log, DECLARED) as at:
            called: list[str] = []
            at.turning.on_ended = lambda: called.append(failing(at))
            await at.answered("a", "b")
            seq = log.head.seq
            log.conflicts = 1_000
            with pytest.raises(LogConflict):
                await accept(at, "m")
            await at.turning.ended.wait()
            assert called == [failing(at)] == ["another writer took the log over"]
            assert log.conflicts == 998  # once more after it was folded again, and no more
            with pytest.raises(LogConflict):
                await accept(at, "m")
            assert at.turning.record(ev.ProbeOk(n=99, latency_us=1), subject="a") == 0
            (effect,) = owed(at.turning.state)
            unknown = ev.Outcome(
                step=effect.step,
                failover=effect.failover,
                epoch=effect.epoch,
                result=ev.Result.UNKNOWN,
            )
            at.turning.outcome(effect, unknown)
            at.turning.kick()
            await asyncio.sleep(0)
            assert at.turning.driver.take_batch(1 << 62) is None
        assert log.head.seq == seq

    run(main())


def test_a_log_that_moved_once_is_folded_again_and_written_on() -> None:
    async def main() -> None:
        log = Contested()
        async with turning_on(log, DECLARED) as at:
            for round_ in range(3):
                log.conflicts = 1
                with pytest.raises(LogConflict):
                    await accept(at, f"lost-{round_}")
                await at.published.kind(ev.EngineResumed, after=at.turning.state.seq)
                await accept(at, f"m-{round_}")
            assert not at.turning.ended.is_set()
        assert [accepted.key for accepted in only(log, ev.MessageAccepted)] == ["m-0", "m-1", "m-2"]

    run(main())


def test_a_deadline_that_stays_due_is_said_once_and_everything_goes_on() -> None:
    def broken(step: Step, event: ev.Observation) -> None:
        if not isinstance(event, ev.DeadlinePassed):
            decide(step, event)

    async def main() -> None:
        said: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        jumping, after = Jumping(), 0
        clock = Clock(wall=jumping, boot=jumping)
        policy = policy_of()
        probe = replace(policy.probe, unknown_after_us=SECOND)
        declared = configuration({"a": "http://127.0.0.1:1"}, policy=replace(policy, probe=probe))
        async with turning_on(MemoryLog(), declared, rules=broken, clock=clock) as at:
            at.turning.record(ev.ProbeOk(n=1, latency_us=1), subject="a")
            for key in ("one", "two"):
                jumping.us += 3_600 * SECOND
                at.turning.kick()
                after = (await at.published.kind(ev.DeadlinePassed, after=after)).seq
                assert await accept(at, key)
            assert at.turning.failure is None
        (context,) = said
        assert context["message"] == "the deadline 'unknown_after' of a stays due, which is a bug"

    run(main())
