#!/usr/bin/env python3
"""Measures the three sums of a policy against real processes: what check promises, and what is.

    python scripts/measure_sums.py --rounds 20 --presets bench lan

Worst detection: a master gets SIGSTOP at a random moment between two probes. Longest blip ignored:
it gets SIGSTOP and, so much later, SIGCONT; blips up to the sum must not be detected. Worst
restoration: of three masters the active one gets SIGKILL (a crash) or SIGSTOP (staleness), until
the decision that all traffic goes to another is durable. What the brakes of a preset would do to
many failovers in a row is switched off; the sums are without it.

A round in which the observer itself, with the commit of what it decided, was later than its slack
(`late_max`) is counted apart, for the sums are stated without it. Prints a table, or one JSON
document with --json; exit code 1 if a measured time is beyond its sum.
"""

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.config import Configuration
from engine.core import events as ev
from engine.core.fleet import Master, Mode
from engine.core.policy import Automation, GroupPolicy, Policy, content_digest, preset, sums
from engine.embed import Engine
from tests.faults.fleet import Process, port_of
from tests.faults.watching import Watched, watching

NAMES: Final = ("a", "b", "c")
GROUP: Final = "g"
# Shares of the sum that blips are tried at; the last is beyond any that could be ignored.
BLIPS: Final = (0.3, 0.6, 0.9)


class Measured(msgspec.Struct, kw_only=True):
    """One sum of a policy, and what was measured."""

    preset: str
    what: str
    bound_ms: float
    times_ms: list[float] = msgspec.field(default_factory=list)
    late: int = 0  # rounds in which the observer was later than its slack [count]
    wrong: int = 0  # blips that were detected [count]

    @property
    def is_kept(self) -> bool:
        """Return whether nothing that was measured is beyond the sum."""
        return not self.wrong and all(took <= self.bound_ms for took in self.times_ms)

    def line(self) -> str:
        """Return a row of the table."""
        worst = f"{max(self.times_ms):9.1f}" if self.times_ms else "        -"
        middle = f"{sorted(self.times_ms)[len(self.times_ms) // 2]:9.1f}" if self.times_ms else ""
        return (
            f"{self.preset:6} {self.what:24} {self.bound_ms:9.1f} {worst} {middle:>9} "
            f"{len(self.times_ms):6} {self.late:5} {self.wrong:6}  "
            f"{'kept' if self.is_kept else 'BROKEN'}"
        )


HEAD: Final = (
    f"{'preset':6} {'sum':24} {'bound ms':>9} {'worst ms':>9} {'median ms':>9} {'rounds':>6} "
    f"{'late':>5} {'wrong':>6}"
)


def of(name: str, mode: Mode) -> GroupPolicy:
    """Return a preset that acts, without brakes."""
    policy = preset(name, mode=mode)
    failover = msgspec.structs.replace(policy.failover, hold_down_us=0, limit=0)
    probe = msgspec.structs.replace(policy.probe, flap_high_ppm=0, flap_low_ppm=0)
    return msgspec.structs.replace(
        policy, automation=Automation.AUTO, failover=failover, probe=probe
    )


def was_late(watched: Watched, since: int, policy: GroupPolicy) -> bool:
    """Return whether the observer was too late for an answer to count, or stood still itself."""
    return any(
        isinstance(seen.event, ev.EngineResumed)
        or (
            isinstance(seen.event, ev.ProbeFailed) and seen.event.late_us > policy.probe.late_us_max
        )
        for seen in watched.log[since:]
    )


def own_us(watched: Watched, since: int, place: int) -> int:
    """Return what the observer itself added to a detection: its lateness, and the commit [us]."""
    late_us = [
        seen.event.late_us
        for seen in watched.log[since:place]
        if isinstance(seen.event, ev.ProbeFailed)
    ]
    return max(late_us, default=0) + watched.durable_us[place] - watched.log[place].at_us


async def detection(name: str, directory: Path, rounds: int, rng: random.Random) -> list[Measured]:
    """Measure the worst detection and the longest blip ignored."""
    policy = of(name, Mode.ACTIVE_ACTIVE)
    total = sums(policy)
    bound_ms = (total.detect_us + total.slack_us) / 1_000
    found = Measured(preset=name, what="worst detection", bound_ms=bound_ms)
    blips = Measured(preset=name, what="longest blip ignored", bound_ms=total.blip_us / 1_000)
    master = Process("engine.samples.master")
    address = f"http://127.0.0.1:{port_of(master)}"
    try:
        async with watching(
            {"victim": address}, directory / f"{name}-detect.db", group=policy
        ) as watched:
            for number in range(rounds):
                await asyncio.sleep(rng.random() * policy.probe.interval_us / 1e6)
                before, struck_us = len(watched.log), watched.engine.clock.at_us()
                master.strike(signal.SIGSTOP)
                place = await watched.next(ev.MasterFailed, after=before)
                took_ms = (watched.durable_us[place] - struck_us) / 1_000
                if own_us(watched, before, place) > total.slack_us or was_late(
                    watched, before, policy
                ):
                    found.late += 1
                else:
                    found.times_ms.append(took_ms)
                master.strike(signal.SIGCONT)
                await watched.next(ev.MasterHealthy, after=place)
                await _blip(watched, master, policy, blips, BLIPS[number % len(BLIPS)])
    finally:
        master.end()
    return [found, blips]


async def _blip(
    watched: Watched, master: Process, policy: GroupPolicy, blips: Measured, share: float
) -> None:
    """Stop the master for a share of the longest blip; it must not be taken for a failure."""
    before, clock = len(watched.log), watched.engine.clock
    began_us = clock.at_us()
    master.strike(signal.SIGSTOP)
    await asyncio.sleep(share * sums(policy).blip_us / 1e6)
    master.strike(signal.SIGCONT)
    lasted_ms = (clock.at_us() - began_us) / 1_000
    answered = len(watched.log)
    for _ in range(2 * policy.probe.fall):
        answered = 1 + await watched.next(ev.ProbeOk, after=answered)
    failed = any(isinstance(seen.event, ev.MasterFailed) for seen in watched.log[before:])
    if lasted_ms > blips.bound_ms or was_late(watched, before, policy):
        blips.late += 1  # it was stopped for longer than was asked for
    else:
        blips.times_ms.append(lasted_ms)
        blips.wrong += failed
    if failed:
        await watched.next(ev.MasterHealthy, after=before)


class Fleet:
    """Three masters that can be killed and come back where they were."""

    def __init__(self) -> None:
        self.processes = {name: self._start(name, 0) for name in NAMES}
        self.ports = {name: port_of(process) for name, process in self.processes.items()}

    @staticmethod
    def _start(name: str, port: int) -> Process:
        arguments = ("--name", name, "--group", GROUP, "--port", str(port))
        return Process("engine.samples.master", *arguments)

    def again(self, name: str) -> None:
        """Start a master that was killed where it was."""
        self.processes[name] = self._start(name, self.ports[name])
        port_of(self.processes[name])

    def end(self) -> None:
        """End all of them."""
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.strike(signal.SIGCONT)
            process.end()


@contextlib.contextmanager
def fleet() -> Iterator[Fleet]:
    """Run three masters until the end of the block."""
    masters = Fleet()
    try:
        yield masters
    finally:
        masters.end()


@contextlib.asynccontextmanager
async def engine_of(policy: GroupPolicy, masters: Fleet, log: Path) -> AsyncIterator[Watched]:
    """Run an engine over the masters until the end of the block."""
    whole = Policy(groups={GROUP: policy})
    declared = tuple(
        Master(id=name, group=GROUP, address=f"http://127.0.0.1:{masters.ports[name]}")
        for name in NAMES
    )
    configuration = Configuration(
        policy=whole, masters=declared, log=str(log), listen="", flush_us=0,
        digest=content_digest(whole, declared), source="a measurement",
    )  # fmt: skip
    async with Engine(configuration) as engine:
        watched = Watched(engine)
        await watched.next(ev.SwitchDone, after=0)
        yield watched


async def restoration(
    name: str, directory: Path, rounds: int, rng: random.Random
) -> list[Measured]:
    """Measure the worst restoration, after crashes and after hangs."""
    policy = of(name, Mode.ACTIVE_STANDBY)
    total = sums(policy)
    crash = Measured(
        preset=name, what="restored after a crash", bound_ms=total.restore_crash_us / 1_000
    )
    hang = Measured(
        preset=name, what="restored after a hang", bound_ms=total.restore_staleness_us / 1_000
    )
    with fleet() as masters:
        async with engine_of(policy, masters, directory / f"{name}-restore.db") as watched:
            for number in range(rounds):
                is_crash = number % 2 == 0
                measured = crash if is_crash else hang
                await _settled(watched)
                await asyncio.sleep(rng.random() * policy.probe.interval_us / 1e6)
                active = watched.engine.state.groups[GROUP].assigned
                before, struck_us = len(watched.log), watched.engine.clock.at_us()
                masters.processes[active].strike(signal.SIGKILL if is_crash else signal.SIGSTOP)
                place = await watched.next(ev.SwitchDone, after=before)
                took_ms = (watched.durable_us[place] - struck_us) / 1_000
                if was_late(watched, before, policy):
                    measured.late += 1
                else:
                    measured.times_ms.append(took_ms)
                if is_crash:
                    masters.processes[active].wait()
                    masters.again(active)
                else:
                    masters.processes[active].strike(signal.SIGCONT)
                await watched.next(ev.MasterRejoined, after=before, subject=active)
    return [crash, hang]


async def _settled(watched: Watched) -> None:
    """Wait until every master is well and none is fenced."""
    while True:
        group = watched.engine.state.groups[GROUP]
        if group.saga is None and all(
            master.health.value == "healthy" and master.fence is None
            for master in group.masters.values()
        ):
            return
        await watched.next(ev.ProbeOk, after=len(watched.log))


def measured(presets: list[str], rounds: int, *, seed: int = 1) -> list[Measured]:
    """Return every sum of these presets with what was measured."""
    rng = random.Random(seed)
    found: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="tanist-sums-") as name:
        for each in presets:
            found += asyncio.run(detection(each, Path(name), rounds, rng))
            found += asyncio.run(restoration(each, Path(name), rounds, rng))
    return found


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--presets", nargs="+", default=["bench", "lan"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    sys.setswitchinterval(0.0005)  # as `tanist run` does: the log has a thread of its own
    found = measured(args.presets, args.rounds)
    if args.json:
        rows = [{**msgspec.to_builtins(each), "kept": each.is_kept} for each in found]
        print(json.dumps({"rounds": args.rounds, "rows": rows}))
    else:
        print(HEAD)
        for each in found:
            print(each.line())
    return 0 if all(each.is_kept for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
