"""Who looks on while the world runs: what was issued, and what no moment may show.

The rest is judged by the log when all is over (checkers.py). What is held against the engine here
would leave no trace there: what it believed, and what its masters believed, meanwhile.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from engine.core import events as ev
from engine.core.driver import Driver
from engine.core.events import Recorded
from engine.core.fleet import Mode
from engine.core.owed import Effect
from engine.core.policy import Automation, FenceKind
from engine.core.state import State
from engine.core.step import Evolve
from engine.simulation.masters import Phase, SimulatedMaster, Sink
from engine.simulation.runs import Issue, Violation
from engine.simulation.schedule import Setting


class Witness:
    """Holds what the engine and its masters believe against the log, at every end of a batch."""

    def __init__(
        self,
        setting: Setting,
        *,
        masters: Mapping[str, SimulatedMaster],
        sink: Sink,
        evolve: Evolve,
        compare_every: int,
        head: Callable[[], int],
    ) -> None:
        """Live and replayed state are compared at every `compare_every` ends of a batch.

        `head` returns the seq of the last event in the log.
        """
        self.issues: Final[list[Issue]] = []
        self.done_early: Final[list[str]] = []
        self.violations: Final[list[Violation]] = []
        self._masters: Final = masters
        self._sink: Final = sink
        self._evolve: Final = evolve
        self._compare_every: Final = compare_every
        self._head: Final = head
        policy = setting.policy
        # Where a fence is confirmed, no two processes ever believe themselves active.
        self._believes_one: Final = (
            policy.mode is Mode.ACTIVE_STANDBY
            and policy.fence.kind is FenceKind.CONFIRMED
            and policy.automation is not Automation.OBSERVE
        )
        self._shadow: Final = State()  # the fold of what was read back from the tape
        self._batches = 0

    def published(
        self, events: tuple[Recorded, ...], log: Sequence[Recorded], driver: Driver
    ) -> None:
        """Fold what was stored, and hold it against what the engine believes."""
        for recorded in log[self._shadow.seq :]:
            self._evolve(self._shadow, recorded)
        for recorded in events:
            event = recorded.event
            if isinstance(event, ev.MessageDone) and not self._sink.count[event.key]:
                self.done_early.append(event.key)
        self._batches += 1
        if self._batches % self._compare_every:
            return
        for name, state in (("durable", driver.durable_state), ("working", driver.working)):
            if state.seq == self._shadow.seq and not _is_same(state, self._shadow):
                self._violated("live is replayed", f"the {name} state is not the fold of the log")

    def issued(self, effect: Effect, *, seq: int) -> None:
        """Take note of an effect that is issued after the event `seq`."""
        self.issues.append(Issue(effect=effect, seq=seq))

    def spins(self) -> None:
        """Take note of a timer that is due for ever."""
        self._violated("the timer rests", "it is due at once, and nothing comes of it")

    def look_at_believers(self) -> None:
        """Look who believes itself active just now."""
        if not self._believes_one:
            return
        active = [
            master.name
            for master in self._masters.values()
            if master.role == "active" and master.phase is not Phase.DOWN and not master.is_usurper
        ]
        if len(active) > 1:
            self._violated("one believes itself active", f"{', '.join(active)} do")

    def _violated(self, law: str, found: str) -> None:
        violation = Violation(law=law, seq=self._head(), found=found)
        if not any(other.law == law for other in self.violations):
            self.violations.append(violation)


def _is_same(one: State, other: State) -> bool:
    """Return what `dump(one) == dump(other)` would, and sooner."""
    return (one.at_us, one.fleet, one.groups) == (other.at_us, other.fleet, other.groups)
