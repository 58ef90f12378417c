"""Replay, the control of a position, and what-if under the recorded policy."""

from collections.abc import Iterator

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.decider import decide
from engine.core.errors import LogCorrupted
from engine.core.events import Observation, Recorded
from engine.core.policy import MS, SECOND
from engine.core.replay import control_at, decide_again, replay
from engine.core.state import control_of
from engine.core.step import Step
from tests.engine.core.build import Story, kinds, made, story


def long() -> Story:
    """Return a story with deadlines, assumed outcomes, commands and failovers in it."""
    tale = Story(made(effects="none", rise=1, delay_crash_us=30 * MS))
    tale.ok("a", "b", "c")
    tale.accepts("k")
    tale.crashes("a")
    tale.wait(40 * MS)
    tale.ok("b", "c")
    tale.ask(ev.SwitchoverAsked(to="c", author="x"))
    tale.wait(6 * SECOND)
    tale.tick()
    return tale


def test_the_fold_of_the_log_is_the_state_that_wrote_it() -> None:
    tale = long()
    assert replay(tale.log) == tale.state


@pytest.mark.parametrize("cut", [0, 1, 20, 10_000])
def test_a_prefix_and_then_the_rest_is_all(cut: int) -> None:
    tale = long()
    prefix = replay(tale.log, until_seq=cut)
    assert prefix.seq == min(cut, tale.state.seq)
    assert replay(tale.log[cut:], state=prefix) == tale.state


def test_a_gap_stops_the_fold() -> None:
    tale = long()
    with pytest.raises(LogCorrupted) as caught:
        replay([*tale.log[:9], *tale.log[10:]])
    assert caught.value.seq == 11


def test_the_control_of_a_position_is_that_of_its_state() -> None:
    tale = story()
    position = tale.state.seq
    then = control_of(tale.group)
    tale.crashes("a")
    tale.work()
    assert control_at(tale.log, "g", position=position) == then
    assert control_at(tale.log, "g", position=tale.state.seq) == control_of(tale.group)
    assert control_at(tale.log, "g", position=1) is None


def test_decided_again_the_log_is_the_same() -> None:
    tale = long()
    assert list(decide_again(tale.log)) == tale.log


def test_no_more_of_a_log_is_read_than_was_decided_again() -> None:
    tale, read = long(), 0

    def told() -> Iterator[Recorded]:
        nonlocal read
        for recorded in tale.log:
            read += 1
            yield recorded

    for again in decide_again(told()):
        assert read < again.seq + 10  # what follows upon an observation comes at once
    assert read == len(tale.log) > 50


def test_effects_that_were_sent_are_used_as_they_were_recorded() -> None:
    tale = story(unknown_after_us=0)
    tale.crashes("a")
    tale.work()
    assert list(decide_again(tale.log)) == tale.log


def test_another_rule_gives_another_log() -> None:
    def patient(step: Step, event: Observation) -> None:
        if not isinstance(event, ev.ProbeFailed):
            decide(step, event)

    tale = long()
    again: list[Recorded] = list(decide_again(tale.log, decide=patient))
    assert "MasterFailed" in kinds(tale.log)
    assert "MasterFailed" not in kinds(again)


def test_what_if_of_a_cut_log_begins_with_the_state_that_it_begins_with() -> None:
    tale = long()
    asked = next(seen for seen in tale.log if isinstance(seen.event, ev.SwitchoverAsked))
    before = [seen for seen in tale.log if seen.seq < asked.seq]
    state = replay(before)
    based = Recorded(
        seq=state.seq,
        at_us=state.at_us,
        subject=ev.FLEET,
        cause=0,
        event=ev.LogBased(state=st.dump(state), seq=state.seq, chain=bytes(32)),
    )
    cut = [based, *tale.log[len(before) :]]
    assert list(decide_again(cut)) == cut


def test_a_log_may_begin_between_an_observation_and_what_followed_from_it() -> None:
    tale = long()
    failed = next(seen for seen in tale.log if isinstance(seen.event, ev.MasterFailed))
    state = replay(tale.log, until_seq=failed.seq - 1)
    based = Recorded(
        seq=state.seq,
        at_us=state.at_us,
        subject=ev.FLEET,
        cause=0,
        event=ev.LogBased(state=st.dump(state), seq=state.seq, chain=bytes(32)),
    )
    cut = [based, *tale.log[failed.seq - 1 :]]
    assert list(decide_again(cut)) == cut


def test_nobody_is_assigned_in_the_control_of_a_moment_without_an_active() -> None:
    tale = story(effects="http", unknown_after_us=0)
    tale.crashes("a")
    assert tale.group.assigned == "a"
    control = control_at(tale.log, "g", position=tale.state.seq)
    assert control is not None
    assert control.assigned == ""
