"""A master that is killed is known to have failed by what its system says, not by a time-out."""

import asyncio
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from engine.core import events as ev
from engine.core.events import Evidence
from engine.core.fleet import Mode
from engine.core.policy import SECOND, preset
from tests.faults.fleet import Process, port_of
from tests.faults.watching import GROUP, watching

KILLS: Final = 20
PATIENCE_US: Final = 20 * SECOND
# One failed probe would not do, and no time-out is reached: what is left is hard evidence.
BENCH: Final = preset("bench", mode=Mode.ACTIVE_ACTIVE)
PATIENT: Final = replace(BENCH, probe=replace(BENCH.probe, fall=3, timeout_us=PATIENCE_US))


@pytest.mark.alone
def test_each_kill_of_a_master_is_detected_as_closed_then_refused(tmp_path: Path) -> None:
    async def body() -> list[int]:
        taken_us = []
        master = Process("engine.samples.master")
        port = port_of(master)
        try:
            address = f"http://127.0.0.1:{port}"
            log = tmp_path / "tanist.db"
            async with watching({"victim": address}, log, group=PATIENT) as watched:
                for _ in range(KILLS):
                    before, struck_us = len(watched.log), watched.engine.clock.at_us()
                    master.end()
                    place = await watched.next(ev.MasterFailed, after=before)
                    taken_us.append(watched.durable_us[place] - struck_us)
                    failed = watched.log[place].event
                    assert isinstance(failed, ev.MasterFailed)
                    assert (failed.rule, failed.hard) == ("closed-then-refused", True)
                    refused = watched.at(failed.evidence[-1])
                    assert isinstance(refused, ev.ProbeFailed)
                    assert refused.evidence is Evidence.REFUSED
                    assert any(
                        isinstance(recorded.event, ev.ConnectionClosed)
                        for recorded in watched.log[before:place]
                    )
                    master = Process("engine.samples.master", "--port", str(port))
                    assert port_of(master) == port
                    await watched.next(ev.MasterHealthy, after=place)
                assert watched.count(ev.MasterFailed) == KILLS
                # Each was fenced, and serves again under a new epoch.
                assert watched.engine.state.groups[GROUP].epoch > KILLS
        finally:
            master.end()
        return taken_us

    taken_us = asyncio.run(body())
    print("detected after [ms]:", *(f"{us / 1_000:.1f}" for us in taken_us))  # noqa: T201
