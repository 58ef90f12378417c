import asyncio

from engine.core import events as ev
from engine.core.events import Recorded
from engine.demo.load import LANES, Load
from engine.embed import Engine
from engine.log.memory import Failure, MemoryLog
from tests.engine.real import GROUP, Fleet, configuration, fleet, nobody, only, run, seen

__all__ = ["fleet"]


async def until_sent(load: Load, count: int, engine: Engine) -> None:
    await seen(engine, lambda _: len(load.accepted) >= count)
    load.stop()


def test_a_load_that_is_given_up_sends_nothing_more() -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            load = Load(engine, GROUP, rate=2_000)
            sending = asyncio.create_task(load.run())
            await seen(engine, lambda _: len(load.accepted) >= LANES)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            assert sending.cancelled()
            sent = load.sent
            await seen(engine, lambda _: True)
            assert load.sent == sent

    run(main())


def test_it_sends_numbered_messages_in_lanes_until_it_is_stopped() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            load = Load(engine, GROUP, rate=2_000)
            sending = asyncio.create_task(load.run())
            await until_sent(load, LANES + 4, engine)
            await sending
            assert load.sent == len(load.accepted) >= LANES + 4
        accepted = sorted(only(log, ev.MessageAccepted), key=lambda event: event.key)
        assert [event.key for event in accepted] == [f"m-{n:07d}" for n in range(load.sent)]
        assert [event.lane for event in accepted] == [f"lane-{n % LANES}" for n in range(load.sent)]
        assert load.done == set()

    run(main())


def test_a_message_that_was_not_accepted_is_sent_again_under_its_key() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            load = Load(engine, GROUP, rate=2_000)
            log.fail_next(Failure.FAILED, Failure.STORED, Failure.LOST)
            sending = asyncio.create_task(load.run())
            await until_sent(load, 5, engine)
            await sending
            assert load.sent == len(load.accepted)
        keys = [event.key for event in only(log, ev.MessageAccepted)]
        assert sorted(keys) == sorted(load.accepted)

    run(main())


def test_it_keeps_what_is_done_and_how_long_the_slowest_took(fleet: Fleet) -> None:
    async def main() -> None:
        async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
            load = Load(engine, GROUP, rate=500)
            engine.listen(load.published)
            sending = asyncio.create_task(load.run())
            await seen(engine, lambda _: len(load.done) >= 5)
            load.stop()
            await sending
            await seen(engine, lambda _: len(load.done) == load.sent)
            assert load.done == load.accepted
            assert load.worst_us > 0

    run(main())


def test_what_others_sent_is_none_of_its_own() -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            load = Load(engine, GROUP, rate=1)
            event = ev.MessageDone(key="somebody else's")
            load.published((Recorded(seq=1, at_us=1, subject=GROUP, cause=0, event=event),))
            assert (load.done, load.worst_us) == (set(), 0)

    run(main())
