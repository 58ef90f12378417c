"""Which bodies are needed, and so never removed."""

from engine.core import events as ev
from engine.core import messages
from engine.core.driver import Driver
from tests.engine.core.build import Story, story


def told() -> Story:
    """Return a story with an open message and state that replaced other state."""
    tale = story()
    tale.keeps("a", ("s", 1, b"first"))
    tale.keeps("a", ("s", 1, b"second"), ("t", 1, b"third"))
    tale.accepts("open")
    return tale


def test_open_messages_and_current_state_are_needed_and_nothing_else() -> None:
    assert messages.needed(told().state) == {b"open", b"second", b"third"}


def test_what_is_not_needed_as_it_stands_may_be_removed_and_removing_it_decides_nothing() -> None:
    driver = Driver(told().state)
    assert driver.spare([b"open", b"first", b"third", b"other"]) == (b"first", b"other")
    at_us = driver.working.at_us
    again = ev.MessageAccepted(key="again", lane="x", size=1, digest=b"first")
    driver.observe(again, subject="g", at_us=at_us)  # not durable yet
    assert driver.spare([b"first", b"other"]) == (b"other",)
    before = driver.take_batch(at_us)
    assert before is not None
    driver.durable()
    driver.observe(ev.BodiesRemoved(digests=(b"other",), why="a test"), at_us=at_us)
    batch = driver.take_batch(at_us)
    assert batch is not None
    assert [type(recorded.event) for recorded in batch.events] == [ev.BodiesRemoved]
