"""What each turn of a schedule does to the world."""

from collections.abc import Callable
from typing import Final, Protocol

from engine.core.events import Evidence
from engine.simulation.masters import Phase, SimulatedMaster
from engine.simulation.network import LATENCY_US, Network
from engine.simulation.programs import Programs
from engine.simulation.replicas import Replicas
from engine.simulation.rim import Rim
from engine.simulation.schedule import (
    CLOCK_FAULTS,
    DATA_FAULTS,
    ENGINE_FAULTS,
    LINK_FAULTS,
    LOG_FAULTS,
    MASTER_FAULTS,
    MORE_MASTER_FAULTS,
    PARTITIONS,
    PROGRAM_FAULTS,
    REPLICA_FAULTS,
    SITE_FAULTS,
    SPACE_FAULTS,
    GroupSetting,
    Setting,
    Turn,
)
from engine.simulation.servers import Server
from engine.simulation.tape import Tape

STROBE_US: Final = 10_000  # between two swings of a wall clock that goes forth and back
OVERLOADED_US: Final = 25_000  # what an overloaded master takes more for an answer

# Of the first list, those that strike the ways to a master.
_WAYS: Final = frozenset(("cut", "join", "mute", "unmute", "slow"))
_PROCESS: Final = frozenset(("crash", "restart", "close"))


class Struck(Protocol):
    """The world, as faults meet it."""

    now_us: int
    wall_offset_us: int
    rim: Rim | None

    @property
    def setting(self) -> Setting:
        """Return the fleet."""

    @property
    def tape(self) -> Tape:
        """Return the log."""

    @property
    def masters(self) -> dict[str, SimulatedMaster]:
        """Return the masters by id."""

    @property
    def servers(self) -> dict[str, Server]:
        """Return those of them that keep data."""

    @property
    def network(self) -> Network:
        """Return the ways."""

    @property
    def programs(self) -> Programs:
        """Return what befalls programs."""

    @property
    def replicas(self) -> Replicas:
        """Return who follows whom."""

    def later(self, after_us: int, action: Callable[[], None]) -> None:
        """Let `action` happen after a time."""

    def crash_in(self, boundaries: int) -> None:
        """End the engine at a boundary from here; 0: now."""

    def second_writer(self) -> None:
        """Let somebody else append."""

    def restore(self, events: int) -> None:
        """End the engine, and put back a copy of the log that lacks the last events."""

    def overload(self, group: GroupSetting, count: int) -> None:
        """Offer messages, all at once."""


class Strikes:
    """The faults of a world."""

    def __init__(self, world: Struck) -> None:
        self._world: Final = world
        self._strobe_us = 0

    def takes(self, turn: Turn) -> bool:
        """Let the fault happen that `turn` is; return False if it is none."""
        world, kind = self._world, turn.kind
        if kind in ENGINE_FAULTS:
            self._engine(turn)
        elif kind in CLOCK_FAULTS:
            self._clock(turn)
        elif kind in LOG_FAULTS:
            self._log(turn)
        elif kind in PARTITIONS:
            world.network.part(kind, turn.subject, turn.count)
        elif kind in SITE_FAULTS:
            self._site(turn)
        elif kind in PROGRAM_FAULTS:
            world.programs.strike(kind, turn.count)
        elif kind in SPACE_FAULTS:
            self._space(turn)
        elif turn.subject not in world.masters:
            return False
        elif kind in DATA_FAULTS:
            self._data(turn)
        elif kind in REPLICA_FAULTS:
            world.replicas.stray(turn.subject, turn.count)
        elif kind in _PROCESS:
            self._process(kind, world.masters[turn.subject])
        elif kind in LINK_FAULTS or kind in _WAYS:
            world.network.strike(kind, turn.subject, turn.count)
        elif kind in MASTER_FAULTS or kind in MORE_MASTER_FAULTS:
            world.masters[turn.subject].strike(kind, turn.count)
        else:
            return False
        return True

    def heal(self) -> None:
        """End every fault."""
        world = self._world
        self._strobe_us = 0
        world.tape.heal()
        world.programs.heal()
        world.network.heal()
        for master in world.masters.values():
            master.heal()
        if world.rim is not None:
            world.rim.drift(0)

    def _space(self, turn: Turn) -> None:
        disk = self._world.tape.disk
        if turn.kind == "fill":
            disk.fill(turn.count)
        else:
            disk.free()

    def _engine(self, turn: Turn) -> None:
        rim = self._world.rim
        match turn.kind:
            case "engine-crash":
                self._world.crash_in(turn.count)
            case "stall":
                if rim is not None:
                    rim.stall(turn.count)
            case "late":
                if rim is not None:
                    rim.be_late(turn.count)
            case _:
                self._world.tape.order(turn.kind, turn.count)

    def _process(self, kind: str, master: SimulatedMaster) -> None:
        was_up = master.phase is not Phase.DOWN
        if kind == "crash":
            master.crash()
        elif kind == "restart":
            master.restart()
        if was_up:
            self._close(master)

    def _data(self, turn: Turn) -> None:
        world = self._world
        server = world.servers.get(turn.subject)
        if server is None:
            return
        match turn.kind:
            case "emptied":
                was_up = server.phase is not Phase.DOWN
                server.empty()
                if was_up:
                    self._close(server)
            case "lacks":
                server.stalled_until_us = world.now_us + turn.count
            case "severed":
                world.network.severed.add(turn.subject)
            case _:
                world.network.severed.discard(turn.subject)

    def _close(self, master: SimulatedMaster) -> None:
        rim = self._world.rim
        if rim is not None and not self._world.network.pairs[master.name].back.is_closed:
            closed = rim.guarded(lambda _: rim.closed(master.name, Evidence.CLOSED))
            self._world.later(LATENCY_US, closed)

    def _clock(self, turn: Turn) -> None:
        world = self._world
        match turn.kind:
            case "clock-jump":
                world.wall_offset_us += turn.count
                if world.rim is not None:
                    world.rim.see_wall(turn.count)
            case "drift":
                if world.rim is not None:
                    world.rim.drift(turn.count)
            case "strobe":
                was_still, self._strobe_us = not self._strobe_us, turn.count
                if was_still and turn.count:
                    self._swing(turn.count)
            case "starve":
                if world.rim is not None:
                    world.rim.starve(turn.count)
            case _:
                raise AssertionError(turn.kind)

    def _swing(self, by_us: int) -> None:
        """Let the wall clock go there and back; it ends where it began."""
        self._world.wall_offset_us += by_us
        if by_us > 0 or self._strobe_us:
            next_us = -by_us if by_us > 0 else self._strobe_us
            self._world.later(STROBE_US, lambda: self._swing(next_us))

    def _log(self, turn: Turn) -> None:
        world = self._world
        match turn.kind:
            case "locked":
                world.tape.lock(world.now_us + turn.count)
                world.later(turn.count, lambda: world.tape.unlock(world.now_us))
            case "torn":
                world.tape.order(turn.kind, turn.count)
            case "second-writer":
                world.second_writer()
            case "restore":
                world.restore(turn.count)
            case _:
                raise AssertionError(turn.kind)

    def _site(self, turn: Turn) -> None:
        world = self._world
        group = self._group(turn)
        members = [world.masters[name] for name in group.names()]
        standbys = [master for master in members if not master.believes]
        match turn.kind:
            case "crash-all" | "restart-all":
                for master in members:
                    self._process(turn.kind.removesuffix("-all"), master)
            case "standbys-crash":
                for master in standbys:
                    self._process("crash", master)
            case "standbys-poor" | "standbys-well":
                for master in members if turn.kind == "standbys-well" else standbys:
                    master.strike(turn.kind.removeprefix("standbys-"), 0)
            case "overload":
                for master in members:
                    world.network.strike("slow", master.name, OVERLOADED_US)
                world.overload(group, turn.count * len(members))
            case _:
                raise AssertionError(turn.kind)

    def _group(self, turn: Turn) -> GroupSetting:
        groups = self._world.setting.groups()
        for group in groups:
            if turn.subject in group.names() or turn.group == group.id:
                return group
        return groups[0]
