"""A service that embeds an engine, told on its standard input what to do, one JSON line each.

    python -m tests.faults.embedded --log LOG --masters '{"master-1": "http://127.0.0.1:1", ...}'

    {"do": "arm", "place": FAILPOINT, "after": KIND}
                              end at FAILPOINT, once an event of KIND was published ("": at once)
    {"do": "send", "first": N}
                              accept m-N, m-(N+1) ... until told to stop; each is said when durable
    {"do": "stop"}            accept nothing more
    {"do": "served", "without": MASTER}
                              wait until another master serves and no failover is open
    {"do": "settle"}          wait until nothing is open and nothing is owed
    {"do": "failover" | "switchover", "to": MASTER}, {"do": "checkpoint", "name": NAME},
    {"do": "rollback", "position": SEQ}
    {"do": "end"}             leave

Each is answered by {"said": WORD, ...}. $TANIST_FAILPOINT arms a failpoint from the start.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import Final

from msgspec.structs import replace

from engine.config import Configuration
from engine.core.errors import CommandRefused
from engine.core.events import Recorded
from engine.core.fleet import Master
from engine.core.owed import owed
from engine.core.policy import SECOND, GroupPolicy, Policy, content_digest, preset
from engine.core.state import GroupState, active_of
from engine.embed import Engine
from engine.runtime.failpoints import Failpoint, kill_at, nothing
from tests.faults.fleet import GROUP

PATIENCE_US: Final = 5 * SECOND
PAUSE_S: Final = 0.005  # between two messages of the load
LANES: Final = 4


def patient() -> GroupPolicy:
    """Return the bench preset with time-outs that no busy machine reaches.

    A kill is known by its refusal and not by a time-out, so it is still detected at once; a master
    or a step that is merely slow, because the machine is, must not change the story.
    """
    bench = preset("bench")
    return replace(
        bench,
        detect_within_us=2 * PATIENCE_US,
        probe=replace(bench.probe, timeout_us=PATIENCE_US),
        failover=replace(bench.failover, step_timeout_us=PATIENCE_US, deadline_us=10 * PATIENCE_US),
    )


def replicating(policy: GroupPolicy) -> GroupPolicy:
    """Return `policy` for Redis servers."""
    return replace(policy, effects="redis", probe=replace(policy.probe, kind="redis"))


def configuration(addresses: dict[str, str]) -> Configuration:
    """Return what the operator declares: one group, of the kind that its addresses are of."""
    is_redis = any(address.startswith("redis:") for address in addresses.values())
    policy = Policy(groups={GROUP: replicating(patient()) if is_redis else patient()})
    masters = tuple(
        Master(id=name, group=GROUP, address=address, priority=place)
        for place, (name, address) in enumerate(addresses.items(), start=1)
    )
    return Configuration(
        policy=policy,
        masters=masters,
        log="",
        listen="",
        flush_us=5_000,
        digest=content_digest(policy, masters),
        source="a test",
    )


def say(**fields: object) -> None:
    """Say one line at once: what comes after may be a kill."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


class Armed:
    """The failpoint that the engine was given: it passes everything until it is armed."""

    def __init__(self, place: str) -> None:
        self._hit: Failpoint = kill_at(place) if place else nothing
        self._next: tuple[str, str] = ("", "")

    def hit(self, name: str, detail: str) -> None:
        """Pass a failpoint, or do not."""
        self._hit(name, detail)

    def arm(self, place: str, *, after: str) -> None:
        """End this process at `place`, as soon as an event of the kind `after` was published."""
        if after:
            kill_at(place)  # a place that is none is said at once
            self._next = (place, after)
        else:
            self._hit = kill_at(place)

    def published(self, events: tuple[Recorded, ...]) -> None:
        """Take what became durable."""
        place, after = self._next
        if after and any(type(recorded.event).__name__ == after for recorded in events):
            self._next = ("", "")
            self._hit = kill_at(place)


class Service:
    """What embeds the engine."""

    def __init__(self, engine: Engine, armed: Armed) -> None:
        self._engine: Final = engine
        self._armed: Final = armed
        self._tasks: set[asyncio.Task[None]] = set()
        self._load: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._changed = asyncio.Event()
        engine.listen(armed.published)
        engine.listen(lambda _: self._changed.set())

    async def obey(self, command: dict[str, str | int]) -> None:
        """Do one thing; what takes its time is done beside the next commands."""
        match command["do"]:
            case "arm":
                self._armed.arm(str(command["place"]), after=str(command["after"]))
                say(said="arm")
            case "send":
                self._load = asyncio.create_task(self._send(int(command["first"])))
            case "stop":
                assert self._load is not None
                self._is_stopping = True
                await self._load
                say(said="stop")
            case _:
                task = asyncio.create_task(self._work(command))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _work(self, command: dict[str, str | int]) -> None:
        do = str(command["do"])
        refused: tuple[str, ...] = ()
        position = 0
        try:
            match do:
                case "failover":
                    await self._engine.failover(GROUP, to=str(command["to"]))
                case "switchover":
                    await self._engine.switchover(GROUP, to=str(command["to"]))
                case "checkpoint":
                    position = await self._engine.checkpoint(str(command["name"]))
                case "rollback":
                    await self._engine.rollback(int(command["position"]), group=GROUP)
                case "served":
                    without = str(command["without"])
                    await self._until(lambda group: _serves(group) not in ("", without))
                case _:
                    await self._until(lambda group: bool(_serves(group)) and self._is_idle(group))
        except CommandRefused as err:
            refused = err.reasons
        active = active_of(self._engine.state.groups[GROUP])
        say(said=do, active=active, refused=refused, position=position)

    async def _until(self, is_it: Callable[[GroupState], bool]) -> None:
        while True:
            self._changed.clear()
            group = self._engine.state.groups.get(GROUP)
            if group is not None and is_it(group):
                return
            await self._changed.wait()

    def _is_idle(self, group: GroupState) -> bool:
        state = self._engine.state
        if state.policy_of(group).effects == "redis":
            active = active_of(group)
            # One that is down is not told yet: it would be owed when it is seen.
            if any(m.follows != active for name, m in group.masters.items() if name != active):
                return False
        return not group.ledger.open and not any(owed(state))

    async def _send(self, first: int) -> None:
        async with asyncio.TaskGroup() as sending:
            for number in itertools.count(first):
                if self._is_stopping:
                    break  # those under way are waited for
                sending.create_task(self._accept(number))
                await asyncio.sleep(PAUSE_S)

    async def _accept(self, number: int) -> None:
        key = f"m-{number}"
        body = f"message {number}".encode()
        await self._engine.accept(GROUP, body, key=key, lane=f"lane-{number % LANES}")
        say(accepted=key)


def _serves(group: GroupState) -> str:
    """Return who serves with no change under way; "": nobody."""
    return active_of(group) if group.saga is None and group.rollback is None else ""


@contextlib.asynccontextmanager
async def _commands() -> AsyncIterator[asyncio.StreamReader]:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        yield reader
    finally:
        transport.close()


async def run(log: str, addresses: dict[str, str]) -> None:
    """Embed an engine until told to end, or until whoever tells is gone."""
    armed = Armed(os.environ.get("TANIST_FAILPOINT", ""))
    engine = Engine(configuration(addresses), log=log, failpoint=armed.hit)
    async with _commands() as reader:
        async with engine:
            service = Service(engine, armed)
            say(said="open")
            while line := await reader.readline():
                command = json.loads(line)
                if command["do"] == "end":
                    break
                await service.obey(command)
        say(said="end", seq=engine.state.seq, digest=engine.digest())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", required=True)
    parser.add_argument("--masters", required=True, type=json.loads)
    args = parser.parse_args()
    asyncio.run(run(args.log, args.masters))


if __name__ == "__main__":
    main()
