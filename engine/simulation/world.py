"""The deterministic world: a virtual clock, masters, a sink, a log, and the engine's real core.

    run(schedule) -> Run

The world drives the same `Driver` as the runtime does, in the order of duty, and can end the engine
at every boundary between two duties. After the last turn all faults stop: whoever is down is
started, whoever hung goes on, pauses and exclusions are lifted, and the world runs on until it is
quiet or until the time in which it has to be (`bounds`) is up.

Invariant: nothing here draws a random number or reads a clock. The same schedule gives the same
run, to the byte.
"""

from collections.abc import Callable, Mapping
from typing import Final, NoReturn

import msgspec

from engine.core import events as ev
from engine.core.decider import Decide, decide
from engine.core.events import FLEET, Recorded
from engine.core.evolve import evolve
from engine.core.fleet import Master
from engine.core.owed import Deliver, Effect
from engine.core.policy import MS, GroupPolicy, renews_lease
from engine.core.state import dump
from engine.core.step import Evolve
from engine.log.chain import ZERO
from engine.log.uncollected import seldom_collected, uncollected
from engine.simulation.bounds import bounds
from engine.simulation.clients import Clients
from engine.simulation.masters import CLOSED, Answer, Phase, Request, SimulatedMaster, Sink, Status
from engine.simulation.network import Network
from engine.simulation.observing import Observer
from engine.simulation.people import People
from engine.simulation.programs import Programs
from engine.simulation.promises import promises_of
from engine.simulation.replicas import Replicas
from engine.simulation.replication import followings
from engine.simulation.resting import Resting
from engine.simulation.rim import Rim
from engine.simulation.runs import Run, Violation
from engine.simulation.schedule import GroupSetting, Schedule, Setting, Turn
from engine.simulation.servers import Server
from engine.simulation.strikes import Strikes
from engine.simulation.tape import Tape
from engine.simulation.timeline import Crash, Timeline
from engine.simulation.witness import Witness

SPENT_US: Final = 20 * MS  # between two looks whether an engine may begin on a full disk
ACK_US: Final = 3 * MS  # from taking a message to acknowledging it, where that comes later
BASED_US: Final = 200 * MS  # of a world that another one goes on with
BEGIN_US: Final = 1_000_000  # engine time never is 0, which means "never" in the state


def run(
    schedule: Schedule,
    *,
    decide: Decide = decide,
    evolve: Evolve = evolve,
    compare_every: int = 1,
    within_us: int | None = None,
    engine: type[Rim] = Rim,
    master: type[SimulatedMaster] = SimulatedMaster,
) -> Run:
    """Return what comes of `schedule`.

    Args:
        schedule: All that happens.
        decide: The rules; a mutant comes in here.
        evolve: The fold; a mutant comes in here.
        compare_every: Live and replayed state are compared at every so many ends of a batch.
        within_us: How long to wait for rest after the last turn; None: as `bounds` says.
        engine: What the engine's process does; one that neglects a duty comes in here.
        master: What a master is; one with effects of its own comes in here.
    """
    with uncollected():
        world = World(
            schedule.setting,
            decide=decide,
            evolve=evolve,
            compare_every=compare_every,
            engine=engine,
            master=master,
        )
        world.begin()
    with seldom_collected():
        for turn in schedule.turns:
            world.turn(turn)
        return world.finish(within_us)


class World(Timeline):
    """All that there is, and the queue of what happens next.

    world = World(setting)
    world.begin()
    world.turn(Turn(kind="crash", gap_us=50_000, subject="a"))     # as often as wanted
    made = world.finish()
    """

    def __init__(
        self,
        setting: Setting,
        *,
        decide: Decide = decide,
        evolve: Evolve = evolve,
        compare_every: int = 1,
        engine: type[Rim] = Rim,
        master: type[SimulatedMaster] = SimulatedMaster,
    ) -> None:
        """See `run`; nothing happens before `begin`."""
        base = _base_of(setting) if setting.is_based else None
        super().__init__(BEGIN_US if base is None else base.at_us)
        self._begin_us: Final = self.now_us
        self.setting: Final = setting
        self.wall_offset_us = 0  # of the wall clock from the time of the world
        self._turns: Final[list[Turn]] = []
        self.tape: Final = Tape(base)
        self._groups: Final = {group.id: group for group in setting.groups()}
        self.sinks: Final = {
            group.id: Sink(is_shared=not group.is_standby) for group in setting.groups()
        }
        self._decide: Final = decide
        self._evolve: Final = evolve
        self._engine: Final = engine
        self.rim: Rim | None = None
        self._crash_in: list[int] = []  # boundaries until then
        self._witness: Final = Witness(
            setting,
            sinks=self.sinks,
            evolve=evolve,
            compare_every=compare_every,
            head=lambda: self.tape.head,
        )
        self.network: Final = Network(setting.names(), observers=setting.beside(), later=self.later)
        self.programs: Final = Programs()
        self._replicas: Replicas | None = None
        self.promises: Final = promises_of(setting, broken=self._witness.violated)
        self.servers: Final[dict[str, Server]] = {}
        self.masters: Final = {
            name: self._made(name, group, master)
            for group in setting.groups()
            for name in group.names()
        }
        self._replicas = self.replicas = Replicas(setting, self.masters, later=self.later)
        self._followings: Final = followings(self, self.servers, self.promises)
        self._strikes: Final = Strikes(self)
        self._observers: Final = [Observer(name, self) for name in setting.beside()]
        self._clients: Final = Clients(setting, later=self.later, engine=lambda: self.rim)
        self._people: Final = People(self, self._clients, decide=decide, evolve=evolve)
        self._resting: Final = Resting(
            self, self._followings, offered=self._clients.offered, evolve=evolve
        )
        self._boundaries = 0
        self._crashes = 0

    def _made(
        self, name: str, group: GroupSetting, master: type[SimulatedMaster]
    ) -> SimulatedMaster:
        sink, acks_later = self.sinks[group.id], self.setting.acks_later
        promises = self.promises.get(group.id)
        if promises is None or group.replication is None:
            return master(name, sink, acks_later=acks_later, believed=self._believed)
        made = self.servers[name] = Server(
            name,
            sink,
            acks_later=acks_later,
            believed=self._believed,
            replication=group.replication,
            lease_us=group.policy.fence.lease_us if renews_lease(group.policy) else 0,
            promoted=promises.promoted,
        )
        return made

    # The clocks.

    @property
    def head(self) -> int:
        """Return the seq of the last event in the log."""
        return self.tape.head

    @property
    def wall_us(self) -> int:
        """Return what the wall clock shows [us]."""
        return self.now_us + self.wall_offset_us

    @property
    def engine_us(self) -> int:
        """Return the engine's own time, or what it would be if it was started now [us]."""
        return self.wall_us if self.rim is None else self.rim.now_us

    def advance(self, for_us: int) -> None:
        """Let happen what is due within that time [us]."""
        self.advance_to(self.now_us + for_us)

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Crash:
            self.crashed()

    def crashed(self) -> None:
        """Let the engine's process be over, and start another one later."""
        self._end_engine()
        self.later(self.setting.down_us, self._start_engine)

    def _believed(self, master: SimulatedMaster) -> None:
        self._witness.believed(master, self.now_us)
        if self._replicas is not None:
            self._replicas.changed(master.name)

    # The engine's process.

    def boundary(self, name: str) -> None:
        """Count a boundary between two duties; end the engine there if it is its turn."""
        del name
        self._boundaries += 1
        if not self._crash_in:
            return
        self._crash_in = [left - 1 for left in self._crash_in]
        if min(self._crash_in) <= 0:
            self._crash_in = [left for left in self._crash_in if left > 0]
            raise Crash

    def end_engine(self) -> NoReturn:
        """End the engine's process here."""
        raise Crash

    def crash_in(self, boundaries: int) -> None:
        """End the engine at a boundary from here; 0: now."""
        if not boundaries:
            raise Crash
        self._crash_in.append(boundaries)

    def _start_engine(self) -> None:
        if self.rim is None and self.tape.disk.is_spent:
            self.later(SPENT_US, self._start_engine)
        elif self.rim is None:
            self._witness.heard_nothing()
            self.rim = self._engine(self, decide=self._decide, evolve=self._evolve)
            self.rim.start()

    def _end_engine(self) -> None:
        if self.rim is not None:
            self._crashes += 1
            self.rim.end()
            self.rim = None

    # What the engine tells.

    def send(
        self, master: str, request: Request, reply: Callable[[Answer], None],
        refused: Callable[[], None],
    ) -> None:  # fmt: skip
        """Carry a request there and its answer back, unless a fault prevents it."""
        receiver = self.masters[master]
        pair = self.network.pairs[master]
        boot = receiver.boot
        if receiver.phase is Phase.DOWN:
            if not pair.there.is_closed:
                pair.back.carry(refused)
            return

        def arrive() -> None:
            if receiver.boot != boot:  # the connection was to the process before
                answered(CLOSED)
            else:
                receiver.receive(request, answered)

        def answered(answer: Answer) -> None:
            pair.back.carry(lambda: reply(answer))

        pair.there.carry(arrive)

    def work(self, deliver: Deliver) -> Answer | None:
        """Let the master do a message; one that answers "taken" acknowledges it in a while."""
        answer = self.masters[deliver.master].deliver(deliver.key, epoch=deliver.epoch)
        if answer is not None and answer.status is Status.TAKEN:
            self.later(ACK_US, lambda: self._acknowledge(deliver))
        return answer

    def _acknowledge(self, deliver: Deliver) -> None:
        """Post an acknowledgement once; if it is lost, the message comes again."""
        rim, back = self.rim, self.network.pairs[deliver.master].back
        if (
            rim is not None
            and not rim.is_stalled
            and not back.is_closed
            and rim.driver.working.groups
        ):
            rim.acked(deliver.master, deliver)

    def published(self, events: tuple[Recorded, ...], *, is_quiet: bool = False) -> None:
        """Let what became durable be held against what the engine believes."""
        assert self.rim is not None
        for recorded in () if is_quiet else events:
            if isinstance(recorded.event, ev.MasterFenced):
                ago_us = self.rim.now_us - recorded.at_us
                self.replicas.fenced(recorded.subject, recorded.event.revokes, ago_us)
        self._witness.published(events, self.tape.log, self.rim.driver, is_quiet=is_quiet)

    def receipt(self, key: str) -> None:
        """Give a client the receipt of its message."""
        self._clients.receipt(key)

    def issued(self, effect: Effect) -> None:
        """Take note of an effect that is issued."""
        assert self.rim is not None
        self._witness.issued(effect, seq=self.rim.driver.durable_state.seq)

    def missing(self, digest: bytes) -> None:
        """Take note that a body is needed and is not there."""
        self._witness.missing(digest)

    def left_out(self, master: str, at_us: int) -> None:
        """Take note that a good answer of a master is not worth its space [us of the engine]."""
        self._witness.left_out(master, at_us)

    def heard_nothing(self) -> None:
        """Take note that nothing is recorded from here on, so that nothing was heard."""
        self._witness.heard_nothing()

    def compared(self, effect: Effect, answers: Mapping[str, Answer], *, served: int) -> None:
        """Take note of what each of those who answered had when an heir was let."""
        self.promises[effect.group].compared(effect, answers, served=served)

    def spins(self) -> None:
        """Take note of a timer that is due for ever."""
        self._witness.spins()

    # What happens.

    def begin(self) -> None:
        """Start the engine and the clients."""
        self._do(self._start_engine)
        self._clients.begin()
        for following in self._followings:
            following.begin()
        for group in self.setting.groups():
            if group.is_standby and not group.acts:
                self.masters[group.names()[0]].claim(1)
            for observer in self._observers:
                observer.begin(group)

    def turn(self, turn: Turn) -> None:
        """Let the time of a turn pass, and then happen what it says."""
        self._turns.append(turn)
        self.advance_to(self.now_us + turn.gap_us)
        self._do(lambda: self._take(turn))

    def broken(self) -> list[Violation]:
        """Return what was found so far; what is judged at the end is not among it."""
        self._witness.follow(self.tape.log)
        return [
            *self._witness.violations,
            *(
                Violation(law=one.invariant, seq=one.seq, found=one.found)
                for one in self._witness.judged.broken
            ),
        ]

    def finish(self, within_us: int | None = None) -> Run:
        """Stop all faults, wait until it is quiet, and return what came of it all."""
        self._heal()
        healed_seq = self.tape.head
        self._witness.follow(self.tape.log)
        state = self._witness.state
        waiting = sum(len(part.ledger.open) for part in state.groups.values())
        most = bounds(
            self.setting,
            self._turns,
            state,
            faulty_us=self.now_us - self._begin_us,
            waiting=waiting + len(self._clients.offered),
        )
        self._resting.wait()
        within_us = most.drained_us if within_us is None else within_us
        is_quiet = self.advance_to(self.now_us + within_us, until_quiet=True)
        self._witness.follow(self.tape.log)
        if self.rim is not None:
            self._witness.compare(self.rim.driver)
        self._witness.end(self.now_us)
        return Run(
            schedule=Schedule(setting=self.setting, turns=tuple(self._turns)),
            log=self.tape.log,
            state=self._witness.state,
            sinks=self.sinks,
            masters=self.masters,
            receipts=self._clients.receipts,
            issued=self._witness.issues,
            done_early=self._witness.done_early,
            seen=self._witness.violations,
            is_quiet=is_quiet,
            boundaries=self._boundaries,
            crashes=self._crashes,
            struck=self.tape.struck,
            virtual_us=self.now_us - self._begin_us,
            healed_seq=healed_seq,
            lost=self.tape.lost,
            bodies=self.tape.bodies,
            judged=self._witness.judged,
            kept=list(self.tape.kept()),
            bounds=most,
            settled=self._resting.settled,
            figures=self._witness.figures,
            promises=self.promises,
        )

    def _take(self, turn: Turn) -> None:
        if not self._strikes.takes(turn):
            self._people.work(turn)

    def overload(self, group: GroupSetting, count: int) -> None:
        """Offer messages, all at once."""
        for _ in range(count):
            self._clients.send(group.id)

    def second_writer(self) -> None:
        """Let somebody else append, who knows the head and nothing of the engine."""
        self._people.append_unasked()

    def restore(self, events: int) -> None:
        """End the engine, and put back a copy of the log that lacks the last events."""
        self.tape.restore(max(0, self.tape.head - events))
        self._witness.begin_again(self.tape.log)
        for sink in self.sinks.values():
            sink.forget()
        raise Crash

    def policy_of(self, group: str) -> GroupPolicy:
        """Return the policy that the file has for `group`."""
        return self._groups[group].policy

    def file_masters(self) -> tuple[Master, ...]:
        """Return the masters as the file declares them now."""
        return self._people.file_masters()

    # The end of all faults.

    def _heal(self) -> None:
        self._clients.stop()
        for following in self._followings:
            following.stop()
        self._crash_in.clear()
        self._strikes.heal()
        self._people.declare_all()
        self._resting.choose()
        self._do(self._start_engine)
        self._resting.begin()

    def is_quiet(self) -> bool:
        """Return whether all is well again; take note of what is."""
        return self._resting.is_over()


def _base_of(setting: Setting) -> Recorded:
    """Return the beginning of a log of which all before it was cut off, while all was well."""
    before = World(msgspec.structs.replace(setting, is_based=False, message_every_us=0))
    before.begin()
    before.advance(BASED_US)
    before.finish()
    state = before._witness.state
    based = ev.LogBased(state=dump(state), seq=state.seq, chain=ZERO)
    return Recorded(seq=state.seq, at_us=state.at_us, subject=FLEET, cause=0, event=based)
