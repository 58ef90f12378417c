"""What has to hold of every log, whoever wrote it: judged event by event, from the events alone.

    judge = Invariants()
    for recorded in log:
        judge.take(recorded)
    judge.broken            # what did not hold, and where

The simulator asks after every event, `tanist verify` over a real log. No rule of the core is asked
about what is judged: who was fit, served or was fenced is followed from what the log says.
"""

from engine.invariants.judge import INVARIANTS, Broken, Invariants
from engine.invariants.shares import shares_are_exact

__all__ = ["INVARIANTS", "Broken", "Invariants", "shares_are_exact"]
