"""The deterministic world: seed → schedule → world → log, on the code that is shipped.

    from engine.simulation import run, swarm, violations

    schedule = swarm(7)              # data: a fleet, and what happens to it
    made = run(schedule)             # the same to the byte, on every machine
    assert violations(made) == []    # what has to hold of every run

`World` is the same, a turn at a time. `simplify` makes a schedule that fails small. Time is
virtual, nothing reads a clock, and the engine's own Driver, rules and folds do the work.
"""

from engine.simulation.batches import Order, Tally, in_order, judged
from engine.simulation.bundles import Bundle
from engine.simulation.checkers import LAWS, Law, violations
from engine.simulation.drawing import endure, swarm
from engine.simulation.histories import History
from engine.simulation.masters import Answer, SimulatedMaster, Status
from engine.simulation.runs import Figures, Run, Violation
from engine.simulation.schedule import (
    ALL_KINDS,
    GroupSetting,
    Schedule,
    Setting,
    Turn,
    draw,
    policy,
)
from engine.simulation.shrinking import shrink, simplify
from engine.simulation.world import World, run

__all__ = [
    "ALL_KINDS",
    "LAWS",
    "Answer",
    "Bundle",
    "Figures",
    "GroupSetting",
    "History",
    "Law",
    "Order",
    "Run",
    "Schedule",
    "Setting",
    "SimulatedMaster",
    "Status",
    "Tally",
    "Turn",
    "Violation",
    "World",
    "draw",
    "endure",
    "in_order",
    "judged",
    "policy",
    "run",
    "shrink",
    "simplify",
    "swarm",
    "violations",
]
