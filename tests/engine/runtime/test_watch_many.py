"""Many masters, and an engine that cannot keep up with them: it is late, and nothing worse."""

import asyncio
import os
import signal

import msgspec

from engine.core import events as ev
from engine.core.fleet import Health, Mode
from engine.core.policy import MS
from engine.log.memory import MemoryLog
from engine.runtime.clock import monotonic_us
from engine.runtime.eyes import Eyes
from engine.runtime.probing import HeldLink
from engine.runtime.watch import Watch
from tests.engine.real import GROUP, At, configuration, only, policy_of, run, turning_on
from tests.engine.runtime.peers import sample

MASTERS = 40
BASE = policy_of(Mode.ACTIVE_ACTIVE)
POLICY = msgspec.structs.replace(
    BASE,
    probe=msgspec.structs.replace(BASE.probe, timeout_us=500 * MS, late_us_max=250 * MS, fall=1),
)
STALL_US = 900 * MS  # of which each time-out is late by more than is counted


async def heard(at: At, after: int) -> None:
    """Wait until every master has answered after the event `after`."""
    left = set(at.turning.state.groups[GROUP].masters)
    while left:
        recorded = await at.published.kind(ev.ProbeOk, after=after)
        after = recorded.seq
        left.discard(recorded.subject)


def held_by(watches: list[Watch]) -> list[object]:
    links = [watch._link for watch in watches]
    return [link._held for link in links if isinstance(link, HeldLink)]


def test_time_outs_that_a_late_engine_sees_fail_nobody_and_open_no_connection() -> None:
    with sample("master") as master:

        async def main() -> None:
            log, eyes = MemoryLog(), Eyes()
            names = [f"m{number}" for number in range(MASTERS)]
            declared = configuration(dict.fromkeys(names, master.address), policy=POLICY)
            async with turning_on(log, declared) as at:
                watches = [Watch(at.turning, name, eyes=eyes) for name in names]
                await heard(at, 0)
                before = held_by(watches)
                assert None not in before
                os.kill(master.process.pid, signal.SIGSTOP)
                while not all(watch._is_asking for watch in watches):  # noqa: ASYNC110
                    await asyncio.sleep(0)
                until_us = monotonic_us() + STALL_US
                while monotonic_us() < until_us:
                    pass
                seq = at.turning.driver.working.seq
                await at.published.kind(ev.ProbeFailed, after=seq)
                os.kill(master.process.pid, signal.SIGCONT)
                await heard(at, at.turning.driver.working.seq)
                failed = {each.subject for each in at.published.events if is_failed(each)}
                assert failed == set(names)
                assert held_by(watches) == before
                masters = at.turning.state.groups[GROUP].masters.values()
                assert {each.health for each in masters} == {Health.HEALTHY}
                for watch in watches:
                    await watch.close()
            assert only(log, ev.MasterFailed) == []

        run(main())


def is_failed(recorded: ev.Recorded) -> bool:
    return type(recorded.event) is ev.ProbeFailed
