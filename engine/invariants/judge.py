"""The invariants of a log, each judged in a time that does not grow with the log.

What is followed is in followed.py. An invariant that was broken is said once: what comes after it
is a consequence more often than news.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from engine.core import events as ev
from engine.core import state as st
from engine.core.blocking import ASKED
from engine.core.events import AnyEvent, Recorded
from engine.core.fleet import Mode, Role
from engine.core.machines import FAILOVER_ROWS, HEALTH_ROWS, ROLE_ROWS
from engine.core.policy import Automation, FenceKind
from engine.invariants import beside, queues
from engine.invariants.followed import Book, Followed, FollowedGroup, stale, unfit

COUNTED_MAX: Final = 1_000  # starts that are remembered; more than any limit allows

INVARIANTS: Final[dict[str, str]] = {
    "gapless": "Every seq follows the one before, no time goes back, causes and evidence are past.",
    "one active": "No two masters of an active-standby group hold an activation or try for one.",
    "epochs ascend": "Every epoch of a group is drawn once, above all that were drawn before.",
    "fence before promote": "Nobody takes over before whoever served is fenced, as its kind asks.",
    "heirs are fit": "Nobody is made heir who is fenced, serves, is out, unwell or unheard of.",
    "heirs are fresh": "No heir is further behind, or lags more, than the policy lets it.",
    "one failover": "A group has one failover open at most, and what ends is what was open.",
    "every move is a row": "Every move of a machine is a row of its table.",
    "messages are done once": "What is done was accepted and assigned, and neither happens twice.",
    "budgets are kept": "No more attempts or failovers than the policy has, but for approved ones.",
    "programs are heeded": "No step begins before the program that it waits for has ended well.",
    "healing is bounded": "No more attempts to heal a master than the policy has, each backed off.",
    "enough serve": "No master is ejected that too few would be left without, nor for too long.",
    "refusals stand alone": "Nothing follows a refused command but its refusal.",
}

_ROWS: Final[dict[tuple[type[AnyEvent], Any], Any]] = {
    (kind, source): dest
    for rows in (HEALTH_ROWS, ROLE_ROWS, FAILOVER_ROWS)
    for kind, source, dest in rows
}
_HEALTH_KINDS: Final = frozenset(kind for kind, _, _ in HEALTH_ROWS)
_ROLE_KINDS: Final = frozenset(kind for kind, _, _ in ROLE_ROWS)
_FAILOVER_KINDS: Final = frozenset(kind for kind, _, _ in FAILOVER_ROWS)
_MOVES: Final = _HEALTH_KINDS | _ROLE_KINDS | _FAILOVER_KINDS
_RESTS_ON: Final = frozenset(
    kind for kind in ev.KINDS.values() if "evidence" in kind.__struct_fields__
)
_STANDS_BY: Final = (Role.STANDBY.value, Role.FENCED.value)
_TOLD: Final = (ev.AlertPending, ev.AlertRaised, ev.AlertCleared)


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """An invariant that did not hold, where, and what was found instead."""

    invariant: str
    seq: int
    found: str


class Invariants:
    """Follows one log, and says what does not hold."""

    def __init__(self, *, limits: bool = True) -> None:
        """Begin before the first event; `limits`: also hold the budgets against the policy."""
        self.broken: Final[list[Broken]] = []
        self.rows: Final[dict[tuple[str, str, str], int]] = {}  # kind, source, dest: times
        self._said: Final[set[str]] = set()
        self._book: Final = Book()
        self._limits: Final = limits
        self._seq = 0
        self._at_us = 0
        self._cause = 0  # of the events that were decided last
        self._caused = 0  # how many they are
        self._is_refused = False
        self._is_said = False  # somebody says how fresh its data is
        self._on: Final[dict[type[AnyEvent], Callable[[Recorded, Any], None]]] = {
            ev.LogBased: self._based,
            ev.ProbeDegraded: self._good,
            ev.ProbeFailed: self._failed,
            ev.LoadReported: self._reported,
            ev.PolicyAdopted: lambda _, event: self._book.adopt(event),
            ev.MasterAdded: lambda recorded, event: self._book.add(recorded.subject, event),
            ev.MasterRemoved: lambda recorded, _: self._book.remove(recorded.subject),
            ev.Activated: self._activated,
            ev.PromotionStarted: self._promoted,
            ev.MasterFenced: self._fenced,
            ev.FenceConfirmed: self._confirmed,
            ev.MasterRejoined: self._confirmed,
            ev.DrainEnded: self._drained,
            ev.TransferStarted: self._transferred,
            ev.FailoverStarted: self._started,
            ev.ApprovalGiven: self._approved,
            ev.AttemptStarted: self._attempted,
            ev.AttemptFailed: self._attempt_failed,
            ev.FailoverEnded: self._ended,
            ev.ExclusionChanged: self._excluded,
            ev.DrainChanged: self._rested,
            ev.MaintenanceDeclared: self._maintained,
            ev.RollbackAccepted: self._rolled_back,
            ev.MessageAccepted: self._accepted,
            ev.MessagesAssigned: self._assigned,
            ev.MessageDone: self._done,
            ev.Released: self._released,
            ev.HookStarted: self._hooked,
            ev.HookEnded: self._hooked,
            ev.Outcome: self._hooked,
            ev.RecoveryStarted: self._healed,
            ev.MasterEjected: self._ejected,
            ev.MasterReadmitted: self._ejected,
            ev.MasterHealthy: self._well,
            ev.MasterDegraded: self._well,
            ev.ResetAsked: self._well,
        }

    def take_all(self, events: Iterable[Recorded]) -> None:
        """Judge the next events of the log, one after the other.

        Most are good probes in order, and these are taken without a call.
        """
        masters, seq, at_us = self._book.masters, self._seq, self._at_us
        for recorded in events:
            event = recorded.event
            if (
                type(event) is ev.ProbeOk
                and recorded.seq == seq + 1
                and recorded.at_us >= at_us
                and not recorded.cause
                and not event.observer
                and not self._is_said
            ):
                seq, at_us = recorded.seq, recorded.at_us
                master = masters.get(recorded.subject)
                if master is not None and event.n > master.n:
                    master.n, master.good_us, master.says = event.n, at_us, event.role
                continue
            self._seq, self._at_us = seq, at_us
            self.take(recorded)
            masters, seq, at_us = self._book.masters, self._seq, self._at_us
        self._seq, self._at_us = seq, at_us

    def take(self, recorded: Recorded) -> None:
        """Judge the next event of the log."""
        event, seq = recorded.event, recorded.seq
        kind = type(event)
        if seq != self._seq + 1 or recorded.at_us < self._at_us or recorded.cause >= seq:
            self._misplaced(recorded)
        self._seq, self._at_us = seq, recorded.at_us
        if type(event) is ev.ProbeOk:  # nine of ten
            master = self._book.masters.get(recorded.subject)
            if master is None:
                return
            if event.observer:
                self._good(recorded, event)
            elif event.n > master.n:
                master.n, master.good_us, master.says = event.n, recorded.at_us, event.role
                if self._is_said:
                    master.answers(event.boot)
            return
        if recorded.cause:
            self._decided(recorded)
        if kind in _MOVES:
            self._heeds(recorded)
            self._moves(recorded, kind)
        handler = self._on.get(kind)
        if handler is not None:
            handler(recorded, event)

    def _break(self, invariant: str, recorded: Recorded, found: str) -> None:
        if invariant not in self._said:
            self._said.add(invariant)
            self.broken.append(Broken(invariant=invariant, seq=recorded.seq, found=found))

    # The log itself.

    def _misplaced(self, recorded: Recorded) -> None:
        if not self._seq and type(recorded.event) is ev.LogBased:
            return
        found = f"event {recorded.seq} at {recorded.at_us} us, caused by {recorded.cause}, "
        self._break("gapless", recorded, f"{found}after {self._seq} at {self._at_us} us")

    def _based(self, recorded: Recorded, event: ev.LogBased) -> None:
        try:
            self._book.begin(st.restore(event.state))
        except msgspec.DecodeError as err:
            self._break("gapless", recorded, f"the state it begins with: {err}")
        self._is_said = any(
            max(one.position, one.lag_us) >= 0 for one in self._book.masters.values()
        )

    def _decided(self, recorded: Recorded) -> None:
        if type(recorded.event) in _RESTS_ON:
            evidence = getattr(recorded.event, "evidence", ())
            if isinstance(evidence, tuple) and any(seq >= recorded.seq for seq in evidence):
                self._break("gapless", recorded, f"it rests on {max(evidence)}, which comes later")
        if recorded.cause != self._cause:
            self._cause, self._caused, self._is_refused = recorded.cause, 0, False
        if isinstance(recorded.event, _TOLD):
            return  # what people hear of does not follow from a command
        if isinstance(recorded.event, ev.FenceConfirmed) and recorded.event.how == "lease":
            # It ran out at that very moment, and what comes now follows from that.
            self._caused, self._is_refused = 0, False
            return
        self._caused += 1
        self._is_refused = self._is_refused or type(recorded.event) is ev.Refused
        if self._is_refused and self._caused > 1:
            found = f"{type(recorded.event).__name__} beside the refusal of {recorded.cause}"
            self._break("refusals stand alone", recorded, found)

    # The machines.

    def _moves(self, recorded: Recorded, kind: type[AnyEvent]) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is not None and kind in _HEALTH_KINDS:
            master.health = self._moved(recorded, kind, master.health)
        if master is not None and kind in _ROLE_KINDS:
            master.role = self._moved(recorded, kind, master.role)
        if kind in _FAILOVER_KINDS:
            group = self._book.group_of(recorded.subject)
            if group is not None:
                group.phase = self._moved(recorded, kind, group.phase)

    def _moved(self, recorded: Recorded, kind: type[AnyEvent], source: Any) -> Any:
        dest = _ROWS.get((kind, source))
        if dest is None:
            found = f"{kind.__name__} of {recorded.subject} while {source.value}"
            self._break("every move is a row", recorded, found)
            return source
        row = (kind.__name__, source.value, dest.value)
        self.rows[row] = self.rows.get(row, 0) + 1
        return dest

    # What goes on beside the steps.

    def _heeds(self, recorded: Recorded) -> None:
        group = self._book.group_of(recorded.subject)
        if group is not None:
            master = group.masters.get(recorded.subject)
            found = beside.unheeded(group, master, recorded.event)
            if found:
                self._break("programs are heeded", recorded, found)

    def _hooked(
        self, recorded: Recorded, event: ev.HookStarted | ev.HookEnded | ev.Outcome
    ) -> None:
        group = self._book.group_of(recorded.subject)
        found = "" if group is None else beside.hooked(group, event)
        if found:
            self._break("programs are heeded", recorded, found)

    def _healed(self, recorded: Recorded, event: ev.RecoveryStarted) -> None:
        master = self._book.masters.get(recorded.subject)
        found = "" if master is None else beside.unbounded(master, event, recorded.at_us)
        if found:
            self._break("healing is bounded", recorded, found)

    def _ejected(self, recorded: Recorded, event: ev.MasterEjected | ev.MasterReadmitted) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is None:
            return
        master.is_out = isinstance(event, ev.MasterEjected)
        found = beside.unserved(master, event, recorded.at_us, self._book)
        if found:
            self._break("enough serve", recorded, found)

    def _well(self, recorded: Recorded, _: object) -> None:
        master = self._book.masters.get(recorded.subject)
        group = self._book.groups.get(recorded.subject)
        for one in group.masters.values() if group is not None else (master,):
            if one is not None:
                beside.is_well(one)

    # Probes.

    def _good(self, recorded: Recorded, event: ev.ProbeOk | ev.ProbeDegraded) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is not None and master.is_in_order(event.n, event.observer):
            master.good_us = recorded.at_us
            if not event.observer:
                master.says = event.role
                master.answers(event.boot)

    def _reported(self, recorded: Recorded, event: ev.LoadReported) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is not None and max(event.position, event.lag_us) >= 0:
            self._is_said = True
            master.reports(event)

    def _failed(self, recorded: Recorded, event: ev.ProbeFailed) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is not None:
            master.is_in_order(event.n, event.observer)

    # Activations, epochs and fences.

    def _draw(self, recorded: Recorded, group: FollowedGroup, epoch: int) -> None:
        if epoch <= group.epoch:
            self._break("epochs ascend", recorded, f"{epoch} after {group.epoch}")
        group.epoch = max(group.epoch, epoch)

    def _activated(self, recorded: Recorded, event: ev.Activated) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is not None:
            self._draw(recorded, master.group, event.epoch)
            self._acts(recorded, master)

    def _promoted(self, recorded: Recorded, _: ev.PromotionStarted) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is None:
            return
        others = master.group.acting - {master.name}
        if others:
            found = f"{master.name} is promoted while {', '.join(sorted(others))} may act"
            self._break("fence before promote", recorded, found)
        self._acts(recorded, master)

    def _acts(self, recorded: Recorded, master: Followed) -> None:
        master.acts = True
        acting = master.group.acting
        acting.add(master.name)
        if len(acting) > 1 and master.group.policy.mode is Mode.ACTIVE_STANDBY:
            self._break("one active", recorded, f"{', '.join(sorted(acting))} are")

    def _transferred(self, recorded: Recorded, _: ev.TransferStarted) -> None:
        group = self._book.group_of(recorded.subject)
        if group is None or group.policy.fence.kind is FenceKind.GATE:
            return
        unsure = sorted(name for name, master in group.masters.items() if master.fence)
        if unsure:
            found = f"{recorded.subject} takes over, and {', '.join(unsure)} confirmed no fence"
            self._break("fence before promote", recorded, found)

    def _fenced(self, recorded: Recorded, event: ev.MasterFenced) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is None:
            return
        group = master.group
        self._draw(recorded, group, event.confirm_at)
        # Who was confirmed not to act, and says so, need not be waited for again.
        master.is_barred = master.is_barred and master.says in _STANDS_BY
        master.fence = 0 if master.is_barred else event.confirm_at
        master.acts = False
        group.acting.discard(master.name)
        back = queues.given_back(master)
        if back != event.requeued:
            found = f"{event.requeued} messages went back, {master.name} had {back}"
            self._break("messages are done once", recorded, found)

    def _confirmed(self, recorded: Recorded, event: ev.FenceConfirmed | ev.MasterRejoined) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is not None:
            master.fence = 0
            master.is_barred = isinstance(event, ev.FenceConfirmed)

    def _drained(self, recorded: Recorded, _: ev.DrainEnded) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is not None:
            master.acts = False
            master.group.acting.discard(master.name)

    # Failovers.

    def _started(self, recorded: Recorded, event: ev.FailoverStarted) -> None:
        group = self._book.groups.get(recorded.subject)
        if group is None:
            return
        if group.failover is not None:
            self._break("one failover", recorded, f"{group.failover.id} is open")
        group.failover, group.attempts, group.heir = event, 0, ""
        group.spent.clear()
        group.is_approved = False
        group.started_us = recorded.at_us
        if event.counts:
            group.counted_us = [*group.counted_us[-COUNTED_MAX:], recorded.at_us]

    def _approved(self, recorded: Recorded, _: ev.ApprovalGiven) -> None:
        group = self._book.groups.get(recorded.subject)
        if group is not None:
            group.is_approved = True

    def _attempted(self, recorded: Recorded, event: ev.AttemptStarted) -> None:
        group = self._book.groups.get(recorded.subject)
        if group is None or group.failover is None:
            return
        self._draw(recorded, group, event.epoch)
        group.attempts, group.heir = event.n, event.heir
        beside.attempted(group)
        self._within_budget(recorded, group, group.failover)
        why = group.failover.why
        is_asked = why in ASKED
        heir = group.masters.get(event.heir)
        reasons = (
            ["gone"]
            if heir is None
            else unfit(
                heir, recorded.at_us, self._book,
                is_asked=is_asked, is_forced=group.force and why == "rollback",
            )
        )  # fmt: skip
        if event.heir in group.spent:
            reasons.append("failed already")
        if reasons:
            found = f"{event.heir} is heir and {', '.join(reasons)}"
            self._break("heirs are fit", recorded, found)
        if heir is not None and self._limits and not is_asked:
            why_not = stale(heir, recorded.at_us, self._book)
            if why_not:
                self._break("heirs are fresh", recorded, f"{event.heir} is heir, and {why_not}")

    def _within_budget(
        self, recorded: Recorded, group: FollowedGroup, failover: ev.FailoverStarted
    ) -> None:
        policy = group.policy.failover
        if not self._limits:
            return
        if group.attempts > policy.attempts_max:
            found = f"attempt {group.attempts} of {policy.attempts_max}"
            self._break("budgets are kept", recorded, found)
        is_free = failover.why in ASKED or not failover.source or group.is_approved
        if is_free or not policy.limit or group.attempts > 1:
            return
        since_us = recorded.at_us - policy.limit_window_us
        counted = [then for then in group.counted_us if since_us < then]
        if len(counted) > policy.limit:
            found = f"{len(counted)} failovers within the window, {policy.limit} are allowed"
            self._break("budgets are kept", recorded, found)
        if group.policy.automation is Automation.CONFIRM:
            self._break("budgets are kept", recorded, "it went on without an approval")

    def _attempt_failed(self, recorded: Recorded, _: ev.AttemptFailed) -> None:
        group = self._book.group_of(recorded.subject)
        if group is not None:
            group.spent.add(recorded.subject)

    def _ended(self, recorded: Recorded, event: ev.FailoverEnded) -> None:
        group = self._book.groups.get(recorded.subject)
        if group is None:
            return
        found = 0 if group.failover is None else group.failover.id
        if found != event.id:
            self._break("one failover", recorded, f"{event.id} ends, {found} is open")
        elif event.result != "completed" and group.started_us in group.counted_us:
            group.counted_us.remove(group.started_us)  # it neither counts nor holds anything down
        group.failover = None

    def _released(self, recorded: Recorded, event: ev.Released) -> None:
        group = self._book.group_of(recorded.subject)
        for one in self._book.groups.values() if group is None else (group,):
            if event.scope in ("limit", "any"):
                one.counted_us = []

    def _rolled_back(self, recorded: Recorded, event: ev.RollbackAccepted) -> None:
        group = self._book.groups.get(recorded.subject)
        if group is not None:
            group.force = event.force

    # What people declare.

    def _excluded(self, recorded: Recorded, event: ev.ExclusionChanged) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is not None:
            master.is_excluded = event.excluded

    def _rested(self, recorded: Recorded, event: ev.DrainChanged) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is not None:
            master.is_drained = event.drained

    def _maintained(self, recorded: Recorded, event: ev.MaintenanceDeclared) -> None:
        subject = recorded.subject
        where = self._book.masters.get(subject) or self._book.groups.get(subject) or self._book
        # One with the same beginning takes the place of the other.
        kept = [span for span in where.maintenance if span[0] != event.from_us]
        where.maintenance = [*kept, (event.from_us, event.to_us)]

    # Messages.

    def _accepted(self, recorded: Recorded, event: ev.MessageAccepted) -> None:
        group = self._book.groups.get(recorded.subject)
        found = "" if group is None else queues.accepted(group, event.key, recorded.seq)
        if found:
            self._break("messages are done once", recorded, found)

    def _assigned(self, recorded: Recorded, event: ev.MessagesAssigned) -> None:
        master = self._book.masters.get(recorded.subject)
        if master is None:
            return
        if not master.acts:
            found = f"{master.name} gets messages and does not serve"
            self._break("one active", recorded, found)
        queues.assigned(master, event.upto)

    def _done(self, recorded: Recorded, event: ev.MessageDone) -> None:
        group = self._book.group_of(recorded.subject)
        found = "" if group is None else queues.done(group, event.key)
        if found:
            self._break("messages are done once", recorded, found)
