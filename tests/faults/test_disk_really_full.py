"""An engine whose disk is really full: it goes on from its reserve, then stands still, and goes on.

The file system is a small one of its own; the masters and the service are processes.
"""

import asyncio
import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.config import Configuration
from engine.core import events as ev
from engine.core.errors import CommandRefused, LogFull
from engine.core.fleet import Mode
from engine.embed import Engine
from engine.log import open_log
from engine.log.reserve import Reserve
from engine.log.verify import verify
from tests.engine.real import (
    GROUP,
    Fleet,
    configuration,
    fleet_of,
    nobody,
    of,
    only,
    policy_of,
    run,
    seen,
    served_by,
)
from tests.engine.service.test_running import get, serving, until_active, written
from tests.faults.disks import small_disk, take_all

MIB = 1 << 20
RESERVE = 4 * MIB
LONG = "x" * 16_384  # so that some hundred of them fill what is kept


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Three masters and a sink, which have space."""
    with fleet_of(tmp_path, "a", "b", "c") as fleet:
        yield fleet


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a disk of 24 MiB."""
    with small_disk(tmp_path, mebibytes=24) as disk:
        yield disk


def declared(fleet: Fleet, log: Path) -> Configuration:
    made = configuration(fleet.addresses, log=str(log), policy=policy_of(Mode.ACTIVE_STANDBY))
    return msgspec.structs.replace(made, reserve_bytes=RESERVE)


async def mark(engine: Engine, numbers: Iterator[int]) -> str:
    """Return the name of a checkpoint that the engine says is durable."""
    name = f"c{next(numbers)}"
    await engine.checkpoint(name)
    return name


async def until_short(engine: Engine, numbers: Iterator[int]) -> list[str]:
    """Return the checkpoints that were durable until space was short."""
    told = []
    while not engine.disk_full:
        told.append(await mark(engine, numbers))
    return told


async def until_spent(engine: Engine, ballast: Path) -> list[str]:
    """Return the reasons of pauses that were durable, while each step is taken from us."""
    told: list[str] = []
    said = engine.disk_full
    take_all(ballast)
    for number in itertools.count():
        reason = f"{number} {LONG}"
        try:
            await engine.pause(reason=reason, author="ann")
        except LogFull:
            break
        told.append(reason)
        if engine.disk_full != said:
            said = engine.disk_full
            take_all(ballast)
    return told


def test_it_decides_on_a_full_disk_stands_still_without_reserve_and_goes_on_by_itself(
    fleet: Fleet, disk: Path
) -> None:
    log, ballast = disk / "t.db", disk / "ballast"

    async def main() -> tuple[list[str], list[str]]:
        numbers = itertools.count()
        async with Engine(declared(fleet, log)) as engine:
            await served_by(engine, "a")
            assert engine.notes == []
            take_all(ballast)
            told = await until_short(engine, numbers)
            short = await seen(engine, ev.SpaceShort)
            assert short.event == ev.SpaceShort(left=3 * MIB, reserve=RESERVE)
            take_all(ballast)

            # Decisions and commands are taken, new messages are not.
            fleet.masters["a"].process.kill()
            await served_by(engine, "b")
            await engine.pause(reason="the disk", author="ann")
            with pytest.raises(CommandRefused, match="the disk is full: no new message is taken"):
                await engine.accept(GROUP, b"work", key="m")
            with open_log(log) as stored:
                later = stored.read(short.seq)
                switched = [r.subject for r in later if isinstance(r.event, ev.Switched)]
                assert switched == ["b"]
                assert [paused.reason for paused in only(stored, ev.Paused)] == ["the disk"]

            # Until the reserve is spent: then routes stay, and nothing is decided.
            paused = await until_spent(engine, ballast)
            assert engine.failure.endswith("; the reserve is spent")
            assert engine.disk_full.startswith("disk full: 0 of 4 MiB of the reserve left; ")
            fleet.masters["b"].process.kill()
            with pytest.raises(LogFull):
                await engine.checkpoint("never")
            route = engine.pick(GROUP)
            assert route is not None
            assert route.master == "b"

            ballast.unlink()
            resumed = await seen(engine, ev.EngineResumed, after=short.seq)
            returned = await seen(engine, ev.SpaceReturned, after=short.seq)
            assert isinstance(returned.event, ev.SpaceReturned)
            assert (engine.failure, engine.disk_full) == ("", "")
            await engine.resume(author="ann")
            await served_by(engine, "c")
            assert (await engine.accept(GROUP, b"work", key="m")).seq > resumed.seq
            told.append(await mark(engine, numbers))
        return told, paused

    told, reasons = run(main())
    left = Reserve(log, wanted=RESERVE).figures
    assert RESERVE * 0.8 < left.left == left.whole
    with open_log(log) as stored:
        assert [marked.name for marked in only(stored, ev.CheckpointMarked)] == told
        assert [paused.reason for paused in only(stored, ev.Paused)] == ["the disk", *reasons]
        assert [s.left for s in only(stored, ev.SpaceShort)] == [3 * MIB, 2 * MIB, MIB, 0]
        assert len(only(stored, ev.SpaceReturned)) == 1
        assert verify(stored).ok


def test_good_probes_that_change_nothing_leave_no_trace_and_the_count_goes_on(
    fleet: Fleet, disk: Path
) -> None:
    log, ballast = disk / "t.db", disk / "ballast"

    async def main() -> tuple[int, int]:
        async with Engine(declared(fleet, log)) as engine:
            await served_by(engine, "a")
            take_all(ballast)
            await until_short(engine, itertools.count())
            short = await seen(engine, ev.SpaceShort)
            asked = engine._watches["c"]._n
            while engine._watches["c"]._n < asked + 20:  # noqa: ASYNC110 - no trace announces it
                await asyncio.sleep(0)
            ballast.unlink()
            returned = await seen(engine, ev.SpaceReturned)
            await seen(engine, of(ev.ProbeOk, "c"), after=returned.seq)
            return short.seq, returned.seq

    short, returned = run(main())
    with open_log(log) as stored:
        good = [recorded for recorded in stored.read() if isinstance(recorded.event, ev.ProbeOk)]
        # What was on its way when the disk was found full, and nothing after it.
        assert len([recorded for recorded in good if short < recorded.seq < returned]) <= 3
        numbers = [recorded.event.n for recorded in good if recorded.subject == "c"]
        assert numbers == sorted(set(numbers))
        assert max(later - one for one, later in itertools.pairwise(numbers)) >= 18
        assert ev.MasterUnknown not in {type(recorded.event) for recorded in stored.read()}


def test_it_starts_on_a_full_disk_and_says_so(fleet: Fleet, disk: Path) -> None:
    file, log, ballast = written(disk, fleet.addresses), disk / "t.db", disk / "ballast"
    file.write_text(file.read_text() + '[log]\nreserve = "4MiB"\n')
    with serving(file) as service:
        until_active(service)
        service.ends(signal.SIGTERM)
    (disk / "tanist.token").unlink()
    take_all(ballast)
    with serving(file) as service:
        url = service.said.split()[-1]
        assert service.process.stderr is not None
        said = service.process.stderr.readline()
        assert said.startswith("tanist: disk full: 3 of 4 MiB of the reserve left; ")
        full = said.removeprefix("tanist: ").rstrip("\n")
        assert get(f"{url}/readyz") == {"ready": True, "disk_full": full}
        words = [sys.executable, "-m", "engine.cli.main", "status", str(log)]
        shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert shown.splitlines()[0] == full
        assert get(f"{url}/api/status")["disk_full"] == full
        ballast.unlink()
        while "there is space again" not in (line := service.process.stderr.readline()):
            assert line
        assert get(f"{url}/readyz") == {"ready": True}
    with open_log(log) as stored:
        assert len(only(stored, ev.SpaceReturned)) == 1
        assert verify(stored).ok


def test_a_small_disk_gets_a_small_reserve_and_that_is_said(disk: Path) -> None:
    log = disk / "t.db"
    big = msgspec.structs.replace(nobody(), log=str(log), reserve_bytes=64 * MIB)

    async def main() -> list[str]:
        async with Engine(big) as engine:
            assert engine.disk_full == ""
            return list(engine.notes)

    (note,) = run(main())
    assert note.endswith("of 64 MiB are kept for a full disk: no more than a quarter of what is "
                         "free is taken")  # fmt: skip
