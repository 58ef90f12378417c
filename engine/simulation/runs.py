"""What came of a schedule, for whoever judges it."""

import msgspec

from engine.core.events import Recorded
from engine.core.owed import Effect
from engine.core.state import State
from engine.invariants import Invariants
from engine.simulation.bounds import Bounds, Settled
from engine.simulation.masters import SimulatedMaster, Sink
from engine.simulation.promises import Promises
from engine.simulation.schedule import Schedule


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A law that did not hold, where, and what was found instead."""

    law: str
    seq: int  # 0: at no event
    found: str


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that was issued, and the position of the durable state that owed it."""

    effect: Effect
    seq: int


class Figures(msgspec.Struct, kw_only=True):
    """What a run amounts to, for whoever compares two."""

    two_active_us: int = 0  # two processes of a group believed themselves active [us]
    unserved_us: int = 0  # no process of an active-standby group did, since one first did [us]
    longest_unserved_us: int = 0


class Run(msgspec.Struct, kw_only=True):
    """What came of a schedule."""

    schedule: Schedule
    log: list[Recorded]
    state: State  # the fold of the log
    sinks: dict[str, Sink]  # by group
    masters: dict[str, SimulatedMaster]
    receipts: set[str]  # keys of the messages that the engine said it had accepted
    issued: list[Issue]
    done_early: list[str]  # keys that were done in the log before they were at the sink
    seen: list[Violation]  # found while it ran
    is_quiet: bool  # the world came to rest in time
    boundaries: int  # passed [count]
    crashes: int  # of the engine [count]
    struck: int  # appends that a fault struck [count]
    virtual_us: int
    healed_seq: int  # the log's head when all faults stopped
    lost: list[Recorded]  # what the log had before older copies of it were put back
    bodies: dict[bytes, bytes]  # of messages and kept state, by digest
    judged: Invariants  # what was judged event by event
    figures: Figures
    promises: dict[str, Promises]  # by group, of those that replicate
    bounds: Bounds  # how soon all had to be well once faults had stopped
    settled: Settled  # and when it was
    kept: list[Recorded]  # what of the log is there to be folded, after all that was dropped

    @property
    def sink(self) -> Sink:
        """Return where the work of the first group ends."""
        return self.sinks[self.schedule.setting.first]
