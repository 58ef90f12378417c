"""Real fleets for the tests of the engine: samples as processes, logs that fail when they are told.

Nothing here imitates the engine or its masters. A limit in time only ends a test that would hang.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from engine.config import Configuration
from engine.core import events as ev
from engine.core.decider import Decide, decide
from engine.core.driver import Driver
from engine.core.errors import LogError, LogFull
from engine.core.events import Recorded
from engine.core.fleet import Master, Mode
from engine.core.policy import (
    MS,
    SECOND,
    AlertPolicy,
    GroupPolicy,
    Policy,
    content_digest,
    preset,
)
from engine.core.replay import replay
from engine.core.terms import Keyed
from engine.demo.fleet import fetch
from engine.embed import Engine
from engine.log.append_keys import Appended
from engine.log.memory import MemoryLog
from engine.log.protocol import NO_BODIES, Log
from engine.log.writer import Writer
from engine.runtime.clock import Clock
from engine.runtime.failpoints import Failpoint, nothing
from engine.runtime.loop import Turning
from tests.engine.runtime.peers import Sample, sample

GROUP = "g"
HANG_S = 60.0

T = TypeVar("T")


def run(body: Coroutine[object, object, T]) -> T:
    """Return what `body` returns; it may leave no task behind, and nothing open."""

    async def whole() -> T:
        async with asyncio.timeout(HANG_S):
            result = await body
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        return result

    result = asyncio.run(whole())
    gc.collect()  # what was left open warns now, and a warning is an error
    return result


def policy_of(mode: Mode = Mode.ACTIVE_STANDBY, **failover: int) -> GroupPolicy:
    """Return a policy that is quick, and patient with a machine that is busy."""
    base = preset("bench", mode=mode)
    return msgspec.structs.replace(
        base,
        probe=msgspec.structs.replace(
            base.probe,
            interval_us=20 * MS,
            timeout_us=5 * SECOND,
            recheck_us=20 * MS,
            fall=3,
            rise=1,
            late_us_max=SECOND,
            unknown_after_us=0,
        ),
        failover=msgspec.structs.replace(
            base.failover,
            **{
                "deadline_us": 30 * SECOND,
                "step_timeout_us": 10 * SECOND,
                "grace_us": 30 * SECOND,
                **failover,
            },
        ),
    )


def configuration(
    addresses: Mapping[str, str],
    *,
    log: str = "",
    policy: GroupPolicy | None = None,
    flush_us: int = 0,
    weights: Mapping[str, int] | None = None,
    alerts: AlertPolicy | None = None,
) -> Configuration:
    """Return a configuration of one group; the first master is the first choice."""
    whole = Policy(groups={GROUP: policy or policy_of()}, alerts=alerts)
    masters = tuple(
        Master(
            id=name,
            group=GROUP,
            address=address,
            priority=place,
            weight=(weights or {}).get(name, 1),
        )
        for place, (name, address) in enumerate(addresses.items(), start=1)
    )
    return Configuration(
        policy=whole,
        masters=masters,
        log=log,
        listen="127.0.0.1:0",
        flush_us=flush_us,
        digest=content_digest(whole, masters),
        source="a test",
    )


NOBODY = {"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:1"}  # nobody listens there


def nobody(mode: Mode = Mode.ACTIVE_STANDBY) -> Configuration:
    """Return a configuration of two masters that are not there."""
    return configuration(NOBODY, policy=policy_of(mode))


class Fleet:
    """Masters and the sink that they work at, each a process of its own."""

    def __init__(self, sink: Sample, masters: Mapping[str, Sample]) -> None:
        self.sink = sink
        self.masters = masters

    @property
    def addresses(self) -> dict[str, str]:
        return {name: master.address for name, master in self.masters.items()}

    async def report(self) -> dict[str, object]:
        """Return what was done at the sink."""
        return await fetch(f"{self.sink.address}/report?keys=1")

    async def applied(self) -> list[str]:
        """Return the keys that were applied at the sink, in order."""
        keys = (await self.report())["keys_by_group"]
        assert isinstance(keys, dict)
        return list(keys.get(GROUP, []))


@contextlib.contextmanager
def fleet_of(directory: Path, *names: str) -> Iterator[Fleet]:
    """Run a sink and masters until the end of the block."""
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(sample("sink", "--file", str(directory / "sink.db")))
        arguments = ("--sink", sink.address, "--group", GROUP)
        masters = {
            name: stack.enter_context(sample("master", *arguments, "--name", name))
            for name in names
        }
        yield Fleet(sink, masters)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Two masters, a and b, and a sink."""
    with fleet_of(tmp_path, "a", "b") as fleet:
        yield fleet


async def seen(
    engine: Engine, wanted: Callable[[Recorded], bool] | type[ev.AnyEvent], *, after: int = 0
) -> Recorded:
    """Return the first durable event after the seq `after` that is wanted."""
    async with contextlib.aclosing(engine.follow(after)) as following:
        async for recorded in following:
            if isinstance(wanted, type):
                if isinstance(recorded.event, wanted):
                    return recorded
            elif wanted(recorded):
                return recorded
    raise AssertionError(f"the engine ended before {wanted}")


def of(kind: type[ev.AnyEvent], subject: str) -> Callable[[Recorded], bool]:
    """Return whether an event is of that kind about `subject`."""
    return lambda recorded: isinstance(recorded.event, kind) and recorded.subject == subject


async def served_by(engine: Engine, master: str) -> None:
    """Wait until `master` is active and no failover is open."""
    async with contextlib.aclosing(engine.follow(0)) as following:
        async for recorded in following:
            route = engine.pick(GROUP) if GROUP in engine.state.groups else None
            if (
                recorded.seq >= engine.state.seq
                and route is not None
                and route.master == master
                and engine.state.groups[GROUP].saga is None
            ):
                return
    raise AssertionError(f"the engine ended before {master} served")


def kinds(log: Log) -> list[str]:
    """Return the names of the kinds of all events in the log."""
    return [type(recorded.event).__name__ for recorded in log.read()]


def only(log: Log, kind: type[T]) -> list[T]:
    """Return the events of that kind."""
    return [recorded.event for recorded in log.read() if isinstance(recorded.event, kind)]


class FullLog(MemoryLog):
    """A log whose disk is full while `is_full`; `tries` counts the appends it refused."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False
        self.on_try: Callable[[int], None] = lambda tries: None  # called in the writer's thread
        self.tries = 0

    def append(
        self,
        events: Sequence[Recorded],
        *,
        bodies: Mapping[bytes, bytes] = NO_BODIES,
        key: str = "",
        keyed: Sequence[Keyed] = (),
    ) -> Appended:
        if self.is_full:
            self.tries += 1
            self.on_try(self.tries)
            raise LogFull("no space is left, as the test wants it")
        return super().append(events, bodies=bodies, key=key, keyed=keyed)


class BodilessLog(MemoryLog):
    """A log whose bodies cannot be read ("broken"), or are not there ("lost")."""

    how = ""

    def body(self, digest: bytes) -> bytes | None:
        if self.how == "broken":
            raise LogError("the body cannot be read, as the test wants it")
        return None if self.how == "lost" else super().body(digest)


class Published:
    """The events that a turning published, and who waits for one of them."""

    def __init__(self) -> None:
        self.events: list[Recorded] = []
        self._changed = asyncio.Event()

    def __call__(self, events: tuple[Recorded, ...]) -> None:
        self.events += events
        self._changed.set()

    @property
    def seqs(self) -> list[int]:
        return [recorded.seq for recorded in self.events]

    async def next(self, wanted: Callable[[Recorded], bool], *, after: int = 0) -> Recorded:
        """Return the first published event after `after` that is wanted."""
        while True:
            self._changed.clear()
            for recorded in self.events:
                if recorded.seq > after and wanted(recorded):
                    return recorded
            await self._changed.wait()

    async def kind(self, kind: type[ev.AnyEvent], *, after: int = 0) -> Recorded:
        """Return the first published event of that kind after `after`."""
        return await self.next(lambda recorded: isinstance(recorded.event, kind), after=after)


class At(msgspec.Struct, frozen=True, kw_only=True):
    """A turning at work, without watches."""

    turning: Turning
    published: Published
    log: MemoryLog

    async def answered(self, *names: str) -> None:
        """Let masters have answered a probe, well and standing by."""
        for name in names:
            n = self.turning.driver.working.cache.places[name].master.observers.get("", 0) + 1
            answer = ev.ProbeOk(n=n, latency_us=100, boot=name, epoch=0, role="standby")
            await self.turning.ask(answer, subject=name)


@contextlib.asynccontextmanager
async def turning_on(
    log: MemoryLog,
    declared: Configuration | None = None,
    *,
    clock: Clock | None = None,
    flush_us: int = 0,
    failpoint: Failpoint = nothing,
    rules: Decide = decide,
) -> AsyncIterator[At]:
    """Turn on `log`, with the configuration adopted; nothing is probed, nothing handed out."""
    state = replay(log.read())
    writer = Writer(log)
    turning = Turning(
        Driver(state, flush_us=flush_us, decide=rules),
        log,
        writer,
        clock or Clock(last_at_us=state.at_us),
        failpoint=failpoint,
    )
    published = Published()
    turning.listen(published)
    turning.record(ev.EngineStarted(release="test", stopped_at_us=state.at_us))
    if declared is not None:
        offer = ev.ConfigurationLoaded(
            digest=declared.digest, policy=declared.policy, masters=declared.masters
        )
        assert (await turning.ask(offer)).reasons == ()
    try:
        yield At(turning=turning, published=published, log=log)
    finally:
        await turning.stop()
        writer.close()
