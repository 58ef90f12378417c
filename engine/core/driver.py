"""The order of duty: decide, evolve, append, durable, publish, effects, acknowledge.

A `Driver` holds two folds: the working state, which decisions are made on, and the durable one,
which routes, effects and answers are read from. It does no I/O. The runtime and the simulated
world drive this same object:

    seq = driver.observe(event, subject=..., at_us=...)    decided, in the working state only
    batch = driver.take_batch(at_us)                       append this, all or nothing
    ready = driver.durable()                               now it may be published and acted upon
    effects = driver.due_effects(at_us)                    issue these; each has one outcome

If an append fails, or nobody knows whether it succeeded, `reset` takes a state folded anew from the
log: what was only in the working state never happened, and every owed effect counts as not issued.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import msgspec

from engine.core import events as ev
from engine.core import messages
from engine.core import state as st
from engine.core.calm import is_quiet
from engine.core.deadlines import next_due_us
from engine.core.decider import Decide, decide, step
from engine.core.dues import Due
from engine.core.errors import CommandRefused
from engine.core.events import FLEET, Observation, Recorded
from engine.core.evolve import evolve, evolve_all
from engine.core.issuing import Issuing
from engine.core.owed import Deliver, Effect
from engine.core.policy import Automation
from engine.core.sending import Sending
from engine.core.state import GroupState, State
from engine.core.step import Evolve
from engine.core.terms import NO_TERMS, Keyed, Terms, unmet

Digest: TypeAlias = bytes


# What an observation may be about, where it is not the fleet.
_SUBJECTS: Final[dict[type, tuple[str, ...]]] = {
    **dict.fromkeys(
        (
            ev.ProbeOk,
            ev.ProbeDegraded,
            ev.ProbeFailed,
            ev.ConnectionClosed,
            ev.LoadReported,
            ev.MessageAcked,
            ev.Outcome,
            ev.ExclusionAsked,
            ev.DrainAsked,
            ev.MasterRemoveAsked,
        ),
        ("master",),
    ),
    **dict.fromkeys(
        (
            ev.MessageAccepted,
            ev.Approved,
            ev.SwitchoverAsked,
            ev.FailoverAsked,
            ev.StrategyAsked,
            ev.RollbackRequested,
            ev.ScheduleCancelled,
            ev.UndoAsked,
            ev.CallsCounted,
        ),
        ("group",),
    ),
    ev.ResetAsked: ("master", "group"),
    ev.FiguresDerived: ("master", "group", "fleet"),
    ev.AlertAcked: ("group", "fleet"),
    ev.Paused: ("group", "fleet"),
    ev.Resumed: ("group", "fleet"),
    ev.Released: ("master", "group", "fleet"),
    ev.MaintenanceDeclared: ("master", "group", "fleet"),
}


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be appended in one transaction."""

    events: tuple[Recorded, ...]
    bodies: dict[Digest, bytes]  # message bodies and state blobs by SHA-256
    keyed: tuple[Keyed, ...] = ()  # which of the events are of commands that came with a key
    is_quiet: bool = False  # good probes that changed nothing, and no other event


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A message that may be accepted: its observation, or the place it already has."""

    event: ev.MessageAccepted | None
    seq: int  # of the open message; 0: it is done, or new


class Driver:
    """Drives one log: observations in, batches, effects and answers out."""

    def __init__(
        self,
        state: State | None = None,
        *,
        decide: Decide = decide,
        evolve: Evolve = evolve,
        flush_us: int = 0,
    ) -> None:
        """Take up a log whose fold is `state`, which the driver owns from here on.

        `flush_us` is how long good probes that change nothing may wait for company [us].
        """
        self._decide: Final = decide
        self._evolve: Final = evolve
        self._flush_us: Final = flush_us
        state = State() if state is None else state
        self.issuing: Final = Issuing(state)
        self.sending: Final = Sending()
        self.reset(state)

    def reset(self, state: State) -> None:
        """Begin again from the fold of the log; what was not durable never happened."""
        self.durable_state = state
        self.working = st.copy(state)
        self._pending: list[Recorded] = []
        self._bodies: dict[Digest, bytes] = {}
        self._keyed: list[Keyed] = []
        self._in_flight: Batch | None = None
        self._is_urgent = self._has_moved = False
        self._since_us = 0
        self.issuing.reset(state)
        self.sending.reset(state)

    # Observations in.

    def observe(
        self,
        event: Observation,
        *,
        subject: str = FLEET,
        at_us: int,
        bodies: Mapping[Digest, bytes] | None = None,
        terms: Terms = NO_TERMS,
    ) -> int:
        """Decide upon `event` and return its seq, which is not durable yet.

        Time never goes back: an observation stamped before the state's time is taken at it. What
        is due by then is decided upon first, whatever becomes of a command with `terms`.

        Raises:
            CommandRefused: There is no such master or group, or what was expected is not so; the
                observation was not recorded.
        """
        if type(event) is ev.ProbeOk and terms is NO_TERMS:  # nine of ten, so it comes first
            seq = self.take_quietly(event, subject, at_us)
            if seq:
                return seq
        self._check_subject(event, subject)
        if terms.is_expecting:
            self.tick(at_us)
            reasons = unmet(self.working, terms)
            if reasons:
                raise CommandRefused(reasons)
        if bodies:
            self._bodies.update(bodies)
        taken = self._step(event, subject, at_us)
        if taken[0].event is event and not terms.key:
            return taken[0].seq
        seq = next(recorded.seq for recorded in taken if recorded.event is event)
        if terms.key:
            last = max((r.seq for r in taken if r.cause == seq), default=seq)
            self._keyed.append(Keyed(key=terms.key, content=terms.content, first=seq, last=last))
        return seq

    def take_quietly(self, event: ev.ProbeOk, subject: str, at_us: int) -> int:
        """Take a good probe that a step would append alone, and return its seq; 0: it is not one.

        That is what `observe` does for it, at a third of the time; what is not one is left alone.
        """
        working = self.working
        then_us = max(at_us, working.at_us)
        if not is_quiet(working, event, subject=subject, at_us=then_us):
            return 0
        seq = working.seq + 1
        recorded = Recorded(seq, then_us, subject, 0, event)
        self._evolve(working, recorded)
        if not self._pending:
            self._since_us = at_us
        self._pending.append(recorded)
        return seq

    def _check_subject(self, event: Observation, subject: str) -> None:
        """Refuse what is about nobody: in the log it would be a corrupt event."""
        state = self.working
        expected = _SUBJECTS.get(type(event), ("fleet",))
        is_known = (
            ("master" in expected and subject in state.cache.places)
            or ("group" in expected and subject in state.groups)
            or ("fleet" in expected and subject == FLEET)
        )
        if not is_known:
            raise CommandRefused((f"expected a {' or a '.join(expected)}, found {subject!r}",))

    def tick(self, at_us: int) -> None:
        """Fire the deadlines that are due."""
        if self.working.cache.dues.next_us <= max(at_us, self.working.at_us):
            self._step(None, FLEET, at_us)

    def _step(self, event: Observation | None, subject: str, at_us: int) -> list[Recorded]:
        taken = step(
            self.working,
            event,
            subject=subject,
            at_us=max(at_us, self.working.at_us),
            decide=self._decide,
            evolve=self._evolve,
        )
        if taken:
            if not self._pending:
                self._since_us = at_us
            self._pending += taken
            self._is_urgent = self._is_urgent or not self._is_quiet(taken)
            self._has_moved = self._has_moved or len(taken) > 1 or not _is_answer(taken[0].event)
        return taken

    def _is_quiet(self, taken: list[Recorded]) -> bool:
        """Return whether `taken` is one good probe that changed nothing."""
        return (
            len(taken) == 1
            and type(taken[0].event) is ev.ProbeOk
            and taken[0].subject in self.working.cache.places[taken[0].subject].calm
        )

    def offer(self, group: str, *, key: str, lane: str, size: int, digest: Digest) -> Offer:
        """Return what accepting this message takes.

        Raises:
            CommandRefused: There is no such group, nothing new would be delivered in it, or the key
                was used for another body.
        """
        part = self.working.groups.get(group)
        if part is None:
            raise CommandRefused((f"no group {group!r}",))
        try:
            known = messages.admit(part.ledger, key, digest)
        except ValueError as err:
            raise CommandRefused((str(err),)) from err
        if known is not None:
            return Offer(event=None, seq=known)
        reason = _unacceptable(self.working, part)
        if reason:
            raise CommandRefused((reason,))
        accepted = ev.MessageAccepted(key=key, lane=lane or group, size=size, digest=digest)
        return Offer(event=accepted, seq=0)

    def spare(self, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        """Return those of `digests` that nothing needs as it stands: they may be removed now.

        Whoever removes them does it before anything else is observed.
        """
        needed = messages.needed(self.working)
        return tuple(digest for digest in digests if digest not in needed)

    def outcome(self, effect: Effect, outcome: ev.Outcome, *, at_us: int) -> None:
        """Take the one outcome of an issued effect; a repeat that changes nothing is no event."""
        is_there = effect.master in self.working.cache.places
        if self.issuing.ended(effect, outcome, at_us=at_us, is_there=is_there):
            self.observe(outcome, subject=effect.master, at_us=at_us)

    # Batches out.

    @property
    def is_appending(self) -> bool:
        """Return whether a batch was taken of which it is not known whether it is durable."""
        return self._in_flight is not None

    @property
    def is_pending(self) -> bool:
        """Return whether there is something to append that was not taken yet."""
        return bool(self._pending)

    def take_batch(self, at_us: int, *, is_patient: bool = False) -> Batch | None:
        """Return what to append now; None: nothing, or it may wait, or one is under way.

        While `is_patient`, answers of masters upon which nothing was decided wait for whatever else
        comes: an append of their own would be under way when that does.
        """
        if self._in_flight is not None or not self._pending:
            return None
        if is_patient and not self._has_moved:
            return None
        if not self._is_urgent and at_us < self._since_us + self._flush_us:
            return None
        self._in_flight = Batch(
            events=tuple(self._pending),
            bodies=self._bodies,
            keyed=tuple(self._keyed),
            is_quiet=not self._is_urgent,
        )
        self._pending, self._bodies, self._keyed = [], {}, []
        self._is_urgent = self._has_moved = False
        return self._in_flight

    def durable(self) -> tuple[Recorded, ...]:
        """Take the batch in flight as durable; return its events, to be published."""
        assert self._in_flight is not None
        events = self._in_flight.events
        is_quiet, self._in_flight = self._in_flight.is_quiet, None
        state = self.durable_state
        if is_quiet:
            evolve_all(state, events, each=self._evolve)
            return events
        evolve = self._evolve
        for recorded in events:
            if type(recorded.event) is ev.ProbeOk:
                evolve(state, recorded)
                continue
            given = self.sending.given(state, recorded)
            evolve(state, recorded)
            self.sending.note(state, recorded, given)
            self.issuing.note(recorded)
        return events

    @property
    def spent(self) -> list[Due]:
        """Return the deadlines that were acted upon and are due all the same: bugs in rules."""
        spent = self.working.cache.dues.spent
        return sorted(due for each in spent.values() for due in each) if spent else []

    # What the durable state owes.

    @property
    def has_first(self) -> bool:
        """Return whether a failover is owed its first effect, which a pause still holds back."""
        return self.issuing.has_first

    def due_effects(self, at_us: int, *, is_paused: bool = False) -> list[Effect]:
        """Return the effects to issue now; each is returned once until its outcome is in.

        While `is_paused`, of which the log need not know yet, an automatic failover that has not
        had any effect is not begun.
        """
        return self.issuing.due(at_us, is_paused=is_paused)

    @property
    def is_holding(self) -> bool:
        """Return whether a pause holds back the first effect of a failover."""
        return self.issuing.is_holding

    def answered(self, master: str) -> None:
        """Note that `master` answers again: what is owed to it need not wait any longer."""
        self.issuing.answered(master)

    def due_deliveries(self, at_us: int, *, under_way_max: int | None = None) -> list[Deliver]:
        """Return the messages to send now.

        Args:
            at_us: Engine time [us].
            under_way_max: How many may be under way to one master [count, >= 1]; the end of each
                is then told to `sending`, and before that it is not returned again. None: no
                limit, and each counts as ended when its `deliver_timeout` has passed.
        """
        return self.sending.due(self.durable_state, at_us, under_way_max=under_way_max)

    def undelivered(self, deliver: Deliver, *, retry_at_us: int) -> None:
        """Note that a message did not arrive: it may be sent again at `retry_at_us`."""
        self.sending.ended(deliver, again_us=retry_at_us)

    def wake_at_us(self, *, sends: bool = True, is_patient: bool = False) -> int | None:
        """Return when something is due that no event announces [us]; None: nothing is.

        Unless it `sends`, no message is waited for; while `is_patient`, nothing that `take_batch`
        leaves for later.
        """
        first_us = next_due_us(self.working)
        if self._pending and self._in_flight is None and (self._has_moved or not is_patient):
            written_us = self._since_us + (0 if self._is_urgent else self._flush_us)
            first_us = _earlier(first_us, written_us)
        first_us = _earlier(first_us, self.issuing.next_us())
        return _earlier(first_us, self.sending.next_us()) if sends else first_us


def _earlier(one_us: int | None, other_us: int | None) -> int | None:
    """Return the earlier of two times [us]; None: there is none."""
    if one_us is None or other_us is None:
        return other_us if one_us is None else one_us
    return min(other_us, one_us)


def _unacceptable(state: State, group: GroupState) -> str:
    """Return why no new message is accepted for `group`; "" if it is."""
    policy = state.policy_of(group)
    if policy.automation is Automation.OBSERVE:
        return f"{group.id} only observes: nothing would be delivered"
    if policy.effects != "http":
        return f'{group.id} has effects = "{policy.effects}": nothing would be delivered'
    count, most = len(group.ledger.open), policy.messages.open_max
    if count >= most:
        return f"{group.id} has {count} messages that are not done, and takes no more than {most}"
    return ""


def _is_answer(event: ev.AnyEvent) -> bool:
    """Return whether `event` only says how a master is that answers."""
    return type(event) is ev.ProbeOk or type(event) is ev.LoadReported


def refusal(events: tuple[Recorded, ...], seq: int) -> tuple[str, ...]:
    """Return the reasons for which the command at `seq` was refused; empty if it was not."""
    for recorded in events:
        if recorded.cause == seq and isinstance(recorded.event, ev.Refused):
            return recorded.event.reasons
    return ()
