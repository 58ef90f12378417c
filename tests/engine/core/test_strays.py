"""Masters that act and that nobody activated: somebody promoted them by hand."""

import pytest

from engine.core import candidates
from engine.core import events as ev
from engine.core.events import Recorded, Result
from engine.core.fleet import Role
from engine.core.policy import MS, SECOND, Automation, FenceKind
from engine.core.state import active_of
from tests.engine.core.build import Story, kinds, made, only, story, subjects, switch


def served(**changes: object) -> Story:
    """Return a story in which a serves and every master says what it is."""
    changes.setdefault("unknown_after_us", 0)
    tale = story(effects="http", **changes)  # type: ignore[arg-type]
    tale.roles = {"a": "active", "b": "standby", "c": "standby"}
    tale.ok("a", "b", "c")
    return tale


def promoted_by_hand(tale: Story, name: str, *, epoch: int = 0) -> list[Recorded]:
    tale.roles[name], tale.epochs[name] = "active", epoch
    return tale.ok(name)


def test_who_acts_beside_the_active_is_fenced() -> None:
    tale = served()
    taken = promoted_by_hand(tale, "b")
    assert kinds(taken) == ["MasterFenced"]
    assert taken[-1].subject == "b"
    assert only(taken, ev.MasterFenced).reason == "it acts beside a"
    assert tale.owed() == [("fence", "b")]
    assert active_of(tale.group) == "a"


def test_it_stands_by_again_when_it_confirmed_its_fence() -> None:
    tale = served()
    promoted_by_hand(tale, "b")
    tale.roles["b"] = "standby"
    tale.answers("fence")
    assert kinds(tale.ok("b")) == []
    assert candidates.passed_over(tale.state, tale.group, "b", tale.at_us) is None


def test_one_that_confirms_and_still_says_that_it_acts_is_fenced_once() -> None:
    tale = served()
    promoted_by_hand(tale, "b")
    tale.answers("fence")
    assert kinds([*tale.ok("b"), *tale.ok("a", "b", "c")]) == []
    tale.roles["b"] = "standby"
    tale.ok("b")
    assert kinds(promoted_by_hand(tale, "b")) == ["MasterFenced"]


def test_nothing_is_taken_from_it_before_the_active_said_that_it_acts() -> None:
    tale = served(grace_us=60 * SECOND)
    tale.see(ev.EngineStarted(release="1", stopped_at_us=tale.at_us))
    tale.wait(MS)
    assert kinds(promoted_by_hand(tale, "b")) == []
    assert kinds(tale.ok("a")) == ["MasterFenced"]


def test_in_a_pause_somebody_may_be_at_work_and_nobody_is_fenced_before_it_ends() -> None:
    tale = served()
    tale.ask(ev.Paused(until_us=0, reason="by hand", author="x"))
    assert kinds(promoted_by_hand(tale, "b")) == []
    tale.ask(ev.Resumed(author="x"))
    assert tale.master("b").role is Role.FENCED


@pytest.mark.parametrize("says", ["standby", "fenced"])
def test_an_active_that_was_replaced_by_hand_gives_its_place_to_who_acts(says: str) -> None:
    tale = served(fence=FenceKind.CONFIRMED)
    tale.ask(ev.Paused(until_us=0, reason="by hand", author="x"))
    tale.roles["a"] = says
    tale.ok("a")
    promoted_by_hand(tale, "c", epoch=1)
    taken = tale.ask(ev.Resumed(author="x"))
    lost = only(taken, ev.ActivationLost)
    assert (lost.epoch, lost.found) == (1, 1)
    assert lost.evidence == (tale.master("a").good_seq, tale.master("c").good_seq)
    assert only(taken, ev.FailoverStarted).why == "activation-lost"
    assert only(taken, ev.AttemptStarted).heir == "c"
    assert subjects(taken, ev.MasterFenced) == ["a"]
    tale.work()
    assert active_of(tale.group) == "c"


def test_one_that_says_it_stands_by_keeps_its_place_while_nobody_else_acts() -> None:
    tale = served()
    tale.roles["a"] = "standby"
    assert kinds(tale.ok("a", "b", "c")) == []


def test_one_that_says_it_is_fenced_has_lost_its_activation_but_not_in_a_pause() -> None:
    """An engine has told it so whose log is gone: an older copy was put back."""
    tale = served()
    tale.ask(ev.Paused(until_us=0, reason="by hand", author="x"))
    tale.roles["a"] = "fenced"
    assert kinds(tale.ok("a", "a")) == []
    taken = tale.ask(ev.Resumed(author="x"))
    assert only(taken, ev.ActivationLost).evidence == (tale.master("a").good_seq,)
    assert only(taken, ev.AttemptStarted).heir == "b"


def test_one_that_says_it_is_fenced_to_an_engine_that_was_just_started_has_lost_it_too() -> None:
    tale = served()
    tale.roles["a"] = "fenced"
    tale.see(ev.EngineStarted(release="1", stopped_at_us=tale.at_us))
    tale.wait(MS)
    assert kinds(tale.ok("a"))[0] == "ActivationLost"


def test_one_that_stands_by_while_another_knows_a_newer_epoch_has_lost_its_activation() -> None:
    tale = served()
    tale.roles["a"] = "standby"
    assert kinds(tale.ok("a", "b", "c")) == []
    tale.epochs["c"] = 5
    tale.roles["c"] = "fenced"
    assert kinds(tale.ok("c"))[0] == "ActivationLost"


@pytest.mark.parametrize("says", ["standby", "fenced"])
def test_one_that_was_started_again_and_does_not_act_has_lost_its_activation(says: str) -> None:
    """A server whose file says that it is a replica, and whose data have the epoch still."""
    tale = served()
    tale.roles["a"], tale.boots["a"] = says, "a2"
    taken = tale.ok("a")
    assert only(taken, ev.ActivationLost).found == 1
    assert only(taken, ev.AttemptStarted).heir == "b"


def test_one_that_was_started_again_and_acts_keeps_its_place() -> None:
    tale = served()
    tale.roles["a"], tale.boots["a"] = "active", "a2"
    assert kinds(tale.ok("a", "a")) == []
    tale.roles["a"] = "standby"  # which somebody told the process that goes on
    assert kinds(tale.ok("a")) == []


def test_one_that_was_started_again_right_after_its_activation_is_judged_by_its_next_answer() -> (
    None
):
    tale = served()
    switch(tale, "b")
    tale.work()
    tale.roles["b"], tale.boots["b"] = "standby", "b2"
    assert kinds(tale.ok("b")) == []  # it may have been sent before
    assert kinds(tale.ok("b"))[0] == "ActivationLost"


def test_what_was_said_before_an_activation_replaces_nobody() -> None:
    tale = served()
    switch(tale, "b")
    tale.work()
    tale.roles = {"a": "standby", "b": "standby", "c": "active"}
    assert kinds(tale.ok("c")) == []
    assert kinds(tale.ok("b")) == []  # it may have been sent before
    assert kinds(tale.ok("b"))[0] == "ActivationLost"


@pytest.mark.parametrize(
    "changes", [{"automation": Automation.OBSERVE}, {"effects": "none"}], ids=["observe", "none"]
)
def test_where_nobody_is_told_anything_nobody_is_fenced(changes: dict[str, object]) -> None:
    tale = Story(made(**{"effects": "http", "unknown_after_us": 0, **changes}))  # type: ignore[arg-type]
    tale.roles = {"a": "active"}
    tale.ok("a", "b", "c")
    tale.work()
    tale.ok("a", "b", "c")
    assert kinds(promoted_by_hand(tale, "b")) == []


def test_who_was_promoted_by_hand_is_the_heir_when_the_active_is_gone() -> None:
    tale = served()
    tale.dead.add("a")
    tale.closes("a")
    tale.ask(ev.Paused(until_us=0, reason="by hand", author="x"))
    tale.refuses("a")
    promoted_by_hand(tale, "c")
    taken = tale.ask(ev.Resumed(author="x"))
    started = only(taken, ev.AttemptStarted)
    assert started.heir == "c"
    assert dict(started.table[0].figures)["acts"] == 1
    assert subjects(taken, ev.MasterFenced) == ["a"]


def test_before_another_is_promoted_who_acts_as_well_is_fenced_and_confirms() -> None:
    tale = served(fence=FenceKind.CONFIRMED)
    tale.ask(ev.Paused(until_us=0, reason="by hand", author="x"))
    promoted_by_hand(tale, "b")
    tale.ask(ev.FailoverAsked(to="c", author="x"))
    assert {name for step, name in tale.owed() if step == "fence"} == {"a", "b"}
    assert "TransferStarted" not in kinds(tale.answers("fence", master="a"))
    assert kinds(tale.answers("fence", master="b"))[-1] == "TransferStarted"


def test_of_two_that_act_in_a_group_without_an_active_one_is_made_it_and_the_other_fenced() -> None:
    tale = served(fence=FenceKind.CONFIRMED)
    tale.ask(ev.Paused(until_us=0, reason="by hand", author="x"))
    tale.restarts("a")
    tale.roles["a"] = "standby"
    tale.ok("a")
    assert tale.master("a").role is Role.FENCED
    promoted_by_hand(tale, "b", epoch=7)
    promoted_by_hand(tale, "c", epoch=8)
    taken = tale.ask(ev.Resumed(author="x"))
    started = only(taken, ev.AttemptStarted)
    assert (started.heir, started.epoch) == ("b", 9)
    assert subjects(taken, ev.MasterFenced) == ["c"]


def test_a_running_primary_is_adopted_under_its_own_epoch_only_if_that_is_the_newest() -> None:
    tale = Story(made(effects="http"))
    tale.roles, tale.epochs = {"a": "active"}, {"a": 5, "b": 9, "c": 0}
    taken = tale.ok("b", "c", "a")
    assert only(taken, ev.Activated).epoch == 10
    assert tale.owed() == [("promote", "a")]


def test_a_running_primary_with_the_newest_epoch_keeps_it() -> None:
    tale = Story(made(effects="http"))
    tale.roles, tale.epochs = {"a": "active"}, {"a": 5, "b": 4, "c": 0}
    taken = tale.ok("b", "c", "a")
    assert only(taken, ev.Activated).epoch == 5
    assert tale.owed() == []


def test_another_process_that_acts_confirms_no_fence() -> None:
    tale = served(fence=FenceKind.CONFIRMED)
    tale.fails("a")
    tale.refuses("a", "a")
    assert tale.master("a").role is Role.FENCED
    tale.restarts("a")
    assert "FenceConfirmed" not in kinds(tale.ok("a", role="active"))
    assert only(tale.ok("a", role="standby"), ev.FenceConfirmed).how == "restarted"


def test_a_fence_that_is_older_than_what_its_master_knows_is_drawn_anew() -> None:
    tale = served(fence=FenceKind.CONFIRMED)
    tale.crashes("a")
    confirm_at = tale.master("a").fence.confirm_at  # type: ignore[union-attr]
    tale.ok("b", "c")
    assert tale.answers("fence", Result.REFUSED)[1:] == []
    taken = tale.ok("a", epoch=confirm_at + 5, role="standby")
    fenced = only(taken, ev.MasterFenced)
    assert (fenced.confirm_at, fenced.revokes) == (confirm_at + 6, 1)
    tale.ok("b", "c")
    assert "TransferStarted" in kinds(tale.answers("fence"))


def test_who_acts_while_state_is_on_its_way_to_the_heir_ends_the_attempt_and_is_fenced() -> None:
    tale = served(fence=FenceKind.CONFIRMED)
    tale.dead.add("a")
    tale.crashes("a")
    tale.answers("fence")
    assert ("transfer", "b") in tale.owed()
    taken = promoted_by_hand(tale, "c")
    assert only(taken, ev.AttemptFailed).reason == "c acts as well"
    assert subjects(taken, ev.PromotionStarted) == []
    assert subjects(taken, ev.AttemptStarted) == ["g"]
    assert only(taken, ev.AttemptStarted).heir == "c"


def test_one_that_served_until_its_fence_may_still_be_heard_to() -> None:
    """The answer to a probe from before the fence may come after that was confirmed."""
    tale = story()
    switch(tale, "b")
    tale.work()  # b serves, and no probe has heard it say so
    switch(tale, "a")
    for step in ("preflight", "fence"):
        tale.answers(step)
    late = tale.ok("b", role="active", epoch=2)
    assert "AttemptFailed" not in kinds(late)
    tale.work()
    assert tale.group.assigned == "a"
    tale.ok("b", role="standby")
    assert "MasterFenced" in kinds([*tale.ok("a", epoch=4), *tale.ok("b", role="active")])


@pytest.mark.parametrize(("fence", "waits"), [(FenceKind.CONFIRMED, True), (FenceKind.GATE, False)])
def test_who_is_silent_and_is_followed_is_fenced_before_the_first_activation(
    fence: FenceKind, waits: bool
) -> None:
    """It may serve since before the log began."""
    tale = Story(made(effects="redis", fence=fence, unknown_after_us=0))
    tale.ok("b", "c", role="standby")
    tale.see(ev.LoadReported(follows="A:1"), "c")
    taken = tale.crashes("a")
    assert only(taken, ev.FailoverStarted).why == "first"
    fenced = only(taken, ev.MasterFenced)
    assert (fenced.revokes, fenced.reason.partition(": ")[2]) == (0, "others follow it")
    assert ("TransferStarted" in kinds(taken)) is not waits
    assert ("fence", "a") in tale.owed()
    tale.restarts("a")
    tale.answers("fence")
    tale.work()
    assert active_of(tale.group) == "b"


@pytest.mark.parametrize("follows", ["", "d:1"])
def test_who_is_silent_and_followed_by_nobody_is_not_waited_for(follows: str) -> None:
    tale = Story(made(effects="redis", fence=FenceKind.CONFIRMED, unknown_after_us=0))
    tale.ok("b", "c", role="standby")
    tale.see(ev.LoadReported(follows=follows, position=1), "c")
    taken = tale.crashes("a")
    assert "MasterFenced" not in kinds(taken)
    assert "TransferStarted" in kinds(taken)
