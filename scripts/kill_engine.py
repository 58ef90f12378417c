#!/usr/bin/env python3
"""Kills the engine at every boundary of a change, and measures how soon the next one has closed it.

    python scripts/kill_engine.py

Real processes: three HTTP masters, or a Redis primary with two replicas; a failover (the active is
killed), a switchover and a rollback, each with the engine ended by SIGKILL at one failpoint. The
next engine has to finish what was begun, or never to have begun it, and no step may take effect
twice; the tests of tests/faults hold that, and this script runs them with a watch in hand.

closed: from the moment at which the next engine is open to the one at which somebody serves and no
change is under way. With the start of its process it is a few hundred milliseconds more. Prints one
JSON document; ends with 1 if a law was broken.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.engine.redis import PROGRAM, redis_servers
from tests.faults import test_engine_killed as over_http
from tests.faults import test_engine_killed_redis as over_redis
from tests.faults.fleet import EngineProcess, fleet
from tests.faults.test_engine_killed import Kill, Played

Times = dict[str, list[float]]


def timed(engine: EngineProcess, times: list[float], *, without: str = "") -> None:
    """Note how long it takes from now until somebody serves with no change under way [ms]."""
    began = time.perf_counter()
    engine.ask(do="served", without=without)
    times.append((time.perf_counter() - began) * 1_000)


def http(kill: Kill, change: str, directory: Path, times: list[float]) -> None:
    """Play one story over HTTP masters, with messages under way."""
    accepted: set[str] = set()
    log = directory / "tanist.db"
    with fleet(directory) as masters:
        with over_http.start(log, masters, accepted) as engine:
            engine.tell(do="send", first=0)
            engine.accept_more(over_http.SOME)
            position = 0
            if change == "rollback":
                found = engine.ask(do="checkpoint", name="good")["position"]
                assert isinstance(found, int)
                position = found
                engine.ask(do="switchover", to=over_http.SECOND_BEST)
            over_http.arm(engine, kill)
            if change == "failover":
                masters.kill(over_http.FIRST)
            elif change == "rollback":
                engine.tell(do="rollback", position=position)
            else:
                engine.tell(do=kill.do, to=over_http.SECOND_BEST)
            engine.dies()
        with over_http.start(log, masters, accepted) as engine:
            timed(engine, times, without=over_http.FIRST if change == "failover" else "")
            over_http.carry_on(engine)
            if change == "failover":
                masters.start_again(over_http.FIRST)
            played: Played = over_http.settle(engine, log)
        over_http.check(played, masters, accepted)


def redis(kill: Kill, change: str, directory: Path, times: list[float]) -> None:
    """Play one story over Redis servers."""
    log = directory / "tanist.db"
    with redis_servers(directory, ["a", "b", "c"]) as servers:
        with over_redis.started(log, servers) as engine:
            engine.ask(do="settle")
            over_redis.written(servers["a"])
            position = 0
            if change == "rollback":
                found = engine.ask(do="checkpoint", name="good")["position"]
                assert isinstance(found, int)
                position = found
                engine.ask(do="switchover", to="b")
                engine.ask(do="settle")
            over_redis.arm(engine, kill)
            if change == "failover":
                servers["a"].kill()
            elif change == "rollback":
                engine.tell(do="rollback", position=position)
            else:
                engine.tell(do="switchover", to="b")
            engine.dies()
        with over_redis.started(log, servers) as engine:
            timed(engine, times, without="a" if change == "failover" else "")
            if change == "failover":
                servers["a"].start_again()
            played = over_redis.settled(engine, log)
        is_done = kill.ends == "after"
        promoted = {"failover": 1, "switchover": int(is_done), "rollback": 1 + is_done}[change]
        active = {
            "failover": "b",
            "switchover": "b" if is_done else "a",
            "rollback": "a" if is_done else "b",
        }[change]
        over_redis.check(played, servers, active=active, promoted=promoted)


Story = Callable[[Kill, str, Path, list[float]], None]


def stories() -> Iterator[tuple[str, str, tuple[Kill, ...], Story]]:
    """Return the masters, the change, where the engine is killed, and how it is played."""
    yield "HTTP", "failover", over_http.FAILOVER, http
    yield "HTTP", "switchover", over_http.ASKED, http
    yield "HTTP", "rollback", over_http.ROLLBACK, http
    if PROGRAM:
        yield "Redis", "failover", over_redis.FAILOVER, redis
        yield "Redis", "switchover", over_redis.SWITCHOVER, redis
        yield "Redis", "rollback", over_redis.ROLLBACK, redis


def main() -> int:
    """Play all of them, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    report: list[dict[str, object]] = []
    broken: list[str] = []
    for masters, change, kills, play in stories():
        times: list[float] = []
        for kill in kills:
            with ExitStack() as stack:
                directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="tanist-kill-"))
                try:
                    play(kill, change, Path(directory), times)
                except AssertionError as err:
                    broken.append(f"{masters} {change} {kill.place}: {str(err)[:200]}")
        row = {
            "masters": masters,
            "change": change,
            "boundaries": len(kills),
            "closed_ms_p50": round(statistics.median(times), 1),
            "closed_ms_max": round(max(times), 1),
        }
        report.append(row)
        print(row, file=sys.stderr)
    print(json.dumps({"changes": report, "broken": broken}))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
