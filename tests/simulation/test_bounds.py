"""How soon a world has to be well is computed from its policy, and is when it is."""

import msgspec
import pytest

from engine.core.policy import MS, SECOND, FleetPolicy, Observers
from engine.core.state import GroupState, State
from engine.simulation import Schedule, Setting, Turn, policy, run
from engine.simulation.bounds import Bounds, Settled, bounds

PLAIN = Setting(policy=policy(fall=1, rise=1))


def bound(setting: Setting = PLAIN, *turns: Turn, faulty_us: int = 0, waiting: int = 0) -> Bounds:
    return bounds(setting, turns, State(), faulty_us=faulty_us, waiting=waiting)


def test_what_a_policy_waits_for_comes_on_top() -> None:
    held = msgspec.structs.replace(PLAIN, policy=policy(fall=1, rise=1, hold_down_us=SECOND))
    assert bound(held).detected_us == bound().detected_us
    assert bound(held).served_us == bound().served_us + SECOND
    assert bound(held).drained_us == bound().drained_us + SECOND
    fleet = FleetPolicy(limit=1, share_ppm=0, window_us=7 * SECOND)
    braked = msgspec.structs.replace(PLAIN, fleet=fleet)
    assert bound(braked).served_us == bound().served_us + 7 * SECOND
    slow = msgspec.structs.replace(PLAIN, policy=policy(fall=1, rise=5))
    assert bound(slow).detected_us > bound().detected_us
    voted = msgspec.structs.replace(
        PLAIN.policy, observers=Observers(quorum=2, vote_ttl_us=3 * SECOND)
    )
    asked = bound(msgspec.structs.replace(PLAIN, policy=voted))
    assert asked.detected_us == bound().detected_us + 3 * SECOND


def test_what_lingers_and_what_was_backed_off_comes_on_top() -> None:
    stalled = bound(PLAIN, Turn(kind="stall", count=400 * MS), Turn(kind="crash", count=SECOND))
    assert stalled.detected_us == bound().detected_us + 400 * MS
    assert bound(faulty_us=2 * SECOND).served_us == bound().served_us + 2 * SECOND
    long_us = 1_000_000 * SECOND  # no pause is that long
    assert bound(faulty_us=long_us) == bound(faulty_us=2 * long_us)
    state = State()
    state.at_us = 5 * SECOND
    state.groups["g"] = GroupState(id="g", retry_at_us=13 * SECOND)
    waits = bounds(PLAIN, (), state, faulty_us=0, waiting=0)
    assert waits.served_us == bound().served_us + 8 * SECOND
    assert bound(waiting=10).drained_us > bound(waiting=1).drained_us


def test_nothing_is_well_before_it_is_for_good() -> None:
    settled = Settled()
    settled.note(5, detected=True, served=False, drained=False)
    settled.note(9, detected=False, served=True, drained=False)
    settled.note(12, detected=True, served=True, drained=False)
    assert (settled.detected_us, settled.served_us, settled.drained_us) == (12, 9, -1)
    most = Bounds(detected_us=10, served_us=10, drained_us=20)
    assert settled.late(most) == [
        "detected after 12 us, 10 us are allowed",
        "not drained within 20 us",
    ]


@pytest.mark.parametrize("fault", ["crash", "hang", "cut", "mute"])
def test_a_fault_that_ends_with_all_others_is_over_in_time(fault: str) -> None:
    turns = (Turn(kind=fault, gap_us=300 * MS, subject="a"),)
    made = run(Schedule(setting=PLAIN, turns=turns))
    assert made.settled.late(made.bounds) == []
    assert 0 < made.settled.detected_us <= made.bounds.detected_us < SECOND
    assert made.bounds.drained_us < 10 * SECOND
