import asyncio
from collections.abc import Callable
from itertools import pairwise

from engine.runtime.rota import AT_ONCE, PATIENT_CALLS, TURN_CALLS, Rota

GUARD_S = 20.0


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.us = 1_000_000

    def __call__(self) -> int:
        return self.us


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(GUARD_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0)


def test_alarms_are_called_when_they_are_due_in_the_order_of_their_times() -> None:
    async def body() -> None:
        clock, called = Clock(), list[str]()
        rota = Rota(clock)
        for name, due_us in (("c", 300), ("a", 100), ("b", 200)):
            rota.alarm(lambda name=name: called.append(name)).set(clock.us + due_us)
        end = rota.alarm(lambda: called.append("end"))
        clock.us += 250
        end.set(clock.us)
        await until(lambda: "end" in called)
        assert called == ["a", "b", "end"]
        clock.us += 50
        await until(lambda: called[-1] == "c")

    asyncio.run(body())


def test_only_the_time_that_was_set_last_counts() -> None:
    async def body() -> None:
        clock, called = Clock(), list[tuple[str, int]]()
        rota = Rota(clock)

        def alarm(name: str, *times_us: int) -> None:
            alarm = rota.alarm(lambda: called.append((name, clock.us - 1_000_000)))
            for due_us in times_us:
                if due_us:
                    alarm.set(1_000_000 + due_us)
                else:
                    alarm.clear()

        alarm("put off", 10, 20, 30)
        alarm("brought forward", 30, 20, 10)
        alarm("there and back", 20, 10, 20)
        alarm("cleared", 10, 0)
        alarm("cleared and set", 10, 0, 20)
        for late_us in (10, 20, 30):
            clock.us = 1_000_000 + late_us
            done: list[None] = []
            rota.alarm(lambda done=done: done.append(None)).set(clock.us)
            await until(lambda done=done: bool(done))
        assert called == [
            ("brought forward", 10),
            ("there and back", 20),
            ("cleared and set", 20),
            ("put off", 30),
        ]

    asyncio.run(body())


def test_an_alarm_may_set_itself_again_and_again() -> None:
    async def body() -> None:
        clock, count = Clock(), 0
        rota = Rota(clock)

        def call() -> None:
            nonlocal count
            count += 1
            clock.us += 10
            alarm.set(clock.us + 5)

        alarm = rota.alarm(call)
        alarm.set(clock.us)
        await until(lambda: count == 1)
        clock.us += 5
        await until(lambda: count == 2)
        assert len(rota._heap) == 1

    asyncio.run(body())


def test_between_so_many_calls_the_loop_turns_and_what_is_urgent_goes_first() -> None:
    async def body() -> None:
        clock, called, turns = Clock(), list[str](), list[int]()
        rota = Rota(clock)
        loop = asyncio.get_running_loop()
        alarms = [rota.alarm(lambda: called.append("due")) for _ in range(3 * TURN_CALLS)]
        urgent = rota.alarm(lambda: called.append("urgent"))

        def turn() -> None:
            turns.append(len(called))
            if len(turns) == 1:
                urgent.set(AT_ONCE)
            loop.call_soon(turn)

        for alarm in alarms:
            alarm.set(clock.us)
        loop.call_soon(turn)
        await until(lambda: len(called) > 3 * TURN_CALLS)
        assert turns[0] == TURN_CALLS
        assert called.index("urgent") == TURN_CALLS
        assert max(after - before for before, after in pairwise(turns)) <= TURN_CALLS

    asyncio.run(body())


def test_the_patient_give_way_to_all_others_and_are_not_forgotten() -> None:
    async def body() -> None:
        clock, called = Clock(), list[str]()
        rota = Rota(clock)
        for _ in range(2 * PATIENT_CALLS):
            patient = rota.alarm(lambda: called.append("patient"))
            patient.is_patient = True
            patient.set(clock.us - 1)
        for _ in range(2 * TURN_CALLS):
            rota.alarm(lambda: called.append("due")).set(clock.us)
        await until(lambda: len(called) == 2 * (TURN_CALLS + PATIENT_CALLS))
        assert called == [
            *(["due"] * TURN_CALLS + ["patient"]),
            *(["due"] * TURN_CALLS + ["patient"]),
            *["patient"] * (2 * PATIENT_CALLS - 2),
        ]

    asyncio.run(body())


def test_a_patient_alarm_that_was_put_off_or_cleared_while_it_waited_is_not_called() -> None:
    async def body() -> None:
        clock, called = Clock(), list[str]()
        rota = Rota(clock)
        alarms = {name: rota.alarm(lambda name=name: called.append(name)) for name in "abcd"}
        for alarm in alarms.values():
            alarm.is_patient = True
            alarm.set(clock.us)
        more = [rota.alarm(lambda: None) for _ in range(TURN_CALLS)]

        def busy() -> None:
            alarms["b"].clear()
            alarms["c"].set(clock.us + 10)

        rota.alarm(busy).set(clock.us)
        for alarm in more:
            alarm.set(clock.us)
        await until(lambda: "d" in called)
        assert called == ["a", "d"]
        clock.us += 10
        await until(lambda: "c" in called)
        assert called == ["a", "d", "c"]

    asyncio.run(body())


def test_a_call_that_breaks_is_said_and_the_others_are_made() -> None:
    async def body() -> None:
        clock, called, said = Clock(), list[str](), list[object]()
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: said.append(context["exception"])
        )
        rota = Rota(clock)

        def breaks() -> None:
            raise RuntimeError("a bug")

        rota.alarm(breaks).set(clock.us)
        rota.alarm(lambda: called.append("next")).set(clock.us)
        await until(lambda: bool(called))
        assert [str(each) for each in said] == ["a bug"]

    asyncio.run(body())
