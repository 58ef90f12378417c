"""A fleet that changes while it runs: masters that rest, come, go and are forgiven."""

import pytest

from engine.core import events as ev
from engine.core.events import FLEET, Recorded, Result
from engine.core.fleet import Health, Master, Mode, Role
from engine.core.policy import HOUR, FenceKind, Hooks, Policy
from engine.core.serving import weights
from engine.core.state import active_of
from tests.engine.core.build import (
    Story,
    declared,
    kinds,
    loaded,
    made,
    offer,
    only,
    refused,
    story,
    switch,
)


def drain(tale: Story, name: str, *, drained: bool = True) -> list[Recorded]:
    return tale.see(ev.DrainAsked(drained=drained, reason="disk", author="x"), name)


def serving(names: str = "abc") -> Story:
    """Return a story of an active-active group."""
    tale = story(names=names, mode=Mode.ACTIVE_ACTIVE, unknown_after_us=0)
    assert all(weights(tale.state, tale.group).values())
    return tale


# Rest.


@pytest.mark.parametrize("step", ["transfer", "promote", "verify"])
def test_who_is_about_to_take_over_cannot_rest(step: str) -> None:
    tale = story(unknown_after_us=0)
    tale.crashes("a")
    saga = tale.group.saga
    assert saga is not None
    while (step, "b") not in tale.owed():
        tale.answers(next(what for what, name in tale.owed() if name == "b"))
    assert refused(drain(tale, "b")) == (f"failover {saga.id} of g is open to b",)
    assert kinds(drain(tale, "c")) == ["DrainChanged"]
    tale.work()
    assert active_of(tale.group) == "b"


def test_a_standby_that_rests_is_not_chosen_until_it_may_be_again() -> None:
    tale = story(unknown_after_us=0)
    assert kinds(drain(tale, "b")) == ["DrainChanged"]
    assert only(tale.crashes("a"), ev.AttemptStarted).heir == "c"
    table = {v.master: v.rule for v in only(tale.log[-20:], ev.AttemptStarted).table}
    assert table["b"] == "drained"
    assert kinds(drain(tale, "b", drained=False)) == ["DrainChanged"]
    assert not tale.master("b").is_drained


def test_the_work_of_the_active_is_moved_before_it_rests() -> None:
    tale = story(unknown_after_us=0)
    taken = drain(tale, "a")
    assert kinds(taken) == ["DrainChanged", "FailoverStarted"]
    started = only(taken, ev.FailoverStarted)
    assert (started.why, started.source, started.to) == ("switchover", "a", "b")
    tale.work()
    assert active_of(tale.group) == "b"
    tale.ok("a", "b", "c")
    assert only(tale.crashes("b"), ev.AttemptStarted).heir == "c"


def test_an_active_that_serves_on_is_told_to_rest_once_more() -> None:
    tale = story(unknown_after_us=0)
    drain(tale, "a")
    assert "is open: selecting" in refused(drain(tale, "a"))[0]
    assert only(tale.answers("preflight", Result.REFUSED), ev.FailoverEnded).result == "abandoned"
    assert active_of(tale.group) == "a"
    assert kinds(drain(tale, "a")) == ["DrainChanged", "FailoverStarted"]
    tale.work()
    assert active_of(tale.group) == "b"
    assert refused(drain(tale, "a")) == ("a drains already",)


def test_an_active_that_nobody_can_replace_does_not_rest() -> None:
    tale = story(names="ab", unknown_after_us=0)
    tale.fails("b")
    assert refused(drain(tale, "a"))[1].startswith("b: health-failed")
    assert not tale.master("a").is_drained


def test_in_an_active_active_group_it_finishes_what_it_has() -> None:
    tale = serving()
    assert kinds(drain(tale, "b")) == ["DrainChanged", "DrainStarted", "DrainEnded"]
    assert only(tale.log[-5:], ev.DrainStarted).reason == "it rests"
    assert tale.master("b").role is Role.STANDBY
    assert kinds(tale.ok("b")) == []
    taken = drain(tale, "b", drained=False)
    assert kinds(taken) == ["DrainChanged", "Activated"]


def test_the_last_one_that_serves_does_not_rest() -> None:
    tale = serving("ab")
    drain(tale, "a")
    assert refused(drain(tale, "b")) == ("b is the last one of g that serves",)


def test_what_is_so_already_is_refused() -> None:
    tale = story()
    assert refused(drain(tale, "b", drained=False)) == ("b does not drain",)
    drain(tale, "b")
    assert refused(drain(tale, "b")) == ("b drains already",)


# Come.


def add(tale: Story, name: str = "d", *, group: str = "g", address: str = "") -> list[Recorded]:
    master = Master(id=name, group=group, address=address or f"http://{name}:1", priority=4)
    return tale.see(ev.MasterAddAsked(master=master, author="x"))


def test_a_master_that_is_added_may_be_chosen_once_it_is_heard() -> None:
    tale = story(names="ab", unknown_after_us=0)
    taken = add(tale)
    assert only(taken, ev.MasterAdded).by_command
    assert taken[-1].subject == "d"
    tale.ok("a", "b", "d")
    tale.fails("b")
    assert only(tale.crashes("a"), ev.AttemptStarted).heir == "d"


@pytest.mark.parametrize(
    ("name", "group", "address", "said"),
    [
        ("a", "g", "", "a is a master of g already"),
        ("g", "g", "", "g is the name of something else"),
        (FLEET, "g", "", "fleet is the name of something else"),
        ("d", "h", "", "no group 'h': expected one of g"),
        ("d", "g", "http://b:1", "b of g has the address http://b:1 already"),
    ],
)
def test_one_that_cannot_be_is_refused(name: str, group: str, address: str, said: str) -> None:
    where = address or f"http://{name}-new:1"
    assert refused(add(story(names="ab"), name, group=group, address=where)) == (said,)


def test_there_may_be_no_group_at_all() -> None:
    tale = Story(Policy(groups={}), masters=())
    assert refused(add(tale)) == ("no group 'g': expected one of none",)


def test_a_file_that_does_not_name_it_leaves_it_and_one_that_does_owns_it() -> None:
    tale = story(names="ab", unknown_after_us=0)
    add(tale)
    assert kinds(offer(tale, names="ab", unknown_after_us=0, rise=3)) == ["PolicyAdopted"]
    assert tale.master("d").by_command
    policy = made(unknown_after_us=0, rise=4)
    named = (
        *declared("ab"),
        Master(id="d", group="g", address="http://d:1", priority=4),
    )
    taken = tale.see(loaded(policy, named))
    assert kinds(taken) == ["PolicyAdopted", "MasterAdded"]
    assert not tale.master("d").by_command
    assert "MasterRemoved" in kinds(offer(tale, names="ab", unknown_after_us=0))


def test_it_goes_with_its_group() -> None:
    tale = Story({"g": made(), "h": made()}, masters=(*declared("ab"), *declared("x", group="h")))
    add(tale, "y", group="h")
    taken = offer(tale, names="ab")
    assert [r.subject for r in taken if isinstance(r.event, ev.MasterRemoved)] == ["x", "y"]


# Go.


def remove(tale: Story, name: str) -> list[Recorded]:
    return tale.see(ev.MasterRemoveAsked(author="x"), name)


def test_a_standby_goes() -> None:
    tale = story()
    assert kinds(remove(tale, "c")) == ["MasterRemoved"]
    assert set(tale.group.masters) == {"a", "b"}


def test_the_programs_after_its_steps_go_with_it() -> None:
    tale = story(hooks=Hooks(after_fence=("p",), after_switch=("p",)), unknown_after_us=0)
    tale.work()
    tale.crashes("a")
    tale.restarts("a")
    for step in ("fence", "transfer", "promote", "verify", "switch"):
        tale.answers(step)
    assert {("after-fence", "a"), ("after-switch", "b")} <= set(tale.owed())
    assert kinds(remove(tale, "a")) == ["MasterRemoved"]
    assert [(hook.hook, hook.master) for hook in tale.group.hooks] == [("after-switch", "b")]
    assert not [step for step, name in tale.owed() if name == "a"]
    assert kinds(tale.answers("after-switch"))[-1] == "HookEnded"


def test_who_serves_stays_and_the_reason_says_what_can_be_done() -> None:
    assert refused(remove(story(), "a")) == ("a of g is active: tanist master drain a",)
    assert refused(remove(serving(), "b")) == ("b of g is active: tanist master drain b",)


def test_who_may_still_act_stays() -> None:
    tale = story(fence=FenceKind.CONFIRMED, effects="http", unknown_after_us=0)
    tale.crashes("a")
    assert refused(remove(tale, "a")) == ("a of g is fenced",)
    tale = story(unknown_after_us=0)
    tale.crashes("a")
    tale.work()
    assert kinds(remove(tale, "a")) == ["MasterRemoved"]  # the gate itself keeps it out


def test_who_is_wanted_stays() -> None:
    tale = story(unknown_after_us=0)
    switch(tale, "b")
    saga = tale.group.saga
    assert saga is not None
    assert refused(remove(tale, "b")) == (f"failover {saga.id} of g is open to b",)
    tale = story(unknown_after_us=0)
    due_us = tale.at_us + HOUR
    tale.ask(ev.SwitchoverAsked(to="b", author="x", due_us=due_us))
    assert refused(remove(tale, "b")) == ("a switchover of g to b is scheduled: cancel it first",)


def test_the_target_of_a_rollback_stays() -> None:
    from engine.core.replay import control_at
    from engine.core.state import control_digest

    tale = story(unknown_after_us=0)
    position = tale.state.seq
    switch(tale, "b")
    tale.work()
    tale.ok("a", "b", "c")
    control = control_at(tale.log, "g", position=position)
    assert control is not None
    tale.ask(
        ev.RollbackRequested(
            position=position, control=control, digest=control_digest(control), author="x"
        )
    )
    rollback, saga = tale.group.rollback, tale.group.saga
    assert rollback is not None
    assert saga is not None
    assert refused(remove(tale, "a")) == (
        f"failover {saga.id} of g is open to a",
        f"rollback {rollback.seq} of g goes back to a",
    )


def test_the_last_master_stays() -> None:
    tale = Story(made(), masters=declared("a"))
    assert refused(remove(tale, "a")) == ("a is the last master of g",)


# Be forgiven.


def test_a_reset_trusts_whoever_answers_again() -> None:
    tale = story(rise=3, unknown_after_us=0)
    tale.fails("b")
    tale.ok("b")
    assert tale.master("b").health is Health.RECOVERING
    taken = tale.see(ev.ResetAsked(author="x"), "b")
    assert only(taken, ev.MasterHealthy).rule == "reset"
    assert not tale.master("b").is_doubted


def test_a_reset_of_a_failed_one_leaves_it_failed() -> None:
    tale = story(rise=3, unknown_after_us=0)
    tale.crashes("b")
    assert kinds(tale.see(ev.ResetAsked(author="x"), "b")) == []
    assert tale.master("b").health is Health.FAILED
    assert tale.master("b").failures == []
    tale.ok("b")
    assert tale.master("b").health is Health.RECOVERING


def test_a_reset_forgets_the_count_of_a_master() -> None:
    tale = story(fall=3, unknown_after_us=0)
    tale.fails("b", "b")
    tale.see(ev.ResetAsked(author="x"), "b")
    assert kinds(tale.fails("b", "b")) == []
    assert kinds(tale.fails("b")) == ["MasterFailed"]


def test_a_reset_of_a_group_forgets_its_back_off_and_who_was_just_left() -> None:
    tale = story(unknown_after_us=0, rise=1)
    tale.crashes("a")
    tale.work()
    assert tale.master("a").left_at_us
    tale.group.retry_us = tale.group.retry_at_us = 5
    tale.restarts("a")
    tale.ok("a")
    tale.see(ev.ResetAsked(author="x"), "g")
    assert not tale.master("a").left_at_us
    assert (tale.group.retry_us, tale.group.retry_at_us) == (0, 0)
