"""The engine doubts itself: every master fails at once and none refuses.

What counts is the last probe of each: one that refused once and is overdue now says nothing of the
way there. Who was not looked at says nothing either, nor does one that sends beats and is silent.

A refusal comes from where the master is, so the way there is open. If nobody refuses and nobody
answers, the observer may be the one that is cut off. It says so when the first of them would fail,
and once more when one of them is heard. Meanwhile nothing is taken from anybody for soft evidence.
"""

from engine.core import events as ev
from engine.core.candidates import fresh_within_us
from engine.core.events import FLEET
from engine.core.state import Place, State
from engine.core.step import Step

MASTERS_MIN = 2  # of one alone nobody can tell who is cut off [count]


def is_alone(state: State) -> bool:
    """Return whether no master of the fleet is heard, and none refuses."""
    cache = state.cache
    return len(cache.failing) >= MASTERS_MIN and not any(
        _is_heard(state, cache.places[name]) for name in cache.sound
    )


def _is_heard(state: State, place: Place) -> bool:
    """Return whether a master that does not fail answered or refused when it was last looked at."""
    group, master = place.group, place.master
    if state.policy_of(group).probe.kind == "push":  # nobody looks: what is missing never fails
        return bool(master.good) and state.at_us - master.good_us <= fresh_within_us(state, group)
    return master.good > 0 or master.refused > 0


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
