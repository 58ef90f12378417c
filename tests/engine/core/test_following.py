"""Whom standbys follow, where masters replicate from one another."""

import msgspec
import pytest

from engine.core import events as ev
from engine.core.events import Result
from engine.core.fleet import Mode
from engine.core.issuing import BACKOFF_US
from engine.core.policy import Automation
from tests.engine.core.build import Story, kinds, made, only, story, subjects, switch
from tests.engine.core.drive import FLUSH_US, serving


def following(tale: Story) -> dict[str, tuple[str, int]]:
    return {name: (m.follows, m.follow_epoch) for name, m in tale.group.masters.items()}


@pytest.mark.parametrize("effects", ["redis", "command"])
def test_every_standby_is_told_whom_to_follow_after_a_switch(effects: str) -> None:
    tale = story(effects=effects)
    assert following(tale) == {"a": ("", 0), "b": ("a", 1), "c": ("a", 1)}
    tale.crashes("a")
    assert ("follow", "c") not in tale.owed()  # nobody leads yet
    tale.work()
    assert following(tale) == {"a": ("", 0), "b": ("", 0), "c": ("b", 2)}
    assert tale.owed() == [("fence", "a")]


@pytest.mark.parametrize("effects", ["http", "python", "none"])
def test_masters_of_other_kinds_follow_nobody(effects: str) -> None:
    tale = story(effects=effects)
    assert set(following(tale).values()) == {("", 0)}


def test_who_only_observes_and_who_serves_with_all_tell_nobody() -> None:
    observing = Story(made(effects="redis", automation=Automation.OBSERVE))
    observing.ok("a", role="active")
    observing.ok("b", "c")
    assert observing.group.assigned == "a"
    assert observing.owed() == []
    sharing = Story(made(mode=Mode.ACTIVE_ACTIVE, effects="redis"))
    sharing.ok("a", "b", "c")
    assert {step for step, _ in sharing.owed()} == {"promote"}


def test_a_switchover_is_whole_where_the_engine_only_observes() -> None:
    tale = Story(made(effects="redis", automation=Automation.OBSERVE))
    tale.ok("a", role="active")
    tale.ok("b", "c")
    switch(tale, "b")
    tale.work()
    assert following(tale) == {"a": ("b", 2), "b": ("", 0), "c": ("b", 2)}
    assert tale.owed() == []
    taken = tale.see(ev.LoadReported(follows="elsewhere:1"), "c")
    assert kinds(taken) == []  # somebody is at work by hand
    assert tale.owed() == []


def test_who_was_adopted_and_told_its_epoch_leads_when_the_engine_observes_again() -> None:
    tale = Story(made(effects="redis"))
    tale.ok("a", role="active")
    tale.ok("b", "c")
    assert tale.master("a").is_adopted
    tale.work()
    assert not tale.master("a").is_adopted
    assert following(tale)["b"] == ("a", tale.master("a").epoch)


def test_a_returning_primary_is_fenced_and_then_follows() -> None:
    tale = story(effects="redis")
    tale.crashes("a")
    tale.work()
    tale.restarts("a")
    tale.ok("a", role="active")
    assert tale.owed() == [("fence", "a")]
    assert subjects(tale.answers("fence"), ev.MasterRejoined) == ["a"]
    assert tale.owed() == [("follow", "a")]
    taken = tale.answers("follow")
    assert only(taken, ev.FollowChanged) == ev.FollowChanged(epoch=2, active="b")
    assert tale.owed() == []


def test_what_did_not_end_well_stays_owed() -> None:
    tale = story(effects="redis")
    tale.crashes("a")
    for step in ("transfer", "promote", "verify", "switch"):
        tale.answers(step)
    for result in (Result.UNKNOWN, Result.REFUSED, Result.FAILED):
        assert kinds(tale.answers("follow", result, master="c")) == []
        assert ("follow", "c") in tale.owed()
    tale.answers("follow", master="c")
    assert ("follow", "c") not in tale.owed()


def test_an_answer_under_an_activation_that_is_over_changes_nothing() -> None:
    tale = story(effects="redis")
    late = ev.Outcome(step="follow", failover=0, epoch=1, result=Result.OK)
    assert kinds(tale.see(late, "b")) == []  # it said so before
    tale.crashes("a")
    assert kinds(tale.see(late, "c")) == []  # nobody leads
    tale.work()
    assert kinds(tale.see(late, "c")) == []
    assert following(tale)["c"] == ("b", 2)


def test_a_standby_that_is_down_is_told_when_it_answers_again() -> None:
    tale = story(effects="redis")
    tale.crashes("c")
    tale.crashes("a")
    tale.work()
    assert ("follow", "c") not in tale.owed()
    tale.restarts("c")
    tale.ok("c")
    assert ("follow", "c") in tale.owed()


def test_a_standby_whose_process_is_another_was_told_nothing() -> None:
    tale = story(effects="redis")
    tale.restarts("b")
    tale.ok("b")
    assert tale.owed() == [("follow", "b")]


def test_an_active_that_failed_or_lost_its_activation_leads_nobody() -> None:
    tale = story(effects="redis", automation=Automation.CONFIRM)
    tale.ask(ev.Approved(author="x"))
    tale.work()
    tale.ok("a", "b", "c")
    tale.crashes("a")
    tale.restarts("b")
    tale.ok("b")
    assert ("follow", "b") not in tale.owed()
    tale.restarts("a")
    tale.ok("a")
    assert tale.master("a").lost_seq
    assert ("follow", "b") not in tale.owed()


def test_a_standby_that_says_it_follows_somebody_else_is_told_again() -> None:
    tale = story(effects="redis")
    told = only(tale.see(ev.LoadReported(follows="elsewhere:1"), "b"), ev.FollowChanged)
    assert told == ev.FollowChanged(epoch=0, active="")
    assert tale.owed() == [("follow", "b")]
    tale.work()
    assert tale.see(ev.LoadReported(follows="a:1"), "b")[1:] == []
    assert tale.see(ev.LoadReported(position=5), "b")[1:] == []
    assert tale.see(ev.LoadReported(follows="elsewhere:1"), "a")[1:] == []  # told nothing


@pytest.mark.parametrize(
    ("address", "said", "strays"),
    [
        ("redis://Redis-A:6379", "redis-a:6379", False),
        ("redis://redis-a:6379", "Redis-A:6379", False),
        ("redis://[fd00::1]:6379", "fd00::1:6379", False),
        ("redis://[FD00::1]:6379/0", "fd00::1:6379", False),
        ("redis://[fd00::1]:6379", "fd00::2:6379", True),
        ("redis://redis-a:6379", "redis-a:6380", True),
        ("redis://redis-a:6379", "redis-b:6379", True),
    ],
)
def test_a_standby_may_spell_otherwise_whom_it_follows(
    address: str, said: str, strays: bool
) -> None:
    tale = story(effects="redis")
    master = tale.master("a")
    master.declared = msgspec.structs.replace(master.declared, address=address)
    taken = tale.see(ev.LoadReported(follows=said), "b")
    assert ("FollowChanged" in kinds(taken)) is strays


def test_one_that_follows_a_master_that_is_gone_is_told_again() -> None:
    tale = story(effects="redis")
    tale.master("b").follows = "z"
    assert tale.see(ev.LoadReported(follows="elsewhere:1"), "b")[1:] == []
    assert tale.owed() == [("follow", "b")]


def test_a_driver_owes_it_to_another_process_at_once() -> None:
    engine = serving(effects="redis")
    engine.ok("b", epoch=0)
    assert engine.effects() == []
    engine.n += 1
    engine.see(ev.ProbeOk(n=engine.n, latency_us=1, boot="another", epoch=0), "b")
    engine.n += 1
    engine.see(ev.ProbeOk(n=engine.n, latency_us=1, boot="one more", epoch=0), "b")
    engine.at_us += FLUSH_US
    engine.append()
    assert [(effect.step, effect.master) for effect in engine.effects()] == [("follow", "b")]


def test_a_driver_takes_the_answer_of_one_that_is_told_again_under_the_same_activation() -> None:
    engine = serving(effects="redis")
    for boot in ("second", "third"):
        for _ in range(2):
            engine.n += 1
            engine.see(ev.ProbeOk(n=engine.n, latency_us=1, boot=boot, epoch=0), "b")
        engine.at_us += BACKOFF_US
        engine.append()
        (effect,) = engine.effects()
        assert effect.step == "follow"
        engine.ends(effect)
        engine.append()
        assert engine.driver.durable_state.cache.places["b"].master.follows == "a"
        assert engine.effects() == []
