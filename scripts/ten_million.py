#!/usr/bin/env python3
"""Makes a log of ten million events and measures what people wait for on it.

    python scripts/ten_million.py [--events 10000000] [--seed 1] [--keep FILE]

Fifty masters in ten groups, probed ten times a second through the engine's own driver, with crashes
and hangs, and the failovers that follow; sealed and with snapshots on the way, as a running engine
does. Then each figure is taken in a process of its own: a whole replay and its peak of memory,
beside that of the first tenth; the size of the file; `why` of failovers and the status at random
positions, in a process that has the log open, and as whole commands. Prints one JSON document;
progress goes to standard error. A goal that is missed ends it with 1.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from engine.answers.folds import state_at
from engine.answers.proposals import in_log, with_proposals
from engine.answers.status import status
from engine.answers.why import why
from engine.core import events as ev
from engine.core.driver import Driver
from engine.core.events import Evidence, Result
from engine.core.fleet import Master
from engine.core.owed import Effect
from engine.core.policy import Automation, Policy, content_digest, preset
from engine.core.replay import replay
from engine.log import SqliteLog, open_log, states

T = TypeVar("T")

EVENTS: Final = 10_000_000
GROUPS: Final = 10
MASTERS: Final = 50
INTERVAL_US: Final = 100_000  # of the preset lan
TIMEOUT_US: Final = 100_000  # likewise
BEGIN_US: Final = 1_767_225_600_000_000  # 2026-01-01
STEP_US: Final = 2_000  # how long a master takes for a step
OUTAGE_TURNS: Final = 600  # between two outages, on average: a minute
OUTAGE_TURNS_MAX: Final = 600  # of one outage: a minute
REPORT_EVERY_S: Final = 5.0

POSITIONS: Final = 20  # of which the status is asked, and as many failovers for `why`
ANSWER_MS_MAX: Final = 100.0  # goal of each answer
SEALED_BYTES_MAX: Final = 10.0  # goal of the file [bytes an event]
GROWTH_MB_MAX: Final = 8.0  # what the peak of a replay may grow by over that of a tenth of it


class Model(msgspec.Struct, kw_only=True):
    """A master as its probes see it."""

    name: str
    boot: str
    n: int = 0
    epoch: int = 0
    role: str = "standby"
    down_turns: int = 0
    evidence: Evidence = Evidence.REFUSED


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What a history is like."""

    masters: int = MASTERS
    interval_us: int = INTERVAL_US
    outage_turns: int = OUTAGE_TURNS  # between two outages, on average
    lost_turns: int = 0  # between two probes that are lost, on average; 0: none is


class History:
    """Makes the events, a turn of a probe of each master at a time."""

    def __init__(self, log: SqliteLog, seed: int, kind: Kind) -> None:
        self._log: Final = log
        self._chance: Final = random.Random(seed)
        self._driver: Final = Driver()
        self._kind: Final = kind
        self._at_us = BEGIN_US
        self._models: Final = {
            f"master-{place:02d}": Model(name=f"master-{place:02d}", boot=self._boot())
            for place in range(kind.masters)
        }
        self._kept_seq = 0
        self.outages = 0

    @property
    def seq(self) -> int:
        """Return how many events there are."""
        return self._driver.durable_state.seq

    @property
    def failovers(self) -> int:
        """Return how many failovers were completed."""
        return sum(group.failovers for group in self._driver.durable_state.groups.values())

    def begin(self) -> None:
        """Start the engine and declare the fleet."""
        lan = replace(preset("lan"), automation=Automation.AUTO)
        lan = replace(lan, probe=replace(lan.probe, interval_us=self._kind.interval_us))
        policy = Policy(groups={f"group-{number}": lan for number in range(GROUPS)})
        masters = tuple(
            Master(
                id=name,
                group=f"group-{place % GROUPS}",
                address=f"http://10.0.0.{place + 1}:8080",
                priority=place // GROUPS + 1,
            )
            for place, name in enumerate(self._models)
        )
        self._driver.observe(ev.EngineStarted(release="1", stopped_at_us=0), at_us=self._at_us)
        digest = content_digest(policy, masters)
        loaded = ev.ConfigurationLoaded(digest=digest, policy=policy, masters=masters)
        self._driver.observe(loaded, at_us=self._at_us)

    def turn(self) -> list[ev.Recorded]:
        """Probe every master once; return the events of it and of what followed."""
        kind = self._kind
        if self._chance.randrange(kind.outage_turns) == 0:
            self._break_one()
        if kind.lost_turns and self._chance.randrange(kind.lost_turns) == 0:
            self._lose_one()
        observe, gauss = self._driver.observe, self._chance.gauss
        began_us, apart_us = self._at_us, kind.interval_us // kind.masters
        for place, model in enumerate(self._models.values()):
            at_us = began_us + place * apart_us + int(gauss(0, 300))
            observe(self._probed(model), subject=model.name, at_us=at_us)
        self._at_us = began_us + kind.interval_us
        self._driver.tick(self._at_us)
        return self._settled()

    def _probed(self, model: Model) -> ev.ProbeOk | ev.ProbeFailed:
        model.n += 1
        if model.down_turns:
            model.down_turns -= 1
            waited_us = TIMEOUT_US if model.evidence is Evidence.OVERDUE else 0
            return ev.ProbeFailed(n=model.n, evidence=model.evidence, waited_us=waited_us)
        return ev.ProbeOk(
            n=model.n,
            latency_us=int(self._chance.lognormvariate(6.2, 0.25)),  # half a millisecond
            boot=model.boot,
            epoch=model.epoch,
            role=model.role,
        )

    def _break_one(self) -> None:
        """Let a master crash or hang: as often an active one as any."""
        models = list(self._models.values())
        active = [model for model in models if model.role == "active"]
        model = self._chance.choice(self._chance.choice((active, models)) or models)
        self.outages += 1
        model.down_turns = self._chance.randrange(1, OUTAGE_TURNS_MAX)
        model.evidence = self._chance.choice((Evidence.REFUSED, Evidence.OVERDUE))
        if model.evidence is Evidence.REFUSED:  # its process is gone, and what it knew with it
            model.boot, model.epoch, model.role = self._boot(), 0, "standby"

    def _lose_one(self) -> None:
        """Let one probe of one master get no answer."""
        model = self._chance.choice(list(self._models.values()))
        if not model.down_turns:
            model.down_turns, model.evidence = 1, Evidence.OVERDUE

    def _boot(self) -> str:
        return f"{self._chance.getrandbits(48):012x}"

    def _settled(self) -> list[ev.Recorded]:
        """Return what became durable, with the outcomes of the steps that were owed."""
        events: list[ev.Recorded] = []
        at_us = self._at_us
        while (batch := self._driver.take_batch(1 << 62)) is not None:
            events += batch.events
            self._driver.durable()
            at_us += STEP_US
            for effect in self._driver.due_effects(at_us):
                self._driver.outcome(effect, self._outcome(effect), at_us=at_us)
        return events

    def _outcome(self, effect: Effect) -> ev.Outcome:
        model = self._models[effect.master]
        digest = ""
        if not model.down_turns:
            if effect.step in ("promote", "fence"):
                model.epoch = effect.epoch
                model.role = "active" if effect.step == "promote" else "standby"
            saga = self._driver.durable_state.groups[effect.group].saga
            if effect.step == "transfer" and saga is not None:
                digest = saga.transfer_digest
        return ev.Outcome(
            step=effect.step,
            failover=effect.failover,
            epoch=effect.epoch,
            result=Result.FAILED if model.down_turns else Result.OK,
            digest=digest,
            elapsed_us=STEP_US,
        )

    def keep(self) -> None:
        """Seal what there is, and store a snapshot if it is time for one."""
        self._log.seal(blocks_max=1_000_000)
        if self.seq - self._kept_seq >= states.EACH_EVENTS:
            states.keep(self._log, self._driver.durable_state)
            self._kept_seq = self.seq


def make(path: Path, count: int, seed: int, kind: Kind) -> dict[str, object]:
    """Write a log of `count` events or a few more; return what is in it."""
    began_s = shown_s = time.monotonic()
    with open_log(path, mode="write", create=True) as log:
        history = History(log, seed, kind)
        history.begin()
        events: list[ev.Recorded] = []
        while history.seq < count:
            events += history.turn()
            if len(events) < 2_000:
                continue
            log.append(events)
            events = []
            history.keep()
            if time.monotonic() - shown_s > REPORT_EVERY_S:
                shown_s = time.monotonic()
                say(f"{history.seq:,} of {count:,} events, {history.failovers} failovers")
        log.append(events)
        history.keep()
    return {
        **contents(path),
        "outages": history.outages,
        "made_s": round(time.monotonic() - began_s, 1),
    }


def contents(path: Path) -> dict[str, object]:
    """Return what is in a log."""
    with open_log(path) as log:
        groups = states.state_at(log).groups.values()
        return {
            "events": log.head.seq,
            "failovers": sum(group.failovers for group in groups),
            "snapshots": len(log.snapshots.seqs()),
            "sealed_blocks": len(log.seals()),
        }


def replayed(path: Path, until: int | None) -> dict[str, float]:
    """Return how long the fold of the events up to `until` took, and its peak of memory."""
    with open_log(path) as log:
        began_s = time.perf_counter()
        seq = replay(log.read(until=until)).seq
        took_s = time.perf_counter() - began_s
    return {
        "events": seq,
        "s": round(took_s, 1),
        "events_per_s": round(seq / took_s),
        "peak_mb": round(peak_mb(), 1),
    }


def peak_mb() -> float:
    """Return the most memory that this process has had [MB]."""
    # Not ru_maxrss: a new process begins there with the peak of the one that started it.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1_000
    raise AssertionError("no VmHWM: expected Linux")


def answered(path: Path, seed: int) -> dict[str, object]:
    """Return how long each of the answers took, in a process that has the log open [ms]."""
    chance = random.Random(seed)
    with open_log(path) as log:
        head = log.head.seq
        codes = [code for code, kind in ev.KINDS.items() if kind is ev.FailoverStarted]
        failovers = list(log.seqs_of(codes))
        whys = chance.sample(failovers, min(POSITIONS, len(failovers)))
        positions = [chance.randint(1, head) for _ in range(POSITIONS)]
        return {
            "why_failover": timed([lambda seq=seq: why(log, str(seq)) for seq in whys]),
            "why_last": timed([lambda: why(log)] * 3),
            "status_at": timed([lambda seq=seq: status_of(log, seq) for seq in positions]),
        }


def status_of(log: SqliteLog, seq: int) -> dict[str, object]:
    """Return what `tanist status --at` says."""
    return with_proposals(status(state_at(log, seq)), in_log(log))


def timed(calls: list[Callable[[], object]]) -> dict[str, float]:
    """Return the median and the worst time of `calls`, and the worst of this process alone [ms]."""
    times, own = [], []
    for call in calls:
        began_s, began_own_s = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - began_s) * 1_000)
        own.append((time.process_time() - began_own_s) * 1_000)
    return {
        "p50_ms": round(statistics.median(times), 1),
        "max_ms": round(max(times), 1),
        "cpu_max_ms": round(max(own), 1),
    }


def commands(path: Path, events: int) -> dict[str, float]:
    """Return how long whole commands take, with the start of the interpreter [ms]."""
    took = {}
    for words in (["why"], ["status"], ["status", "--at", str(events // 3)], ["--version"]):
        place = [] if words[0].startswith("-") else [str(path)]
        call = [sys.executable, "-m", "engine.cli.main", *words[:1], *place, *words[1:]]
        times = []
        for _ in range(3):
            began_s = time.perf_counter()
            subprocess.run(call, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            times.append((time.perf_counter() - began_s) * 1_000)
        took[" ".join(words[:2])] = round(statistics.median(times))
    return took


def alone(call: Callable[..., T], *arguments: object) -> T:
    """Return what `call` returns in a new process."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(call, *arguments).result()


def say(line: str) -> None:
    """Print progress."""
    print(line, file=sys.stderr, flush=True)


def report(path: Path, count: int, seed: int) -> dict[str, object]:
    """Return the whole report."""
    made = alone(contents, path) if path.exists() else alone(make, path, count, seed, Kind())
    events = int(str(made["events"]))
    bytes_an_event = path.stat().st_size / events
    say(f"made: {made}, {bytes_an_event:.2f} bytes an event")
    tenth = alone(replayed, path, events // 10)
    say(f"a tenth replayed: {tenth}")
    whole = alone(replayed, path, None)
    say(f"all replayed: {whole}")
    answers = alone(answered, path, seed)
    slowest_ms = max(found["max_ms"] for found in answers.values())
    growth_mb = whole["peak_mb"] - tenth["peak_mb"]
    return {
        **made,
        "bytes_an_event": round(bytes_an_event, 2),
        "replay_tenth": tenth,
        "replay": whole,
        "growth_mb": round(growth_mb, 1),
        **answers,
        "commands_ms": commands(path, events),
        "load_average": round(os.getloadavg()[0], 2),
        "goals": {
            "bytes_an_event": bytes_an_event <= SEALED_BYTES_MAX,
            "memory": growth_mb <= GROWTH_MB_MAX,
            "answers": slowest_ms < ANSWER_MS_MAX,
        },
    }


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="the log, which stays; or is there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tanist-many-") as directory:
        found = report(args.keep or Path(directory) / "many.db", args.events, args.seed)
    print(json.dumps(found))
    goals = found["goals"]
    assert isinstance(goals, dict)
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
