"""Commands of an embedded engine under a key, and with what they expect to find."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest

from engine.core import events as ev
from engine.core.errors import CommandRefused, KeyReused, LogError, LogUncertain
from engine.core.events import FLEET
from engine.core.terms import KEY_CHARACTERS_MAX, Keyed
from engine.embed import Engine
from engine.log.memory import Failure, MemoryLog
from engine.log.protocol import Log
from engine.log.sqlite import SqliteLog
from tests.engine.real import (
    GROUP,
    Fleet,
    configuration,
    fleet,
    kinds,
    nobody,
    of,
    only,
    run,
    seen,
    served_by,
)

__all__ = ["fleet"]

Give = Callable[..., Coroutine[Any, Any, int]]

# Every command of an engine, given so that it is recorded.
COMMANDS: Final[dict[str, Callable[[Engine], Give]]] = {
    "pause": lambda e: lambda **under: e.pause(GROUP, for_us=9_000_000, reason="r", **under),
    "resume": lambda e: lambda **under: e.resume(**under),
    "release": lambda e: lambda **under: e.release(GROUP, **under),
    "approve": lambda e: lambda **under: e.approve(GROUP, **under),
    "failover": lambda e: lambda **under: e.failover(GROUP, to="z", **under),
    "switchover": lambda e: lambda **under: e.switchover(GROUP, **under),
    "checkpoint": lambda e: lambda **under: e.checkpoint("monday", **under),
    "rollback": lambda e: lambda **under: e.rollback(e.state.seq - 1, group=GROUP, **under),
}


async def outcome(given: Coroutine[Any, Any, int]) -> int | tuple[str, ...]:
    """Return the seq of a command, or why it was refused."""
    try:
        return await given
    except CommandRefused as err:
        return err.reasons


def asked(log: Log, kind: type[ev.AnyEvent]) -> int:
    return len(only(log, kind))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "rollback"])
def test_every_command_is_done_once_under_its_key_also_after_a_restart(name: str) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log, author="ann") as engine:
            first = await outcome(COMMANDS[name](engine)(key="k"))
            kind = ev.KINDS[next(iter(log.rows(_first(log) - 1, _first(log))))[2]]
            assert await outcome(COMMANDS[name](engine)(key="k")) == first
            assert asked(log, kind) == 1
            await outcome(COMMANDS[name](engine)(key="k-2"))
            assert asked(log, kind) == 2
            with pytest.raises(KeyReused, match=f"another command: event {_first(log)}"):
                await engine.checkpoint("another", key="k")
        count = asked(log, kind)
        async with Engine(nobody(), log=log.copy(), author="ann") as engine:
            assert await outcome(COMMANDS[name](engine)(key="k")) == first
            assert asked(engine._log, kind) == count

    run(main())


def _first(log: MemoryLog) -> int:
    found = log.append_keys.find("k")
    assert found is not None
    return found.first


def test_a_rollback_is_done_once_under_its_key(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
            position = await engine.checkpoint("before", key="c")
            await engine.switchover(GROUP, to="b", key="s")
            await seen(engine, of(ev.MasterRejoined, "a"))
            seq = await engine.rollback(position, group=GROUP, key="r")
            await served_by(engine, "a")
            # Its end is in the log by now, and so is that of the switchover, which was undone.
            assert await engine.rollback(position, group=GROUP, key="r") == seq
            assert await engine.switchover(GROUP, to="b", key="s") < seq
        assert (asked(log, ev.RollbackRequested), asked(log, ev.SwitchoverAsked)) == (1, 1)
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            assert await engine.rollback(position, group=GROUP, key="r") == seq
        assert asked(log, ev.RollbackRequested) == 1

    run(main())


def test_who_repeats_a_command_that_is_under_way_waits_for_its_end(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
            fleet.masters["b"].process.send_signal(signal.SIGSTOP)
            first = asyncio.create_task(engine.switchover(GROUP, to="b", key="s"))
            await seen(engine, ev.SwitchoverAsked)
            again = asyncio.create_task(engine.switchover(GROUP, to="b", key="s"))
            seq = await engine.switchover(GROUP, to="b", key="s", wait=False)
            assert not first.done()
            assert not again.done()
            fleet.masters["b"].process.send_signal(signal.SIGCONT)
            assert await asyncio.gather(first, again) == [seq, seq]
            await served_by(engine, "b")
        assert asked(log, ev.SwitchoverAsked) == 1

    run(main())


def test_a_repeat_is_told_that_what_it_began_was_abandoned(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(configuration(fleet.addresses), log=log) as engine:
            await served_by(engine, "a")
            fleet.masters["b"].process.send_signal(signal.SIGSTOP)  # its preflight has no answer
            first = asyncio.create_task(outcome(engine.switchover(GROUP, to="b", key="s")))
            await seen(engine, ev.SwitchoverAsked)
            fleet.masters["b"].process.kill()
            reasons = await first
            assert isinstance(reasons, tuple)
            assert await outcome(engine.switchover(GROUP, to="b", key="s")) == reasons
        assert asked(log, ev.SwitchoverAsked) == 1

    run(main())


@pytest.mark.parametrize("failure", Failure)
def test_who_repeats_a_command_until_it_is_answered_has_given_it_once(failure: Failure) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            log.fail_next(failure, failure)
            found, tries = 0, 0
            while not found:
                try:
                    found = await engine.pause(GROUP, for_us=9_000_000, reason="r", key="k")
                except LogError:
                    tries += 1
                    # It may have begun again before its failure is heard of here.
                    await seen(engine, ev.EngineResumed)
            assert tries
            assert found == _first(log)
        assert asked(log, ev.Paused) == 1

    run(main())


def test_while_nothing_can_be_written_nothing_is_said_of_a_key() -> None:
    """Whether a command is in the log is not settled until the log was read again."""

    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            log.fail_next(Failure.STORED)
            for _ in range(3):
                with pytest.raises(LogUncertain):
                    await engine.pause(GROUP, reason="r", key="k")
                assert engine.failure
            await seen(engine, ev.EngineResumed)
            assert await engine.pause(GROUP, reason="r", key="k") == _first(log)
        assert asked(log, ev.Paused) == 1

    run(main())


def test_who_gives_up_cancels_it_for_nobody_else() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            tasks = [
                asyncio.create_task(engine.pause(GROUP, reason="r", key="k")) for _ in range(3)
            ]
            await asyncio.sleep(0)
            tasks[0].cancel()
            with pytest.raises(KeyReused, match=r"'k' was used for another command$"):
                await engine.pause(GROUP, reason="another", key="k")
            assert await asyncio.gather(*tasks[1:]) == [_first(log)] * 2
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
        assert asked(log, ev.Paused) == 1

    run(main())


class Slow(MemoryLog):
    """A log that waits, before it says what a key stands for, until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        shelf = self.append_keys
        find = shelf.find

        def wait(key: str) -> Keyed | None:
            self.goes_on.wait(60)
            return find(key)

        shelf.find = wait  # type: ignore[method-assign]


def test_an_engine_that_ends_says_so_to_whoever_waits_and_leaves_nothing_behind() -> None:
    async def main() -> None:
        log = Slow()

        class Leaving(Engine):
            def leave(self) -> None:
                super().leave()
                log.goes_on.set()  # nothing is taken any more by now

        async with Leaving(nobody(), log=log) as engine:
            waiting = asyncio.create_task(engine.pause(GROUP, reason="r", key="k"))
            await asyncio.sleep(0)
        with pytest.raises(LogError, match="the engine has ended"):
            await waiting
        assert asked(log, ev.Paused) == 0

    run(main())


def test_a_log_of_format_1_takes_commands_but_no_keys(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "old.db"
        log = SqliteLog(path, mode="write", create=True, version=1)
        async with Engine(nobody(), log=log) as engine:
            with pytest.raises(LogError, match="format 1: upgrade it to append under keys"):
                await engine.pause(GROUP, reason="r", key="k")
            await engine.pause(GROUP, reason="r")
            assert kinds(log).count("Paused") == 1

    run(main())


# What a command expects.


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_refused_where_it_finds_something_else(name: str) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            give = COMMANDS[name](engine)
            before = kinds(log)
            for expected in ({"expected_head": 1}, {"expected_versions": {GROUP: 0, "z": 7}}):
                reasons = await outcome(give(key="k", **expected))
                assert isinstance(reasons, tuple)
                assert all(reason.startswith("expected ") for reason in reasons)
            assert "expected version 7 of z, found no such group" in reasons
            assert log.append_keys.find("k") is None
            commands = {
                kind.__name__ for kind in ev.OBSERVATIONS if "author" in kind.__struct_fields__
            }
            assert not set(kinds(log)[len(before) :]) & commands
            # Without that it is taken, under the same key.
            await outcome(give(key="k", wait=False) if "over" in name else give(key="k"))
            assert log.append_keys.find("k") is not None or name == "rollback"

    run(main())


def test_of_two_who_saw_the_same_only_one_is_heard() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine:
            expected = {FLEET: engine.state.fleet.version}
            given = [
                outcome(engine.pause(reason=name, expected_versions=expected)) for name in "ab"
            ]
            found = await asyncio.gather(*given)
            assert [type(each) for each in found] == [int, tuple]
        assert [paused.reason for paused in only(log, ev.Paused)] == ["a"]

    run(main())


def test_a_condition_that_there_is_not_is_a_mistake() -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            with pytest.raises(TypeError, match="expected_haed"):
                await engine.pause(reason="r", expected_haed=1)  # type: ignore[call-arg]
            with pytest.raises(CommandRefused, match="the key: expected at most 255"):
                await engine.pause(reason="r", key="k" * (KEY_CHARACTERS_MAX + 1))

    run(main())
