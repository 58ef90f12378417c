"""How the servers of a group replicate, and who writes to them.

Everything goes on by beats: a replica takes what its primary had at the beat before. What a
partition or a hung process holds up comes later, over the same connection, unless one of both ends
was started again, or the replica has noticed that nothing comes.

Clients write to whoever the engine says serves, and hold a write to be acknowledged when a replica
has it (`WAIT 1`). Those that ask the engine for a route ask once more before they believe it; the
others keep to a server until it sends them away. They reach every server, whatever the engine sees
of it, for that is the worst case.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from engine.core.fleet import Role
from engine.core.policy import MS
from engine.core.serving import may_serve
from engine.core.state import active_of
from engine.simulation.masters import Answer, Phase, Status
from engine.simulation.network import LATENCY_US, Network
from engine.simulation.promises import Promises
from engine.simulation.rim import Rim
from engine.simulation.schedule import GroupSetting, Setting
from engine.simulation.servers import Server
from engine.simulation.streams import Replication

PATIENCE_US: Final = 100 * MS  # without an answer for this long: another server is asked for


class Wired(Protocol):
    """The world, as servers and their clients meet it."""

    now_us: int
    rim: Rim | None

    @property
    def setting(self) -> Setting:
        """Return the fleet."""

    @property
    def network(self) -> Network:
        """Return the ways."""

    def later(self, after_us: int, action: Callable[[], None]) -> None:
        """Let `action` happen after a time."""


class _Link(msgspec.Struct, kw_only=True):
    """A replica's connection to whom it follows."""

    source: str
    boots: tuple[str, str]  # of the replica and of its source
    since_us: int  # when it was lost, or the copy began
    heard_us: int  # when something came the last time
    is_whole: bool = False  # what comes is only what is new
    history: str = ""  # of what comes
    sent: int = 0  # writes that are under way, or there [count]


class Following:
    """One group that replicates."""

    def __init__(
        self,
        group: GroupSetting,
        replication: Replication,
        servers: Mapping[str, Server],
        promises: Promises,
        world: Wired,
    ) -> None:
        """Begin with the first server as the primary; nobody replicates before `begin`."""
        self._group: Final = group
        self._said: Final = replication
        self._servers: Final = servers
        self._promises: Final = promises
        self._world: Final = world
        self._links: Final[dict[str, _Link]] = {}
        self._number = 0
        self._known = ""  # the server that clients keep to
        self._writes = True

    def begin(self) -> None:
        """Replicate and write from now on."""
        first, *others = self._servers.values()
        first.claim(0)
        for other in others:
            other.follow(first.name)
        self._world.later(0, self._beat)
        self._world.later(self._said.write_every_us, self._write)

    def stop(self) -> None:
        """Write nothing any more."""
        self._writes = False

    def reconcile(self) -> None:
        """Let people decide whose data count, where nobody serves and no heir stands in for all.

        Two that hold data, and do not know each other's stream, are left to them: who has more is
        copied to the others by hand.
        """
        rim = self._world.rim
        part = None if rim is None else rim.driver.durable_state.groups.get(self._group.id)
        if part is None or active_of(part) or part.saga is not None:
            return
        best = max(self._servers.values(), key=lambda server: len(server.data.writes))
        for server in self._servers.values():
            if not server.data.shares(best.data):
                server.data.copy(best.data)
                server.took()

    # Replicas.

    def _beat(self) -> None:
        self._world.later(self._said.lag_us, self._beat)
        now_us = self._world.now_us
        for server in self._servers.values():
            if server.phase is Phase.UP:
                self._replicate(server, now_us)
        for server in self._servers.values():
            if server.phase is not Phase.DOWN:
                server.look_at_lease(now_us)

    def _replicate(self, replica: Server, now_us: int) -> None:
        source = self._servers.get(replica.follows) if replica.is_replica else None
        link = self._links.get(replica.name)
        if source is None or source is replica:
            self._lose(replica, now_us)
            return
        boots = replica.boot, source.boot
        if link is None or link.source != source.name or link.boots != boots:
            self._lose(replica, now_us)
            link = self._links[replica.name] = _Link(
                source=source.name, boots=boots, since_us=now_us, heard_us=now_us
            )
        is_open = self._world.network.reach(replica.name, source.name)
        is_closed = is_open and source.phase is Phase.DOWN
        if not is_open or source.phase is not Phase.UP or now_us < replica.stalled_until_us:
            if is_closed or now_us - link.heard_us > self._said.silent_us:
                self._lose(replica, now_us)
            return
        link.heard_us = now_us
        self._receive(replica, source, link, now_us)

    def _receive(self, replica: Server, source: Server, link: _Link, now_us: int) -> None:
        """Take what comes over a connection that is open."""
        feeds = not source.is_replica or source.is_linked
        if not feeds or (link.history and link.history != source.data.history):
            self._lose(replica, now_us)  # of a source that has no data to give, or begins anew
            return
        if link.is_whole:
            replica.data.take(source.data, link.sent)
            replica.took()
            link.sent = len(source.data.writes)
            replica.unlinked_us = 0
            source.acked(replica.name, replica.data.position, now_us)
            return
        replica.unlinked_us = max(1, now_us - link.since_us)
        if now_us - link.since_us < self._said.reconnect_us:
            return
        if replica.data.goes_on(source.data):
            replica.data.join(source.data)
        else:
            replica.is_loading = True
            if now_us - link.since_us < self._said.reconnect_us + self._said.copy_us:
                return
            replica.data.copy(source.data)
        replica.took()
        replica.is_loading, replica.is_linked = False, True
        link.is_whole, link.history = True, source.data.history
        link.sent = len(replica.data.writes)

    def _lose(self, replica: Server, now_us: int) -> None:
        """Let the connection of a replica be over; another one comes in a while."""
        link = self._links.pop(replica.name, None)
        replica.is_linked = replica.is_loading = False
        if link is not None:
            source = self._servers[link.source]
            if source.boot == link.boots[1]:
                source.acks.pop(replica.name, None)
            replica.unlinked_us = max(1, now_us - link.heard_us)

    # Clients.

    def _write(self) -> None:
        """Send the next write, by way of the engine or to the server that is known."""
        if not self._writes:
            return
        self._world.later(self._said.write_every_us, self._write)
        is_routed = self._group.policy.fence.clients == "route"
        rim = self._world.rim
        name = "" if is_routed else self._known
        if not name:
            name = "" if rim is None or rim.is_stalled else _route(rim, self._group.id)
        if not name:
            return
        self._known = name
        server = self._servers[name]
        self._number += 1
        number = self._number
        epoch = _epoch(rim, self._group.id, name) if is_routed and rim is not None else 0

        is_answered = False

        def leave(rim: Rim) -> None:
            if _epoch(rim, self._group.id, name) == epoch:
                self._promises.acknowledged(number, name)

        def answered(answer: Answer) -> None:
            nonlocal is_answered
            is_answered = True
            if answer.status is not Status.OK:
                self._known = ""
            elif not is_routed:
                self._promises.acknowledged(number, name)
            elif rim is not None:
                rim.guarded(lambda _: leave(rim))()

        def reply(answer: Answer) -> None:
            self._world.later(LATENCY_US, lambda: answered(answer))

        def give_up() -> None:
            if not is_answered and self._known == name:
                self._known = ""

        self._world.later(
            LATENCY_US, lambda: server.receive(lambda: server.write(number, reply), reply)
        )
        self._world.later(PATIENCE_US, give_up)


def _route(rim: Rim, group: str) -> str:
    """Return whom the engine says serves; "": nobody."""
    part = rim.driver.durable_state.groups.get(group)
    if part is None:
        return ""
    return next((name for name, master in part.masters.items() if may_serve(master)), "")


def _epoch(rim: Rim, group: str, name: str) -> int:
    """Return the epoch under which a route to `name` holds; 0: none does."""
    part = rim.driver.durable_state.groups.get(group)
    master = None if part is None else part.masters.get(name)
    holds = (
        master is not None and master.role in (Role.ACTIVE, Role.DRAINING) and not master.lost_seq
    )
    return master.epoch if holds and master is not None else 0


def followings(
    world: Wired, servers: Mapping[str, Server], promises: Mapping[str, Promises]
) -> list[Following]:
    """Return how each group of a world replicates that does."""
    return [
        Following(
            group,
            group.replication,
            {name: servers[name] for name in group.names()},
            promises[group.id],
            world,
        )
        for group in world.setting.groups()
        if group.replication is not None and group.id in promises
    ]
