from engine.answers import folds
from engine.answers.folds import stale_until, state_at
from engine.core import events as ev
from engine.core import state as st
from engine.core.decider import step
from engine.core.fleet import Health
from tests.engine.answers.stories import GROUP, failed_over, serving


def test_the_state_at_the_end_is_that_of_the_driver() -> None:
    story = failed_over()
    assert state_at(story.log) == story.state


def test_progress_changes_nothing_and_ends_at_the_position(monkeypatch: object) -> None:
    story = failed_over()
    seen: list[tuple[int, int]] = []
    until = story.log.head.seq - 3
    with_progress = state_at(story.log, until, progress=lambda *found: seen.append(found))
    assert with_progress == state_at(story.log, until)
    assert with_progress.seq == until
    assert seen[-1] == (until, until)


def test_a_long_log_is_folded_in_windows_without_a_gap() -> None:
    story = serving()
    story.probe(folds.PROGRESS_EVENTS // 3 + 10)
    assert story.log.head.seq > folds.PROGRESS_EVENTS
    seen: list[tuple[int, int]] = []
    found = state_at(story.log, progress=lambda *at: seen.append(at))
    assert st.digest(found) == st.digest(story.state)
    assert len(seen) == 3


def test_what_goes_stale_is_what_a_stopped_log_would_say() -> None:
    story = failed_over()
    late_us = story.state.at_us + 3_600_000_000
    derived = stale_until(state_at(story.log), late_us)
    asked = ev.Resumed(author="me", at_rest=True)
    stepped = step(state_at(story.log), asked, subject=GROUP, at_us=late_us)
    assert derived == [recorded for recorded in stepped if recorded.event is not asked]
    assert {type(recorded.event) for recorded in derived} == {ev.DeadlinePassed, ev.MasterUnknown}


def test_silence_is_stamped_with_the_time_it_was_due() -> None:
    story = serving()
    limit_us = story.state.policy_of(story.state.groups[GROUP]).probe.unknown_after_us
    due_us = story.state.at_us + limit_us
    assert stale_until(state_at(story.log), due_us - 1) == []
    state = state_at(story.log)
    derived = stale_until(state, due_us + 10 * limit_us)
    assert {recorded.at_us for recorded in derived} == {due_us}
    masters = state.groups[GROUP].masters.values()
    assert {master.health for master in masters} == {Health.UNKNOWN}
