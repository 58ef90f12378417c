"""Programs of the operator in a running engine: those that behave, hang, crash, print and lie."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import pytest

from engine.core import events as ev
from engine.core.events import Result
from engine.core.fleet import Role
from engine.core.policy import MS, SECOND, GroupPolicy, Hooks, Reach, Recover, preset
from engine.embed import Engine
from engine.runtime.carriers.asked import DETAIL_MAX, Asked
from tests.faults.fleet import Process, port_of
from tests.faults.replicas import PATIENCE_US, Watched, declaring

E = TypeVar("E")

NAMES: Final = ("a", "b", "c")
LIMIT_US: Final = 400 * MS


def policy(**changes: object) -> GroupPolicy:
    """Return the bench preset with time-outs that no busy machine reaches."""
    base = preset("bench")
    return msgspec.structs.replace(
        base,
        detect_within_us=2 * PATIENCE_US,
        probe=msgspec.structs.replace(base.probe, timeout_us=PATIENCE_US),
        failover=msgspec.structs.replace(
            base.failover, step_timeout_us=PATIENCE_US, deadline_us=10 * PATIENCE_US
        ),
        **changes,
    )


def shell(code: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", code)


class Running:
    """An engine over three sample masters, of which the first serves."""

    def __init__(self, at: Watched, masters: dict[str, Process], ports: dict[str, int]) -> None:
        self.at: Final = at
        self.masters: Final = masters
        self.ports: Final = ports

    async def serves(self, name: str) -> None:
        await self.at.until(
            lambda: (
                self.at.group.assigned == name
                and self.at.group.saga is None
                and self.at.master(name).role is Role.ACTIVE
                and self.at.group.switch_epoch == self.at.master(name).epoch
            )
        )

    def outcomes(self, step: str) -> list[ev.Outcome]:
        return [
            each.event
            for each in self.at.log
            if isinstance(each.event, ev.Outcome) and each.event.step == step
        ]

    def only(self, kind: type[E]) -> list[E]:
        return [each.event for each in self.at.log if isinstance(each.event, kind)]


@contextlib.asynccontextmanager
async def running(directory: Path, told: GroupPolicy) -> AsyncIterator[Running]:
    masters = {name: Process("engine.samples.master", "--name", name) for name in NAMES}
    try:
        ports = {name: port_of(master) for name, master in masters.items()}
        addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        async with Engine(declaring(addresses, directory / "tanist.db", told)) as engine:
            at = Watched(engine)
            yield Running(at, masters, ports)
    finally:
        for master in masters.values():
            master.end()


def test_programs_around_steps_are_run_and_told_what_is_done(tmp_path: Path) -> None:
    said = tmp_path / "said"
    note = shell(f'echo "$TANIST_STEP $TANIST_MASTER $TANIST_EPOCH" >> {said}')
    hooks = Hooks(before_transfer=note, before_switch=note, after_switch=note)

    async def main() -> None:
        async with running(tmp_path, policy(hooks=hooks)) as it:
            await it.serves("a")
            await it.at.until(lambda: len(it.outcomes("after-switch")) == 1)

    asyncio.run(main())
    assert said.read_text().splitlines() == [
        "before-transfer a 1",
        "before-switch a 1",
        "after-switch a 1",
    ]


@pytest.mark.parametrize(
    ("code", "result", "word"),
    [
        ("sleep 1000", Result.UNKNOWN, "killed after 400 ms"),
        ("kill -SEGV $$", Result.UNKNOWN, "ended by SIGSEGV"),
        ("echo not today; exit 1", Result.REFUSED, "not today"),
        ("exit 3", Result.UNKNOWN, "exit 3"),
    ],
)
def test_a_program_that_does_not_end_well_stops_the_step_and_the_next_one_is_tried(
    tmp_path: Path, code: str, result: Result, word: str
) -> None:
    # For b alone it does what it should not.
    hooks = Hooks(
        before_promote=shell(f'test "$TANIST_MASTER" = b || exit 0; {code}'), timeout_us=LIMIT_US
    )

    async def main() -> None:
        async with running(tmp_path, policy(hooks=hooks)) as it:
            await it.serves("a")
            it.masters["a"].end()
            await it.serves("c")
            (failed,) = it.only(ev.AttemptFailed)
            assert failed.reason.startswith(f"before-promote: {result.value}")
            assert word in failed.reason
            assert [each.result for each in it.only(ev.HookEnded)].count(result.value) == 1

    asyncio.run(main())


def test_a_megabyte_is_one_line_in_the_log(tmp_path: Path) -> None:
    noisy = (sys.executable, "-c", "print('x' * 1_000_000); print('well')")

    async def main() -> None:
        async with running(tmp_path, policy(hooks=Hooks(before_promote=noisy))) as it:
            await it.serves("a")
            (outcome,) = it.outcomes("before-promote")
            assert outcome.result is Result.OK
            assert len(outcome.detail) == DETAIL_MAX
            assert outcome.detail.endswith("x well")

    asyncio.run(main())


def test_a_program_after_the_switch_that_hangs_stops_nothing(tmp_path: Path) -> None:
    hooks = Hooks(after_switch=shell("sleep 1000"), timeout_us=LIMIT_US)

    async def main() -> None:
        async with running(tmp_path, policy(hooks=hooks)) as it:
            await it.serves("a")
            it.masters["a"].end()
            await it.serves("b")
            await it.at.until(lambda: len(it.outcomes("after-switch")) == 2)
            assert {each.result for each in it.outcomes("after-switch")} == {Result.UNKNOWN}
            assert it.only(ev.AttemptFailed) == []
            assert not it.at.group.hooks

    asyncio.run(main())


def test_effects_by_a_program_that_lies_are_found_out_by_what_the_master_says(
    tmp_path: Path,
) -> None:
    """It says that it promoted and verified, and did nothing."""
    lies = policy(effects="command", reach=Reach(command=("/bin/true",)))

    async def main() -> None:
        async with running(tmp_path, lies) as it:
            await it.at.next(ev.Switched, subject="a")
            place = await it.at.next(ev.ActivationLost, subject="a")
            lost = it.at.log[place].event
            assert isinstance(lost, ev.ActivationLost)
            assert (lost.epoch, lost.found) == (1, 0)

    asyncio.run(main())


def test_effects_by_a_program_that_asks_the_masters_work(tmp_path: Path) -> None:
    code = (
        "import json, os, sys, urllib.request\n"
        "step = os.environ['TANIST_STEP']\n"
        "if step in ('switch', 'follow'): sys.exit(0)\n"
        "path = '/control/' + {'preflight': 'verify'}.get(step, step)\n"
        "body = sys.stdin.buffer.read()\n"
        "request = urllib.request.Request(os.environ['TANIST_ADDRESS'] + path, data=body)\n"
        "try: urllib.request.urlopen(request)\n"
        "except urllib.error.HTTPError as err: print(err); sys.exit(1)\n"
    )
    program = Reach(command=(sys.executable, "-c", code))

    async def main() -> None:
        async with running(tmp_path, policy(effects="command", reach=program)) as it:
            await it.serves("a")
            it.masters["a"].end()
            await it.serves("b")
            await it.at.until(lambda: it.at.master("c").follows == "b")
            assert it.only(ev.AttemptFailed) == []
            assert it.only(ev.ActivationLost) == []

    asyncio.run(main())


def test_a_failed_master_is_started_again_by_the_program_that_heals(tmp_path: Path) -> None:
    starts = (
        "import os, subprocess, sys, urllib.parse\n"
        "port = urllib.parse.urlsplit(os.environ['TANIST_ADDRESS']).port\n"
        "argv = [sys.executable, '-m', 'engine.samples.master', '--port', str(port)]\n"
        "argv += ['--name', os.environ['TANIST_MASTER']]\n"
        "done = subprocess.Popen(argv, stdout=subprocess.DEVNULL)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(done.pid))\n"
    )
    heals = Recover(
        command=(sys.executable, "-c", starts),
        attempts=5,
        backoff_us=SECOND,
        timeout_us=30 * SECOND,
    )
    pid = tmp_path / "pid"

    async def main() -> None:
        async with running(tmp_path, policy(recover=heals)) as it:
            await it.serves("a")
            it.masters["c"].end()
            place = await it.at.next(ev.RecoveryStarted, subject="c")
            await it.at.next(ev.MasterHealthy, after=place, subject="c")
            assert it.at.master("c").recovery is None
            assert [each.n for each in it.only(ev.RecoveryStarted)] == [1]

    try:
        asyncio.run(main())
    finally:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int(pid.read_text()), signal.SIGKILL)


def test_functions_of_the_service_carry_out_what_they_say(tmp_path: Path) -> None:
    async def main() -> None:
        told: list[str] = []
        masters = {name: Process("engine.samples.master", "--name", name) for name in NAMES[:2]}
        try:
            ports = {name: port_of(master) for name, master in masters.items()}
            addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
            engine = Engine(declaring(addresses, tmp_path / "tanist.db", policy()))

            @engine.effect("cache", "switch")
            async def switch(asked: Asked) -> None:
                told.append(asked.master)

            async with engine:
                at = Watched(engine)
                it = Running(at, masters, ports)
                await it.serves("a")
                masters["a"].end()
                await it.serves("b")
        finally:
            for master in masters.values():
                master.end()
        assert told == ["a", "b"]

    asyncio.run(main())
