"""One life of the simulated engine: the real `Driver`, and around it what the runtime does.

Between any two duties there is a *boundary*, at which the world may end this life: what was on the
tape stays, all else is gone. The duties, in order: decided, appending, appended, durable,
published, effect, issued, outcome, outcome-taken, ack, acked.
"""

from collections.abc import Callable, Mapping
from typing import Final

from engine.core import events as ev
from engine.core.decider import Decide
from engine.core.detection import pace
from engine.core.driver import Batch, Driver
from engine.core.errors import CommandRefused, LogError
from engine.core.events import FLEET, Evidence, Observation
from engine.core.owed import Deliver, Effect, owed
from engine.core.policy import MS, Policy, content_digest
from engine.core.replay import replay
from engine.core.state import State
from engine.core.step import Evolve
from engine.simulation.masters import Answer, Status
from engine.simulation.outside import RETRY_US, Outside
from engine.simulation.schedule import GROUP
from engine.simulation.trying import Try

RELEASE: Final = "simulated"


class Rim:
    """A process of the engine, from its start to its end."""

    def __init__(self, outside: Outside, *, decide: Decide, evolve: Evolve) -> None:
        """Fold the tape; nothing is decided before `start`."""
        self._outside: Final = outside
        self._evolve: Final = evolve
        self.driver: Final = Driver(
            self._folded(), decide=decide, evolve=evolve, flush_us=outside.setting.flush_us
        )
        self.is_alive = True
        self._asked: dict[str, int] = {}  # by master: the probe whose answer is awaited
        self._n: dict[str, int] = {}
        self._held: set[str] = set()
        # Blobs by key that the next acknowledgement asks to be kept: digest and body.
        self._keeps: dict[str, tuple[bytes, bytes]] = {}
        self._silent: set[str] = set()  # masters whose last probe failed
        self._waiting: list[tuple[int, str]] = []  # accepted messages that are not durable
        self._taken_up_at: Final = outside.tape.head
        self._has_started = False  # and the log says so
        self._alarm = 0
        self._late_until_us = 0
        self._backlog: list[tuple[int, Callable[[int], None]]] | None = None  # while it stalls

    def _folded(self) -> State:
        return replay(self._outside.tape.log, evolve=self._evolve)

    def start(self) -> None:
        """Take up the log: say so, offer the file, look at every master."""
        self._n.update(self._members())
        self._say_started()
        self._pump()
        for name in self._outside.setting.names():
            self._probe(name)

    def _say_started(self) -> None:
        stopped_us = self.driver.working.at_us
        self._observe(ev.EngineStarted(release=RELEASE, stopped_at_us=stopped_us))
        self.offer_file()

    def _members(self) -> dict[str, int]:
        part = self.driver.working.groups.get(GROUP)
        members = {} if part is None else part.masters
        return {name: max(m.observers.values(), default=0) for name, m in members.items()}

    def offer_file(self) -> None:
        """Offer the configuration; what was seen before comes without its content."""
        policy = Policy(groups={GROUP: self._outside.setting.policy})
        masters = self._outside.file_masters()
        digest = content_digest(policy, masters)
        is_known = digest == self.driver.working.fleet.file_digest
        self._observe(
            ev.ConfigurationLoaded(digest=digest)
            if is_known
            else ev.ConfigurationLoaded(digest=digest, policy=policy, masters=masters)
        )

    # What comes in.

    def observe(self, event: Observation, subject: str) -> None:
        """Take an observation from outside: a command, an acknowledgement, a blob."""
        self._observe(event, subject)
        self._pump()

    def keep(self, key: str, body: bytes, digest: bytes) -> None:
        """Have a state blob that the next acknowledgement asks to be kept."""
        self._keeps[key] = (digest, body)

    def accept(self, key: str, lane: str, body: bytes, digest: bytes) -> bool:
        """Take a message, whose receipt is given when it is durable; return whether it is taken."""
        try:
            offer = self.driver.offer(GROUP, key=key, lane=lane, size=len(body), digest=digest)
        except CommandRefused:
            return False
        seq = offer.seq
        if offer.event is not None:
            seq = self.driver.observe(
                offer.event, subject=GROUP, at_us=self._outside.now_us, bodies={digest: body}
            )
        self._waiting.append((seq, key))
        self._pump()
        self._give_receipts()
        return True

    # The core takes it for granted that the subject of an observation exists: one that is not
    # declared, or not any more, is dropped here.

    def closed(self, name: str, evidence: Evidence) -> None:
        """See the connection held open to a master end; a fresh one is tried at once."""
        if name not in self._held or name not in self._members():
            return
        self._held.discard(name)
        self._asked[name] = self._asked.get(name, 0) + 1  # an answer under way is no answer to it
        self._observe(ev.ConnectionClosed(evidence=evidence), name)
        self._pump()
        self._probe(name)

    def acked(self, master: str, deliver: Deliver) -> None:
        """Take the acknowledgement of a message; one who left the fleet has no say."""
        if master not in self._members():
            return
        self._outside.boundary("ack")
        keeps, self._keeps = self._keeps, {}
        self.driver.observe(
            ev.MessageAcked(
                key=deliver.key,
                epoch=deliver.epoch,
                keeps=tuple((key, len(body), digest) for key, (digest, body) in keeps.items()),
            ),
            subject=master,
            at_us=self._outside.now_us,
            bodies=dict(keeps.values()),
        )
        self._outside.boundary("acked")
        self._pump()

    def _observe(self, event: Observation, subject: str = FLEET) -> None:
        self.driver.observe(event, subject=subject, at_us=self._outside.now_us)

    # Time.

    def guarded(self, action: Callable[[int], None]) -> Callable[[], None]:
        """Return what happens only in this life; a stalled engine does it late, and is told so."""

        def act() -> None:
            if not self.is_alive:
                return
            if self._backlog is not None:
                self._backlog.append((self._outside.now_us, action))
                return
            action(0)

        return act

    def _later(self, after_us: int, action: Callable[[int], None]) -> None:
        self._outside.later(after_us, self.guarded(action))

    def stall(self, for_us: int) -> None:
        """Stand still: what happens meanwhile is seen afterwards."""
        if self._backlog is None:
            self._backlog = []
            self._outside.later(for_us, lambda: self._resume(for_us))

    def be_late(self, for_us: int) -> None:
        """Judge no time-out in time for a while: each look at the clock comes too late."""
        self._late_until_us = self._outside.now_us + for_us

    @property
    def is_stalled(self) -> bool:
        """Return whether it stands still."""
        return self._backlog is not None

    def _resume(self, stall_us: int) -> None:
        if not self.is_alive or self._backlog is None:
            return
        backlog, self._backlog = self._backlog, None
        stopped_us = self.driver.durable_state.at_us
        self._observe(ev.EngineResumed(stall_us=stall_us, stopped_at_us=stopped_us))
        self._pump()
        # Answers that wait in the sockets are read before a time-out is judged.
        for due_us, action in backlog:
            action(self._outside.now_us - due_us)

    # The order of duty.

    def _pump(self) -> None:
        self._write()
        self._act()
        self._set_alarm(fired=False)

    def _write(self) -> None:
        batch = self.driver.take_batch(self._outside.now_us)
        if batch is None:
            return
        self._outside.boundary("decided")
        self._later(self._outside.setting.append_us, lambda _: self._written(batch))
        self._outside.boundary("appending")

    def _written(self, batch: Batch) -> None:
        outside = self._outside
        try:
            outside.tape.append(batch)
        except LogError:
            self.driver.reset(self._folded())
            self._waiting.clear()
            self._note_start()
            if not self._has_started:
                self._say_started()
            self._pump()
            return
        outside.boundary("appended")
        events = self.driver.durable()
        outside.boundary("durable")
        outside.published(events)
        self._has_started = True
        self._give_receipts()
        outside.boundary("published")
        self._pump()

    def _note_start(self) -> None:
        """Look whether an append of which nothing was known has stored this life's start."""
        head = self._outside.tape.head
        self._has_started = self._has_started or head > self._taken_up_at

    def _give_receipts(self) -> None:
        durable = self.driver.durable_state.seq
        for seq, key in self._waiting:
            if seq <= durable:
                self._outside.receipt(key)
        self._waiting = [(seq, key) for seq, key in self._waiting if seq > durable]

    def _act(self) -> None:
        now_us = self._outside.now_us
        for effect in self.driver.due_effects(now_us):
            self._outside.boundary("effect")
            self._outside.issued(effect)
            Try(self, self._outside, effect).begin()
            self._outside.boundary("issued")
        for deliver in self.driver.due_deliveries(now_us):
            self._outside.boundary("effect")
            self._deliver(deliver)

    def _set_alarm(self, *, fired: bool) -> None:
        due_us, now_us = self.driver.wake_at_us(), self._outside.now_us
        self._alarm += 1
        if due_us is None:
            return
        if fired and due_us <= now_us:
            self._outside.spins()
            due_us = now_us + MS
        mine = self._alarm

        def ring(_: int) -> None:
            if mine == self._alarm:
                self.driver.tick(self._outside.now_us)
                self._write()
                self._act()
                self._set_alarm(fired=True)

        self._later(max(0, due_us - now_us), ring)

    # Effects.

    def finished(self, effect: Effect, outcome: ev.Outcome) -> None:
        """Take the one outcome of an effect."""
        self._outside.boundary("outcome")
        self.driver.outcome(effect, outcome, at_us=self._outside.now_us)
        self._outside.boundary("outcome-taken")
        self._pump()

    def owes(self, effect: Effect) -> bool:
        """Return whether the durable state owes `effect`."""
        return effect in owed(self.driver.durable_state)

    def kept(self) -> Mapping[str, bytes]:
        """Return the digests of the group's kept state, whose blobs must all be there."""
        kept = dict(self.driver.durable_state.groups[GROUP].kept)
        assert all(digest in self._outside.tape.bodies for digest in kept.values())
        return kept

    def _deliver(self, deliver: Deliver) -> None:
        assert deliver.digest in self._outside.tape.bodies

        def answered(answer: Answer) -> None:
            if answer.status is Status.OK:
                self.acked(deliver.master, deliver)
            elif answer.status is Status.STALE:
                again(0)

        def again(_: int) -> None:
            retry_us = self._outside.now_us + RETRY_US
            self.driver.undelivered(deliver, retry_at_us=retry_us)
            self._pump()

        self._outside.send(
            deliver.master,
            lambda: self._outside.work(deliver),
            lambda answer: self.guarded(lambda _: answered(answer))(),
            self.guarded(again),
        )

    # Probes.

    def _probe(self, name: str) -> None:
        outside, started_us = self._outside, self._outside.now_us
        part = self.driver.working.groups.get(GROUP)
        if part is None or name not in part.masters:
            self._later(RETRY_US, lambda _: self._probe(name))  # its declaration was not stored
            return
        token = self._asked[name] = self._asked.get(name, 0) + 1
        n = self._n[name] = self._n.get(name, 0) + 1
        probe = self.driver.working.policy_of(part).probe

        def ended(event: ev.ProbeOk | ev.ProbeDegraded | ev.ProbeFailed) -> None:
            if self._asked[name] == token:
                self._asked[name] += 1
                if name in self._members():
                    self._probed(name, event, started_us)
                else:
                    self._probe(name)

        def answered(answer: Answer) -> None:
            if answer.status is Status.CLOSED:
                ended(ev.ProbeFailed(n=n, evidence=Evidence.RESET))
                return
            latency_us = outside.now_us - started_us
            ended(
                ev.ProbeDegraded(
                    n=n, latency_us=latency_us, reason="says so",
                    boot=answer.boot, epoch=answer.epoch, role=answer.role,
                )
                if answer.is_poor
                else ev.ProbeOk(
                    n=n, latency_us=latency_us,
                    boot=answer.boot, epoch=answer.epoch, role=answer.role,
                )
            )  # fmt: skip

        def refused(_: int) -> None:
            ended(ev.ProbeFailed(n=n, evidence=Evidence.REFUSED))

        def overdue(late_us: int) -> None:
            if outside.now_us < self._late_until_us:
                late_us += probe.late_us_max + 1
            ended(ev.ProbeFailed(n=n, evidence=Evidence.OVERDUE, late_us=late_us))

        if outside.masters[name].hears():
            outside.send(
                name,
                outside.masters[name].health,
                lambda answer: self.guarded(lambda _: answered(answer))(),
                self.guarded(refused),
            )
        self._later(probe.timeout_us, overdue)

    def _probed(
        self, name: str, event: ev.ProbeOk | ev.ProbeDegraded | ev.ProbeFailed, started_us: int
    ) -> None:
        self._observe(event, name)
        working = self.driver.working
        part = working.groups[GROUP]
        if isinstance(event, ev.ProbeFailed):
            self._silent.add(name)
        else:
            if working.policy_of(part).probe.hold_open:
                self._held.add(name)
            if name in self._silent:
                self._silent.discard(name)
                self.driver.answered(name)
        self._pump()
        after_us, _ = pace(working, part, part.masters[name])
        token = self._asked[name]

        def next_one(_: int) -> None:
            if self._asked[name] == token:
                self._probe(name)

        self._later(max(0, started_us + after_us - self._outside.now_us), next_one)
