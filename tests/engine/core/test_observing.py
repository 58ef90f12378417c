"""Observing: roles follow what the masters report, and nothing is taken from anybody."""

from engine.core import events as ev
from engine.core.fleet import Role
from engine.core.owed import deliveries
from engine.core.policy import HOUR, Automation
from tests.engine.core.build import (
    Story,
    declared,
    kinds,
    loaded,
    made,
    only,
    refused,
    story,
    subjects,
)


def test_the_active_is_who_says_so_alone() -> None:
    tale = Story(made(automation=Automation.OBSERVE))
    tale.roles = {"a": "active"}
    tale.ok("a", "b", "c")
    assert (tale.group.assigned, tale.owed()) == ("a", [])
    tale.roles = {"b": "active"}
    assert kinds(tale.ok("b")) == []
    taken = tale.ok("a")
    assert kinds(taken) == ["DrainStarted", "DrainEnded", "Activated"]
    assert (tale.group.assigned, tale.master("a").role) == ("b", Role.STANDBY)


def test_what_an_active_had_when_observing_began_is_not_lost_with_its_role() -> None:
    tale = story()
    tale.accepts("k")
    tale.see(loaded(made(automation=Automation.OBSERVE), declared("abc")))
    tale.roles = {"b": "active"}
    tale.ok("a", "b")
    assert tale.group.assigned == "b"
    assert list(deliveries(tale.group)) == []
    tale.see(loaded(made(), declared("abc")))
    taken = tale.answers("promote")
    assert subjects(taken, ev.MessagesAssigned) == ["b"]


def test_an_active_that_lost_its_activation_and_still_serves_is_adopted_anew() -> None:
    tale = Story(made(automation=Automation.OBSERVE))
    tale.roles = {"a": "active"}
    tale.epochs = {"a": 7}
    tale.ok("a", "b", "c", "a")
    taken = tale.ok("a", epoch=0)
    assert kinds(taken) == ["ActivationLost", "DrainStarted", "DrainEnded", "Activated"]
    assert only(taken, ev.Activated).epoch == 8
    assert not tale.master("a").lost_seq


def test_who_is_fenced_does_not_follow() -> None:
    tale = story()
    tale.crashes("a")
    tale.work()
    tale.see(loaded(made(automation=Automation.OBSERVE), declared("abc")))
    tale.roles = {"a": "active"}
    tale.ok("a", "a", "b")
    assert tale.master("a").role is Role.FENCED
    assert (tale.group.assigned, tale.master("b").role) == ("b", Role.ACTIVE)


def test_two_that_report_themselves_active_at_first_are_waited_for() -> None:
    tale = Story(made(automation=Automation.OBSERVE))
    tale.roles = {"a": "active", "b": "active"}
    tale.ok("a", "b", "c", "a", "b", "c")
    assert tale.state.groups["g"].assigned == ""
    tale.roles = {"b": "active"}
    tale.ok("a", "b", "c")
    assert tale.state.groups["g"].assigned == "b"


def test_a_failover_that_waits_ends_when_a_group_only_observes() -> None:
    tale = story(hold_down_us=HOUR, unknown_after_us=0, rise=1, names="abc")
    tale.crashes("a")
    tale.work()
    tale.ok("b", "c")
    tale.fails("b")
    tale.ok("c")
    assert tale.group.saga is not None
    assert tale.group.saga.waits == "hold-down"
    observing = made(automation=Automation.OBSERVE, hold_down_us=HOUR, unknown_after_us=0, rise=1)
    taken = tale.see(loaded(observing, declared("abc")))
    ended = only(taken, ev.FailoverEnded)
    assert (ended.result, ended.reason) == ("abandoned", "g only observes")
    assert only(taken, ev.FailoverProposed).heir == "c"
    assert refused(tale.ask(ev.Approved(author="x"))) == ("no failover of g waits for an approval",)


def test_a_fence_stays_owed_until_it_is_confirmed() -> None:
    tale = story(unknown_after_us=0)
    tale.crashes("a")
    tale.work()
    tale.see(loaded(made(automation=Automation.OBSERVE, unknown_after_us=0), declared("abc")))
    assert tale.owed() == [("fence", "a")]
    tale.restarts("a")
    tale.ok("a")
    tale.answers("fence")
    assert (tale.owed(), tale.master("a").role) == ([], Role.STANDBY)
    # What would be begun is not: it is told nothing, whatever it says of itself.
    tale.roles = {"a": "active", "b": "active"}
    tale.ok("a", "b")
    assert tale.owed() == []


def test_one_that_has_begun_is_brought_to_its_end() -> None:
    tale = story(unknown_after_us=0)
    tale.crashes("a")
    tale.see(loaded(made(automation=Automation.OBSERVE, unknown_after_us=0), declared("abc")))
    tale.work()
    assert tale.group.assigned == "b"
