"""One life of the simulated engine: the real `Driver`, and around it what the runtime does.

Between any two duties there is a *boundary*, at which the world may end this life: what was on the
tape stays, all else is gone. The duties, in order: decided, appending, appended, durable,
published, effect, issued, outcome, outcome-taken, ack, acked.
"""

from collections.abc import Callable, Mapping
from typing import Final

from engine.core import events as ev
from engine.core.decider import Decide
from engine.core.driver import Batch, Driver
from engine.core.errors import CommandRefused, LogError
from engine.core.events import FLEET, Evidence, Observation
from engine.core.fleet import Master
from engine.core.leading import leader
from engine.core.owed import Deliver, Effect, owed_of
from engine.core.policy import MS, Policy, content_digest
from engine.core.replay import replay
from engine.core.scarcity import matters
from engine.core.standing import Heard, Lack
from engine.core.state import GroupState, State
from engine.core.step import Evolve
from engine.log.shortage import Shortage
from engine.simulation.comparing import lack_of
from engine.simulation.masters import Answer, Status
from engine.simulation.outside import RETRY_US, Outside
from engine.simulation.owntime import OwnTime
from engine.simulation.tape import Torn
from engine.simulation.trying import Try
from engine.simulation.watching import Late, Probes

RELEASE: Final = "simulated"
WALL_STEP_US: Final = 100 * MS  # a smaller step of the wall clock is not worth a word


class Rim(OwnTime):
    """A process of the engine, from its start to its end."""

    def __init__(self, outside: Outside, *, decide: Decide, evolve: Evolve) -> None:
        """Fold the tape; nothing is decided before `start`."""
        super().__init__(outside)
        self._evolve: Final = evolve
        self.driver: Final = Driver(
            self._folded(), decide=decide, evolve=evolve, flush_us=outside.setting.flush_us
        )
        self.is_alive = True  # this life goes on
        self.is_here = True  # and is not stalled
        self.not_before(self.driver.working.at_us)
        self._probes: Final = Probes(self, outside)
        self._disk: Final = outside.tape.disk
        # Blobs by key that the next acknowledgement asks to be kept: digest and body.
        self._keeps: dict[str, tuple[bytes, bytes]] = {}
        self._shortage: Final = Shortage(lambda: outside.tape.disk.figures)
        self._waiting: list[tuple[int, str]] = []  # accepted messages that are not durable
        self._taken_up_at: Final = outside.tape.head
        self._has_started = False  # and the log says so
        self._alarm = 0
        self._alarm_us = 0  # of the world: when it rings; 0: none is set
        self._is_flush_set = False
        self._append_from_us = 0  # of the world: not before
        self._backlog: list[tuple[int, Late]] | None = None  # while it stalls

    def _folded(self) -> State:
        return replay(self._outside.tape.kept(), evolve=self._evolve)

    def start(self) -> None:
        """Take up the log: say so, offer the file, look at every master."""
        self._say_started()
        self._pump()
        self._probes.begin()

    def _say_started(self) -> None:
        stopped_us = self.driver.working.at_us
        self._observe(ev.EngineStarted(release=RELEASE, stopped_at_us=stopped_us))
        self.offer_file()

    def offer_file(self) -> None:
        """Offer the configuration; what was seen before comes without its content."""
        groups = self._outside.setting.groups()
        policy = Policy(
            groups={group.id: group.policy for group in groups},
            fleet=self._outside.setting.fleet,
            alerts=self._outside.setting.alerts,
        )
        masters = self._outside.file_masters()
        digest = content_digest(policy, masters)
        is_known = digest == self.driver.working.fleet.file_digest
        self._observe(
            ev.ConfigurationLoaded(digest=digest)
            if is_known
            else ev.ConfigurationLoaded(digest=digest, policy=policy, masters=masters)
        )

    def declared(self) -> tuple[Master, ...]:
        """Return the masters as the file declares them."""
        return self._outside.file_masters()

    # Its clock.

    def see_wall(self, step_us: int) -> None:
        """See that the wall clock was set: that is said, and engine time does not move."""
        if abs(step_us) > WALL_STEP_US and self.is_here and self._has_started:
            offset_us = self._outside.wall_us - self.now_us
            self._observe(ev.ClockStepped(offset_us=offset_us, step_us=step_us))
            self._pump()

    def end(self) -> None:
        """Be over; what was to happen in this life does not."""
        self.is_alive = self.is_here = False

    # What comes in.

    def observe(self, event: Observation, subject: str) -> None:
        """Take an observation from outside: a command, an acknowledgement, a blob."""
        self._observe(event, subject)
        self._pump()

    def keep(self, key: str, body: bytes, digest: bytes) -> None:
        """Have a state blob that the next acknowledgement asks to be kept."""
        self._keeps[key] = (digest, body)

    def accept(self, key: str, group: str, lane: str, body: bytes, digest: bytes) -> bool:
        """Take a message, whose receipt is given when it is durable; return whether it is taken."""
        try:
            offer = self.driver.offer(group, key=key, lane=lane, size=len(body), digest=digest)
        except CommandRefused:
            return False
        seq = offer.seq
        if offer.event is not None:
            if self._disk.is_short:
                return False
            seq = self.driver.observe(
                offer.event, subject=group, at_us=self.now_us, bodies={digest: body}
            )
        self._waiting.append((seq, key))
        self._pump()
        self._give_receipts()
        return True

    # The core takes it for granted that the subject of an observation exists: one that is not
    # declared, or not any more, is dropped here.

    def closed(self, name: str, evidence: Evidence) -> None:
        """See the connection held open to a master end."""
        self._probes.closed(name, evidence)

    def acked(self, master: str, deliver: Deliver) -> None:
        """Take the acknowledgement of a message; one who left the fleet has no say."""
        if master not in self.driver.working.cache.places:
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
            at_us=self.now_us,
            bodies=dict(keeps.values()),
        )
        self._outside.boundary("acked")
        self._pump()

    def seen(self, event: Observation, subject: str) -> None:
        """Take what a probe saw; after a good one that changes nothing there is little to do."""
        working = self.driver.working
        if self._disk.is_short and self.passes_over(event, subject):
            if not self._outside.tape.is_closed:
                self._outside.left_out(subject, self.now_us)
            return
        before = working.seq
        self._observe(event, subject)
        if (
            type(event) is ev.ProbeOk
            and working.seq == before + 1
            and subject in working.cache.places[subject].calm
        ):
            if not self._is_flush_set:  # else it is written then
                self._write()
        else:
            self._pump()

    def heard(self, event: ev.ProbeOk, subject: str) -> bool:
        """Take a good probe that changes nothing; return False, and take nothing, if it does."""
        if self._disk.is_short or not self.driver.take_quietly(event, subject, self.now_us):
            return False
        if not self._is_flush_set:  # else it is written then
            self._write()
        return True

    def passes_over(self, event: Observation, subject: str) -> bool:
        """Return whether `event` is not worth its space while that is short."""
        return not matters(self.driver.working, subject, event, self.now_us)

    def sweep(self) -> None:
        """Remove the bodies that nothing needs any more."""
        digests = self.spared()
        if digests:
            self.observe(ev.BodiesRemoved(digests=digests, why="simulated"), FLEET)

    def spared(self) -> tuple[bytes, ...]:
        """Return the bodies that may go."""
        return self.driver.spare(self._outside.tape.bodies)

    def _observe(self, event: Observation, subject: str = FLEET) -> None:
        self.driver.observe(event, subject=subject, at_us=self.now_us)

    # Time.

    def guarded(self, action: Late) -> Callable[[], None]:
        """Return what happens only in this life; a stalled engine does it late, and is told so."""
        return lambda: self.postponed(action)

    def postponed(self, action: Late) -> None:
        """Let `action` happen now if this life goes on, or when a stall is over."""
        if not self.is_alive:
            return
        if self._backlog is not None:
            self._backlog.append((self._outside.now_us, action))
            return
        action(0)

    def later(self, after_us: int, action: Late) -> None:
        """Let `action` happen after a time, in this life; it is told by how much too late."""
        self._outside.at(after_us, self.postponed, action)

    def stall(self, for_us: int) -> None:
        """Stand still: what happens meanwhile is seen afterwards."""
        if self._backlog is None:
            self._outside.heard_nothing()
            self._backlog = []
            self.is_here = False
            self._outside.later(for_us, lambda: self._resume(for_us))

    @property
    def is_stalled(self) -> bool:
        """Return whether it stands still."""
        return self._backlog is not None

    def _resume(self, stall_us: int) -> None:
        if not self.is_alive or self._backlog is None:
            return
        backlog, self._backlog = self._backlog, None
        self.is_here = True
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
        self._set_alarm()

    def _write(self) -> None:
        if self._outside.now_us < self._append_from_us:
            return
        batch = self.driver.take_batch(self.now_us)
        if batch is None:
            if not self._is_flush_set and self.driver.is_pending:
                self._is_flush_set = True
                self.later(self._outside.setting.flush_us, self._flush)
            return
        self._outside.boundary("decided")
        self._outside.at(self._outside.setting.append_us, self._have_written, batch)
        self._outside.boundary("appending")

    def _flush(self, _: int) -> None:
        """Append the good probes that waited for company; those that came later wait again."""
        self._is_flush_set = False
        if self.driver.is_pending and not self.driver.is_appending:
            self._write()

    def _have_written(self, batch: Batch) -> None:
        if self.is_here:
            self._written(batch)
        else:
            self.postponed(lambda _: self._written(batch))

    def _written(self, batch: Batch) -> None:
        outside = self._outside
        try:
            outside.tape.append(batch)
        except Torn:
            outside.end_engine()
        except LogError:
            self._begin_again()
            return
        outside.boundary("appended")
        events = self.driver.durable()
        outside.boundary("durable")
        outside.published(events, is_quiet=batch.is_quiet)
        self._has_started = True
        self._shortage.published(events)
        news = self._shortage.news() if self._disk.was_full else None
        if news is not None:
            self._observe(news)
        if self._waiting:
            self._give_receipts()
        outside.boundary("published")
        if batch.is_quiet and news is None:
            if not self._is_flush_set and self.driver.is_pending:
                self._write()
        else:
            self._pump()

    def _begin_again(self) -> None:
        """Fold the log anew, after an append that failed or of which nothing is known."""
        self.driver.reset(self._folded())
        self._shortage.unsaid()
        self.not_before(self.driver.working.at_us)  # somebody else may have a clock that is ahead
        self._waiting.clear()
        self._note_start()
        if self._outside.tape.is_closed:
            self._outside.heard_nothing()
            if not self._has_started:
                self._outside.end_engine()
            self._append_from_us = self._outside.now_us + RETRY_US
            self.later(RETRY_US, lambda _: self._pump())
            return
        if not self._has_started:
            self._say_started()
        self._pump()

    def _note_start(self) -> None:
        """Look whether an append of which nothing was known has stored this life's start."""
        since = self._outside.tape.after(self._taken_up_at)
        self._has_started = self._has_started or any(
            isinstance(recorded.event, ev.EngineStarted) for recorded in since
        )

    def _give_receipts(self) -> None:
        durable = self.driver.durable_state.seq
        for seq, key in self._waiting:
            if seq <= durable:
                self._outside.receipt(key)
        self._waiting = [(seq, key) for seq, key in self._waiting if seq > durable]

    def _act(self) -> None:
        now_us = self.now_us
        for effect in self.driver.due_effects(now_us):
            self._outside.boundary("effect")
            self._outside.issued(effect)
            Try(self, self._outside, effect).begin()
            self._outside.boundary("issued")
        for deliver in self.driver.due_deliveries(now_us):
            self._outside.boundary("effect")
            self._deliver(deliver)

    def _set_alarm(self, *, has_fired: bool = False) -> None:
        """Wake when something is due; one that was set for earlier finds nothing, and sets it."""
        due_us, now_us, world_us = self.driver.wake_at_us(), self.now_us, self._outside.now_us
        if self.driver.spent:
            self._outside.spins()
        if due_us is None:
            return
        waits_us = self._append_from_us - world_us
        if has_fired and due_us <= now_us:
            if waits_us <= 0:
                self._outside.spins()
            due_us = now_us + max(MS, waits_us)
        after_us = self.world_us(max(0, due_us - now_us))
        if 0 < self._alarm_us <= world_us + after_us:
            return
        self._alarm += 1
        self._alarm_us = world_us + after_us
        self._outside.at(after_us, self._ring, self._alarm)

    def _ring(self, alarm: int) -> None:
        if alarm != self._alarm:
            return
        if not self.is_here:
            self.postponed(lambda _: self._ring(alarm))
        elif self.starved_us > 0:
            self._alarm_us = self._outside.now_us + self.starved_us
            self._outside.at(self.starved_us, self._ring, alarm)
        else:
            self._alarm_us = 0
            self.driver.tick(self.now_us)
            self._write()
            self._act()
            self._set_alarm(has_fired=True)

    # Effects.

    def finished(self, effect: Effect, outcome: ev.Outcome) -> None:
        """Take the one outcome of an effect."""
        self._outside.boundary("outcome")
        self.driver.outcome(effect, outcome, at_us=self.now_us)
        self._outside.boundary("outcome-taken")
        self._pump()

    def owes(self, effect: Effect) -> bool:
        """Return whether the durable state owes `effect`."""
        state = self.driver.durable_state
        group = state.groups.get(effect.group)
        return group is not None and effect in owed_of(state, group)

    def kept(self, group: str) -> Mapping[str, bytes]:
        """Return the digests of the state kept for `group`, whose blobs must all be there."""
        kept = dict(self.driver.durable_state.groups[group].kept)
        for digest in kept.values():
            if digest not in self._outside.tape.bodies:
                self._outside.missing(digest)
        return kept

    def leader(self, group: str) -> str:
        """Return whom the standbys of `group` have to follow; "": nobody just now."""
        state = self.driver.durable_state
        return leader(state, state.groups[group])

    def part(self, group: str) -> GroupState:
        """Return the durable state of `group`."""
        return self.driver.durable_state.groups[group]

    def lack(
        self, heir: Answer, heard: list[Heard], *, silent: set[str], served: int
    ) -> Lack | None:
        """Return what an heir lacks that somebody has."""
        return lack_of(heir, heard, silent=silent, served=served)

    def learnt(self, answers: Mapping[str, Answer]) -> None:
        """Take what masters said when an heir was held against them."""
        for name, answer in answers.items():
            if answer.standing is not None and name in self.driver.working.cache.places:
                self._observe(answer.standing.report(), name)

    def _deliver(self, deliver: Deliver) -> None:
        if deliver.digest not in self._outside.tape.bodies:
            self._outside.missing(deliver.digest)

        def answered(answer: Answer) -> None:
            if answer.status is Status.OK:
                self.acked(deliver.master, deliver)
            elif answer.status is Status.STALE:
                again(0)

        def again(_: int) -> None:
            retry_us = self.now_us + RETRY_US
            self.driver.undelivered(deliver, retry_at_us=retry_us)
            self._pump()

        self._outside.send(
            deliver.master,
            lambda: self._outside.work(deliver),
            lambda answer: self.guarded(lambda _: answered(answer))(),
            self.guarded(again),
        )
