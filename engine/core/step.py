"""The sheet that one step is written on: what was observed, and what was decided upon it."""

from collections.abc import Callable
from typing import Final, TypeAlias

from engine.core.events import AnyEvent, Observation, Recorded
from engine.core.state import State

Evolve: TypeAlias = Callable[[State, Recorded], None]

STEP_EVENTS_MAX: Final = 100_000  # more: two rules feed each other; ten times the largest fleet


class Step:
    """Collects what one step appends; `emit` evolves the working state before it returns.

    So the next rule sees what the last one decided, and no rule needs to know who asks it.
    """

    def __init__(self, state: State, evolve: Evolve) -> None:
        self.state: Final = state
        self.subject = ""
        self.seq = 0  # of the observation that is being decided upon
        self.recorded: Final[list[Recorded]] = []
        self._evolve: Final = evolve

    def observe(self, event: Observation, *, subject: str, at_us: int) -> None:
        """Place an observation; what is emitted from here on is caused by it."""
        self.subject = subject
        self._place(event, subject=subject, at_us=at_us, cause=0)
        self.seq = self.state.seq

    def emit(self, event: AnyEvent, *, subject: str = "") -> None:
        """Place a decision about `subject`, by default the observation's."""
        self._place(event, subject=subject or self.subject, at_us=self.state.at_us, cause=self.seq)

    def _place(self, event: AnyEvent, *, subject: str, at_us: int, cause: int) -> None:
        assert at_us >= self.state.at_us
        assert len(self.recorded) < STEP_EVENTS_MAX
        seq = self.state.seq + 1
        recorded = Recorded(seq=seq, at_us=at_us, subject=subject, cause=cause, event=event)
        self._evolve(self.state, recorded)
        assert self.state.seq == seq
        self.recorded.append(recorded)
