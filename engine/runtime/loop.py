"""The turning of one engine: observations into the driver, batches to the log, effects to work.

The order of duty is the driver's; this module only carries: it gives batches to the writer's
thread, tells the driver when they are durable, then publishes, and hands out what is owed. All
methods run in one event loop.

Wherever it reads the time, it first looks whether it stood still itself: what it slept through must
not be judged as if it had watched.
"""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from engine.core import events as ev
from engine.core.deadlines import next_due_us
from engine.core.driver import Batch, Driver
from engine.core.errors import CommandRefused, LogConflict, LogError
from engine.core.events import FLEET, Observation, Recorded
from engine.core.owed import Deliver, Effect
from engine.core.state import State
from engine.core.terms import NO_TERMS, Terms
from engine.log.protocol import Log
from engine.log.writer import Writer
from engine.runtime.answering import Answer, Waiters
from engine.runtime.clock import Clock
from engine.runtime.control import LINES_MAX
from engine.runtime.failpoints import Failpoint, nothing
from engine.runtime.pausing import PauseFile
from engine.runtime.precedence import Precedence
from engine.runtime.recovering import Recovering
from engine.runtime.space import Space

STALL_US: Final = 1_000_000  # the engine stood still for longer than this: it says so [us]
HEARTBEAT_US: Final = 200_000
COMPANY_EVENTS: Final = 1_000  # so many good probes wait for no more: a batch costs 0.2 ms
_STARTS: Final = (ev.EngineStarted, ev.EngineResumed)  # what was missed is decided upon first
_MESSAGES: Final = (ev.MessageAccepted, ev.MessageAcked)  # they begin nothing but what is due


class Hands(Protocol):
    """What does the effects; it reports each outcome to `Turning.outcome`."""

    def start(self, effect: Effect) -> None:
        """Begin to carry out `effect`."""

    def deliver(self, deliver: Deliver) -> None:
        """Begin to send a message; `Driver.sending` is told when that has ended."""


class Turning:
    """One engine at work on one log."""

    def __init__(
        self,
        driver: Driver,
        log: Log,
        writer: Writer,
        clock: Clock,
        *,
        failpoint: Failpoint,
        space: Space | None = None,
        pause_file: PauseFile | None = None,
    ) -> None:
        self.driver: Final = driver
        self.log: Final = log
        self.clock: Final = clock
        self.space: Final = space or Space()
        self.pause_file: Final = pause_file or PauseFile()
        self._broken: LogError | None = None  # a rule failed while an append was under way
        self.failure: LogError | None = None  # why nothing can be written just now
        # Set once it has ended by itself, because the log is another's; `failure` says so.
        self.ended: Final = asyncio.Event()
        self.on_ended: Callable[[], None] = lambda: None  # called when that happens
        self.precedence: Final = Precedence(clock.at_us, self._kick)
        self.appending = ""  # the kinds of the batch that the log has now, for its failpoints
        self._writer: Final = writer
        self._failpoint: Final = failpoint
        self._hands: Hands | None = None
        self._listeners: list[Callable[[tuple[Recorded, ...]], None]] = []
        self._waiters: Final = Waiters()
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._is_kicked = False
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._turned_us = clock.at_us()
        self._is_stopping = False
        self._failed_us = 0  # since when `failure` holds
        self._is_contested = False  # the last append found the log moved by another
        self._said: set[tuple[str, str, str]] = set()  # deadlines that stay due: part, what, whose
        self._recovering: Final = Recovering(
            log, position=lambda: self.state.seq, again=self._begin_again, failed=self._lost
        )
        self._idle: asyncio.Future[None] | None = None

    @property
    def state(self) -> State:
        """Return the durable state: routes, effects and answers come from it."""
        return self.driver.durable_state

    def start(self, hands: Hands) -> None:
        """Begin to issue effects and to watch the time."""
        self._hands = hands
        self.note_space()
        self._beat()
        self._kick()

    def listen(self, listener: Callable[[tuple[Recorded, ...]], None]) -> None:
        """Call `listener` with every batch that became durable, in order."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[tuple[Recorded, ...]], None]) -> None:
        """Call `listener` no more."""
        self._listeners.remove(listener)

    async def stop(self) -> None:
        """Let what was observed become durable, then turn no more: `ask` fails from then on."""
        self._is_stopping = True
        self._unwind()
        self.precedence.end()
        self._idle = self._loop.create_future()
        if self.failure is None:
            self._kick()
        else:
            self._end()  # what could not be written was thrown away: there is nothing left
        await self._idle
        await self._recovering.stop()

    def _unwind(self) -> None:
        """Wake up for no time any more."""
        for handle in (self._timer, self._heartbeat):
            if handle is not None:
                handle.cancel()

    # Observations in.

    def record(
        self,
        event: Observation,
        *,
        subject: str = FLEET,
        bodies: Mapping[bytes, bytes] | None = None,
    ) -> int:
        """Take an observation whose answer nobody waits for; return its seq.

        While the log cannot be written nothing is taken, and 0 is returned: the engine stands
        still on what is durable, and that time counts as unknown. 0 too, if space is short and
        this is not worth it.
        """
        at_us = self._notice_stall()
        if self.space.is_short and self.space.passes_over(
            self.driver.working, subject, event, at_us
        ):
            return 0
        if type(event) is ev.ProbeOk and self.failure is None and self._is_calm(event, subject):
            return self._take_calm(event, subject, at_us)
        seq = self._take(event, subject, bodies)
        if type(event) is ev.ProbeFailed:
            self._hurry()
        return seq

    def _take_calm(self, event: ev.ProbeOk, subject: str, at_us: int) -> int:
        """Take a good probe that calls for no decision, as `_take` does and at a part of the cost.

        Of ten thousand events nearly all are such. They wait for company and nobody waits for them,
        so nothing else has to be looked at: what is due is the timer's, which they only put off.
        """
        driver = self.driver
        before, has_company = driver.working.seq, driver.is_pending or driver.is_appending
        try:
            seq = driver.observe(event, subject=subject, at_us=at_us)
        except Exception as err:
            self._broke(err)
            return 0
        if self._failpoint is not nothing:
            self._failpoint("observe.after", "ProbeOk")
        if (
            not has_company
            or driver.working.seq != before + 1  # something was due
            or not self._is_calm(event, subject)
            or (self._is_much and not driver.is_appending)
        ):
            self._kick()
        return seq

    @property
    def _is_much(self) -> bool:
        """Return whether what is not durable is company enough."""
        return self.driver.working.seq - self.state.seq >= COMPANY_EVENTS

    def _take(
        self,
        event: Observation,
        subject: str,
        bodies: Mapping[bytes, bytes] | None = None,
        terms: Terms = NO_TERMS,
    ) -> int:
        """Take an observation, whatever it is; return its seq, 0 if the log cannot be written."""
        if self.failure is not None:
            return 0
        if not self._begins_nothing(event, subject):
            self._heed_file()
        seq = 0
        self._kick()  # also if it is refused: what was due by now was decided upon before it
        with self._guarded():
            at_us = self.clock.at_us()
            seq = self.driver.observe(
                event, subject=subject, at_us=at_us, bodies=bodies, terms=terms
            )
            self.precedence.observed(self.driver.working, event, subject)
            self._failpoint("observe.after", type(event).__name__)
        return seq

    def _is_calm(self, event: Observation, subject: str) -> bool:
        """Return whether `event` is a good probe that calls for no decision."""
        if type(event) is not ev.ProbeOk:
            return False
        place = self.driver.working.cache.places.get(subject)
        return place is not None and subject in place.calm

    def _begins_nothing(self, event: Observation, subject: str) -> bool:
        """Return whether no failover can begin by `event`, so that a pause need not be known."""
        if type(event) in _MESSAGES:
            due_us = next_due_us(self.driver.working)
            return due_us is None or due_us > self.clock.at_us()
        return type(event) in _STARTS or self._is_calm(event, subject)

    def _heed_file(self) -> None:
        """Record that the file that pauses came or went, before anything else is decided upon."""
        news = self.pause_file.news(self.driver.working)
        if news is not None and not self._is_stopping:
            with self._guarded():
                self.driver.observe(news, at_us=self.clock.at_us())
            self._kick()

    def ask(
        self,
        event: Observation,
        *,
        subject: str = FLEET,
        bodies: Mapping[bytes, bytes] | None = None,
        terms: Terms = NO_TERMS,
    ) -> "asyncio.Future[Answer]":
        """Take an observation; the future has its answer when it is durable.

        It fails with LogError if the observation could not be made durable, or if nobody knows.

        Args:
            event: What was observed, or is asked for.
            subject: What it is about.
            bodies: What is stored with it, by SHA-256 digest.
            terms: What a command is given under; a key must be new to the log.

        Raises:
            CommandRefused: There is no such subject, or what was expected is not so.
        """
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._notice_stall()
        seq = self._take(event, subject, bodies, terms)
        if self.failure is not None:
            future.set_exception(self.failure)
            return future
        self._waiters.add(seq, future)
        return future

    def durable(self, seq: int) -> "asyncio.Future[Answer]":
        """Return a future that is done when the event at `seq` is durable, or fails as in `ask`."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        if seq <= self.state.seq:
            future.set_result(Answer(seq=seq, reasons=(), decisions=()))
        elif self.failure is not None:
            # It was thrown away: another event will have this seq.
            future.set_exception(self.failure)
        else:
            self._waiters.add(seq, future)
        return future

    def outcome(self, effect: Effect, outcome: ev.Outcome) -> None:
        """Take the one outcome of an effect.

        While the log cannot be written it is dropped: the effect is issued again afterwards.
        """
        self._notice_stall()
        if self.failure is not None:
            return
        self._heed_file()
        with self._guarded():
            self.driver.outcome(effect, outcome, at_us=self.clock.at_us())
        self._failpoint("outcome.after", f"{effect.step} {outcome.result.value}")
        self._kick()
        self._hurry()

    def note_space(self) -> None:
        """Record it if space is short by another step, or is there again."""
        if self.failure is None:
            news = self.space.news()
            if news is not None:
                self._take(news, FLEET)

    def kick(self) -> None:
        """Look soon whether there is something to do."""
        self._kick()

    def _notice_stall(self) -> int:
        """Say so if this engine itself stood still, before anything else is believed.

        Returns the time that it is [us].
        """
        at_us = self.clock.at_us()
        stall_us = at_us - self._turned_us
        self._turned_us = at_us
        if stall_us > STALL_US and not self._is_stopping and self.failure is None:
            stopped_at_us = self.driver.working.at_us
            resumed = ev.EngineResumed(stall_us=stall_us, stopped_at_us=stopped_at_us)
            with self._guarded():
                self.driver.observe(resumed, at_us=at_us)
            self._kick()
        return at_us

    def _notice_step(self) -> None:
        """Say so if the wall clock was set; engine time does not follow it."""
        stepped = self.clock.stepped()
        if stepped is not None and not self._is_stopping:
            offset_us, step_us = stepped
            self._take(ev.ClockStepped(offset_us=offset_us, step_us=step_us), FLEET)

    def _beat(self) -> None:
        self._notice_stall()
        if self.failure is None:
            self._heed_file()
            self._notice_step()
        if self.driver.is_holding:
            self._kick()  # the file may be gone
        self._heartbeat = self._loop.call_later(HEARTBEAT_US / 1e6, self._beat)

    # Batches out.

    def _kick(self) -> None:
        """Pump once in this turn of the loop, whatever else happens in it."""
        if not self._is_kicked:
            self._is_kicked = True
            self._loop.call_soon(self._turn)

    def _hurry(self) -> None:
        """Pump now if messages wait for a failover, and not behind all that is ready by now."""
        if self.precedence.is_held and not self.driver.is_appending:
            self._pump()

    def _turn(self) -> None:
        self._is_kicked = False
        self._pump()

    def _pump(self) -> None:
        self._notice_stall()
        at_us = self.clock.at_us()
        if self.failure is None and not self._is_stopping:
            due_us = next_due_us(self.driver.working)
            if due_us is not None and due_us <= at_us:
                self._heed_file()
            with self._guarded():
                self.driver.tick(at_us)
            self._say_spent()
        if self.failure is None:
            # Stopping, good probes wait for no company any more, nor where they are many.
            is_waited_for = not (self._is_stopping or self._is_much)
            batch = self.driver.take_batch(
                at_us if is_waited_for else 1 << 62, is_patient=self._is_patient
            )
            if batch is not None:
                self._append(batch)
            self._hand_out(at_us)
            self._arm()
            if batch is not None:
                return
        if self._is_stopping and not self.driver.is_appending:
            self._end()

    @property
    def _is_patient(self) -> bool:
        """Return whether a failover goes on that no append of mere answers shall delay."""
        return self.precedence.is_held and self.precedence.is_failover(self.driver.working)

    def _append(self, batch: Batch) -> None:
        kinds = self.appending = self._kinds(batch)
        try:
            future = self._writer.submit(batch.events, batch.bodies, batch.keyed)
        except LogError as err:
            self._lost(err)
            return
        future.add_done_callback(
            lambda done: self._loop.call_soon_threadsafe(self._appended, done, kinds)
        )

    def _kinds(self, batch: Batch) -> str:
        """Return the kinds of a batch for its failpoints; "" where none is armed."""
        if self._failpoint is nothing:
            return ""
        return " ".join(type(recorded.event).__name__ for recorded in batch.events)

    def _end(self) -> None:
        """Take nothing more: what is asked from here on fails."""
        if self.failure is None:
            self.failure = LogError("the engine has ended")
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _appended(self, done: "concurrent.futures.Future[None]", kinds: str) -> None:
        error = done.exception()
        if error is not None:
            self._lost(error)
            return
        if self._broken is None:
            self._recovering.ended()
            self._is_contested = False
            self.failure = None
        self._failpoint("durable.before", kinds)
        events = self.driver.durable()
        self._failpoint("durable.after", kinds)
        self._publish(events)
        self._failpoint("publish.after", kinds)
        if self._broken is not None:
            self._lost(self._broken)
            return
        self.note_space()
        self._pump()

    def _publish(self, events: tuple[Recorded, ...]) -> None:
        self.space.published(events)
        for listener in tuple(self._listeners):
            try:
                listener(events)
            except Exception as err:  # it is somebody else's, and the others have to hear too
                self._loop.call_exception_handler(
                    {"message": f"the listener {listener!r} failed", "exception": err}
                )
        self._waiters.settle(events)
        self.precedence.published(self.state)

    def _hand_out(self, at_us: int) -> None:
        if self._hands is None or self._is_stopping:
            return
        # Looked at only where something is to be issued that would be the first of a failover.
        is_paused = self.driver.has_first and self.pause_file.look() is not None
        for effect in self.driver.due_effects(at_us, is_paused=is_paused):
            self._hands.start(effect)
        if self.precedence.is_held:
            return
        # As many as there are connections to one master: none of them waits for another.
        for deliver in self.driver.due_deliveries(at_us, under_way_max=LINES_MAX):
            self._hands.deliver(deliver)

    def _arm(self) -> None:
        """Set the timer to when something is due that no event announces."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake_us = self.driver.wake_at_us(
            sends=not self.precedence.is_held, is_patient=self._is_patient
        )
        if wake_us is not None and not self._is_stopping:
            delay_s = max(0.0005, (wake_us - self.clock.at_us()) / 1e6)
            self._timer = self._loop.call_later(delay_s, self._pump)

    # The log said no, or a rule failed.

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except CommandRefused:
            raise
        except Exception as err:
            self._broke(err)

    def _broke(self, err: Exception) -> None:
        """Throw the working state away, because a rule failed: it may be moved by half.

        That is a bug of ours. It is said, and nothing is decided until the log was folded anew.
        """
        self._loop.call_exception_handler({"message": "a rule failed", "exception": err})
        self._broken = LogError(f"a rule failed, which is a bug: {err!r}")
        if self.driver.is_appending:
            self.failure = self._broken  # what is under way is taken note of first
        else:
            self._lost(self._broken)

    def _say_spent(self) -> None:
        """Say once of each deadline that is due whatever is done: no rule clears it.

        That is a bug of ours, too; but it concerns one part, and the others go on.
        """
        for _, part, what, subject in self.driver.spent:
            if (part, what, subject) not in self._said:
                self._said.add((part, what, subject))
                message = f"the deadline {what!r} of {subject} stays due, which is a bug"
                self._loop.call_exception_handler({"message": message})

    def _lost(self, error: BaseException) -> None:
        """Throw the working state away; only what the log holds has happened."""
        self._broken = None
        if self.failure is None:
            self._failed_us = self.clock.at_us()
        failure = error if isinstance(error, LogError) else LogError(str(error) or repr(error))
        self.failure = failure
        self.space.unsaid()
        self.precedence.end()
        self._waiters.fail(failure)
        if self._is_stopping:
            self._end()
        elif self._is_contested and isinstance(error, LogConflict):
            # It was folded again, and is not the one that the next append was decided on either:
            # somebody else writes it.
            self._unwind()
            self.ended.set()
            self.on_ended()
        else:
            self._is_contested = self._is_contested or isinstance(error, LogConflict)
            self._recovering.begin()

    def _begin_again(self, state: State, fresh: tuple[Recorded, ...]) -> None:
        """Take up the log as it is, and see whether it can be written.

        The engine stands still until that append is durable: nothing is taken, nothing issued.
        """
        self.driver.reset(state)
        if fresh:  # the append whose outcome was unknown is in the log
            self._publish(fresh)
        at_us = self.clock.at_us()
        stall_us = at_us - self._failed_us
        resumed = ev.EngineResumed(stall_us=stall_us, stopped_at_us=state.at_us)
        with self._guarded():
            self.driver.observe(resumed, at_us=at_us)
        batch = self.driver.take_batch(at_us)
        if batch is None:
            return  # a rule failed even here, and it is tried again
        self._append(batch)
