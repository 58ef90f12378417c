"""The engine doubts itself: every master fails at once and none refuses.

A refusal comes from where the master is, so the way there is open. If nobody refuses and nobody
answers, the observer may be the one that is cut off. It says so when the first of them would fail,
and once more when one of them is heard. Meanwhile nothing is taken from anybody for soft evidence.
"""

from engine.core import events as ev
from engine.core.events import FLEET
from engine.core.state import State
from engine.core.step import Step

MASTERS_MIN = 2  # of one alone nobody can tell who is cut off [count]


def is_alone(state: State) -> bool:
    """Return whether no master of the fleet is heard, and none refuses."""
    failing, masters = len(state.cache.failing), len(state.cache.places)
    return failing == masters >= MASTERS_MIN


def decide_doubt(step: Step, *, fails: bool) -> None:
    """Say that the engine doubts itself, or does no more.

    Args:
        step: The sheet.
        fails: Whether a master is about to fail on soft evidence.
    """
    state = step.state
    if bool(state.fleet.doubt_seq) is is_alone(state) or not (fails or state.fleet.doubt_seq):
        return
    step.emit(
        ev.DoubtChanged(
            doubted=not state.fleet.doubt_seq,
            failing=len(state.cache.failing),
            masters=len(state.cache.places),
        ),
        subject=FLEET,
    )
