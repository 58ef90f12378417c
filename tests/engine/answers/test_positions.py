import pytest

from engine.answers.positions import bounds, last_until, resolve
from engine.answers.times import iso
from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import ConfigurationError
from engine.core.events import FLEET, Recorded
from engine.core.policy import DAY
from engine.log.memory import MemoryLog
from tests.engine.answers.stories import BEGIN_US, failed_over


def test_a_seq_is_itself_up_to_the_end_of_the_log() -> None:
    log = failed_over().log
    assert [resolve(log, str(seq)) for seq in (0, 1, log.head.seq)] == [0, 1, log.head.seq]
    with pytest.raises(ConfigurationError, match=f"the log ends at {log.head.seq}"):
        resolve(log, str(log.head.seq + 1))


def test_a_time_is_the_last_event_not_later() -> None:
    log = failed_over().log
    events = list(log.read())
    for at_us in {event.at_us + offset for event in events for offset in (-1, 0, 1)}:
        expected = max((event.seq for event in events if event.at_us <= at_us), default=0)
        assert last_until(log, at_us) == expected
        assert resolve(log, iso(at_us)) == expected


def test_a_position_is_from_a_first_event_up_to_a_last_one() -> None:
    log = failed_over().log
    events = list(log.read())
    end_us = log.head.at_us
    middle_us = events[len(events) // 2].at_us
    for text, at_us in (
        (iso(middle_us), middle_us),
        (iso(middle_us - 1), middle_us - 1),
        (f"{end_us - middle_us}us", middle_us),
        ("0s", end_us),
        ("1d", end_us - DAY),
    ):
        first = min(event.seq for event in events if event.at_us >= at_us)
        last = max((event.seq for event in events if event.at_us <= at_us), default=0)
        assert bounds(log, text) == (first, last), text
    assert bounds(log, "7") == (7, 7)
    assert bounds(log, iso(end_us + 1)) == (log.head.seq + 1, log.head.seq)
    with pytest.raises(ConfigurationError, match="or how long before the end, as 10m, found '10x'"):
        bounds(log, "10x")


def test_an_empty_log_has_the_position_before_everything() -> None:
    assert last_until(MemoryLog(), BEGIN_US) == 0
    assert resolve(MemoryLog(), "0") == 0


def test_a_checkpoint_is_where_it_was_first_marked() -> None:
    story = failed_over()
    marked = story.see(ev.CheckpointMarked(name="calm", author="me"))
    story.probe(2)
    story.see(ev.CheckpointMarked(name="calm", author="me"))
    assert resolve(story.log, "calm") == marked == story.state.fleet.checkpoints["calm"]
    with pytest.raises(ConfigurationError, match=r"no checkpoint 'storm' .*\(there: calm\)"):
        resolve(story.log, "storm")


def test_a_checkpoint_that_was_refused_is_none() -> None:
    story = failed_over()
    for name in ("1st", "calm", "-", "calm"):
        story.see(ev.CheckpointMarked(name=name, author="me"))
    assert list(story.state.fleet.checkpoints) == ["calm"]
    assert resolve(story.log, "calm") == story.state.fleet.checkpoints["calm"]
    with pytest.raises(ConfigurationError, match=r"\(there: calm\)"):
        resolve(story.log, "storm")


def test_a_log_that_begins_with_a_base_knows_the_checkpoints_before_it() -> None:
    story = failed_over()
    marked = story.see(ev.CheckpointMarked(name="calm", author="me"))
    base = ev.LogBased(state=st.dump(story.state), seq=story.state.seq, chain=bytes(32))
    cut = MemoryLog()
    at_us = story.state.at_us
    cut.append([Recorded(seq=base.seq, at_us=at_us, subject=FLEET, cause=0, event=base)])
    assert resolve(cut, "calm") == marked
    assert last_until(cut, at_us) == base.seq
    assert last_until(cut, at_us - 1) == 0


@pytest.mark.parametrize("text", ["", "2026-01-01", "-1", "1.5", "²"])
def test_what_is_no_position_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a position: a seq, a time"):
        resolve(failed_over().log, text)
