"""What brakes failovers and what lets them go, with masters that are killed for real."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.config import Configuration
from engine.core import events as ev
from engine.core.errors import CommandRefused
from engine.core.policy import (
    ALERTS,
    HOUR,
    AlertPolicy,
    Automation,
    FleetPolicy,
    Policy,
    content_digest,
)
from engine.embed import Engine
from engine.log import open_log
from engine.log.memory import MemoryLog
from engine.log.tailing import PAUSE_S, tail
from tests.engine.real import (
    GROUP,
    Fleet,
    configuration,
    fleet_of,
    kinds,
    of,
    policy_of,
    run,
    seen,
    served_by,
)
from tests.engine.service.test_running import serving, written
from tests.faults.fleet import GUARD_S


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Three masters and a sink."""
    with fleet_of(tmp_path, "a", "b", "c") as fleet:
        yield fleet


def braked(
    fleet: Fleet,
    *,
    automation: Automation = Automation.AUTO,
    fleet_limit: int = 0,
    alerts: AlertPolicy | None = ALERTS,
    **failover: int,
) -> Configuration:
    """Return a configuration with brakes, and with alerts."""
    group = msgspec.structs.replace(policy_of(**failover), automation=automation)
    made = configuration(fleet.addresses, policy=group)
    limit = FleetPolicy(limit=fleet_limit, share_ppm=0, window_us=HOUR) if fleet_limit else None
    policy = Policy(groups={GROUP: group}, fleet=limit, alerts=alerts)
    digest = content_digest(policy, made.masters)
    return msgspec.structs.replace(made, policy=policy, digest=digest)


def alert(kind: str) -> "object":
    """Return whether an event raises an alert of that kind."""
    return lambda r: isinstance(r.event, ev.AlertRaised) and r.event.kind == kind


def test_confirm_waits_for_a_person_and_says_so(fleet: Fleet) -> None:
    async def main() -> None:
        log = MemoryLog()
        declared = braked(fleet, automation=Automation.CONFIRM)
        async with Engine(declared, log=log, author="ann") as engine:
            await seen(engine, alert("approval"))  # type: ignore[arg-type]
            await engine.approve(GROUP)
            await served_by(engine, "a")
            fleet.masters["a"].process.kill()
            failed = await seen(engine, of(ev.MasterFailed, "a"))
            waits = await seen(engine, alert("approval"), after=failed.seq)  # type: ignore[arg-type]
            assert engine.state.groups[GROUP].saga is not None
            assert "AttemptStarted" not in kinds(log)[failed.seq :]
            await engine.ack(waits.seq)  # seen, and it waits on
            await engine.approve(GROUP)
            await served_by(engine, "b")
            with pytest.raises(CommandRefused, match="waits for an approval"):
                await engine.approve(GROUP)

    run(main())


@pytest.mark.parametrize("scope", ["group", "fleet"])
def test_a_spent_limit_waits_for_a_person_and_is_no_silence(fleet: Fleet, scope: str) -> None:
    async def main() -> None:
        brakes = {"limit": 1, "limit_window_us": HOUR} if scope == "group" else {}
        declared = braked(fleet, fleet_limit=int(scope == "fleet"), **brakes)
        async with Engine(declared, log=MemoryLog(), author="ann") as engine:
            await served_by(engine, "a")
            fleet.masters["a"].process.kill()
            await served_by(engine, "b")
            fleet.masters["b"].process.kill()
            raised = await seen(engine, alert("limit"))  # type: ignore[arg-type]
            started = await seen(engine, ev.FailoverStarted, after=raised.seq - 10)
            assert isinstance(started.event, ev.FailoverStarted)
            assert started.event.waits == ("limit" if scope == "group" else "fleet-limit")
            if scope == "group":
                await engine.approve(GROUP)
            else:
                await engine.release("fleet")
            await served_by(engine, "c")

    run(main())


def test_a_second_crash_in_the_hold_down_is_hard_and_the_group_is_served(fleet: Fleet) -> None:
    async def main() -> None:
        async with Engine(braked(fleet, hold_down_us=HOUR), log=MemoryLog()) as engine:
            await served_by(engine, "a")
            fleet.masters["a"].process.kill()
            await served_by(engine, "b")
            assert engine.state.groups[GROUP].hold_until_us > engine.state.at_us
            fleet.masters["b"].process.kill()
            await served_by(engine, "c")

    run(main())


def test_when_no_master_is_left_that_is_said_and_one_that_returns_serves(fleet: Fleet) -> None:
    async def main() -> None:
        async with Engine(braked(fleet), log=MemoryLog()) as engine:
            await served_by(engine, "a")
            for name, heir in (("a", "b"), ("b", "c")):
                fleet.masters[name].process.kill()
                await served_by(engine, heir)
            fleet.masters["c"].process.kill()
            down = await seen(engine, alert("all-down"))  # type: ignore[arg-type]
            assert engine.state.groups[GROUP].saga is None
            restarted = restart(fleet, "b")
            try:
                await served_by(engine, "b")
                over = await seen(
                    engine,
                    lambda r: isinstance(r.event, ev.AlertCleared) and r.event.kind == "all-down",
                    after=down.seq,
                )
                assert isinstance(over.event, ev.AlertCleared)
                assert over.event.alert == down.seq
            finally:
                restarted.kill()
                restarted.wait()

    run(main())


def restart(fleet: Fleet, name: str) -> "subprocess.Popen[bytes]":
    """Start a master again where it was; it knows nothing of what was."""
    port = fleet.addresses[name].rpartition(":")[2]
    arguments = ["--sink", fleet.sink.address, "--group", GROUP, "--name", name, "--port", port]
    return subprocess.Popen(
        [sys.executable, "-m", "engine.samples.master", *arguments], stdout=subprocess.DEVNULL
    )


def test_the_commands_reach_a_service_that_waits(fleet: Fleet, tmp_path: Path) -> None:
    file = written(tmp_path, fleet.addresses, automation="confirm")
    log = tmp_path / "t.db"

    def tanist(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "engine.cli.main", *words, "--log", str(log)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def until(kind: type[ev.AnyEvent], *, after: int = 0) -> int:
        ends_s = time.monotonic() + GUARD_S

        def wait() -> bool:
            time.sleep(PAUSE_S)
            return time.monotonic() < ends_s

        with open_log(log) as stored:
            for recorded in tail(stored, after, wait=wait):
                if isinstance(recorded.event, kind):
                    return recorded.seq
        raise AssertionError(kind)

    with serving(file):
        until(ev.FailoverStarted)
        status = tanist("status").stdout
        assert "for an approval: tanist approve g" in status
        assert "CRITICAL failover" in status
        assert tanist("approve", "g").returncode == 0
        served = until(ev.SwitchDone)
        active = tanist("status", "--json").stdout
        first = "a" if '"active":["a"]' in active.replace(" ", "").replace("\n", "") else "b"
        fleet.masters[first].process.kill()
        started = until(ev.FailoverStarted, after=served)
        assert "waits for an approval" in tanist("alerts").stdout
        refused = tanist("approve", "nobody")
        assert (refused.returncode, "no group 'nobody'" in refused.stderr) == (1, True)
        assert tanist("approve", "g").returncode == 0
        until(ev.Switched, after=started)
