"""What a new file changes, and what it may not."""

import msgspec
import pytest

from engine.core import candidates
from engine.core import events as ev
from engine.core.events import FLEET, Recorded
from engine.core.fleet import Mode
from engine.core.policy import SECOND, FenceKind
from engine.core.state import Phase
from tests.engine.core.build import (
    Story,
    abandoned,
    declared,
    kinds,
    loaded,
    made,
    offer,
    refused,
    story,
    switch,
)


def test_a_file_that_was_seen_before_decides_nothing() -> None:
    tale = story()
    assert kinds(tale.see(ev.ConfigurationLoaded(digest="same"))) == []
    assert tale.state.fleet.file_digest == "same"


def test_a_new_policy_is_adopted_and_who_is_new_is_added() -> None:
    tale = story()
    taken = offer(tale, names="abcd", fall=7)
    assert kinds(taken) == ["PolicyAdopted", "MasterAdded"]
    assert tale.state.policy_of(tale.group).probe.fall == 7
    assert list(tale.group.masters) == ["a", "b", "c", "d"]


def test_who_is_declared_otherwise_keeps_what_is_known_of_it() -> None:
    tale = story()
    masters = list(declared("abc"))
    masters[1] = msgspec.structs.replace(masters[1], weight=9)
    taken = tale.see(loaded(made(), tuple(masters)))
    assert kinds(taken) == ["PolicyAdopted", "MasterAdded"]
    assert (tale.master("b").declared.weight, tale.master("b").good) == (9, 2)


def test_a_standby_may_be_removed_and_who_serves_may_not() -> None:
    tale = story()
    assert refused(offer(tale, names="bc")) == ("master a of g is active",)
    taken = offer(tale, names="ab")
    assert kinds(taken) == ["MasterRemoved", "PolicyAdopted"]
    assert list(tale.group.masters) == ["a", "b"]


def test_whom_a_failover_goes_to_may_not_be_removed() -> None:
    tale = story()
    switch(tale, "c")
    (reason,) = refused(offer(tale, names="ab"))
    assert reason.endswith("of g is open to c")
    assert "MasterRemoved" in kinds(offer(tale, names="ac"))
    tale.answers("preflight")
    (reason,) = refused(offer(tale, names="a"))
    assert reason.endswith("of g is open to c")


def test_the_mode_of_a_group_that_is_served_stays() -> None:
    tale = story()
    reason = "group g is active-standby and is served"
    assert refused(offer(tale, mode=Mode.ACTIVE_ACTIVE)) == (reason,)
    assert kinds(offer(Story(), mode=Mode.ACTIVE_ACTIVE)) == ["PolicyAdopted"]


def test_the_mode_of_a_group_stays_while_its_failover_is_open() -> None:
    tale = Story(made(effects="http"))
    tale.ok("a", "b", "c")
    assert tale.owed() == [("transfer", "a")]  # nobody serves yet
    reason = "failover 13 of g is open: its mode stays"
    assert refused(offer(tale, mode=Mode.ACTIVE_ACTIVE, effects="http")) == (reason,)
    tale.work()
    assert tale.group.assigned == "a"
    assert tale.group.saga is None


def two_groups() -> Story:
    masters = (*declared("ab"), *declared("xy", group="h"))
    return Story({"g": made(), "h": made(effects="none")}, masters=masters)


def test_a_group_is_dropped_when_nobody_serves_it_and_nothing_is_open() -> None:
    tale = two_groups()
    tale.see(ev.MessageAccepted(key="k", lane="h", size=1, digest=b""), "h")
    assert refused(tale.see(loaded(made(), declared("ab")))) == ("group h has 1 open messages",)
    tale = two_groups()
    taken = tale.see(loaded(made(), declared("ab")))
    assert kinds(taken) == ["MasterRemoved", "MasterRemoved", "PolicyAdopted"]
    assert list(tale.state.groups) == ["g"]


def test_a_master_may_move_to_another_group() -> None:
    tale = two_groups()
    masters = (*declared("a"), *declared("xyb", group="h"))
    taken = tale.see(loaded({"g": made(), "h": made(effects="none")}, masters))
    assert kinds(taken) == ["MasterRemoved", "PolicyAdopted", "MasterAdded"]
    assert tale.state.cache.places["b"].group.id == "h"


def test_who_was_removed_is_assigned_no_longer() -> None:
    tale = abandoned()
    assert tale.group.assigned == "a"
    assert "MasterRemoved" in kinds(offer(tale, names="b"))
    assert tale.group.assigned == ""


def test_each_group_is_decided_for_by_itself() -> None:
    tale = two_groups()
    taken = tale.ok("x", "y", "a", "b")
    assert tale.state.groups["h"].assigned == "x"
    assert tale.group.saga is not None
    assert tale.group.saga.phase is Phase.TRANSFERRING
    assert {"g", "h"} == {seen.subject for seen in taken if seen.subject in ("g", "h")}


def test_a_command_to_the_fleet_lets_every_group_go_on() -> None:
    tale = two_groups()
    tale.see(ev.Paused(until_us=0, reason="", author="x"), FLEET)
    assert "FailoverStarted" not in kinds(tale.ok("a", "b", "x", "y"))
    taken = tale.see(ev.Resumed(author="x"), FLEET)
    assert kinds(taken).count("FailoverStarted") == 2


def moved(tale: Story, name: str, **changes: object) -> list[Recorded]:
    """Offer a file in which `name` has another address."""
    masters = [
        msgspec.structs.replace(master, address="http://elsewhere:1")
        if master.id == name
        else master
        for master in declared("abc")
    ]
    return tale.see(loaded(made(**changes), tuple(masters)))  # type: ignore[arg-type]


def test_who_serves_or_is_fenced_cannot_be_moved() -> None:
    tale = story(effects="http")
    (reason,) = refused(moved(tale, "a", effects="http"))
    assert reason == "master a of g is active at http://a:1: it cannot move now"
    tale.crashes("a")
    (reason,) = refused(moved(tale, "a", effects="http"))
    assert reason == "master a of g is fenced at http://a:1: it cannot move now"


def test_who_takes_over_stays_where_it_got_what_it_needs() -> None:
    tale = story(effects="http", unknown_after_us=0)
    tale.crashes("a")
    reason = f"failover {tale.group.saga and tale.group.saga.id} of g is open to b"
    assert ("transfer", "b") in tale.owed()
    assert reason in refused(moved(tale, "b", effects="http", unknown_after_us=0))
    assert "MasterAdded" in kinds(moved(tale, "c", effects="http", unknown_after_us=0))


def test_nothing_that_a_standby_said_at_its_old_address_is_believed() -> None:
    tale = story()
    tale.ok("b", boot="x", role="standby", epoch=3)
    assert kinds(moved(tale, "b")) == ["PolicyAdopted", "MasterAdded"]
    master = tale.master("b")
    assert (master.boot, master.reported_role, master.reported_epoch) == ("", "", None)
    passed = candidates.passed_over(tale.state, tale.group, "b", tale.at_us)
    assert passed is not None
    assert passed[0] == "stale"


def test_nor_are_the_data_or_the_lease_that_it_said_it_had() -> None:
    tale = story(effects="redis", behind_max=0, unknown_after_us=0)
    tale.work()
    for name in "abc":
        tale.see(ev.LoadReported(position=500, lease_us=SECOND), name)
    assert tale.master("b").follows == "a"
    moved(tale, "b", effects="redis", behind_max=0, unknown_after_us=0)
    tale.boots["b"] = "another"
    tale.ok("b")
    assert tale.master("b").report is None
    passed = candidates.passed_over(tale.state, tale.group, "b", tale.at_us)
    assert passed is not None
    assert passed[0] == "behind"
    assert ("follow", "b") in tale.owed()


def test_effects_and_fence_stay_while_somebody_waits_to_be_told_something() -> None:
    tale = story(effects="http", unknown_after_us=0)
    tale.crashes("a")
    assert refused(offer(tale, effects="none", unknown_after_us=0)) == (
        "failover 31 of g is open: effects and fence stay",
        "the fence of a is not confirmed: effects and fence stay",
    )
    tale.answers("transfer")
    tale.answers("promote")
    tale.answers("verify")
    assert refused(offer(tale, fence=FenceKind.CONFIRMED, effects="http")) == (
        "the fence of a is not confirmed: effects and fence stay",
    )
    assert "PolicyAdopted" in kinds(offer(tale, effects="http", fall=9))
    tale.restarts("a")
    tale.answers("fence")
    assert "PolicyAdopted" in kinds(offer(tale, effects="none"))


@pytest.mark.parametrize("fence", [FenceKind.GATE, FenceKind.CONFIRMED])
def test_who_is_fenced_may_be_removed_once_it_cannot_act(fence: FenceKind) -> None:
    tale = story(effects="http", unknown_after_us=0, fence=fence)
    tale.ask(ev.FailoverAsked(to="b", author="x"))
    changes = {"effects": "http", "unknown_after_us": 0, "fence": fence, "names": "bc"}
    if fence is FenceKind.CONFIRMED:
        assert refused(offer(tale, **changes)) == ("master a of g is fenced",)
        tale.answers("fence")
    assert kinds(offer(tale, **changes))[:2] == ["MasterRemoved", "PolicyAdopted"]
