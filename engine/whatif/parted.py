"""One run from where it parts from the recorded one: the model answers, deadlines pass by its own.

What was recorded is told to it for comparison; what it decides itself is stepped here.
"""

from typing import Final

from engine.core import events as ev
from engine.core.deadlines import next_due_us
from engine.core.decider import Decide, step
from engine.core.events import FLEET, Observation, Recorded
from engine.core.state import State
from engine.core.step import Evolve
from engine.whatif.given import is_input
from engine.whatif.minutes import Minutes, Spending
from engine.whatif.model import Model, Times
from engine.whatif.spans import Item, Spans
from engine.whatif.tally import Tally

GOOD: Final = frozenset((ev.ProbeOk, ev.ProbeDegraded))
HEARD: Final = GOOD | {ev.ProbeFailed, ev.ConnectionClosed}


class Parted:
    """What this run has for itself."""

    def __init__(
        self,
        state: State,
        recorded: Tally,
        times: Times,
        spending: Spending | None,
        *,
        decide: Decide,
        evolve: Evolve,
    ) -> None:
        """Begin where both runs have the same.

        Args:
            state: Is stepped here from now on.
            recorded: What the recorded run adds up to; it is told what is recorded.
            times: How long steps and deliveries take.
            spending: What the groups have spent of their budgets; None: nobody can tell.
            decide: The rules.
            evolve: The fold.
        """
        self.state: Final = state
        self.tally: Final = recorded.copy()
        self.model: Final = Model(state, times, recorded.bad)
        self.spans: Final = Spans()
        self.minutes: Final = Minutes(spending, state)
        self.assumed = 0  # outcomes and acknowledgements that the model gave [count]
        self._recorded: Final = recorded
        self._decide: Final = decide
        self._evolve: Final = evolve

    def told(self, recorded: Recorded) -> None:
        """Take what the log has, for itself."""
        self._recorded.take(recorded)
        self.model.note(recorded)
        if not is_input(recorded):
            self.spans.take((Item(recorded=recorded),), ())

    def decided(self, taken: list[Recorded], *, is_assumed: bool = False) -> None:
        """Take what this run has, for itself."""
        for recorded in taken:
            self.tally.take(recorded)
            self.minutes.take(recorded)
        self.spans.take((), (Item(recorded=one, is_assumed=is_assumed) for one in taken))

    def heard(self, who: str, event: Observation) -> None:
        """Let the model know whether a master answers, or nobody who watches it hears anything."""
        if type(event) not in HEARD:
            return
        is_good = type(event) in GOOD
        if is_good or type(event) is ev.ConnectionClosed or who in self.tally.bad:
            self.model.heard(who, self.state.at_us, is_good=is_good)

    def stopped(self) -> None:
        """Let no engine run: nothing is under way, and nobody counts."""
        self.model.stopped()
        self.minutes.stop()

    def is_due(self, at_us: int) -> bool:
        """Return whether something comes at `at_us` or before, that no input brings about."""
        return self.state.cache.dues.next_us <= at_us or self.minutes.due_us <= at_us

    def advance(self, until_us: int) -> None:
        """Let deadlines and minutes pass and the model answer, each in its time, up to then."""
        model, minutes = self.model, self.minutes
        while True:
            due_us, answer_us = next_due_us(self.state), model.next_us
            minute_us = minutes.due_us
            if due_us is not None and due_us <= min(until_us, answer_us or until_us, minute_us):
                taken = self.step(None, FLEET, due_us)
                if taken:
                    self.decided(taken)
                    model.issue(self.state.at_us)
            elif answer_us is not None and answer_us <= min(until_us, minute_us):
                answer = model.answer(answer_us)
                if answer is not None:
                    who, event = answer
                    self.assumed += 1
                    self.decided(self.step(event, who, answer_us), is_assumed=True)
                    model.issue(self.state.at_us)
            elif minute_us <= until_us:
                for group, figures in minutes.look():
                    self.decided(self.step(figures, group, minute_us))
                    model.issue(self.state.at_us)
            else:
                return

    def step(self, event: Observation | None, who: str, at_us: int) -> list[Recorded]:
        """Decide upon an observation, or let deadlines pass; return what comes of it."""
        return step(
            self.state,
            event,
            subject=who,
            at_us=max(at_us, self.state.at_us),
            decide=self._decide,
            evolve=self._evolve_noted,
        )

    def _evolve_noted(self, state: State, recorded: Recorded) -> None:
        """Evolve, and let the model know what there is to deliver."""
        if type(recorded.event) is ev.ProbeOk:
            self._evolve(state, recorded)
            return
        sending = self.model.sending
        given = sending.given(state, recorded)
        self._evolve(state, recorded)
        sending.note(state, recorded, given)
