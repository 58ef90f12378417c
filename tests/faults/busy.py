"""An engine with real masters on a machine that has far too much to do, and nothing wrong."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from engine.core import events as ev
from engine.core.errors import LogError
from engine.core.events import Evidence
from engine.core.replay import replay
from engine.core.state import active_of
from engine.log.sqlite import open_log
from tests.engine.cli.shell import COMMAND, ROOT
from tests.engine.runtime.peers import sample
from tests.engine.runtime.redises import PROGRAM, redis_server

NAMES: Final = ("a", "b", "c")
GUARD_S: Final = 60.0
LOOK_S: Final = 0.25


class Busy(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine saw and did meanwhile."""

    probes: int  # good ones
    failed: int  # probes that failed and counted
    not_counted: int  # overdue while the engine itself was late
    closed: int
    stalls: int  # times that the engine itself stood still
    detections: int
    failovers: int  # beside the first activations
    slowest_us: int  # of the good probes


@contextlib.contextmanager
def loops(count: int) -> Iterator[None]:
    """Keep so many processes busy with nothing, until the end of the block."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            words = [sys.executable, "-S", "-c", "while True: pass"]
            process = stack.enter_context(subprocess.Popen(words))
            stack.callback(process.kill)
        yield


def _written(root: Path, preset: str, masters: dict[str, str], servers: dict[str, str]) -> Path:
    lines = [
        f'[engine]\nlog = "t.db"\nlisten = "127.0.0.1:0"\npreset = "{preset}"',
        '[groups.web]\nmode = "active-standby"\nautomation = "auto"',
    ]
    for name, address in masters.items():
        lines.append(f'[[groups.web.masters]]\nid = "web-{name}"\naddress = "{address}"')
    if servers:
        lines.append(
            '[groups.cache]\nmode = "active-standby"\nautomation = "auto"\n'
            'probe.kind = "redis"\neffects.kind = "redis"\n'
            'fence = { kind = "confirmed", clients = "direct" }'
        )
    for name, address in servers.items():
        lines.append(f'[[groups.cache.masters]]\nid = "cache-{name}"\naddress = "{address}"')
    file = root / "tanist.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


@contextlib.contextmanager
def _masters(root: Path) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    with contextlib.ExitStack() as stack:
        web = {
            name: stack.enter_context(sample("master", "--group", "web", "--name", name)).address
            for name in NAMES
        }
        if PROGRAM is None:
            yield web, {}
            return
        first = stack.enter_context(redis_server(root))
        follow = ("--replicaof", "127.0.0.1", str(first.port))
        servers = {"a": first.address}
        for name in NAMES[1:]:
            servers[name] = stack.enter_context(redis_server(root, *follow)).address
        yield web, servers


def busy(
    root: Path, *, seconds: float, count: int, preset: str, progress: Callable[[float], None]
) -> Busy:
    """Return what an engine did in `seconds` beside `count` busy loops, with nothing wrong.

    All groups have somebody who serves before the loops begin.
    """
    log = root / "t.db"
    with _masters(root) as (web, servers):
        file = _written(root, preset, web, servers)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen([*COMMAND, "run", str(file)], env=environment) as engine:
            try:
                groups = 2 if servers else 1
                _wait(lambda: _serving(log) == groups)
                begun = _head(log)
                with loops(count):
                    until = time.monotonic() + seconds
                    while (left := until - time.monotonic()) > 0:
                        progress(seconds - left)
                        time.sleep(min(left, LOOK_S))
                ended = _head(log)
                engine.send_signal(signal.SIGTERM)
                assert engine.wait(GUARD_S) == 0
            finally:
                if engine.poll() is None:
                    engine.kill()
    return _found(log, begun, ended)


def _wait(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + GUARD_S
    while not is_so():
        assert time.monotonic() < until, "the groups have nobody who serves"
        time.sleep(LOOK_S)


def _head(log: Path) -> int:
    with open_log(log) as opened:
        return opened.head.seq


def _serving(log: Path) -> int:
    """Return how many groups have somebody who serves: switched to, or adopted as it was."""
    try:
        with open_log(log) as opened:
            state = replay(opened.read())
    except LogError:  # it is being made
        return 0
    return sum(bool(active_of(group)) for group in state.groups.values())


def _found(log: Path, begun: int, ended: int) -> Busy:
    with open_log(log) as opened:
        events = [recorded.event for recorded in opened.read(begun, ended)]
        policy = replay(opened.read()).fleet.policy
    late_us = next(iter(policy.groups.values())).probe.late_us_max
    failed = [event for event in events if isinstance(event, ev.ProbeFailed)]
    excused = [
        event for event in failed if event.evidence is Evidence.OVERDUE and event.late_us > late_us
    ]
    good = [event.latency_us for event in events if isinstance(event, ev.ProbeOk)]

    def count(kind: type[ev.AnyEvent]) -> int:
        return sum(isinstance(event, kind) for event in events)

    return Busy(
        probes=len(good),
        failed=len(failed) - len(excused),
        not_counted=len(excused),
        closed=count(ev.ConnectionClosed),
        stalls=count(ev.EngineResumed),
        detections=count(ev.MasterFailed),
        failovers=count(ev.FailoverStarted),
        slowest_us=max(good, default=0),
    )
