"""A file that pauses: its pause is beside every other, and lasts as long as the file is there."""

from engine.core import events as ev
from engine.core.blocking import Block, blocked, want
from engine.core.policy import SECOND
from engine.core.state import paused_until
from tests.engine.core.build import Story, kinds, only, story

CAME = ev.Paused(until_us=0, reason="racks", author="file", by_file=True)
WENT = ev.Resumed(author="file", by_file=True)


def paused() -> Story:
    """Return a story in which a serves and the file is there."""
    tale = story(unknown_after_us=0)
    tale.see(CAME)
    assert tale.state.fleet.file_pause == "racks"
    return tale


def test_no_failover_begins_while_the_file_is_there_and_it_does_when_it_is_gone() -> None:
    tale = paused()
    assert kinds(tale.crashes("a")) == ["MasterFailed"]
    wanted = want(tale.group)
    assert wanted is not None
    assert blocked(tale.state, tale.group, wanted, tale.at_us) == Block(reason="pause")
    taken = tale.see(WENT)
    assert only(taken, ev.FailoverStarted).why == "failed"
    assert tale.state.fleet.file_pause is None


def test_a_resume_does_not_end_the_pause_of_the_file() -> None:
    tale = paused()
    tale.crashes("a")
    assert kinds(tale.see(ev.Resumed(author="x"))) == []
    assert paused_until(tale.state, tale.group, tale.at_us) == -1


def test_when_the_file_is_gone_another_pause_still_holds() -> None:
    tale = paused()
    tale.see(ev.Paused(until_us=tale.at_us + SECOND, reason="disks", author="x"))
    tale.crashes("a")
    assert kinds(tale.see(WENT)) == []
    assert paused_until(tale.state, tale.group, tale.at_us) == tale.at_us + SECOND
    tale.wait(SECOND)
    assert "FailoverStarted" in kinds(tale.ok("b", "c"))


def test_a_failover_that_a_person_asks_for_goes_on() -> None:
    tale = paused()
    assert "FailoverStarted" in kinds(tale.ask(ev.FailoverAsked(to="b", author="x")))
