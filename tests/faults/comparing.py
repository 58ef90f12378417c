"""The same faults for an engine and for Redis Sentinel, on the same machine and in the same run.

A round strikes the primary at a random moment, waits until another one takes writes, brings the old
one back, and waits until everything is as it was before. What is measured in a round: when the
failure was known, when the failover was over, and when the new primary took its first write.

Three clients work meanwhile. One writes through the engine's route, waits for one replica
(`WAIT 1`), and counts a write only if leaving the route does not raise: of these none may be lost.
One bypasses the engine: it holds the address of the old primary and writes there when that is back;
what it was told is written, and is not there in the end, has leaked. And one tries the first write.
"""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

import msgspec

from engine.core import events as ev
from engine.core.errors import CommandRefused, NoMaster, StaleEpoch
from engine.core.fleet import Health
from engine.core.policy import GroupPolicy, preset
from engine.embed import Engine
from engine.runtime.carriers.redis_server import NotSent, Server, Unanswered
from tests.engine.redis import PROGRAM, RedisProcess, free_port, redis_servers
from tests.faults.fleet import Process, port_of
from tests.faults.replicas import GROUP, Watched, declaring, redis_policy, replicated, synced

FAULTS: Final = ("kill", "hang")
NAMES: Final = ("a", "b", "c")
GUARD_S: Final = 60.0
LOOK_S: Final = 0.001  # between two tries of the first write
ANSWER_US: Final = 50_000  # what one of them may take
PHASE_S: Final = 0.05  # a strike comes up to so long after all is at rest [s]
LEAK_S: Final = 1.0  # the bypassing client goes on for so long after the last write it got through
LEAK_S_MAX: Final = 15.0
STRIKE_US: Final = 1_000_000  # a failover so long after a strike follows from it [us]
WAIT_MS: Final = "200"  # for the one replica of a write
OPEN_MAX: Final = 2_000  # messages that are not finished, beyond which senders wait [count]
BODY: Final = b"x" * 100
CLUSTER_SECONDS: Final = 4.0  # of quiet between two failovers of Sentinel, which it asks for


class Round(msgspec.Struct, kw_only=True):
    """What one fault came to; milliseconds from the strike."""

    fault: str
    victim: str
    struck_us: int
    detected_ms: float
    over_ms: float  # the failover was over, all of it durable
    write_ms: float  # the first write on the new primary
    leaked: int = 0  # writes that the bypassing client was told of, and that are gone [count]
    told: int = 0  # writes that it was told of [count]
    leaked_ms: float = 0.0  # from the return of the old primary to the last one that is gone [ms]


class Side(Protocol):
    """A system that replaces primaries."""

    servers: dict[str, RedisProcess]

    async def settled(self) -> str:
        """Return who serves, once everybody else follows it."""

    async def noticed(self, victim: str, struck_us: int) -> tuple[float, float]:
        """Return when the failure was known, and when the failover was over [ms]."""

    def now_us(self) -> int:
        """Return the time that a strike is stamped with."""


async def rounds(
    side: Side, faults: Iterable[str], *, chance: random.Random, leaks: bool = True
) -> list[Round]:
    """Strike once for each of `faults`, and return what came of each."""
    found = []
    for fault in faults:
        victim = await side.settled()
        await asyncio.sleep(chance.uniform(0, PHASE_S))
        found.append(await _round(side, victim, fault, leaks=leaks))
    await side.settled()
    return found


async def _round(side: Side, victim: str, fault: str, *, leaks: bool) -> Round:
    server = side.servers[victim]
    others = {name: other for name, other in side.servers.items() if name != victim}
    async with connected(others) as lines:
        struck_us = side.now_us()
        server.strike(signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
        first = asyncio.create_task(_first_write(lines, side.now_us))
        noticed = asyncio.create_task(side.noticed(victim, struck_us))
        try:
            async with asyncio.timeout(GUARD_S):
                detected_ms, over_ms = await noticed
                write_us = await first
        finally:
            for task in (first, noticed):
                task.cancel()
    if fault == "kill":
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start_again)
    else:
        server.strike(signal.SIGCONT)
    told = (await _bypass(server)) if leaks else {}
    active = await side.settled()
    gone = await _missing(side.servers[active], list(told))
    return Round(
        fault=fault,
        victim=victim,
        struck_us=struck_us,
        detected_ms=detected_ms,
        over_ms=over_ms,
        write_ms=(write_us - struck_us) / 1_000,
        leaked=len(gone),
        told=len(told),
        leaked_ms=max((told[key] for key in gone), default=0.0),
    )


@contextlib.asynccontextmanager
async def connected(servers: dict[str, RedisProcess]) -> AsyncIterator[dict[str, Server]]:
    """Hold a connection to each of `servers` until the end of the block."""
    lines = {name: Server(server.address) for name, server in servers.items()}
    try:
        for line in lines.values():
            with contextlib.suppress(NotSent, Unanswered):
                await line.ask([("PING",)], timeout_us=ANSWER_US)
        yield lines
    finally:
        for line in lines.values():
            await line.close()


async def _first_write(lines: dict[str, Server], now_us: Callable[[], int]) -> int:
    """Return when one of the others took a write."""
    while True:
        for line in lines.values():
            with contextlib.suppress(NotSent, Unanswered):
                said = await line.ask([("SET", "first", "write")], timeout_us=ANSWER_US)
                if said == [b"OK"]:
                    return now_us()
        await asyncio.sleep(LOOK_S)


async def _bypass(server: RedisProcess) -> dict[str, float]:
    """Write to a server that is back, whoever it is by now.

    Returns:
        What it said it has written, and when, counted from its return [ms].
    """
    told: dict[str, float] = {}
    began = last = time.monotonic()
    line = Server(server.address)
    number = 0
    try:
        while time.monotonic() - last < LEAK_S and last - began < LEAK_S_MAX:
            number += 1
            key = f"bypass-{time.monotonic_ns()}-{number}"
            with contextlib.suppress(NotSent, Unanswered):
                said = await line.ask([("SET", key, "x")], timeout_us=ANSWER_US)
                if said == [b"OK"]:
                    last = time.monotonic()
                    told[key] = (last - began) * 1_000
            await asyncio.sleep(LOOK_S)
    finally:
        await line.close()
    return told


async def _missing(server: RedisProcess, keys: list[str]) -> list[str]:
    """Return those of `keys` that the server does not have."""
    line = Server(server.address)
    missing: list[str] = []
    try:
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            said = await line.ask([("EXISTS", key) for key in some], timeout_us=10_000_000)
            missing += [key for key, each in zip(some, said, strict=True) if each == 0]
    finally:
        await line.close()
    return missing


# The engine.


class Engined:
    """Redis servers under an engine."""

    def __init__(self, watched: Watched, servers: dict[str, RedisProcess]) -> None:
        self.watched: Final = watched
        self.servers = servers
        self._from = 0

    def now_us(self) -> int:
        return self.watched.engine.clock.at_us()

    async def settled(self) -> str:
        await self.watched.until(lambda: bool(self.watched.group.assigned))
        active = self.watched.group.assigned
        await self.watched.at_rest(active)
        await synced(self.servers, active)
        self._from = len(self.watched.log)
        return active

    async def noticed(self, victim: str, struck_us: int) -> tuple[float, float]:
        at = self.watched
        failed = await at.next(ev.MasterFailed, after=self._from, subject=victim)
        switched = await at.next(ev.Switched, after=failed)
        heir = at.log[switched].subject
        assert heir != victim
        return (
            (at.durable_us[failed] - struck_us) / 1_000,
            (at.durable_us[switched] - struck_us) / 1_000,
        )


def _unasked(at: Watched, struck: set[tuple[str, int]]) -> list[str]:
    """Return why each failover was started that follows from no strike."""
    reasons = []
    for place, each in enumerate(at.log):
        if not isinstance(each.event, ev.FailoverStarted) or not each.event.source:
            continue
        source, known_us = each.event.source, at.durable_us[place]
        near = [us for victim, us in struck if victim == source and us <= known_us]
        if near and known_us - max(near) < STRIKE_US:
            continue
        cause = next(other for other in at.log if other.seq == each.event.evidence[0])
        reasons.append(f"{each.event.why} of {source}: {cause.event}")
    return reasons


class Routed:
    """A client that writes through the engine's route, and counts what it was told."""

    def __init__(self, watched: Watched) -> None:
        self.told: Final[list[str]] = []
        self.refused = 0  # left the route too late, or got no replica in time [count]
        self._watched: Final = watched
        self._servers: Final[dict[str, Server]] = {}
        self._is_over = False

    async def run(self) -> None:
        """Write one after the other until told to stop."""
        number = 0
        try:
            while not self._is_over:
                number += 1
                key = f"routed-{number}"
                if await self._write(key):
                    self.told.append(key)
                else:
                    self.refused += 1
                await asyncio.sleep(LOOK_S)
        finally:
            for server in self._servers.values():
                await server.close()

    def stop(self) -> None:
        """Let the write under way be the last one."""
        self._is_over = True

    async def _write(self, key: str) -> bool:
        try:
            async with self._watched.engine.route(GROUP) as route:
                server = self._servers.setdefault(route.address, Server(route.address))
                asked = [("SET", key, "x"), ("WAIT", "1", WAIT_MS)]
                ok, replicas = await server.ask(asked, timeout_us=400_000)
                is_written = ok == b"OK" and isinstance(replicas, int) and replicas >= 1
        except (NoMaster, StaleEpoch, NotSent, Unanswered):
            return False
        return is_written


async def engine_rounds(
    directory: Path,
    faults: Iterable[str],
    *,
    chance: random.Random,
    policy: GroupPolicy | None = None,
) -> tuple[list[Round], dict[str, object]]:
    """Return the rounds under an engine, and what became of the writes through its route."""
    with processes(directory) as servers:
        async with replicated(servers, directory / "tanist.db", policy or redis_policy()) as at:
            side = Engined(at, servers)
            await side.settled()
            routed = Routed(at)
            writing = asyncio.create_task(routed.run())
            try:
                found = await rounds(side, faults, chance=chance)
            finally:
                routed.stop()
                await writing
            active = await side.settled()
            lost = await _missing(servers[active], routed.told)
            struck = {(each.victim, each.struck_us) for each in found}
            return found, {
                "routed": len(routed.told),
                "routed_lost": len(lost),
                "routed_refused": routed.refused,
                "failovers_without_a_fault": _unasked(at, struck),
            }


# Sentinel.

SENTINELS: Final = 3
QUORUM: Final = 2


class Sentinels:
    """Redis servers under three sentinels."""

    def __init__(self, servers: dict[str, RedisProcess], sentinels: list[RedisProcess]) -> None:
        self.servers = servers
        self._sentinels: Final = sentinels
        self._by_port: Final = {str(server.port): name for name, server in servers.items()}

    def now_us(self) -> int:
        return time.monotonic_ns() // 1_000

    async def settled(self) -> str:
        active = await self._until(self._known)
        await self._until(lambda: self._follow(active))
        # A failover that comes too soon after the last one is put off; that would be unfair.
        await asyncio.sleep(CLUSTER_SECONDS)
        return active

    async def _until(self, look: Callable[[], Awaitable[str]]) -> str:
        async with asyncio.timeout(GUARD_S):
            while True:
                found = await look()
                if found:
                    return found
                await asyncio.sleep(0.05)

    async def _known(self) -> str:
        """Return whom all sentinels take for the primary, once they see the whole cluster."""
        named = set()
        for sentinel in self._sentinels:
            fields = await asyncio.to_thread(_master_fields, sentinel)
            if fields.get("flags") != "master" or fields.get("num-slaves") != str(len(NAMES) - 1):
                return ""
            if fields.get("num-other-sentinels") != str(SENTINELS - 1):
                return ""
            named.add(self._by_port[fields["port"]])
        if len(named) != 1:
            return ""
        active = named.pop()
        info = await asyncio.to_thread(self.servers[active].info)
        return active if info["role"] == "master" else ""

    async def _follow(self, active: str) -> str:
        port = str(self.servers[active].port)
        for name, server in self.servers.items():
            if name == active:
                continue
            info = await asyncio.to_thread(server.info)
            linked = info.get("master_link_status") == "up"
            if info["role"] != "slave" or info["master_port"] != port or not linked:
                return ""
        return active

    async def noticed(self, victim: str, struck_us: int) -> tuple[float, float]:
        port = str(self.servers[victim].port)
        detected_us = 0
        lines = [Server(sentinel.address) for sentinel in self._sentinels]
        try:
            while True:
                for line in lines:
                    with contextlib.suppress(NotSent, Unanswered):
                        said = await line.ask(
                            [("SENTINEL", "MASTER", "cache")], timeout_us=ANSWER_US
                        )
                        fields = _pairs(said[0])
                        if not detected_us and "o_down" in fields.get("flags", ""):
                            detected_us = self.now_us()
                        if fields.get("port", port) != port:
                            over_us = self.now_us()
                            known_us = detected_us or over_us
                            return (known_us - struck_us) / 1_000, (over_us - struck_us) / 1_000
                await asyncio.sleep(LOOK_S)
        finally:
            for line in lines:
                await line.close()


def _pairs(said: object) -> dict[str, str]:
    if not isinstance(said, list):
        return {}
    texts = [each.decode() for each in said if isinstance(each, bytes)]
    return dict(zip(texts[::2], texts[1::2], strict=False))


def _master_fields(sentinel: RedisProcess) -> dict[str, str]:
    return _pairs(sentinel.ask("SENTINEL", "MASTER", "cache"))


async def sentinel_rounds(
    directory: Path, faults: Iterable[str], *, chance: random.Random, down_after_ms: int
) -> list[Round]:
    """Return the rounds under three sentinels, which take a primary for down after so long."""
    with processes(directory) as servers, contextlib.ExitStack() as stack:
        sentinels = []
        for number in range(SENTINELS):
            place = directory / f"sentinel-{number}"
            place.mkdir(parents=True)
            port = free_port()
            file = place / "sentinel.conf"
            file.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {place}\n"
                f"sentinel monitor cache 127.0.0.1 {servers['a'].port} {QUORUM}\n"
                f"sentinel down-after-milliseconds cache {down_after_ms}\n"
                f"sentinel failover-timeout cache {int(CLUSTER_SECONDS * 500)}\n"
                "sentinel parallel-syncs cache 2\n"
            )
            process = RedisProcess(place, port=port, file=file)
            stack.callback(process.end)
            sentinels.append(process)
        return await rounds(Sentinels(servers, sentinels), faults, chance=chance)


@contextlib.contextmanager
def processes(directory: Path) -> Iterator[dict[str, RedisProcess]]:
    """Run a primary and two replicas until the end of the block."""
    with redis_servers(directory, NAMES) as servers:
        yield servers


# HTTP masters.


class Sending:
    """Senders that hand over messages as fast as they are told that each is durable.

    They wait while `OPEN_MAX` are unfinished: what is measured is a failover under load, and no
    queue that grows for as long as the measurement lasts.
    """

    def __init__(self, at: Watched, senders: int) -> None:
        self.accepted = 0
        self.refused = 0  # no master could take any just then [count]
        self._at: Final = at
        self._is_over = False
        self._tasks: Final = [asyncio.create_task(self._send(each)) for each in range(senders)]

    async def end(self) -> None:
        """Send no more, and wait until every accepted message is done."""
        self._is_over = True
        await asyncio.gather(*self._tasks)
        await self._at.until(lambda: not self._at.group.ledger.open)

    def _has_room(self) -> bool:
        return len(self._at.group.ledger.open) < OPEN_MAX

    async def _send(self, sender: int) -> None:
        engine, number = self._at.engine, 0
        while not self._is_over:
            await self._at.until(self._has_room)
            number += 1
            try:
                await engine.accept(GROUP, BODY, key=f"{sender}-{number}", lane=f"lane-{sender}")
                self.accepted += 1
            except CommandRefused:
                self.refused += 1
                await asyncio.sleep(LOOK_S)


async def http_rounds(
    directory: Path, faults: Iterable[str], *, chance: random.Random, senders: int = 0
) -> tuple[list[Round], dict[str, object]]:
    """Return the rounds under an engine of three sample masters that speak HTTP.

    With `senders`, messages are accepted from so many all the while, and delivered to who serves;
    what became of them comes second.
    """
    masters = {name: Process("engine.samples.master", "--name", name) for name in NAMES}
    ports = {name: port_of(master) for name, master in masters.items()}
    addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    found = []
    try:
        log = directory / f"http-{senders}.db"
        async with Engine(declaring(addresses, log, preset("bench"))) as engine:
            at = Watched(engine)
            await at.until(lambda: _is_at_rest(at))
            began_us, sending = engine.clock.at_us(), Sending(at, senders)
            for fault in faults:
                await at.until(lambda: _is_at_rest(at))
                victim = at.group.assigned
                await asyncio.sleep(chance.uniform(0, PHASE_S))
                place, struck_us = len(at.log), engine.clock.at_us()
                masters[victim].strike(signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
                failed = await at.next(ev.MasterFailed, after=place, subject=victim)
                switched = await at.next(ev.Switched, after=failed)
                over_ms = (at.durable_us[switched] - struck_us) / 1_000
                found.append(
                    Round(
                        fault=fault,
                        victim=victim,
                        struck_us=struck_us,
                        detected_ms=(at.durable_us[failed] - struck_us) / 1_000,
                        over_ms=over_ms,
                        write_ms=over_ms,
                    )
                )
                if fault == "kill":
                    masters[victim].wait()
                    masters[victim] = Process(
                        "engine.samples.master", "--name", victim, "--port", str(ports[victim])
                    )
                    port_of(masters[victim])
                else:
                    masters[victim].strike(signal.SIGCONT)
            took_us = engine.clock.at_us() - began_us
            await sending.end()
            await at.until(lambda: _is_at_rest(at))
            ledger, struck = at.group.ledger, {(each.victim, each.struck_us) for each in found}
            return found, {
                "accepted": sending.accepted,
                "accepted_per_s": round(sending.accepted * 1_000_000 / took_us),
                "finished": ledger.finished,
                "requeued": ledger.requeued,
                "failovers_without_a_fault": _unasked(at, struck),
            }
    finally:
        for master in masters.values():
            master.end()


def _is_at_rest(at: Watched) -> bool:
    group = at.engine.state.groups.get(GROUP)
    return group is not None and (
        bool(group.assigned)
        and group.saga is None
        and all(m.fence is None and m.health is Health.HEALTHY for m in group.masters.values())
        and group.switch_epoch == group.masters[group.assigned].epoch
    )


def available() -> str:
    """Return why nothing can be compared here; "" if it can."""
    return "" if PROGRAM else "redis-server is not installed"
