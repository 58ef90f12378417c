import asyncio
from typing import Any

from engine.core import events as ev
from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.log.memory import MemoryLog
from engine.log.protocol import Projection
from engine.runtime import keeping
from engine.runtime.keeping import CHUNK_EVENTS, ROUND_CHUNKS_MAX, Keeping, pause_after
from tests.engine.real import configuration, run, turning_on

NEVER_S = 3_600.0
DECLARED = configuration({"a": "http://127.0.0.1:1"})


class Counted:
    """A view that counts the events: the smallest fold that notices one too many."""

    name = "count"
    version = 1

    def new(self) -> list[int]:
        return [0]

    def project(self, view: list[int], recorded: Recorded) -> None:
        view[0] += 1

    def dump(self, view: list[int]) -> bytes:
        return str(view[0]).encode()

    def restore(self, data: bytes) -> list[int]:
        return [int(data)]


class Told(MemoryLog):
    """A log that tells of every view that is stored, and fails as often as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.positions: list[int] = []
        self.errors: list[Exception] = []
        self.loop = asyncio.get_running_loop()
        self.stored = asyncio.Event()
        self.tried = asyncio.Event()
        projection: Projection[Any] = Counted()
        self.attach(projection)

    def catch_up(self, name: str, *, limit_events: int = keeping.CHUNK_EVENTS) -> int:
        self.loop.call_soon_threadsafe(self.tried.set)
        if self.errors:
            raise self.errors.pop(0)
        count = super().catch_up(name, limit_events=limit_events)
        stored = self.load_view(name)
        if stored is not None and count:
            self.positions.append(stored.position)
            self.loop.call_soon_threadsafe(self.stored.set)
        return count

    @property
    def count(self) -> int:
        stored = self.load_view("count")
        return int(stored.data) if stored is not None else 0


def test_what_the_log_holds_already_is_folded_at_once() -> None:
    async def main() -> None:
        log = Told()
        async with turning_on(log, DECLARED):
            pass
        kept = Keeping(log, ("count",), pause_s=NEVER_S)
        await log.stored.wait()
        assert log.count == log.head.seq
        await kept.close()

    run(main())


def test_rounds_follow_the_log_and_the_end_waits_for_no_pause() -> None:
    async def main() -> None:
        log = Told()
        async with turning_on(log, DECLARED) as at:
            kept = Keeping(log, ("count",), pause_s=NEVER_S)
            at.turning.listen(kept.published)
            await log.stored.wait()
            rounds = len(log.positions)
            for number in range(5):
                await at.turning.ask(ev.CheckpointMarked(name=f"c{number}", author="ann"))
            assert len(log.positions) == rounds  # the pause is not over
        await kept.close()
        assert log.count == log.head.seq
        assert log.positions[-1] == log.head.seq

    run(main())


def test_after_the_pause_comes_the_next_round() -> None:
    async def main() -> None:
        log = Told()
        async with turning_on(log, DECLARED) as at:
            kept = Keeping(log, ("count",), pause_s=0.001)
            at.turning.listen(kept.published)
            await log.stored.wait()
            log.stored.clear()
            await at.turning.ask(ev.CheckpointMarked(name="c", author="ann"))
            await log.stored.wait()
            await kept.close()

    run(main())


def test_what_failed_is_tried_again_though_nothing_new_came() -> None:
    async def main() -> None:
        log = Told()
        async with turning_on(log, DECLARED):
            pass
        log.errors = [LogError("not now"), LogError("not yet")]
        kept = Keeping(log, ("count",), pause_s=0.001)
        await log.stored.wait()
        assert log.count == log.head.seq
        await kept.close()

    run(main())


class Broken(Counted):
    """A fold that fails at its third event, and counts how often it came to that."""

    name = "broken"
    is_mended = False
    tries = 0

    def project(self, view: list[int], recorded: Recorded) -> None:
        if recorded.seq == 3 and not self.is_mended:
            self.tries += 1
            raise ZeroDivisionError("a mistake")
        super().project(view, recorded)


def test_a_view_that_is_parked_is_said_once_and_not_tried_again() -> None:
    async def main() -> None:
        said: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: said.append(f"{context['message']}: {context['exception']}")
        )
        log, broken = Told(), Broken()
        log.attach(broken)
        async with turning_on(log, DECLARED) as at:
            kept = Keeping(log, ("broken", "count"), pause_s=0.001)
            at.turning.listen(kept.published)
            await log.stored.wait()
            tries = broken.tries
            for number in range(3):
                log.stored.clear()
                await at.turning.ask(ev.CheckpointMarked(name=f"c{number}", author="ann"))
                await log.stored.wait()  # the other one goes on
        assert said == [
            "the view 'broken' cannot be kept: "
            "the view 'broken' is parked before event 3: ZeroDivisionError: a mistake"
        ]
        assert broken.tries == tries
        await kept.close()
        assert log.count == log.head.seq

    run(main())


def test_a_view_that_was_mended_is_kept_again_when_it_is_freed() -> None:
    async def main() -> None:
        said: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: said.append(str(context["exception"])))
        log, broken = Told(), Broken()
        log.attach(broken)
        async with turning_on(log, DECLARED) as at:
            kept = Keeping(log, ("broken", "count"), pause_s=0.001)
            at.turning.listen(kept.published)
            await log.stored.wait()
            log.stored.clear()
            broken.is_mended = True
            log.retry("broken")
            await at.turning.ask(ev.CheckpointMarked(name="c", author="ann"))
            await log.stored.wait()
        await kept.close()
        stored = log.load_view("broken")
        assert stored is not None
        assert (int(stored.data), stored.position) == (log.head.seq, log.head.seq)
        assert len(said) == 1

    run(main())


def test_a_parked_view_asks_for_no_other_round() -> None:
    async def main() -> None:
        said = asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(lambda *_: said.set())
        log = Told()
        log.attach(Broken())
        async with turning_on(log, DECLARED):
            pass
        kept = Keeping(log, ("broken",), pause_s=NEVER_S)
        await said.wait()
        assert not kept._behind.is_set()
        log.tried.clear()
        await kept.close()
        assert log.tried.is_set()  # the last round looks whether it has been freed

    run(main())


def test_a_failure_is_said_again_after_it_went_well() -> None:
    async def main() -> None:
        said: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: said.append(str(context["exception"])))
        log = Told()
        async with turning_on(log, DECLARED) as at:
            log.errors = [ValueError("one"), ValueError("one"), ValueError("two")]
            kept = Keeping(log, ("count",), pause_s=0.0)
            at.turning.listen(kept.published)
            number = 0
            while log.errors:
                await at.turning.ask(ev.CheckpointMarked(name=f"c{number}", author="ann"))
                number += 1
            await at.turning.ask(ev.CheckpointMarked(name="more", author="ann"))
            await log.stored.wait()
            assert said == ["one", "two"]
            log.tried.clear()
            log.errors = [ValueError("two")]
            await at.turning.ask(ev.CheckpointMarked(name="last", author="ann"))
            await log.tried.wait()
        await kept.close()
        assert said == ["one", "two", "two"]

    run(main())


def test_a_fold_that_is_broken_is_reported_and_the_others_are_kept() -> None:
    async def main() -> None:
        reported: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
        log = Told()
        async with turning_on(log, DECLARED):
            pass
        log.errors = [ZeroDivisionError("a mistake")]
        kept = Keeping(log, ("broken", "count"), pause_s=NEVER_S)
        await log.stored.wait()
        assert reported == ["a mistake"]
        log.errors = []
        await kept.close()
        assert log.count == log.head.seq

    run(main())


def rounds(*, rate: int, event_us: float, backlog: int) -> list[tuple[float, float]]:
    """Return how far behind a view is before each of many rounds, and the share of time they take.

    Of a log that gets `rate` events a second, each of which takes `event_us` to fold.
    """
    found = []
    behind = float(backlog)
    for _ in range(200):
        folded = min(behind, CHUNK_EVENTS * ROUND_CHUNKS_MAX)
        took_s = folded * event_us / 1e6
        cycle_s = took_s + pause_after(took_s)
        behind += rate * cycle_s - folded
        found.append((behind / rate, took_s / cycle_s))
    return found


def test_views_of_a_log_with_ten_thousand_events_a_second_do_not_fall_behind() -> None:
    later = rounds(rate=10_000, event_us=11, backlog=1_000_000)[100:]
    assert max(behind_s for behind_s, _ in later) < 5
    assert all(0.1 < share < 0.12 for _, share in later)


def test_rounds_take_a_twentieth_where_that_is_enough_and_a_fifth_at_most() -> None:
    seldom = rounds(rate=1_000, event_us=11, backlog=0)
    assert max(share for _, share in seldom) < 1 / 20
    never_enough = rounds(rate=100_000, event_us=11, backlog=0)
    assert max(share for _, share in never_enough) <= 1 / 5
