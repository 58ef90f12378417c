"""Followers in processes of their own, beside an engine that appends, seals and stores snapshots.

Only the process that writes a log seals it. The file would be as sound if another one did: sealing
changes no event, and each transaction of the writer finds its head in place. But a sealer that is
stopped or starved in its transaction holds SQLite's write lock, and the engine could not make a
failover durable until it goes on. So the sealer is a thread of the writer, and goes with it.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.log import open_log
from engine.log.verify import verify
from tests.faults.killing import ROOT, Engines, Round

FOLLOWERS: Final = 2

Phase = Callable[[Engines, Round], None]  # hears one writer until it has done enough


class Beside(msgspec.Struct, kw_only=True):
    """What was found."""

    told: int  # appends that were told durable [count]
    batches: int  # transactions of the writer [count]
    events: int
    sealed_blocks: int
    snapshots: int
    chain: str  # what `verify` says of the whole log; "": it does not fit
    followers: list[dict[str, object]]  # what each says: see tests.faults.follower
    problems: list[str]


def beside(path: Path, phases: Sequence[Phase], *, appenders: int, keep_events: int) -> Beside:
    """Follow the log at `path` while one writer after the other appends to it.

    Each but the last is killed at the end of its phase; the followers stay.
    """
    problems: list[str] = []
    told = batches = 0
    followers: list[subprocess.Popen[str]] = []
    with Engines(appenders=appenders, keep_events=keep_events) as engines:
        for number, phase in enumerate(phases, start=1):
            heard = engines.start(path, f"{number}")
            engines.until(heard, lambda heard: heard.start_us > 0)
            while len(followers) < FOLLOWERS:
                followers.append(_follower(path))
            phase(engines, heard)
            ends = signal.SIGTERM if number == len(phases) else signal.SIGKILL
            engines.end(heard, ends)
            if heard.code != (0 if ends is signal.SIGTERM else -ends):
                problems.append(f"writer {number} ended with {heard.code}")
            if engines.complaints():
                problems.append(f"writer {number}: {engines.complaints()}")
            told, batches = told + len(heard.told), batches + len(heard.batches)
    said = [_end(follower, problems) for follower in followers]
    with open_log(path) as log:
        found = verify(log)
        problems += found.problems
        for each in said:
            if (each.get("events"), each.get("chain")) != (log.head.seq, found.head):
                problems.append(f"a follower of {log.head.seq} events, {found.head}: {each}")
            if each.get("gaps") or each.get("repeats"):
                problems.append(f"a follower missed or repeated events: {each}")
        return Beside(
            told=told,
            batches=batches,
            events=log.head.seq,
            sealed_blocks=len(log.seals()),
            snapshots=len(log.snapshots.seqs()),
            chain=found.head,
            followers=said,
            problems=problems,
        )


def _follower(path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.follower", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def _end(follower: "subprocess.Popen[str]", problems: list[str]) -> dict[str, object]:
    """End a follower once it has read everything; return what it says."""
    output, errors = follower.communicate()
    if follower.returncode or errors:
        problems.append(f"a follower ended with {follower.returncode}: {errors[-500:]}")
        return {}
    said: dict[str, object] = json.loads(output)
    return said
