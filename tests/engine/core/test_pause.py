"""A pause stops new failovers and nothing else: who lost its activation may have it back."""

from engine.core import events as ev
from engine.core.events import Result
from engine.core.fleet import Role
from engine.core.policy import SECOND, Automation
from engine.core.state import active_of
from tests.engine.core.build import Story, kinds, only, refused, story


def paused(**changes: object) -> Story:
    """Return a story in which a serves and no failover may be opened."""
    tale = story(unknown_after_us=0, **changes)  # type: ignore[arg-type]
    tale.ask(ev.Paused(until_us=0, reason="work", author="x"))
    return tale


def rebooted(tale: Story) -> list[ev.AnyEvent]:
    """Let a restart, and confirm the fence that it gets for having lost its activation."""
    tale.restarts("a")
    tale.ok("a")
    assert tale.master("a").role is Role.FENCED
    tale.answers("fence")
    return [recorded.event for recorded in tale.log]


def test_an_active_that_was_rebooted_is_activated_again() -> None:
    tale = paused()
    rebooted(tale)
    tale.work()
    assert active_of(tale.group) == "a"
    assert tale.master("a").epoch > 1
    assert tale.group.failovers == 1


def test_nobody_takes_its_place() -> None:
    tale = paused()
    tale.restarts("a")
    tale.ok("a")
    tale.crashes("a")
    tale.answers("fence", Result.FAILED)
    assert kinds(tale.ok("b", "c")) == []
    assert active_of(tale.group) == ""


def test_if_that_fails_it_is_tried_again_later_and_nobody_else_is() -> None:
    tale = paused()
    rebooted(tale)
    assert tale.group.saga is not None
    taken = tale.answers("transfer", Result.FAILED)
    assert only(taken, ev.FailoverEnded).result == "abandoned"
    tale.at_us = tale.group.retry_at_us
    assert "FailoverStarted" not in kinds(tale.ok("b", "c"))
    taken = tale.ok("a")
    assert only(taken, ev.FailoverStarted).to == "a"
    assert only(taken, ev.AttemptStarted).heir == "a"


def test_an_approval_is_refused_while_the_group_is_paused() -> None:
    tale = story(automation=Automation.CONFIRM)
    tale.ask(ev.Approved(author="x"))
    tale.work()
    tale.crashes("a")
    tale.ask(ev.Paused(until_us=0, reason="work", author="x"))
    (reason,) = refused(tale.ask(ev.Approved(author="x")))
    assert reason == "g is paused: resume, or ask for a failover"
    tale.ask(ev.Resumed(author="x"))
    assert "AttemptStarted" in kinds(tale.ask(ev.Approved(author="x")))


def test_one_that_was_approved_and_found_no_heir_waits_for_the_end_of_a_pause() -> None:
    tale = story(names="ab", automation=Automation.CONFIRM, unknown_after_us=0)
    tale.ask(ev.Approved(author="x"))
    tale.work()
    tale.crashes("a")
    tale.fails("b", "b")
    tale.ask(ev.Approved(author="x"))
    tale.ask(ev.Paused(until_us=0, reason="work", author="x"))
    tale.wait(SECOND)
    assert "AttemptStarted" not in kinds(tale.ok("b", "b", "b"))
    assert "AttemptStarted" in kinds(tale.ask(ev.Resumed(author="x")))


def test_what_was_to_give_the_last_active_its_place_back_does_not_outlive_it() -> None:
    tale = story(unknown_after_us=0, rise=1, automation=Automation.CONFIRM)
    tale.ask(ev.Approved(author="x"))
    tale.work()
    tale.ok("a", "b", "c")
    tale.ask(ev.Paused(until_us=tale.at_us + SECOND, reason="work", author="x"))
    rebooted(tale)
    tale.ok("a")
    saga = tale.group.saga
    assert saga is not None
    assert (saga.to, saga.waits) == ("a", "approval")
    assert kinds(tale.ok("a")) == []
    ended = only(tale.crashes("a"), ev.FailoverEnded)
    assert (ended.result, ended.reason) == ("abandoned", "a became unfit: health-failed")
    tale.wait(3 * SECOND)
    tale.ok("b", "c")
    tale.tick()
    tale.ask(ev.Approved(author="x"))
    tale.work()
    assert active_of(tale.group) == "b"
