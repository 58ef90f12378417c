"""What follows when an effect has ended."""

import pytest

from engine.core import events as ev
from engine.core.events import Result
from engine.core.fleet import Role
from engine.core.policy import FenceKind
from tests.engine.core.build import Story, kinds, made, only, story


def fenced() -> Story:
    tale = story()
    tale.crashes("a")
    return tale


def test_a_confirmed_fence_lets_a_master_stand_by() -> None:
    tale = fenced()
    taken = tale.answers("fence")
    assert kinds(taken) == ["FenceConfirmed", "MasterRejoined"]
    assert only(taken, ev.FenceConfirmed) == ev.FenceConfirmed(epoch=3, how="answered")
    assert (tale.master("a").role, tale.master("a").fence) == (Role.STANDBY, None)


def test_a_fence_that_was_confirmed_before_is_not_confirmed_again() -> None:
    tale = story(fence=FenceKind.CONFIRMED)
    tale.crashes("a")
    tale.ask(ev.Released(scope="fence", author="x"), "a")
    assert kinds(tale.answers("fence")) == ["MasterRejoined"]


@pytest.mark.parametrize(
    ("epoch", "result"),
    [(2, Result.OK), (4, Result.OK), (3, Result.FAILED), (3, Result.UNKNOWN), (3, Result.REFUSED)],
)
def test_only_a_clear_answer_to_the_current_fence_counts(epoch: int, result: Result) -> None:
    tale = fenced()
    outcome = ev.Outcome(step="fence", failover=0, epoch=epoch, result=result)
    assert kinds(tale.see(outcome, "a")) == []
    assert tale.master("a").role is Role.FENCED


def test_who_is_not_fenced_confirms_nothing() -> None:
    outcome = ev.Outcome(step="fence", failover=0, epoch=3, result=Result.OK)
    assert kinds(story().see(outcome, "b")) == []


@pytest.mark.parametrize("detail", ["", "no such state"])
def test_a_failed_step_says_how_it_ended(detail: str) -> None:
    tale = fenced()
    saga = tale.group.saga
    assert saga is not None
    outcome = ev.Outcome(
        step="transfer", failover=saga.id, epoch=2, result=Result.REFUSED, detail=detail
    )
    failed = only(tale.see(outcome, "b"), ev.AttemptFailed)
    assert failed.reason == f"transfer: refused {detail}".strip()


def test_what_a_policy_lets_go_is_said_with_the_promotion() -> None:
    tale = fenced()
    saga = tale.group.saga
    assert saga is not None
    digest, more = saga.transfer_digest, {"result": Result.OK, "lacks": 30}
    late = ev.Outcome(step="transfer", failover=saga.id, epoch=9, digest=digest, **more)
    assert kinds(tale.see(late, "b")) == []
    outcome = ev.Outcome(step="transfer", failover=saga.id, epoch=2, digest=digest, **more)
    assert only(tale.see(outcome, "b"), ev.PromotionStarted).lacks == 30


def test_the_next_heir_lacks_nothing_of_what_the_one_before_did() -> None:
    tale = fenced()
    saga = tale.group.saga
    assert saga is not None
    outcome = ev.Outcome(
        step="transfer", failover=saga.id, epoch=2, result=Result.REFUSED, lacks=30
    )
    tale.see(outcome, "b")
    assert only(tale.answers("transfer"), ev.PromotionStarted).lacks == 0


def test_where_no_effect_is_sent_a_whole_failover_is_one_append() -> None:
    tale = Story(made(effects="none"))
    tale.ok("a", "b", "c")
    assert (tale.group.assigned, tale.owed()) == ("a", [])
    taken = tale.crashes("a")
    assert (tale.group.assigned, tale.owed()) == ("b", [])
    assumed = [seen for seen in taken if isinstance(seen.event, ev.Outcome)]
    assert [
        (seen.subject, seen.event.step) for seen in assumed if isinstance(seen.event, ev.Outcome)
    ] == [("b", "transfer"), ("b", "promote"), ("b", "verify"), ("a", "fence"), ("b", "switch")]
    refused = next(seen for seen in taken if isinstance(seen.event, ev.ProbeFailed))
    assert {seen.cause for seen in assumed} == {refused.seq}
    assert {seen.event.result for seen in assumed if isinstance(seen.event, ev.Outcome)} == {
        Result.ASSUMED
    }


def test_an_assumed_promotion_is_not_owed_any_more() -> None:
    tale = Story(made(effects="none"))
    tale.ok("a", role="active", epoch=0)
    tale.ok("b", "c")
    assert tale.group.assigned == "a"
    assert not tale.master("a").promote_owed
