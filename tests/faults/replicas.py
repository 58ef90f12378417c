"""A group of real Redis servers, a primary and its replicas, under an engine."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import msgspec

from engine.answers.status import status
from engine.config import Configuration
from engine.core import events as ev
from engine.core.events import AnyEvent, Recorded
from engine.core.fleet import Master, Role
from engine.core.policy import SECOND, GroupPolicy, Policy, content_digest, preset
from engine.core.state import GroupState, MasterState
from engine.embed import Engine
from engine.runtime.carriers.redis_facts import key_of
from engine.runtime.failpoints import Failpoint, nothing
from tests.engine.redis import RedisProcess, until

GROUP: Final = "cache"
GUARD_S: Final = 30
PATIENCE_US: Final = 5 * SECOND


def redis_policy(name: str = "bench", **changes: object) -> GroupPolicy:
    """Return a preset for Redis servers, with `changes`."""
    base = preset(name)
    probe = msgspec.structs.replace(base.probe, kind="redis")
    return msgspec.structs.replace(base, probe=probe, effects="redis", **changes)


def patient_policy(**changes: object) -> GroupPolicy:
    """Return one whose time-outs no busy machine reaches: a kill is known by its refusal."""
    base = redis_policy()
    return msgspec.structs.replace(
        base,
        detect_within_us=2 * PATIENCE_US,
        probe=msgspec.structs.replace(base.probe, timeout_us=PATIENCE_US),
        failover=msgspec.structs.replace(
            base.failover, step_timeout_us=PATIENCE_US, deadline_us=10 * PATIENCE_US
        ),
        **changes,
    )


def declaring(
    addresses: dict[str, str], log: Path, policy: GroupPolicy, *, group: str = GROUP
) -> Configuration:
    """Return the configuration of one group; the first master is the first choice."""
    whole = Policy(groups={group: policy})
    masters = tuple(
        Master(id=name, group=group, address=address, priority=place)
        for place, (name, address) in enumerate(addresses.items(), start=1)
    )
    return Configuration(
        policy=whole,
        masters=masters,
        log=str(log),
        listen="",
        flush_us=5_000,
        digest=content_digest(whole, masters),
        source="a test",
    )


class Watched:
    """An engine, its log as it grows, and when each event of it became durable."""

    def __init__(self, engine: Engine, group: str = GROUP) -> None:
        self.engine: Final = engine
        self.log: Final[list[Recorded]] = []
        self.durable_us: Final[list[int]] = []
        self._group: Final = group
        self._more = asyncio.Event()
        engine.listen(self._published)

    def _published(self, events: tuple[Recorded, ...]) -> None:
        self.log.extend(events)
        self.durable_us.extend([self.engine.clock.at_us()] * len(events))
        self._more.set()

    @property
    def group(self) -> GroupState:
        return self.engine.state.groups[self._group]

    def master(self, name: str) -> MasterState:
        return self.group.masters[name]

    async def until(self, is_it: Callable[[], bool]) -> None:
        """Wait until something durable makes it so."""
        try:
            async with asyncio.timeout(GUARD_S):
                while not is_it():
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            group = self.group
            how = {name: (m.health, m.role, m.fence) for name, m in group.masters.items()}
            said = [
                f"{each.seq} {each.subject} {each.event}"
                for each in self.log
                if _tells(each) and not isinstance(each.event, ev.ProbeFailed)
            ][-25:]
            waits = status(self.engine.state)["groups"][self._group]["waits"]  # type: ignore[index]
            story = "\n".join([f"{how} {group.saga} {waits}", *said])
            raise AssertionError(f"what was waited for did not come:\n{story}") from None

    async def next(self, kind: type[AnyEvent], *, after: int = 0, subject: str = "") -> int:
        """Return the place in `log` of the first event of `kind`, from the place `after` on."""
        place = after

        def is_there() -> bool:
            nonlocal place
            while place < len(self.log):
                found = self.log[place]
                if type(found.event) is kind and subject in ("", found.subject):
                    return True
                place += 1
            return False

        await self.until(is_there)
        return place

    async def at_rest(self, active: str, *, without: str = "") -> None:
        """Wait until `active` serves and every other one, but one, stands by and follows it."""

        def is_so() -> bool:
            group = self.group
            leader = group.masters[active]
            return (
                leader.role is Role.ACTIVE
                and group.saga is None
                and group.switch_epoch == leader.epoch
                and not leader.promote_owed
                and all(
                    (m.role, m.follows, m.follow_epoch) == (Role.STANDBY, active, leader.epoch)
                    for name, m in group.masters.items()
                    if name not in (active, without)
                )
            )

        await self.until(is_so)

    def kinds(self, after: int = 0) -> list[str]:
        return [type(each.event).__name__ for each in self.log[after:]]


def _tells(recorded: Recorded) -> bool:
    return not isinstance(recorded.event, ev.ProbeOk | ev.LoadReported)


async def synced(servers: dict[str, RedisProcess], active: str) -> None:
    """Wait until every other server has what `active` has: one without any data is no heir."""
    others = [server for name, server in servers.items() if name != active]
    key = key_of(GROUP, "epoch")
    has_it = [lambda other=other: other.ask("EXISTS", key) == 1 for other in others]
    for each in has_it:
        await asyncio.to_thread(until, each)


@contextlib.asynccontextmanager
async def replicated(
    servers: dict[str, RedisProcess],
    log: Path,
    policy: GroupPolicy,
    *,
    failpoint: Failpoint = nothing,
) -> AsyncIterator[Watched]:
    """Run an engine over these servers, from the moment at which the first of them serves."""
    addresses = {name: server.address for name, server in servers.items()}
    async with Engine(declaring(addresses, log, policy), failpoint=failpoint) as engine:
        watched = Watched(engine)
        await watched.until(lambda: GROUP in engine.state.groups)
        yield watched
