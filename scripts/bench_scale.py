#!/usr/bin/env python3
"""How many masters one engine watches on one core, and what each of them costs.

    python scripts/bench_scale.py [--masters 100,1000,10000] [--seconds 20] [--json]

For each number of masters: a process that answers as so many masters over HTTP (kept-alive
connections, a hundred masters behind one port), and an engine in another process with the preset
`zone`, so that each is probed every second, over held connections, and every answer goes into a
durable log. Counted after all were heard and have settled: the processor time of the engine, of all
its threads (asking, deciding, the log, the stored views), probes in the log, and what came too
late. The floor is a client that only asks and reads, as often, and that decides and stores nothing;
it is measured in the same run, for what a request costs depends on who else is at work. At the end
the growth: what one probe takes in each size of fleet. The goal is 10,000 masters on one core.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine import Engine
from engine.config.loading import parse

ANSWER = b'{"status":"ok","boot":"b","epoch":0,"role":"active"}'
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    + str(len(ANSWER)).encode()
    + b"\r\n\r\n"
    + ANSWER
)
REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
PORTS_EACH = 100  # masters behind one port
WARM_S_MAX = 60.0
SETTLE_S = 2.5  # two probes of each: what the first ones were for was decided upon by then
GROUP_MASTERS = 50


class _Answering(asyncio.Protocol):
    """Answers every request on a connection with the same health document."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(RESPONSE * data.count(b"\r\n\r\n"))


async def _serve(ports: int) -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(_Answering, "127.0.0.1", 0, backlog=1024) for _ in range(ports)
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until the other end is closed


def _configuration(ports: list[int], masters: int) -> str:
    lines = ["[engine]", 'preset = "zone"']
    groups = range(-(-masters // GROUP_MASTERS))
    lines += [
        line
        for group in groups
        for line in (
            f"[groups.g{group}]",
            'mode = "active-active"',
            'automation = "auto"',
            'effects = { kind = "none" }',
        )
    ]
    for number in range(masters):
        lines += [
            f"[[groups.g{number // GROUP_MASTERS}.masters]]",
            f'id = "m{number}"',
            f'address = "http://127.0.0.1:{ports[number % len(ports)]}"',
        ]
    return "\n".join(lines)


async def _watch(ports: list[int], masters: int, seconds: float, log: Path) -> dict[str, object]:
    configuration = parse(_configuration(ports, masters), source="scale")
    loop = asyncio.get_running_loop()
    async with Engine(configuration, log=str(log)) as engine:
        gc.freeze()  # as `tanist run` does: what was taken up is no garbage
        parts = engine.state.groups.values()
        limit_s = loop.time() + WARM_S_MAX
        while any(not master.good_us for part in parts for master in part.masters.values()):
            if loop.time() > limit_s:
                break
            await asyncio.sleep(0.2)
        await asyncio.sleep(SETTLE_S)
        before, cpu_s, began_s = engine.state, _cpu_s(), loop.time()
        seq, at_us = before.seq, before.at_us  # of what is durable, which comes once a second
        late_s: list[float] = []
        while (now_s := loop.time()) < began_s + seconds:
            await asyncio.sleep(0.05)
            late_s.append(loop.time() - now_s - 0.05)
        took_s, spent_s = loop.time() - began_s, _cpu_s() - cpu_s
        probes = engine.state.seq - seq
        took_log_s = (engine.state.at_us - at_us) / 1e6
        health: dict[str, int] = {}
        for part in engine.state.groups.values():
            for master in part.masters.values():
                health[master.health.value] = health.get(master.health.value, 0) + 1
    late_s.sort()
    return {
        "masters": masters,
        "events_per_s": round(probes / took_log_s),
        "cpu": round(spent_s / took_s, 3),
        "us_each": round(1e6 * spent_s / max(1, probes), 1),
        "loop_late_p99_ms": round(1_000 * late_s[len(late_s) * 99 // 100], 1),
        "health": health,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


class _Asking(asyncio.Protocol):
    """Asks on a held connection, and takes whatever comes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.answers = 0

    def data_received(self, data: bytes) -> None:
        self.answers += 1


async def _ask(ports: list[int], masters: int, seconds: float) -> dict[str, object]:
    """Return what the same number of questions takes without an engine."""
    loop = asyncio.get_running_loop()
    held: list[_Asking] = []
    for number in range(masters):
        _, asking = await loop.create_connection(_Asking, "127.0.0.1", ports[number % len(ports)])
        held.append(asking)

    def ask(asking: _Asking, due_s: float) -> None:
        asking.transport.write(REQUEST)
        loop.call_at(due_s + 1, ask, asking, due_s + 1)

    start_s = loop.time() + 0.5
    for number, asking in enumerate(held):
        loop.call_at(start_s + number / masters, ask, asking, start_s + number / masters)
    await asyncio.sleep(2)
    before, cpu_s, began_s = sum(each.answers for each in held), _cpu_s(), loop.time()
    await asyncio.sleep(seconds)
    answers = sum(each.answers for each in held) - before
    took_s, spent_s = loop.time() - began_s, _cpu_s() - cpu_s
    for asking in held:
        asking.transport.abort()
    return {
        "floor_per_s": round(answers / took_s),
        "floor_cpu": round(spent_s / took_s, 3),
        "floor_us_each": round(1e6 * spent_s / max(1, answers), 1),
    }


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def _one(masters: int, seconds: float) -> dict[str, Any]:
    """Return what a process of its own measured."""
    # The masters of one group have addresses of their own.
    ports = max(GROUP_MASTERS, -(-masters // PORTS_EACH))
    with subprocess.Popen(
        [sys.executable, __file__, "--serve", str(ports)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            found = server.stdout.readline()
            measured: dict[str, Any] = {}
            for what in ("--engine", "--floor"):
                done = subprocess.run(
                    [sys.executable, __file__, what, str(masters), "--seconds", str(seconds)],
                    input=found,
                    capture_output=True,
                    timeout=seconds + 3 * WARM_S_MAX,
                    check=False,
                )
                if done.returncode:
                    raise SystemExit(done.stderr.decode())
                measured.update(json.loads(done.stdout))
        finally:
            server.stdin.close()
    return measured


def _print_growth(rows: list[dict[str, Any]]) -> None:
    """Print what one probe takes in each size of fleet, beside the floor."""
    print(
        f"{'masters':>8} {'us each':>8} {'floor':>6} {'beyond it':>10} {'probes/s':>9} {'cores':>6}"
    )
    for row in rows:
        beyond = row["us_each"] - row["floor_us_each"]
        print(
            f"{row['masters']:>8,} {row['us_each']:>8} {row['floor_us_each']:>6} {beyond:>10.1f}"
            f" {row['events_per_s']:>9,} {row['cpu']:>6.2f}"
        )


def main() -> int:
    """Measure; exit 1 if the largest fleet takes more than one core or a probe was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masters", default="100,1000,10000")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--engine", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--floor", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 32_768)), hard))
    if given.serve:
        asyncio.run(_serve(given.serve))
        return 0
    if given.engine:
        sys.setswitchinterval(0.0005)  # as `tanist run` does: the log has a thread of its own
        with tempfile.TemporaryDirectory() as directory:
            ports = json.loads(sys.stdin.readline())
            log = Path(directory) / "scale.db"
            found = asyncio.run(_watch(ports, given.engine, given.seconds, log))
        print(json.dumps(found))
        return 0
    if given.floor:
        ports = json.loads(sys.stdin.readline())
        print(json.dumps(asyncio.run(_ask(ports, given.floor, given.seconds))))
        return 0
    rows = []
    for masters in (int(each) for each in given.masters.split(",")):
        print(f"{masters:,} masters for {given.seconds:g} s …", file=sys.stderr, flush=True)
        rows.append(_one(masters, given.seconds))
        rows[-1]["load"] = round(os.getloadavg()[0], 1)
        if not given.json:
            print(" ".join(f"{name}={value}" for name, value in rows[-1].items()), flush=True)
    if not given.json:
        _print_growth(rows)
    last = rows[-1]
    met = last["cpu"] <= 1 and last["events_per_s"] >= 0.98 * last["masters"]
    if given.json:
        print(json.dumps({"rows": rows, "met": met}))
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
