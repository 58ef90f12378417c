"""A log that cannot be written, as people hear of it."""

import asyncio

from engine.core import events as ev
from engine.embed import Engine
from engine.service.halts import Halts
from tests.engine.real import FullLog, nobody, run, seen

WHY = "no space is left, as the test wants it"


async def fill(log: FullLog) -> None:
    """Return when `log` is full and its engine knows: it tries again."""
    loop, tried = asyncio.get_running_loop(), asyncio.Event()

    def on_try(tries: int) -> None:
        if tries > 1:
            loop.call_soon_threadsafe(tried.set)

    log.on_try = on_try
    log.is_full = True
    await tried.wait()
    log.on_try = lambda _: None


def test_it_is_said_once_when_it_begins_and_once_when_it_is_over() -> None:
    log, said = FullLog(), list[str]()

    async def main() -> None:
        async with Engine(nobody(), log=log) as engine:
            halts = Halts(engine, said.append)
            halts.look()
            assert said == []
            await fill(log)
            for _ in range(3):
                halts.look()
            (begun,) = said
            assert begun == (
                f"tanist: the log cannot be written: {WHY}; "
                "nothing is decided and nothing issued until it can"
            )
            log.is_full = False
            await seen(engine, ev.EngineResumed)
            for _ in range(3):
                halts.look()
            _, over = said
            assert over.startswith("tanist: the log can be written again, after ")
            assert over.endswith("s; it goes on")
            halts.say_ending()
            assert said[2:] == ["tanist: ending: what was observed is made durable"]
        halts.say_end()
        assert len(said) == 3

    run(main())


def test_an_end_meanwhile_says_that_what_was_observed_is_lost() -> None:
    log, said = FullLog(), list[str]()

    async def main() -> None:
        async with Engine(nobody(), log=log) as engine:
            halts = Halts(engine, said.append)
            await fill(log)
            halts.look()
            halts.say_ending()
        halts.say_end()
        _, last = said
        assert last.startswith("tanist: ending: the log could not be written for ")
        assert last.endswith(f"s, and what was observed since then is lost: {WHY}")

    run(main())


def test_what_cannot_be_written_at_the_very_end_is_said_to_be_lost() -> None:
    log, said = FullLog(), list[str]()

    async def main() -> None:
        async with Engine(nobody(), log=log) as engine:
            halts = Halts(engine, said.append)
            halts.say_ending()
            await fill(log)
        halts.say_end()

    run(main())
    assert said == [
        "tanist: ending: what was observed is made durable",
        f"tanist: ended: what was observed last could not be made durable and is lost: {WHY}",
    ]
