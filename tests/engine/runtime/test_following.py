"""Who follows: every event once and in order, and never more held than was said."""

from engine.core import events as ev
from engine.core.events import Recorded
from engine.log.memory import MemoryLog
from engine.runtime.following import READ_EVENTS, Following, Held
from tests.engine.real import At, run, turning_on
from tests.engine.runtime.turned import DECLARED, marked


def marks(*seqs: int) -> tuple[Recorded, ...]:
    return tuple(
        Recorded(seq=seq, at_us=seq, subject=ev.FLEET, cause=0, event=marked(f"c{seq}"))
        for seq in seqs
    )


def following(at: At) -> Following:
    async def read(after: int, count_max: int) -> list[Recorded]:
        until = min(at.turning.state.seq, after + count_max)
        return list(at.log.read(after=after, until=until))

    return Following(at.turning, read)


def test_what_is_held_comes_in_order_and_only_if_it_follows() -> None:
    held = Held(10)
    held.published(marks(4, 5, 6))
    assert held.next(2) is None  # 3 is not there: the log has it
    assert held.next(3) == marks(4)[0]
    assert held.next(5) == marks(6)[0]  # 5 was read from the log meanwhile
    assert (held.next(6), len(held)) == (None, 0)
    held.published(marks(7, 8, 9))
    assert (held.all(6), held.all(6), len(held)) == ([*marks(7, 8, 9)], [], 0)


def test_no_more_is_held_than_was_said_however_many_come_at_once() -> None:
    held = Held(3)
    held.published(marks(1, 2))
    held.published(marks(3))
    assert len(held) == 3
    held.published(marks(4))
    assert len(held) == 0
    held.published(marks(5, 6, 7, 8))
    assert len(held) == 0
    held.published(marks(9))
    assert (len(held), held.next(8)) == (1, marks(9)[0])


def test_who_does_not_read_has_little_held_and_misses_nothing() -> None:
    async def main() -> None:
        async with turning_on(MemoryLog(), DECLARED) as at:
            events = following(at).follow(0, held_max=5)
            seqs = [(await anext(events)).seq]
            owners = [getattr(each, "__self__", None) for each in at.turning._listeners]
            (listener,) = [each for each in owners if isinstance(each, Held)]
            for number in range(30):
                await at.turning.ask(marked(f"c{number}"))
                assert len(listener) <= 5
            while len(seqs) < at.turning.state.seq:
                seqs.append((await anext(events)).seq)
            await events.aclose()
            assert seqs == list(range(1, at.turning.state.seq + 1))

    run(main())


def test_a_log_that_begins_late_is_followed_from_its_beginning() -> None:
    class Cut(MemoryLog):
        """A log whose beginning was cut off."""

        begins = 0

        def cut(self) -> None:
            self.begins = self.head.seq
            del self._rows[: self.begins - 1]

    async def main() -> None:
        log = Cut()
        async with turning_on(log, DECLARED) as at:
            for number in range(2 * READ_EVENTS):
                at.turning.record(marked(f"c{number}"))
            await at.turning.ask(marked("last"))
            log.cut()
            events = following(at).follow(0, held_max=5)
            assert (await anext(events)).seq == log.begins > 2 * READ_EVENTS
            await events.aclose()

    run(main())
