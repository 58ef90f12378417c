"""Effects on Redis servers: a primary and the replicas that can stand in for it.

What each step does there:
- fence: the server takes no more writes, for it must have more replicas for them than there can be
  (`min-replicas-to-write`), and its clients are sent away. If somebody else serves already, it
  replicates from there. Replication to others goes on, so that they get what it has.
- detach: a replica leaves the server that was left, so that the lease of that one runs out.
- transfer: the heir must have the newest data of all members that answer. One that has lost
  its data has a history of its own, and does not stand in for those that have theirs, nor for those
  that do not answer and may have theirs. Then it replicates from nobody, so that it keeps them.
- promote: it replicates from nobody, and keeps the epoch in a key, which never goes back.
- verify: it is a primary under the epoch, and takes a write that can be read.
- switch: it demands as many replicas as it did before.
- follow: it replicates from the active one.

How many replicas a server demanded before its fence is part of the number that fences it, and of a
key that the promoted one keeps until the switch: nothing of it has to be remembered here. The
epoch, the number and the test of a verification lie in the keys `tanist:{GROUP}:…`.

A server that is told a step twice is as it was after the first time.
"""

import asyncio
import contextlib
import sys
from collections.abc import Hashable
from typing import Final

import msgspec

from engine.core.events import Result
from engine.core.fleet import Health, Role
from engine.core.standing import Heard, Standing, is_kept, is_misled, lack
from engine.runtime.carriers.access import OPEN, AccessOf
from engine.runtime.carriers.asked import Asked, Carried, Member, line
from engine.runtime.carriers.redis_facts import (
    demanded_by,
    key_of,
    number,
    standing_of,
)
from engine.runtime.carriers.redis_server import (
    MAX_LAG,
    MIN_REPLICAS,
    Command,
    NotSent,
    Server,
    Unanswered,
    refusal,
)
from engine.runtime.clock import monotonic_us
from engine.runtime.redis import FENCED
from engine.runtime.resp import Refusal, Value

FENCED_LAG_S: Final = 10  # a lag of 0 would switch the demand off
TEST_MS: Final = 60_000  # the test of a verification is gone after that
SETTINGS_US: Final = 20_000  # what the settings of a server that may hang are waited for [us]
PAUSE_US: Final = 5_000  # before a step is tried again within its time; doubles
PAUSE_US_MAX: Final = 100_000
NOWHERE: Final = ("127.0.0.1", "1")  # nobody can listen there

_SETTINGS: Final[Command] = ("CONFIG", "GET", "min-replicas-*")
_INFO: Final[Command] = ("INFO", "replication")
_REWRITE: Final[Command] = ("CONFIG", "REWRITE")  # a server without a file refuses, which is well
_AWAY: Final[tuple[Command, ...]] = (
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("CLIENT", "KILL", "TYPE", "pubsub"),
)
# The epoch goes up or stays; what the server demanded is kept until the switch.
_CLAIM: Final = """
local known = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if known > tonumber(ARGV[1]) then return known end
redis.call('SET', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2]) end
return tonumber(ARGV[1])
"""
# What says that a server can do nothing just now; it is tried again.
_PASSING: Final = ("LOADING", "BUSY", "MASTERDOWN", "NOREPLICAS")


class _Said(Exception):
    """The server said how the step ended."""

    def __init__(self, carried: Carried) -> None:
        super().__init__(carried.detail)
        self.carried = carried


class _Again(_Said):
    """Not yet: the step is tried again within its time."""


class RedisCarrier:
    """Tells Redis servers what to do, over connections that are held open."""

    def __init__(self, access: AccessOf = lambda group: OPEN) -> None:
        """`access` says how the servers of a group are reached."""
        self._access: Final = access
        self._servers: Final[dict[str, tuple[str, Server]]] = {}  # by master: address, server
        self._left: Final[list[Server]] = []

    def attach(self, group: str, members: tuple[Member, ...]) -> None:
        """Hold a connection to each of them."""
        for member in members:
            self.server(group, member.id, member.address).keep()

    def server(self, group: str, master: str, address: str) -> Server:
        """Return what is known of a server at `address`."""
        known = self._servers.get(master)
        if known is None or known[0] != address:
            if known is not None:
                self._left.append(known[1])
            known = self._servers[master] = address, Server(address, self._access(group))
        return known[1]

    async def close(self) -> None:
        """Close every connection."""
        for server in (*(server for _, server in self._servers.values()), *self._left):
            await server.close()

    async def carry(self, asked: Asked) -> Carried:
        """Take the step, again and again while it cannot be taken and there is time."""
        due_us = monotonic_us() + asked.timeout_us
        pause_us = PAUSE_US
        step = _Step(self, asked, due_us=due_us)
        while True:
            try:
                return await step.take()
            except _Again as again:
                carried = again.carried
            except _Said as said:
                return said.carried
            except NotSent as err:
                carried = Carried(result=Result.FAILED, detail=line(str(err)))
            except Unanswered as err:
                carried = Carried(result=Result.FAILED, detail=line(str(err)))
            if step.has_changed and carried.result is Result.FAILED:
                carried = msgspec.structs.replace(carried, result=Result.UNKNOWN)
            if monotonic_us() + pause_us >= due_us:
                return carried
            await asyncio.sleep(pause_us / 1e6)
            pause_us = min(2 * pause_us, PAUSE_US_MAX)


class _Step:
    """One effect on one server, within its time."""

    def __init__(self, carrier: RedisCarrier, asked: Asked, *, due_us: int) -> None:
        self._carrier: Final = carrier
        self._asked: Final = asked
        self._due_us: Final = due_us
        self._server: Final = carrier.server(asked.group, asked.master, asked.address)
        self.has_changed = False  # something was sent that changes a server

    async def take(self) -> Carried:
        """Return how it ended, this time."""
        match self._asked.step:
            case "preflight":
                return await self._preflight()
            case "fence":
                return await self._fence()
            case "detach":
                return await self._detach()
            case "transfer":
                return await self._transfer()
            case "promote":
                return await self._promote()
            case "verify":
                return await self._verify()
            case "switch":
                return await self._switch()
            case "follow":
                return await self._follow()
            case other:
                raise AssertionError(other)

    # Steps.

    async def _preflight(self) -> Carried:
        standing, epoch = await self._look()
        if standing.is_loading or not (standing.is_primary or standing.is_linked):
            state = "is in the middle of a full copy" if standing.is_loading else "has no link"
            raise _Again(Carried(result=Result.REFUSED, detail=f"it {state} to its primary"))
        if epoch > self._asked.epoch:
            return _refused(f"it knows epoch {epoch}")
        return Carried(result=Result.OK, detail=f"at {standing.position}")

    async def _fence(self) -> Carried:
        asked, server = self._asked, self._server
        if not server.is_asked(asked.key):
            # One that hangs answers nothing, and what is known of it has to do.
            with contextlib.suppress(Unanswered):
                limit_us = min(self._left_us // 4, SETTINGS_US)
                (said,) = await server.ask([_SETTINGS], timeout_us=limit_us)
                self._hold([said])
                server.note(said)
        demanded, lag_s = demanded_by(server) if server.settings else self._usual()
        commands: list[Command] = [
            ("MULTI",),
            ("CONFIG", "SET", MIN_REPLICAS, str(FENCED + demanded)),
        ]
        if not lag_s:
            commands.append(("CONFIG", "SET", MAX_LAG, str(FENCED_LAG_S)))
        if asked.active is not None and asked.active.role is Role.ACTIVE:
            commands.append(("REPLICAOF", *self._place_of(asked.active)))
        commands += (*_AWAY, ("EXEC",))
        # Written to its file, if it has one, it holds over a restart.
        *replies, settings, _ = await self._change(*commands, _SETTINGS, _REWRITE, key=asked.key)
        server.note(settings)
        self._hold(replies)
        return Carried(result=Result.OK)

    async def _detach(self) -> Carried:
        replies = await self._change(("REPLICAOF", *NOWHERE))
        self._hold(replies)
        return Carried(result=Result.OK)

    async def _transfer(self) -> Carried:
        """Hold the heir against all members that answer: none may have more than it has."""
        asked = self._asked
        others = [
            member
            for member in asked.members
            if member.id != asked.master and member.health is not Health.FAILED
        ]
        heir, found = await asyncio.gather(
            self._look(), asyncio.gather(*(self._standing_of(member) for member in others))
        )
        standing, epoch = heir
        answers = [
            Heard(
                name=member.id,
                place=":".join(self._place_of(member)),
                role=member.role,
                standing=theirs,
                is_fenced=is_fenced,
                knows=knows,
            )
            for member, answer in zip(others, found, strict=True)
            if answer is not None
            for theirs, is_fenced, knows in (answer,)
        ]
        if is_misled(standing, epoch, answers):
            self._hold(await self._change(("REPLICAOF", *NOWHERE)))
        heard = {asked.master, *(answer.name for answer in answers)}
        lacks = lack(
            standing,
            epoch,
            answers,
            silent={member.id for member in asked.members} - heard,
            served=asked.served,
        )
        if lacks is None or lacks.is_let(allow_loss=asked.allow_loss):
            detail = f"at {standing.position}"
            if lacks is not None:
                detail += f"{', and that is lost: ' if lacks.bytes else '; '}{lacks.detail}"
            await self._stand_still(standing)
            return Carried(
                result=Result.OK,
                detail=line(detail),
                digest=asked.digest,
                lacks=0 if lacks is None else lacks.bytes,
            )
        reports = [(asked.master, standing.report())]
        reports += [(answer.name, answer.standing.report()) for answer in answers]
        no = Carried(result=Result.REFUSED, detail=line(lacks.detail), reports=tuple(reports))
        if lacks.source and standing.follows != lacks.source:
            self._hold(await self._change(("REPLICAOF", *lacks.source.rsplit(":", 1))))
        if lacks.is_moving:  # it may still come
            raise _Again(no)
        return no

    async def _stand_still(self, before: Standing) -> None:
        """Let the heir replicate from nobody, and hold it to what it was let with.

        Whom it follows may be started again without its data, and would take its own away.

        Raises:
            _Said: It has less now, and that does not come back.
        """
        if before.is_primary:
            return
        replies = await self._change(("REPLICAOF", *NOWHERE), _INFO)
        self._hold(replies)
        if not is_kept(before, standing_of(replies[-1])):
            raise _Said(_refused("its data were taken away while it was held against others"))

    async def _promote(self) -> Carried:
        asked, server = self._asked, self._server
        standing, epoch = await self._look()
        if epoch > asked.epoch:
            return _refused(f"stale epoch: it knows {epoch}")
        if standing.is_loading:
            raise _Again(_refused("it is in the middle of a full copy"))
        demanded, _ = demanded_by(server) if server.settings else (0, 0)
        is_fenced = server.settings is not None and server.settings.replicas >= FENCED
        commands: list[Command] = []
        kept = ""
        if not standing.is_primary or is_fenced:
            # Nobody replicates from it yet, so it may demand nobody until the switch.
            commands += [("REPLICAOF", "NO", "ONE"), ("CONFIG", "SET", MIN_REPLICAS, "0")]
            kept = str(demanded)
        keys = (key_of(asked.group, "epoch"), key_of(asked.group, "replicas"))
        commands.append(("EVAL", _CLAIM, "2", *keys, str(asked.epoch), kept))
        replies = await self._change(*commands)
        self._hold(replies)
        claimed = replies[-1]
        if claimed != asked.epoch:
            return _refused(f"stale epoch: it knows {claimed!r}")
        if not asked.failover and kept:
            return await self._switch()  # no switch comes after it
        return Carried(result=Result.OK)

    async def _verify(self) -> Carried:
        asked = self._asked
        key, text = key_of(asked.group, "test"), f"{asked.failover}/{asked.epoch}"
        info, *replies = await self._change(
            _INFO,
            ("GET", key_of(asked.group, "epoch")),
            ("SET", key, text, "PX", str(TEST_MS)),
            ("GET", key),
        )
        self._hold([info, *replies])
        epoch, _, read = replies
        standing = standing_of(info)
        if not standing.is_primary:
            return _refused(f"it is a replica of {standing.follows}")
        if number(epoch) != asked.epoch:
            return _refused(f"it acts under epoch {number(epoch)}")
        if read != text.encode():
            return _refused("a write could not be read")
        return Carried(result=Result.OK)

    async def _switch(self) -> Carried:
        asked = self._asked
        key = key_of(asked.group, "replicas")
        (kept,) = await self._ask(("GET", key))
        self._hold([kept])
        commands: list[Command] = []
        if isinstance(kept, bytes) and kept.isdigit():
            # The key first: afterwards the server may take no writes until it has replicas.
            commands += [("DEL", key), ("CONFIG", "SET", MIN_REPLICAS, kept.decode())]
        *replies, _ = await self._change(*commands, _REWRITE)
        self._hold(replies)
        return Carried(result=Result.OK)

    async def _follow(self) -> Carried:
        asked, server = self._asked, self._server
        if asked.active is None:
            return _refused("nobody serves")
        settings, info = await self._ask(_SETTINGS, _INFO)
        self._hold([settings, info])
        server.note(settings)
        host, port = self._place_of(asked.active)
        commands: list[Command] = []
        standing = standing_of(info)
        if standing.follows != f"{host}:{port}":
            commands.append(("REPLICAOF", host, port))
        if server.settings is not None and server.settings.replicas >= FENCED:
            demanded, _ = demanded_by(server)
            commands.append(("CONFIG", "SET", MIN_REPLICAS, str(demanded)))
        if not commands:
            return Carried(result=Result.OK, detail="it did already")
        *replies, _, settings = await self._change(*commands, _REWRITE, _SETTINGS)
        server.note(settings)
        self._hold(replies)
        was = standing.follows or "nobody"
        return Carried(result=Result.OK, detail=f"it followed {was}")

    # What they are made of.

    @property
    def _left_us(self) -> int:
        return max(0, self._due_us - monotonic_us())

    def _place_of(self, member: Member) -> tuple[str, str]:
        server = self._carrier.server(self._asked.group, member.id, member.address)
        return server.host, str(server.port)

    async def _ask(self, *commands: Command) -> list[Value]:
        return await self._server.ask(commands, timeout_us=self._left_us)

    async def _change(self, *commands: Command, key: Hashable = None) -> list[Value]:
        """Ask what changes the server; once it was sent it may have."""
        try:
            replies = await self._server.ask(commands, timeout_us=self._left_us, key=key)
        except Unanswered:
            self.has_changed = True
            raise
        self.has_changed = True
        return replies

    async def _look(self) -> tuple[Standing, int]:
        """Return how the server stands, and the epoch that it knows."""
        key = key_of(self._asked.group, "epoch")
        info, epoch, settings = await self._ask(_INFO, ("GET", key), _SETTINGS)
        self._hold([info, epoch])
        self._server.note(settings)
        return standing_of(info), number(epoch)

    async def _standing_of(self, member: Member) -> tuple[Standing, bool, int] | None:
        """Return how another member stands, whether it is fenced, and the epoch that it knows.

        None: it does not answer. One that does not tell its epoch may know any.
        """
        server = self._carrier.server(self._asked.group, member.id, member.address)
        try:
            info, epoch, settings = await server.ask(
                (_INFO, ("GET", key_of(self._asked.group, "epoch")), _SETTINGS),
                timeout_us=self._left_us // 3,
            )
        except (NotSent, Unanswered):
            return None
        if isinstance(info, Refusal):
            return None
        said = server.note(settings)
        knows = sys.maxsize if isinstance(epoch, Refusal) else number(epoch)
        return standing_of(info), said is not None and said.replicas >= FENCED, knows

    def _usual(self) -> tuple[int, int]:
        """Return what the other members demand, for one that could not be asked: the most."""
        asked = self._asked
        known = [
            demanded_by(server)
            for member in asked.members
            if (server := self._carrier.server(asked.group, member.id, member.address)).settings
        ]
        return max((demanded for demanded, _ in known), default=0), 0

    def _hold(self, replies: list[Value]) -> None:
        """Go on if the server said no to nothing.

        Raises:
            _Again: It did, and that passes.
            _Said: It did.
        """
        no = refusal(replies)
        if no.startswith(_PASSING):
            raise _Again(Carried(result=Result.FAILED, detail=line(no)))
        if no:
            raise _Said(_refused(no))


def _refused(detail: str) -> Carried:
    return Carried(result=Result.REFUSED, detail=line(detail))
