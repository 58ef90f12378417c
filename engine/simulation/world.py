"""The deterministic world: a virtual clock, masters, a sink, a log, and the engine's real core.

    run(schedule) -> Run

The world drives the same `Driver` as the runtime does, in the order of duty, and can end the engine
at every boundary between two duties. After the last turn all faults stop: whoever is down is
started, whoever hung goes on, pauses and exclusions are lifted, and the world runs on until it is
quiet or until the time in which it has to be (`settles_within_us`) is up.

Invariant: nothing here draws a random number or reads a clock. The same schedule gives the same
run, to the byte.
"""

import contextlib
import hashlib
import heapq
from collections.abc import Callable
from typing import Final

import msgspec

from engine.core.decider import Decide, decide
from engine.core.driver import Driver
from engine.core.errors import LogFull, LogUncertain
from engine.core.events import Evidence, Observation, Recorded
from engine.core.evolve import evolve
from engine.core.fleet import Master, Mode
from engine.core.owed import Deliver, Effect
from engine.core.policy import MS, Automation
from engine.core.replay import replay
from engine.core.state import State
from engine.core.step import Evolve
from engine.simulation.clients import Clients
from engine.simulation.masters import CLOSED, Answer, Phase, Request, SimulatedMaster, Sink, Status
from engine.simulation.operators import asked_by, promote_by_hand
from engine.simulation.rest import is_at_rest, lift, settles_within_us
from engine.simulation.rim import Rim
from engine.simulation.runs import Run
from engine.simulation.schedule import ENGINE_FAULTS, GROUP, MASTER_FAULTS, Schedule, Turn
from engine.simulation.tape import Tape
from engine.simulation.witness import Witness

LATENCY_US: Final = 200  # one way, between engine and master
ACK_US: Final = 3 * MS  # from taking a message to acknowledging it, where that comes later
BEGIN_US: Final = 1_000_000  # engine time never is 0, which means "never" in the state


class Crash(Exception):
    """The engine's process ends here."""


def run(
    schedule: Schedule,
    *,
    decide: Decide = decide,
    evolve: Evolve = evolve,
    compare_every: int = 1,
    within_us: int | None = None,
    engine: type[Rim] = Rim,
) -> Run:
    """Return what comes of `schedule`.

    Args:
        schedule: All that happens.
        decide: The rules; a mutant comes in here.
        evolve: The fold; a mutant comes in here.
        compare_every: Live and replayed state are compared at every so many ends of a batch.
        within_us: How long to wait for rest after the last turn; None: `settles_within_us`.
        engine: What the engine's process does; one that neglects a duty comes in here.
    """
    world = _World(
        schedule, decide=decide, evolve=evolve, compare_every=compare_every, engine=engine
    )
    return world.run(settles_within_us(schedule.setting) if within_us is None else within_us)


class _World:
    """All that there is, and the queue of what happens next."""

    def __init__(
        self,
        schedule: Schedule,
        *,
        decide: Decide,
        evolve: Evolve,
        compare_every: int,
        engine: type[Rim],
    ) -> None:
        setting = schedule.setting
        self.setting: Final = setting
        self.schedule: Final = schedule
        self.now_us = BEGIN_US
        self.weights_from = 1
        self._left_out = ""  # a master that the file does not declare
        self.tape: Final = Tape()
        self._is_standby: Final = setting.policy.mode is Mode.ACTIVE_STANDBY
        self.sink: Final = Sink(is_shared=not self._is_standby)
        self.masters: Final = {
            name: SimulatedMaster(name, self.sink, acks_later=setting.acks_later)
            for name in setting.names()
        }
        self._decide: Final = decide
        self._evolve: Final = evolve
        self._engine: Final = engine
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self.rim: Rim | None = None
        self._crash_in: list[int] = []  # boundaries until then
        self._witness: Final = Witness(
            setting,
            masters=self.masters,
            sink=self.sink,
            evolve=evolve,
            compare_every=compare_every,
            head=lambda: self.tape.head,
        )
        self._clients: Final = Clients(setting, later=self.later, engine=lambda: self.rim)
        self._boundaries = 0
        self._crashes = 0
        self._blobs = 0

    # The clock.

    def later(self, after_us: int, action: Callable[[], None]) -> None:
        """Let `action` happen after a time; what is due at one time happens in this order."""
        self._order += 1
        heapq.heappush(self._queue, (self.now_us + after_us, self._order, action))

    def _advance(self, until_us: int, *, until_quiet: bool = False) -> bool:
        """Let happen what is due until then; return whether it ended because it is quiet."""
        looked = self.tape.head
        while self._queue and self._queue[0][0] <= until_us:
            self.now_us, _, action = heapq.heappop(self._queue)
            self._do(action)
            if until_quiet and self.tape.head != looked:
                looked = self.tape.head
                if self._is_quiet():
                    return True
        self.now_us = until_us
        return False

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Crash:
            self._end_engine()
            self.later(self.setting.down_us, self._start_engine)
        self._witness.look_at_believers()

    # The engine's process.

    def boundary(self, name: str) -> None:
        """Count a boundary between two duties; end the engine there if it is its turn."""
        del name
        self._boundaries += 1
        self._crash_in = [left - 1 for left in self._crash_in]
        if self._crash_in and min(self._crash_in) <= 0:
            self._crash_in = [left for left in self._crash_in if left > 0]
            raise Crash

    def _start_engine(self) -> None:
        if self.rim is None:
            self.rim = self._engine(self, decide=self._decide, evolve=self._evolve)
            self.rim.start()

    def _end_engine(self) -> None:
        if self.rim is not None:
            self._crashes += 1
            self.rim.is_alive = False
            self.rim = None

    # What the engine tells.

    def send(
        self, master: str, request: Request, reply: Callable[[Answer], None],
        refused: Callable[[], None],
    ) -> None:  # fmt: skip
        """Carry a request there and its answer back, unless a fault prevents it."""
        receiver = self.masters[master]
        boot = receiver.boot
        if receiver.is_cut:
            return
        if receiver.phase is Phase.DOWN:
            self.later(LATENCY_US, refused)
            return

        def arrive() -> None:
            if receiver.is_cut:
                return
            if receiver.boot != boot:  # the connection was to the process before
                answered(CLOSED)
            else:
                receiver.receive(request, answered)

        def answered(answer: Answer) -> None:
            if not receiver.is_cut and not receiver.is_mute:
                self.later(LATENCY_US + receiver.slow_us, lambda: reply(answer))

        self.later(LATENCY_US, arrive)

    def work(self, deliver: Deliver) -> Answer:
        """Let the master do a message; one that answers "taken" acknowledges it in a while."""
        answer = self.masters[deliver.master].deliver(deliver.key, epoch=deliver.epoch)
        if answer.status is Status.TAKEN:
            self.later(ACK_US, lambda: self._acknowledge(deliver))
        return answer

    def _acknowledge(self, deliver: Deliver) -> None:
        """Post an acknowledgement once; if it is lost, the message comes again."""
        rim, master = self.rim, self.masters[deliver.master]
        if rim is not None and not rim.is_stalled and not master.is_cut and self._is_declared():
            rim.acked(deliver.master, deliver)

    def published(self, events: tuple[Recorded, ...]) -> None:
        """Let what became durable be held against what the engine believes."""
        assert self.rim is not None
        self._witness.published(events, self.tape.log, self.rim.driver)

    def receipt(self, key: str) -> None:
        """Give a client the receipt of its message."""
        self._clients.receipt(key)

    def issued(self, effect: Effect) -> None:
        """Take note of an effect that is issued."""
        assert self.rim is not None
        self._witness.issued(effect, seq=self.rim.driver.durable_state.seq)

    def spins(self) -> None:
        """Take note of a timer that is due for ever."""
        self._witness.spins()

    # What happens.

    def run(self, within_us: int) -> Run:
        """Play the schedule, stop all faults, and wait until it is quiet."""
        self._start_engine()
        self._clients.begin()
        if self.setting.policy.automation is Automation.OBSERVE and self._is_standby:
            self.masters["a"].claim(1)
        for turn in self.schedule.turns:
            self._advance(self.now_us + turn.gap_us)
            self._do(lambda turn=turn: self._take(turn))  # type: ignore[misc]
        self._heal()
        healed_seq = self.tape.head
        is_quiet = self._advance(self.now_us + within_us, until_quiet=True)
        return Run(
            schedule=self.schedule,
            log=self.tape.log,
            state=replay(self.tape.log, evolve=self._evolve),
            sink=self.sink,
            masters=self.masters,
            receipts=self._clients.receipts,
            issued=self._witness.issues,
            done_early=self._witness.done_early,
            seen=self._witness.violations,
            is_quiet=is_quiet,
            boundaries=self._boundaries,
            crashes=self._crashes,
            struck=self.tape.struck,
            virtual_us=self.now_us - BEGIN_US,
            healed_seq=healed_seq,
        )

    def _take(self, turn: Turn) -> None:
        if turn.kind in ENGINE_FAULTS:
            self._strike_engine(turn)
        elif turn.subject and turn.kind in MASTER_FAULTS:
            self._strike_master(turn, self.masters[turn.subject])
        else:
            self._work(turn)

    def _strike_engine(self, turn: Turn) -> None:
        match turn.kind:
            case "engine-crash" if turn.count == 0:
                raise Crash
            case "engine-crash":
                self._crash_in.append(turn.count)
            case "stall":
                if self.rim is not None:
                    self.rim.stall(turn.count)
            case "late":
                if self.rim is not None:
                    self.rim.be_late(turn.count)
            case _:
                self.tape.order(turn.kind, turn.count)

    def _strike_master(self, turn: Turn, master: SimulatedMaster) -> None:
        match turn.kind:
            case "crash" | "restart" | "close":
                was_up = master.phase is not Phase.DOWN
                if turn.kind == "crash":
                    master.crash()
                elif turn.kind == "restart":
                    master.restart()
                if was_up:
                    self._close(master)
            case _:
                master.strike(turn.kind, turn.count)

    def _close(self, master: SimulatedMaster) -> None:
        rim = self.rim
        if rim is not None and not master.is_cut:
            closed = rim.guarded(lambda _: rim.closed(master.name, Evidence.CLOSED))
            self.later(LATENCY_US, closed)

    def _work(self, turn: Turn) -> None:
        match turn.kind:
            case "accept":
                for _ in range(turn.count):
                    self._clients.send()
            case "keep":
                self._keep()
            case "claim":
                if self._is_standby:
                    observes = self.setting.policy.automation is Automation.OBSERVE
                    promote_by_hand(self.masters, turn.subject, observes=observes)
            case "rest":
                pass
            case _:
                self._command(turn)

    def _keep(self) -> None:
        self._blobs += 1
        body = f"blob {self._blobs}".encode()
        if self.rim is not None and not self.rim.is_stalled and self._is_declared():
            key = f"state-{self._blobs % 2}"
            self.rim.keep(key, body, hashlib.sha256(body).digest())

    def _is_declared(self) -> bool:
        return self.rim is not None and GROUP in self.rim.driver.working.groups

    # Operators.

    def _command(self, turn: Turn) -> None:
        if turn.kind in ("reload", "leave-out"):
            self.weights_from = turn.count
            self._left_out = turn.subject if turn.kind == "leave-out" else ""
            if self.rim is not None and not self.rim.is_stalled:
                self.rim.offer_file()
            return
        rim = self.rim
        if rim is not None and rim.is_stalled:
            return
        state = replay(self.tape.log, evolve=self._evolve) if rim is None else rim.driver.working
        part = state.groups.get(GROUP)
        if part is None or (turn.subject and turn.subject not in part.masters):
            return
        asked = asked_by(turn, state, self)
        if asked is None:
            return
        event, subject = asked
        if rim is not None:
            rim.observe(event, subject)
        else:
            self._command_at_rest(state, event, subject)

    def _command_at_rest(self, state: State, event: Observation, subject: str) -> None:
        """Give a command to the stopped log; what it owes is left to the next engine."""
        driver = Driver(state, decide=self._decide, evolve=self._evolve)
        event = msgspec.structs.replace(event, at_rest=True)
        driver.observe(event, subject=subject, at_us=self.now_us)
        batch = driver.take_batch(self.now_us)
        assert batch is not None
        with contextlib.suppress(LogFull, LogUncertain):
            self.tape.append(batch)

    def file_masters(self) -> tuple[Master, ...]:
        """Return the masters as the file declares them now."""
        declared = self.setting.declared(weights_from=self.weights_from)
        return tuple(master for master in declared if master.id != self._left_out)

    # The end of all faults.

    def _heal(self) -> None:
        self._clients.stop()
        self._crash_in.clear()
        self.tape.heal()
        for master in self.masters.values():
            master.heal()
        self._left_out = ""
        self._do(self._start_engine)
        self._lift()

    def _lift(self) -> None:
        rim = self.rim
        if rim is None or rim.is_stalled or not lift(rim, self.setting):
            self.later(20 * MS, self._lift)

    def _is_quiet(self) -> bool:
        rim = self.rim
        if rim is None or rim.is_stalled or self._clients.offered:
            return False
        return is_at_rest(rim.driver.durable_state, self.setting, self.masters)
