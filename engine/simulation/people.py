"""What people do to the simulated fleet: work, commands, files; also while no engine runs."""

import contextlib
import hashlib
from typing import Final, Protocol

import msgspec

from engine.core import events as ev
from engine.core.decider import Decide
from engine.core.driver import Driver
from engine.core.errors import LogConflict, LogFull, LogUncertain
from engine.core.events import FLEET, CallsCounted, Observation
from engine.core.facts import Calls
from engine.core.fleet import Master, Role
from engine.core.outliers import settings_of
from engine.core.policy import SECOND
from engine.core.replay import replay
from engine.core.state import State
from engine.core.step import Evolve
from engine.simulation import figures, keeping
from engine.simulation.clients import Clients
from engine.simulation.operators import asked_by, group_of, promote_by_hand
from engine.simulation.outside import Outside
from engine.simulation.rim import Rim
from engine.simulation.schedule import Turn
from engine.simulation.tape import Torn

CALLS: Final = 100  # to each master, in a window of requests [count]


class Peopled(Outside, Protocol):
    """The world, as people meet it."""

    rim: Rim | None


class People:
    """Everybody who asks something of the engine, and who writes its file."""

    def __init__(self, world: Peopled, clients: Clients, *, decide: Decide, evolve: Evolve) -> None:
        """Have asked nothing yet; the file declares every master."""
        self._world: Final = world
        self._clients: Final = clients
        self._decide: Final = decide
        self._evolve: Final = evolve
        self._weights_from = 1
        self._left_out = ""  # a master that the file does not declare
        self._blobs = 0

    def declare_all(self) -> None:
        """Have every master in the file again."""
        self._left_out = ""

    def file_masters(self) -> tuple[Master, ...]:
        """Return the masters as the file declares them now."""
        declared = self._world.setting.declared(weights_from=self._weights_from)
        return tuple(master for master in declared if master.id != self._left_out)

    def work(self, turn: Turn) -> None:
        """Do what a turn says that is no fault."""
        match turn.kind:
            case "accept":
                for _ in range(turn.count):
                    self._clients.send()
            case "keep":
                self._keep()
            case "claim":
                self._claim(turn)
            case "rest":
                pass
            case "calls":
                self._call(turn)
            case "figures":
                self._figure(turn)
            case "thin" | "sweep":
                self._let_go(turn)
            case _:
                self._command(turn)

    def _claim(self, turn: Turn) -> None:
        world = self._world
        name = group_of(turn, world)
        group = next(one for one in world.setting.groups() if one.id == name)
        if group.is_standby and turn.subject in world.masters:
            members = {name: world.masters[name] for name in group.names()}
            promote_by_hand(members, turn.subject, observes=not group.acts)

    def _keep(self) -> None:
        self._blobs += 1
        body = f"blob {self._blobs}".encode()
        rim = self._world.rim
        if rim is not None and not rim.is_stalled and rim.driver.working.groups:
            rim.keep(f"state-{self._blobs % 2}", body, hashlib.sha256(body).digest())

    def _call(self, turn: Turn) -> None:
        """Let a window of requests go by the engine, of which those to one master fail."""
        rim = self._world.rim
        name = group_of(turn, self._world)
        if rim is None or rim.is_stalled or name not in rim.driver.working.groups:
            return
        group = rim.driver.working.groups[name]
        calls = tuple(
            Calls(
                master=one,
                calls=CALLS,
                failed=min(CALLS, turn.count * CALLS // 4) if one == turn.subject else 1,
            )
            for one, master in group.masters.items()
            if master.role is Role.ACTIVE
        )
        if calls and settings_of(rim.driver.working, group) is not None:
            rim.observe(CallsCounted(window_us=SECOND, calls=calls), name)

    def _figure(self, turn: Turn) -> None:
        """Let a minute be over in which the engine has counted something."""
        rim, name = self._world.rim, group_of(turn, self._world)
        if rim is None or rim.is_stalled or name not in rim.driver.working.groups:
            return
        counted = figures.counted(rim.driver.working, turn.count, group=name, master=turn.subject)
        if counted is not None:
            rim.observe(*counted)

    def _let_go(self, turn: Turn) -> None:
        """Let the engine drop what is old, or what nothing needs any more."""
        world = self._world
        rim, tape = world.rim, world.tape
        if rim is None or rim.is_stalled:
            return
        if turn.kind == "sweep":
            rim.sweep()
            return
        until = tape.head - max(1, turn.count)
        dropped = keeping.dropping(tape.log, tape.dropped, until, self._evolve)
        if dropped is not None:
            rim.observe(dropped, FLEET)

    # Commands.

    def _command(self, turn: Turn) -> None:
        world = self._world
        rim = world.rim
        if turn.kind in ("reload", "leave-out"):
            self._weights_from = turn.count
            self._left_out = turn.subject if turn.kind == "leave-out" else ""
            if rim is not None and not rim.is_stalled:
                rim.offer_file()
            return
        if rim is not None and rim.is_stalled:
            return
        state = self._folded() if rim is None else rim.driver.working
        part = state.groups.get(group_of(turn, world))
        is_known = part is not None and (turn.subject in part.masters or turn.kind == "add")
        if part is None or (turn.subject and not is_known):
            return
        asked = asked_by(turn, state, world)
        if asked is None:
            return
        event, subject = asked
        if rim is not None:
            rim.observe(event, subject)
        else:  # what it owes is left to the next engine
            self._append(state, msgspec.structs.replace(event, at_rest=True), subject)

    def append_unasked(self) -> None:
        """Append something beside the engine that runs."""
        name = f"other{self._world.tape.head}"
        self._append(self._folded(), ev.CheckpointMarked(name=name, author="somebody else"), FLEET)

    def _folded(self) -> State:
        return replay(self._world.tape.kept(), evolve=self._evolve)

    def _append(self, state: State, event: Observation, subject: str) -> None:
        at_us = max(self._world.wall_us, state.at_us)
        driver = Driver(state, decide=self._decide, evolve=self._evolve)
        driver.observe(event, subject=subject, at_us=at_us)
        batch = driver.take_batch(at_us)
        assert batch is not None
        with contextlib.suppress(LogConflict, LogFull, LogUncertain, Torn):
            self._world.tape.append(batch)
