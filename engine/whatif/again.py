"""A recorded log decided upon again: under another policy, or without something that was seen.

    WhatIf(change=...).run(log) -> Result

Inputs are what came from outside; decisions, deadlines and assumed outcomes are derived again. Up
to the first event that differs, recorded outcomes and acknowledgements are used as they are, so
that under the recorded policy the result is the log itself. From there on they are dropped, and
the model (model.py) answers.

Nothing is kept but one turn (an observation and what follows from it), so memory grows with the
fleet and with what differs, and not with the log.
"""

from collections.abc import Callable, Collection, Iterable
from typing import cast

import msgspec

from engine.core import events as ev
from engine.core import lulls
from engine.core import state as st
from engine.core.calm import is_quiet
from engine.core.deadlines import SILENCE
from engine.core.decider import Decide, decide, step
from engine.core.events import FLEET, AnyEvent, Observation, Recorded
from engine.core.evolve import evolve
from engine.core.lulls import Known, Lull
from engine.core.policy import Policy
from engine.core.state import State
from engine.core.step import Evolve
from engine.whatif.alike import alike, equal
from engine.whatif.given import ANSWERS, Change, Limits, is_input, lines, rests_on_decisions
from engine.whatif.minutes import Budgets
from engine.whatif.model import DELIVERY, Times
from engine.whatif.parted import Parted
from engine.whatif.spans import Difference, Spans
from engine.whatif.tally import FALSE_WITHIN_US, Sums, Tally, Verdict


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    recorded: Sums
    whatif: Sums
    state: State  # as it would be at the end
    diverged_at: int | None  # the seq of the first event that differs
    differences: list[Difference]
    count: int  # of all stretches that differ, also those beyond the limit
    shifted: int  # stretches that differ in time only
    assumed: int  # outcomes and acknowledgements that the model gave [count]
    left_out: int  # inputs that the other state could not take [count]
    model_us: dict[str, dict[str, int]]  # the times that the model used, by group and step
    inputs: int  # observations that were decided upon [count]
    verdicts: list[Verdict]  # every detection of this run, up to a limit


def unchanged(policy: Policy) -> Policy:
    """Return the policy as it is."""
    return policy


class WhatIf:
    """One run; it is used once."""

    def __init__(
        self,
        *,
        change: Change = unchanged,
        base: State | None = None,
        skipped: Collection[int] = (),
        times: Callable[[], Times] = Times,
        narrows: bool = False,
        false_within_us: int = FALSE_WITHIN_US,
        budgets: Budgets | None = None,
        decide: Decide = decide,
        evolve: Evolve = evolve,
    ) -> None:
        """Set up a run.

        Args:
            change: Gives the policy that is asked about for the one that was recorded; if it is
                left out, any event that is not the recorded one counts as a difference.
            base: The fold of what came before the log; it is used up. None: nothing did.
            skipped: Seqs of inputs that are left out.
            times: Gives what the recorded outcomes took, once the model is asked; it answers after
                their medians.
            narrows: Whether `change` makes a time-out smaller.
            false_within_us: A master that answers again so soon was left without need [us].
            budgets: Gives what groups had spent of their budgets where the runs part, and accounts
                for the rest. None: budgets are left out from there on.
            decide: The rules; those of another release come in here.
            evolve: The fold.
        """
        self._change = change
        self._is_strict = change is unchanged
        self._skipped = frozenset(skipped)
        self._ask_times = times
        self._times = Times()  # of deliveries, until the model needs those of steps too
        self._narrows = narrows
        self._within_us = false_within_us
        self._decide, self._evolve = decide, evolve
        self._theirs: list[Recorded] = []  # recorded since the last input, not yet compared
        self._ours: list[Recorded] = []  # the same of this run
        self._budgets = budgets
        self._parted: Parted | None = None
        self._runs = True  # whether an engine ran at this place of the log
        self._last_us = 0  # of the last recorded event
        self.last_seq = 0
        self._delivered: dict[str, dict[str, int]] = {}  # by group and key: since when it may go
        self.diverged_at: int | None = None
        self.left_out = self.inputs = 0
        self._begin(State() if base is None else base)

    def _begin(self, state: State) -> None:
        self.state = state
        self._began = state.seq
        self._recorded_policy = state.fleet.policy
        self._recorded = Tally(state, false_within_us=self._within_us)
        if not self._is_strict and state.seq:
            state.fleet.policy = self._change(state.fleet.policy)
            st.reindex(state)

    @property
    def _whatif(self) -> Tally:
        return self._recorded if self._parted is None else self._parted.tally

    def run(
        self, log: Iterable[Recorded], *, stop: Callable[["WhatIf"], bool] | None = None
    ) -> Result:
        """Return what comes of `log`.

        Args:
            log: The events that follow the base, in order.
            stop: Asked after each event whether what follows does not matter any more.

        Raises:
            LogCorrupted: The log begins with a state that cannot be read.
        """
        if self._skipped or self._narrows:
            limits = Limits(self._change, self._before()) if self._narrows else None
            for recorded, given, is_new in lines(log, skipped=self._skipped, limits=limits):
                event = given.event if given is not None and given is recorded else None
                if type(event) is not ev.ProbeOk or not self._is_quiet(given, event):  # type: ignore[arg-type]
                    self._feed(recorded, given, is_new=is_new)
                if stop is not None and stop(self):
                    break
        else:
            for recorded in log:
                self.take(recorded)
                if stop is not None and stop(self):
                    break
        return self.end()

    def take(self, recorded: Recorded) -> None:
        """Take the next event of the log, of which everything counts as it was seen."""
        event = recorded.event
        if type(event) is not ev.ProbeOk or not self._is_quiet(recorded, event):
            self._feed(recorded, recorded, is_new=False)

    @property
    def takes_lulls(self) -> bool:
        """Return whether everything counts as it was seen, by the rules of this release."""
        is_ours = self._decide is decide and self._evolve is evolve
        return is_ours and not self._skipped and not self._narrows

    def known(self, masters: set[str]) -> dict[str, Known] | None:
        """Return what the log has of these so far, if nothing follows from the same once more."""
        places, tally, parted = self.state.cache.places, self._recorded, self._parted
        known = lulls.known_of(self.state, masters)
        if known is None or self._theirs or self._ours:
            return None
        if not all(name in places[name].calm and tally.is_quiet(name, "") for name in masters):
            return None
        if parted is None:
            return known
        if not self._runs or not masters.isdisjoint(parted.tally.asked):
            return None
        return None if parted.minutes.is_planned else parted.model.known(known)

    def take_lull(self, lull: Lull, *, seq: int) -> None:
        """Take good probes of masters of which something is `known`; `seq` is the last one's."""
        lulls.take(self.state, lull)
        self.inputs += lull.count
        self._last_us, self.last_seq = lull.at_us, seq
        self._recorded.at_us = self._whatif.at_us = lull.at_us

    def _before(self) -> State:
        before = State()
        before.groups, before.fleet = self.state.groups, st.FleetState(policy=self._recorded_policy)
        return before

    def is_settled(self, after_us: int) -> bool:
        """Return whether both sides are served and at rest, some time after `after_us`."""
        if self._last_us <= after_us:
            return False
        if any(group.saga is not None for group in self.state.groups.values()):
            return False
        return self._recorded.is_at_rest and self._whatif.is_at_rest

    def _is_quiet(self, recorded: Recorded, event: ev.ProbeOk) -> bool:
        """Take a good probe if nothing waits for it, nine of ten events; return whether it was."""
        who, at_us, parted, tally = recorded.subject, recorded.at_us, self._parted, self._recorded
        seen = event
        if not tally.is_quiet(who, event.observer):
            return False
        if parted is None:
            if self._theirs or self._ours:
                return False
        elif not self._runs or who in parted.tally.asked or parted.is_due(at_us):
            return False
        else:
            found = parted.model.seen_plainly(event, who)
            if found is None:
                return False
            seen = found
        state = self.state
        if is_quiet(state, seen, subject=who, at_us=at_us):
            taken = [recorded]
            if parted is not None:
                seq = state.seq + 1
                taken = [Recorded(seq, max(at_us, state.at_us), who, recorded.cause, seen)]
            self._evolve(state, taken[0])
        else:
            taken = self._step(seen, who, at_us)
        self.inputs += 1
        self._last_us, self.last_seq = at_us, recorded.seq
        if len(taken) == 1:
            tally.at_us = self._whatif.at_us = at_us
        elif parted is None:
            self._after(recorded, event, taken)
        else:
            self._recorded.take(recorded)
            parted.decided(taken)
            parted.model.issue(at_us)
        return True

    # Together: the runs have not parted.

    def _feed(self, recorded: Recorded | None, given: Recorded | None, *, is_new: bool) -> None:
        if self._parted is None and not is_new:
            assert recorded is not None
            if not self._together(recorded):
                return
            given = recorded
        elif self._parted is None:
            self._part((recorded or given).seq)  # type: ignore[union-attr]
        self._apart(recorded, given)
        if recorded is not None:
            self._last_us, self.last_seq = recorded.at_us, recorded.seq

    def _together(self, recorded: Recorded) -> bool:
        """Take one event while both runs are one; return whether it is still to be taken apart."""
        event, at_us = recorded.event, recorded.at_us
        self._last_us, self.last_seq = at_us, recorded.seq
        if type(event) is ev.LogBased:
            self._evolve(self.state, recorded)
            self._begin(self.state)
            return False
        if 0 < recorded.cause <= self._began:
            # The base lies between an observation and what followed from it, which is a fact then.
            self._evolve(self.state, recorded)
            self._recorded.take(recorded)
            return False
        if not is_input(recorded):
            self._theirs.append(recorded)
            if _is_turn_of_engine(event):
                # An engine ran then: what was due by then was acted upon before whatever came next.
                self._ours += self._step(None, FLEET, at_us)
            return False
        observed = cast("Observation", event)
        if type(event) in ANSWERS or rests_on_decisions(event):
            self._ours += self._step(None, FLEET, at_us)
            if not self._compare():
                return True
            self._learn(recorded)
        elif type(event) is ev.MessageAccepted:
            self._delivered.setdefault(recorded.subject, {})[event.key] = at_us
        self._note_running(event)
        given = self._changed(observed)
        self.inputs += 1
        self._after(recorded, given, self._step(given, recorded.subject, at_us))
        return False

    def _after(self, recorded: Recorded, given: Observation, taken: list[Recorded]) -> None:
        """Compare what came before an input, and keep what came after it for the next turn."""
        place = next(place for place, one in enumerate(taken) if one.event is given)
        self._ours += taken[:place]
        is_same = self._compare()
        for tally in (self._recorded,) if is_same else (self._recorded, self._whatif):
            tally.take(recorded)
        if is_same:
            self._ours = taken[place + 1 :]
            return
        parted = self._parted
        assert parted is not None
        parted.decided(taken[place + 1 :])
        parted.heard(recorded.subject, given)
        parted.model.issue(self.state.at_us)

    def _compare(self) -> bool:
        """Return whether both have the same so far in this turn; if they have not, they part."""
        theirs, ours = self._theirs, self._ours
        self._theirs, self._ours = [], []
        if not theirs and not ours:
            return True
        is_same = equal if self._is_strict else alike
        for place in range(max(len(theirs), len(ours))):
            pair = theirs[place : place + 1], ours[place : place + 1]
            if not (pair[0] and pair[1] and is_same(pair[0][0], pair[1][0])):
                for recorded in theirs[:place]:
                    self._recorded.take(recorded)
                parted = self._part((pair[0] or pair[1])[0].seq)
                for recorded in theirs[place:]:
                    parted.told(recorded)
                parted.decided(ours[place:])
                return False
        for recorded in theirs:
            self._recorded.take(recorded)
            if type(recorded.event) is ev.MessagesAssigned:
                self._assigned(recorded)
        return True

    # What the model learns of messages: the times of those that were delivered before.

    def _assigned(self, recorded: Recorded) -> None:
        group = self.state.group_of(recorded.subject)
        waiting = {} if group is None else self._delivered.get(group.id, {})
        if group is not None and len(waiting) != len(group.ledger.open):
            for key in [key for key in waiting if key not in group.ledger.by_key]:
                del waiting[key]

    def _learn(self, recorded: Recorded) -> None:
        event = recorded.event
        group = self.state.group_of(recorded.subject)
        if isinstance(event, ev.MessageAcked) and group is not None:
            since_us = self._delivered.get(group.id, {}).pop(event.key, None)
            if since_us is not None:
                self._times.learn(group.id, DELIVERY, recorded.at_us - since_us)

    # Apart: the model answers.

    def _part(self, seq: int) -> Parted:
        """Let the runs part before the event `seq`."""
        self.diverged_at = seq
        self._times.add(self._ask_times())
        parted = self._parted = Parted(
            self.state,
            self._recorded,
            self._times,
            None if self._budgets is None else self._budgets(seq - 1),
            decide=self._decide,
            evolve=self._evolve,
        )
        theirs, ours = self._theirs, self._ours
        self._theirs, self._ours = [], []
        for recorded in theirs:
            parted.told(recorded)
        parted.decided(ours)
        return parted

    def _apart(self, recorded: Recorded | None, given: Recorded | None) -> None:
        parted = self._parted
        assert parted is not None
        if recorded is not None:
            parted.told(recorded)
            if _is_turn_of_engine(recorded.event) and self._runs:
                parted.advance(recorded.at_us)
        if given is None or not is_input(given) or type(given.event) in ANSWERS:
            return
        if rests_on_decisions(given.event):
            return
        event, who = cast("Observation", given.event), given.subject
        self._run_on(parted, event, given.at_us)
        if not self._takes(event, who):
            self.left_out += 1
            return
        self.inputs += 1
        event = parted.model.seen(self._changed(event), who)
        taken = parted.step(event, who, given.at_us)
        parted.decided(taken)
        if self._runs:
            parted.heard(who, event)
            if len(taken) > 1:
                parted.model.issue(self.state.at_us)

    def _run_on(self, parted: Parted, event: Observation, at_us: int) -> None:
        """Let pass the time before an input in which an engine ran."""
        if isinstance(event, ev.EngineStarted | ev.EngineResumed):
            if self._runs:
                parted.advance(min(event.stopped_at_us, at_us))
            if isinstance(event, ev.EngineStarted):
                parted.stopped()
        elif getattr(event, "at_rest", False):
            if self._runs:
                parted.advance(min(self._last_us, at_us))
                parted.stopped()
        else:
            parted.advance(at_us)
        self._note_running(event)

    def _note_running(self, event: AnyEvent) -> None:
        self._runs = not getattr(event, "at_rest", False)

    def _takes(self, event: Observation, who: str) -> bool:
        """Return whether the state, as it would be, can take an input."""
        if who != FLEET and self.state.group_of(who) is None:
            return False
        if type(event) is ev.MessageAccepted:
            return event.key not in self.state.groups[who].ledger.by_key
        return True

    # Both.

    def _step(self, event: Observation | None, who: str, at_us: int) -> list[Recorded]:
        if self._parted is not None:
            return self._parted.step(event, who, at_us)
        return step(
            self.state,
            event,
            subject=who,
            at_us=max(at_us, self.state.at_us),
            decide=self._decide,
            evolve=self._evolve,
        )

    def _changed(self, event: Observation) -> Observation:
        """Return a configuration with the policy that is asked about, anything else as it is."""
        if type(event) is not ev.ConfigurationLoaded or event.policy is None:
            return event
        if self._is_strict:
            return event
        return msgspec.structs.replace(event, policy=self._change(event.policy))

    def end(self) -> Result:
        """Return the result, as of the last recorded event."""
        last_us = max(self._last_us, self.state.at_us if self._parted is None else 0)
        if self._parted is None:
            self._ours += self._step(None, FLEET, last_us) if self.state.seq else []
            self._compare()
        parted = self._parted
        if parted is not None:
            if self._runs:
                parted.advance(last_us)
            parted.decided(parted.step(None, FLEET, last_us))
            parted.spans.close()
        spans = Spans() if parted is None else parted.spans
        for tally in (self._recorded, self._whatif):
            tally.at_us = max(tally.at_us, last_us)
        return Result(
            recorded=self._recorded.sums(),
            whatif=self._whatif.sums(),
            state=self.state,
            diverged_at=self.diverged_at,
            differences=spans.found,
            count=spans.count,
            shifted=spans.shifted,
            assumed=0 if parted is None else parted.assumed,
            left_out=self.left_out,
            model_us={} if parted is None else self._times.document(),
            inputs=self.inputs,
            verdicts=self._whatif.verdicts,
        )


def _is_turn_of_engine(event: AnyEvent) -> bool:
    return type(event) is ev.DeadlinePassed and event.what != SILENCE
