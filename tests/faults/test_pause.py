"""The file that pauses, with real processes: no interface, a full disk, a kill at the wrong moment.

What is promised is an order of events, so nothing here waits for time to pass.
"""

import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.core import events as ev
from engine.core.errors import LogFull
from engine.core.events import Recorded
from engine.embed import Engine
from engine.log import open_log
from engine.log.tailing import PAUSE_S, tail
from engine.log.verify import verify
from tests.engine.real import (
    GROUP,
    Fleet,
    configuration,
    fleet_of,
    of,
    policy_of,
    run,
    seen,
    served_by,
)
from tests.engine.service.test_running import get, serving, until_active, written
from tests.faults.disks import small_disk, take_all
from tests.faults.fleet import GUARD_S, NAMES, EngineProcess
from tests.faults.fleet import fleet as processes

MIB = 1 << 20
RESERVE = 4 * MIB
LONG = "x" * 16_384


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Three masters and a sink."""
    with fleet_of(tmp_path, "a", "b", "c") as fleet:
        yield fleet


def until(log: Path, kind: type[ev.AnyEvent], *, after: int = 0) -> Recorded:
    """Return the first event of that kind that is in the log, or comes into it."""

    ends_s = time.monotonic() + GUARD_S

    def wait() -> bool:
        time.sleep(PAUSE_S)
        return time.monotonic() < ends_s

    with open_log(log) as stored:
        for recorded in tail(stored, after, wait=wait):
            if isinstance(recorded.event, kind):
                return recorded
    raise AssertionError(f"no {kind.__name__} after event {after}")


def by_file(log: Path) -> list[Recorded]:
    with open_log(log) as stored:
        return [
            recorded
            for recorded in stored.read()
            if isinstance(recorded.event, ev.Paused | ev.Resumed) and recorded.event.by_file
        ]


def test_without_any_interface_a_file_stops_a_failover_and_its_end_lets_it_go(
    tmp_path: Path,
) -> None:
    log, file = tmp_path / "log.db", tmp_path / "tanist.pause"
    first = NAMES[0]
    with (
        processes(tmp_path) as fleet,
        EngineProcess(log, fleet.addresses, accepted=set()) as engine,
    ):
        engine.said("open")
        assert engine.ask(do="served", without="")["active"] == first
        file.write_text("racks are moved")
        paused = until(log, ev.Paused)
        fleet.kill(first)
        failed = until(log, ev.MasterFailed, after=paused.seq)
        mark = engine.ask(do="checkpoint", name="paused")["position"]
        file.unlink()
        started = until(log, ev.FailoverStarted, after=failed.seq)
        engine.ask(do="served", without=first)
        engine.ends()
    came, went = by_file(log)
    assert (came.seq, came.event) == (
        paused.seq,
        ev.Paused(until_us=0, reason="racks are moved", author="file", by_file=True),
    )
    assert isinstance(mark, int)
    assert came.seq < failed.seq < mark < went.seq < started.seq
    assert went.event == ev.Resumed(author="file", by_file=True)


def test_a_file_that_came_while_no_engine_ran_is_obeyed_from_the_first_moment(
    tmp_path: Path,
) -> None:
    log, file = tmp_path / "log.db", tmp_path / "tanist.pause"
    first = NAMES[0]
    with processes(tmp_path) as fleet:
        with EngineProcess(log, fleet.addresses, accepted=set()) as engine:
            engine.said("open")
            engine.ask(do="served", without="")
            # It ends after the failover was decided and is durable, before its first effect.
            engine.ask(do="arm", place="durable.after/FailoverStarted", after="")
            fleet.kill(first)
            engine.dies()
        file.touch()
        with EngineProcess(log, fleet.addresses, accepted=set()) as engine:
            engine.said("open")
            paused = until(log, ev.Paused)
            mark = engine.ask(do="checkpoint", name="held")["position"]
            assert isinstance(mark, int)
            steps = [step for step in fleet.steps() if step["step"] != "verify"]
            file.unlink()
            engine.ask(do="served", without=first)
            engine.ends()
        later = [step for step in fleet.steps() if step["step"] != "verify"][len(steps) :]
    # Nothing of it took effect before the file was gone.
    assert {step["step"] for step in later} >= {"transfer", "promote"}
    with open_log(log) as stored:
        results = [r.seq for r in stored.read(paused.seq) if isinstance(r.event, ev.Outcome)]
        assert results
        assert min(results) > by_file(log)[-1].seq > mark
        assert verify(stored).ok


async def until_spent(engine: Engine, ballast: Path) -> None:
    """Take all space from the engine, and let it use up what it keeps."""
    said = ""
    take_all(ballast)
    for number in itertools.count():
        try:
            await engine.checkpoint(f"c{number}{LONG}")
        except LogFull:
            return
        if engine.disk_full != said:
            said = engine.disk_full
            take_all(ballast)


def test_on_a_full_disk_it_is_obeyed_at_once_and_recorded_when_there_is_space(
    fleet: Fleet, tmp_path: Path
) -> None:
    with small_disk(tmp_path, mebibytes=24) as disk:
        log, ballast, file = disk / "t.db", disk / "ballast", disk / "tanist.pause"
        made = configuration(fleet.addresses, log=str(log), policy=policy_of())
        declared = msgspec.structs.replace(made, reserve_bytes=RESERVE)

        async def main() -> None:
            async with Engine(declared) as engine:
                await served_by(engine, "a")
                await until_spent(engine, ballast)
                head = engine.state.seq
                file.touch()
                assert engine.paused_by_file is not None
                fleet.masters["a"].process.kill()
                ballast.unlink()
                paused = await seen(engine, ev.Paused, after=head)
                failed = await seen(engine, of(ev.MasterFailed, "a"), after=head)
                mark = await engine.checkpoint("paused")
                assert paused.seq < failed.seq < mark
                assert engine.state.groups[GROUP].saga is None
                file.unlink()
                await served_by(engine, "b")

        run(main())
        with open_log(log) as stored:
            assert verify(stored).ok


def test_the_service_says_it_and_so_does_every_status(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "tanist.pause"
    words = [sys.executable, "-m", "engine.cli.main", "status", str(tmp_path / "t.db")]

    def top() -> str:
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[0]

    with serving(written(tmp_path, fleet.addresses)) as service:
        until_active(service)
        file.write_text("racks")
        until(tmp_path / "t.db", ev.Paused)
        url = service.said.split()[-1]
        assert get(f"{url}/api/status")["paused_by_file"] == "racks"
        assert top().startswith("PAUSED BY FILE: racks (remove tanist.pause beside the log)")
        _, rest = service.ends(signal.SIGTERM)
    assert "a file pauses the fleet: racks (remove it to resume)" in rest
    assert top().startswith("PAUSED BY FILE: racks")
    file.unlink()
    assert not top().startswith("PAUSED")
