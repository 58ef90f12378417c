"""Who looks on while the world runs: what was issued, and what no moment may show.

Each event is judged by the invariants of a log (engine/invariants) when it is durable; what
concerns a whole run is judged when all is over (checkers.py). What is held against the engine here
would leave no trace in the log: what it believed, and what its masters believed, meanwhile.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from engine.core import events as ev
from engine.core.driver import Driver
from engine.core.events import Recorded
from engine.core.evolve import evolve_all
from engine.core.owed import Effect
from engine.core.policy import FenceKind
from engine.core.state import State
from engine.core.step import Evolve
from engine.invariants import Invariants, shares_are_exact
from engine.simulation.masters import SimulatedMaster, Sink
from engine.simulation.runs import Figures, Issue, Violation
from engine.simulation.schedule import GroupSetting, Setting

FOLDED: Final = 256  # events that are judged and folded together, while they are at hand [count]
SHARE: Final = 8  # messages that are compared for each batch, whatever a state has of them [count]


class Believers:
    """Who of a group believes itself active, and for how long it was nobody, or two."""

    def __init__(self, group: GroupSetting) -> None:
        self.names: Final[set[str]] = set()
        # Of an activation that an older copy of the log has forgotten no engine can know.
        self.forgotten: Final[set[str]] = set()
        # Where a fence is confirmed, or a lease waited for, no two processes ever believe it.
        self.are_one: Final = (
            group.is_standby and group.policy.fence.kind is not FenceKind.GATE and group.acts
        )
        self.is_standby: Final = group.is_standby
        self.since_us = 0
        self.began = False
        self.unserved_us = 0  # of the stretch that goes on


class Witness:
    """Holds what the engine and its masters believe against the log, at every end of a batch."""

    def __init__(
        self,
        setting: Setting,
        *,
        sinks: Mapping[str, Sink],
        evolve: Evolve,
        compare_every: int,
        head: Callable[[], int],
    ) -> None:
        """Live and replayed state are compared at every `compare_every` ends of a batch.

        Or more seldom, where much is remembered: hours of messages would else take the square of
        their number.

        `head` returns the seq of the last event in the log.
        """
        self.issues: Final[list[Issue]] = []
        self.done_early: Final[list[str]] = []
        self.violations: Final[list[Violation]] = []
        self.figures: Final = Figures()
        self.judged = Invariants()
        self._sinks: Final = sinks
        self._evolve: Final = evolve
        self._compare_every: Final = compare_every
        self._head: Final = head
        self._believers: Final = {
            name: believers
            for group in setting.groups()
            for believers in (Believers(group),)
            for name in group.names()
        }
        self._left_out_us: Final[dict[str, int]] = {}  # by master, of the engine's time
        self._count = 0  # events that were read back from the tape, and are judged
        self._waiting: list[Recorded] = []  # those of them that are not folded yet
        self._shadow = State()  # the fold of the others
        self._batches = 0
        self._due = compare_every  # the end of a batch at which they are compared next

    def published(
        self,
        events: tuple[Recorded, ...],
        log: Sequence[Recorded],
        driver: Driver,
        *,
        is_quiet: bool = False,
    ) -> None:
        """Judge what was stored, and hold it against what the engine believes."""
        self.follow(log)
        for recorded in () if is_quiet else events:
            event = recorded.event
            if type(event) is ev.MessageDone:
                self._look_at_done(event, recorded, driver)
            elif type(event) is ev.MasterUnknown and recorded.subject in self._left_out_us:
                self._look_at_unknown(recorded, driver)
        self._batches += 1
        if self._batches >= self._due:
            self._due = self._batches + max(self._compare_every, _size(self.state) // SHARE)
            self.compare(driver)

    def compare(self, driver: Driver) -> None:
        """Hold what is live against the fold of what was stored."""
        shadow = self.state
        for name, state in (("durable", driver.durable_state), ("working", driver.working)):
            if state.seq == shadow.seq and not _is_same(state, shadow):
                self.violated("live is replayed", f"the {name} state is not the fold of the log")
        wrong = shares_are_exact(shadow)
        if wrong:
            self.violated("shares are exact", wrong)

    def follow(self, log: Sequence[Recorded]) -> None:
        """Judge what was stored since; it is folded a number of events at a time."""
        head = len(log)
        while self._count < head:
            since = log[self._count : self._count + FOLDED]
            self.judged.take_all(since)
            self._count += len(since)
            self._waiting += since
            if len(self._waiting) >= FOLDED:
                self._fold()

    @property
    def state(self) -> State:
        """Return the fold of what was stored and judged."""
        self._fold()
        return self._shadow

    def _fold(self) -> None:
        waiting, self._waiting = self._waiting, []
        evolve_all(self._shadow, waiting, each=self._evolve)

    def begin_again(self, log: Sequence[Recorded]) -> None:
        """Follow a log that was put back from a copy."""
        self._shadow, self._count, self._waiting = State(), 0, []
        for found in self._believers.values():
            found.forgotten.update(found.names)
        broken = self.judged.broken
        self.judged = Invariants()
        self.follow(log)
        self.judged.broken[:0] = [one for one in broken if one not in self.judged.broken]

    def _look_at_done(self, event: ev.MessageDone, recorded: Recorded, driver: Driver) -> None:
        place = driver.working.cache.places.get(recorded.subject)
        group = recorded.subject if place is None else place.group.id
        if not self._sinks[group].count[event.key]:
            self.done_early.append(event.key)

    def left_out(self, master: str, at_us: int) -> None:
        """Take note that a good answer of a master is not recorded [us of the engine]."""
        self._left_out_us[master] = at_us

    def heard_nothing(self) -> None:
        """Take note that nothing is recorded from here on, or of another life of the engine."""
        self._left_out_us.clear()

    def _look_at_unknown(self, recorded: Recorded, driver: Driver) -> None:
        """See that nobody becomes unknown who was heard, only that it was not recorded."""
        place = driver.working.cache.places.get(recorded.subject)
        if place is None:
            return
        after_us = driver.working.policy_of(place.group).probe.unknown_after_us
        silent_us = recorded.at_us - self._left_out_us[recorded.subject]
        if 0 <= silent_us < after_us:  # what was left out after the verdict was not what it lacked
            found = f"{recorded.subject} is unknown, {silent_us} us after an answer left out"
            self.violated("what is left out is not missed", found)

    def missing(self, digest: bytes) -> None:
        """Take note that a body is needed and is not there."""
        self.violated("bodies are there", f"{digest.hex()[:12]} is needed, and removed")

    def issued(self, effect: Effect, *, seq: int) -> None:
        """Take note of an effect that is issued after the event `seq`."""
        self.issues.append(Issue(effect=effect, seq=seq))

    def spins(self) -> None:
        """Take note of a timer that is due for ever."""
        self.violated("the timer rests", "it is due at once, and nothing comes of it")

    # Who believes itself active.

    def believed(self, master: SimulatedMaster, at_us: int) -> None:
        """Take note that a master may have begun or ceased to believe itself active."""
        found = self._believers[master.name]
        if master.believes is (master.name in found.names):
            return
        self._charge(found, at_us)
        if master.believes:
            found.names.add(master.name)
            found.began = True
            found.unserved_us = 0
        else:
            found.names.discard(master.name)
            found.forgotten.discard(master.name)
        names = found.names - found.forgotten
        if found.are_one and len(names) > 1:
            self.violated("one believes itself active", f"{', '.join(sorted(names))} do")

    def _charge(self, found: Believers, at_us: int) -> None:
        spent_us, found.since_us = at_us - found.since_us, at_us
        if not found.is_standby or not found.began:
            return
        figures = self.figures
        if len(found.names) > 1:
            figures.two_active_us += spent_us
        elif not found.names:
            figures.unserved_us += spent_us
            found.unserved_us += spent_us
            figures.longest_unserved_us = max(figures.longest_unserved_us, found.unserved_us)

    def end(self, at_us: int) -> None:
        """Charge what is left to the figures."""
        for found in {id(one): one for one in self._believers.values()}.values():
            self._charge(found, at_us)

    def violated(self, law: str, found: str) -> None:
        """Take note that a law does not hold, once for each."""
        violation = Violation(law=law, seq=self._head(), found=found)
        if not any(other.law == law for other in self.violations):
            self.violations.append(violation)


def _size(state: State) -> int:
    """Return how many messages a state holds, which is what grows with a run [count]."""
    ledgers = [group.ledger for group in state.groups.values()]
    return sum(len(ledger.done) + len(ledger.open) for ledger in ledgers)


def _is_same(one: State, other: State) -> bool:
    """Return what `dump(one) == dump(other)` would, and sooner."""
    return (one.at_us, one.fleet, one.groups) == (other.at_us, other.fleet, other.groups)
