"""The budgets of groups after the runs have parted: derived again, a minute at a time.

What was recorded of them tells what the recorded decisions came to. So it is left out, and what
this run decides is accounted for as the engine does it: it looks at the budgets a minute after a
master was left, then every minute while one burns or an alert of a budget has begun; and it tells
the core what is out of the ordinary. Minutes count from the start of the engine.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol, TypeAlias

from engine.core import events as ev
from engine.core import gauges
from engine.core.events import Figures, Recorded
from engine.core.policy import MINUTE, Policy
from engine.core.state import State

NEVER: Final = sys.maxsize
# After these a group may not be served; after a start nothing is known of it.
_LEFT: Final = (
    ev.MasterFailed,
    ev.MasterFenced,
    ev.ActivationLost,
    ev.DrainEnded,
    ev.EngineStarted,
)
_PLAIN: Final = (ev.ProbeOk, ev.LoadReported)  # that are no part of any account


class Spending(Protocol):
    """How fast groups spend what their objectives leave them."""

    def take(self, recorded: Recorded) -> None:
        """Account for an event, in the order of the run."""

    def figures(self, policy: Policy, at_us: int) -> Mapping[str, Figures]:
        """Return the figures of each group up to `at_us`, by its name."""


Budgets: TypeAlias = Callable[[int], Spending]  # gives what was spent up to a seq of the log


class Minutes:
    """Accounts for one run that has parted."""

    def __init__(self, spending: Spending | None, state: State) -> None:
        """Look at the budgets for the first time when a minute is over; None: nobody can."""
        self._spending: Final = spending
        self._state: Final = state
        self._is_burning = True  # or may be: it was not looked at since a master was left
        self.due_us = NEVER  # when it is looked at next
        self._plan(state.at_us)

    @property
    def is_planned(self) -> bool:
        """Return whether the budgets are looked at again."""
        return self.due_us != NEVER

    def take(self, recorded: Recorded) -> None:
        """Account for an event of this run."""
        if self._spending is None or type(recorded.event) in _PLAIN:
            return
        self._spending.take(recorded)
        if type(recorded.event) in _LEFT:
            self._is_burning = True
            self._plan(recorded.at_us)

    def stop(self) -> None:
        """Look at nothing while no engine runs."""
        self.due_us = NEVER

    def look(self) -> Iterator[tuple[str, ev.FiguresDerived]]:
        """Yield what is told of the minute that is over, and of which group."""
        state, spending = self._state, self._spending
        assert spending is not None
        at_us, self._is_burning = self.due_us, False
        for group, figures in spending.figures(state.fleet.policy, at_us).items():
            if group not in state.groups:
                continue
            self._is_burning |= dict(figures)["burn_5m"] > 0
            if gauges.is_worth_recording(state, group, gauges.BUDGET, figures):
                yield group, ev.FiguresDerived(what=gauges.BUDGET, figures=figures)
        self.due_us = NEVER
        if self._is_burning or self._has_begun():
            self._plan(at_us)

    def _plan(self, at_us: int) -> None:
        """Look once more when the next minute is over, unless it is planned already."""
        if self._spending is not None and self.due_us == NEVER:
            started_us = self._state.fleet.started_us
            self.due_us = at_us + MINUTE - max(0, at_us - started_us) % MINUTE

    def _has_begun(self) -> bool:
        return any(
            alert.kind in gauges.KINDS[gauges.BUDGET]
            for group in self._state.groups.values()
            for alert in group.alerts.values()
        )
