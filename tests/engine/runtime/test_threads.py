"""Calls that may hang keep up nobody but who waits for them."""

import asyncio
import contextvars
import subprocess
import sys
import threading

import pytest

from engine.runtime.connection import Place
from engine.runtime.tasked import FunctionLink
from engine.runtime.threads import Threads
from tests.engine.real import NOBODY, configuration, run

HANG_S = 30.0
MANY = 40  # more than the event loop has threads, on any machine


def test_what_a_call_returns_or_raises_is_its_own() -> None:
    async def main() -> None:
        threads, said = Threads("t"), contextvars.ContextVar("said", default="")
        said.set("here")
        assert await threads.call(said.get) == "here"
        with pytest.raises(ZeroDivisionError):
            await threads.call(lambda: 1 // 0)

    run(main())


@pytest.mark.parametrize("kind", [StopIteration, SystemExit, asyncio.CancelledError])
def test_a_call_that_raises_what_is_no_error_ends_nobody(kind: type[BaseException]) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=f"{kind.__name__}: that was all"):
            await Threads("t").call(ends)

    def ends() -> None:
        raise kind("that was all")

    run(main())


def test_calls_that_hang_leave_the_others_their_threads() -> None:
    async def main() -> None:
        threads, free = Threads("t"), threading.Event()
        hanging = [asyncio.ensure_future(threads.call(free.wait)) for _ in range(MANY)]
        try:
            assert await threads.call(lambda: "here") == "here"
            assert await asyncio.to_thread(lambda: "there") == "there"
        finally:
            free.set()
        assert await asyncio.gather(*hanging) == [True] * MANY

    run(main())


def test_no_more_calls_than_that_are_under_way_and_who_gives_up_makes_room() -> None:
    async def main() -> None:
        threads, free, made = Threads("t", most=2), threading.Event(), []
        hanging = [asyncio.ensure_future(threads.call(free.wait)) for _ in range(2)]
        late = [asyncio.ensure_future(threads.call(lambda n=n: made.append(n))) for n in range(2)]
        await asyncio.sleep(0)
        late[0].cancel()
        while not threads._calls[0][0].cancelled():  # noqa: ASYNC110 - no event says so
            await asyncio.sleep(0)
        assert threads._count == 2
        free.set()
        await asyncio.gather(*hanging, late[1])
        assert late[0].cancelled()
        assert made == [1]

    run(main())


def test_a_thread_is_taken_again_and_ends_when_it_is_not() -> None:
    async def main() -> None:
        threads = Threads("t", idle_s=HANG_S)
        first = await threads.call(threading.current_thread)
        await idle(threads)
        assert await threads.call(threading.current_thread) is first
        short = Threads("t", idle_s=0.001)
        thread = await short.call(threading.current_thread)
        await asyncio.to_thread(thread.join, HANG_S)
        assert not thread.is_alive()
        assert short._count == short._idle == 0
        assert await short.call(threading.current_thread) is not thread

    run(main())


async def idle(threads: Threads) -> None:
    """Return when a thread waits for a call."""
    while not threads._idle:  # noqa: ASYNC110 - no event says so
        await asyncio.sleep(0)


def test_a_system_without_more_threads_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        threads = Threads("t")
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with pytest.raises(RuntimeError, match="can't start"):
                await threads.call(lambda: "made")
        assert threads._count == 0
        assert await threads.call(lambda: "made") == "made"

    run(main())


def test_the_process_waits_for_no_call_that_hangs() -> None:
    text = """
import asyncio, threading
from engine.runtime.threads import Threads

async def main():
    hanging = asyncio.ensure_future(Threads("t").call(threading.Event().wait))
    await Threads("t").call(lambda: None)
    hanging.cancel()

asyncio.run(main())
print("ended")
"""
    ended = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ended\n", "")


def test_names_that_nobody_resolves_hold_up_no_other_look_up_and_no_look_at_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = threading.Event()

    def getaddrinfo(name: str, *_: object, **__: object) -> list[tuple[int, int, int, str, object]]:
        if name == "hangs.test":
            free.wait()
        return [(2, 1, 6, "", (name, 80))]

    async def main() -> None:
        monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
        places = [Place("http://hangs.test:80") for _ in range(MANY)]
        hanging = [asyncio.ensure_future(place.addresses()) for place in places]
        try:
            assert await Place("http://well.test:80").addresses() == [(2, ("well.test", 80))]
            assert await asyncio.to_thread(lambda: "the log") == "the log"
        finally:
            free.set()
        await asyncio.gather(*hanging)

    run(main())


def test_checks_that_hang_hold_up_no_other_check() -> None:
    free = threading.Event()
    one, other = configuration(NOBODY).masters

    async def main() -> None:
        links = [FunctionLink(lambda _: free.wait(), one) for _ in range(MANY)]
        well = FunctionLink(lambda _: None, other)
        hanging = [link.probe(fresh=False, timeout_us=int(HANG_S * 1e6)) for link in links]
        try:
            answer = await well.probe(fresh=False, timeout_us=int(HANG_S * 1e6))
            assert type(answer).__name__ == "Answer"
        finally:
            free.set()
        await asyncio.gather(*hanging)
        for link in (*links, well):
            await link.close()

    run(main())
