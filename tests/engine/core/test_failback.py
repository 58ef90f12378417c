"""Who was left gets its place back, where the policy says so and only as it says."""

import msgspec

from engine.core import events as ev
from engine.core import failback
from engine.core.blocking import Block
from engine.core.deadlines import next_due_us
from engine.core.events import Recorded, Result
from engine.core.policy import HOUR, MINUTE, MS, SECOND, Automation, Policy
from engine.core.state import active_of
from tests.engine.core.build import Story, kinds, only, story, switch


def left(**changes: object) -> Story:
    """Return a story in which b took over from a, which is well again and waits for its place."""
    changes.setdefault("failback_us", 30 * MINUTE)
    changes.setdefault("unknown_after_us", 0)
    changes.setdefault("rise", 1)
    tale = story(failback="auto", **changes)  # type: ignore[arg-type]
    tale.crashes("a")
    tale.work()
    tale.wait(SECOND)
    tale.restarts("a")
    tale.ok("a", "b", "c")
    tale.answers("fence")
    tale.ok("a", "b", "c")
    assert active_of(tale.group) == "b"
    return tale


def later(tale: Story, us: int) -> list[Recorded]:
    """Let time pass, everybody answering once just before its end."""
    tale.wait(us - MS)
    taken = tale.ok(*sorted(tale.group.masters.keys() - tale.dead))
    tale.wait(MS)
    return taken + tale.tick()


def block(tale: Story) -> Block | None:
    assert failback.is_wanted(tale.state, tale.group, tale.at_us)
    return failback.block_of(tale.state, tale.group, tale.at_us)


def test_it_gets_its_place_back_after_it_was_well_for_long_enough() -> None:
    tale = left()
    ends_us = tale.master("a").health_since_us + 30 * MINUTE
    assert block(tale) == Block(reason="failback", until_us=ends_us)
    assert next_due_us(tale.state) == ends_us
    taken = later(tale, ends_us - tale.at_us)
    due = next(r for r in taken if r.event == ev.DeadlinePassed(what="failback"))
    assert due.at_us == ends_us
    started = only(taken, ev.FailoverStarted)
    assert (started.why, started.source, started.to) == ("failback", "b", "a")
    assert (started.planned, started.waits, started.counts) == (True, "preflight", False)
    assert started.evidence == (tale.master("a").health_seq,)
    tale.work()
    assert active_of(tale.group) == "a"
    assert tale.group.failback_to == ""
    assert len(tale.group.counted_us) == 1


def test_a_relapse_begins_the_time_anew() -> None:
    tale = left()
    later(tale, 29 * MINUTE)
    tale.fails("a")
    assert not failback.is_wanted(tale.state, tale.group, tale.at_us)
    tale.ok("a")
    again_us = tale.master("a").health_since_us
    assert block(tale) == Block(reason="failback", until_us=again_us + 30 * MINUTE)


def test_without_it_nobody_gets_its_place_back() -> None:
    tale = left(failback_us=0)
    assert "FailoverStarted" not in kinds(later(tale, HOUR))
    for automation in (Automation.CONFIRM, Automation.OBSERVE):
        tale = left()
        policy = msgspec.structs.replace(tale.state.policy_of(tale.group), automation=automation)
        tale.state.fleet.policy = Policy(groups={"g": policy})
        assert not failback.is_wanted(tale.state, tale.group, tale.at_us)


def test_what_a_person_has_changed_is_left_as_it_is() -> None:
    tale = story(failback="auto", failback_us=MINUTE, unknown_after_us=0, rise=1)
    switch(tale, "b")
    tale.work()
    tale.ok("a", "b", "c")
    assert tale.group.failback_to == ""
    assert "FailoverStarted" not in kinds(later(tale, HOUR))
    tale = left()
    switch(tale, "c")
    tale.work()
    assert tale.group.failback_to == ""


def test_a_worse_choice_gets_nothing_back() -> None:
    tale = story(failback="auto", failback_us=MINUTE, unknown_after_us=0, rise=1)
    switch(tale, "c")
    tale.work()
    tale.ok("a", "b", "c")
    tale.crashes("c")
    tale.work()
    assert active_of(tale.group) == "b" or active_of(tale.group) == "a"
    assert tale.group.failback_to == ""


def test_after_a_second_failover_it_is_still_the_first_that_was_left() -> None:
    tale = left()
    tale.crashes("b")
    tale.work()
    assert active_of(tale.group) == "c"
    assert tale.group.failback_to == "a"


def test_a_failover_that_takes_two_tries_leaves_whom_the_first_one_left() -> None:
    tale = story(failback="auto", failback_us=MINUTE, unknown_after_us=0, rise=1, names="ab")
    tale.crashes("a")
    assert only(tale.answers("transfer", Result.FAILED), ev.FailoverEnded).result == "abandoned"
    assert tale.group.failback_to == "a"
    tale.wait(SECOND)
    tale.ok("b")
    tale.tick()
    tale.ok("b")
    tale.work()
    assert active_of(tale.group) == "b"
    assert (tale.group.failback_to, tale.group.failback_us) == ("a", tale.at_us + MINUTE)


def test_one_that_lost_its_activation_before_there_was_an_heir_gets_its_place_back() -> None:
    tale = story(failback="auto", failback_us=MINUTE, unknown_after_us=0, rise=1, names="ab")
    tale.fails("b")
    tale.restarts("a")
    assert only(tale.ok("a"), ev.MasterFenced).reason == "it lost its activation"
    tale.ok("b")
    tale.work()
    assert (active_of(tale.group), tale.group.failback_to) == ("b", "a")
    later(tale, MINUTE)
    tale.work()
    assert active_of(tale.group) == "a"
    assert (tale.group.failback_to, tale.group.leaver) == ("", "")


def test_one_that_gets_its_own_place_back_was_left_by_nobody() -> None:
    tale = story(failback="auto", failback_us=MINUTE, unknown_after_us=0, rise=1, names="a")
    tale.restarts("a")
    tale.ok("a")
    assert tale.group.leaver == "a"
    tale.work()
    assert active_of(tale.group) == "a"
    assert (tale.group.failback_to, tale.group.leaver) == ("", "")


def test_whom_nobody_replaced_is_not_waited_for() -> None:
    tale = story(failback="auto", failback_us=MINUTE, unknown_after_us=0, names="ab")
    switch(tale, "b")
    tale.answers("preflight", Result.REFUSED)
    assert tale.group.failback_to == ""
    tale = story(failback="auto", failback_us=MINUTE, unknown_after_us=0, rise=1, names="ab")
    tale.crashes("a")
    tale.answers("transfer", Result.FAILED)
    tale.restarts("a")
    tale.ok("a")
    tale.answers("fence")
    tale.wait(2 * SECOND)
    tale.ok("a")
    tale.tick()
    tale.work()
    assert active_of(tale.group) == "a"
    assert tale.group.failback_to == ""


def test_a_failback_that_ends_with_somebody_else_is_tried_again() -> None:
    tale = left()
    later(tale, tale.master("a").health_since_us + 30 * MINUTE - tale.at_us)
    for step in ("preflight", "transfer", "promote"):
        tale.answers(step)
    tale.answers("verify", Result.FAILED)
    tale.work()
    assert active_of(tale.group) == "c"
    assert (tale.group.failback_to, tale.group.failback_us) == ("a", tale.at_us + 30 * MINUTE)


def test_one_that_is_gone_gets_nothing() -> None:
    tale = left()
    tale.see(ev.MasterRemoveAsked(author="x"), "a")
    assert not failback.is_wanted(tale.state, tale.group, tale.at_us)
    assert next_due_us(tale.state) is None


def test_one_that_rests_or_is_degraded_has_to_wait() -> None:
    tale = left()
    tale.see(ev.DrainAsked(drained=True, reason="r", author="x"), "a")
    assert not failback.is_wanted(tale.state, tale.group, tale.at_us)


def test_a_pause_a_hold_down_and_a_limit_are_waited_for_and_nothing_is_opened() -> None:
    tale = left()
    tale.see(ev.Paused(until_us=tale.at_us + HOUR, reason="r", author="x"))
    assert block(tale) == Block(reason="pause", until_us=tale.at_us + HOUR)
    assert "FailoverStarted" not in kinds(later(tale, HOUR - SECOND))
    assert "FailoverStarted" in kinds(later(tale, SECOND))

    tale = left(hold_down_us=HOUR)
    later(tale, 31 * MINUTE)
    assert block(tale) == Block(reason="hold-down", until_us=tale.group.hold_until_us)
    assert tale.group.saga is None
    assert "FailoverStarted" in kinds(later(tale, tale.group.hold_until_us - tale.at_us))

    tale = left(limit=1, limit_window_us=HOUR)
    later(tale, 31 * MINUTE)
    found = block(tale)
    assert found is not None
    assert found.reason == "limit"
    assert "FailoverStarted" in kinds(later(tale, found.until_us - tale.at_us))


def begun() -> Story:
    """Return a story whose failback looks at its target."""
    tale = left()
    later(tale, 31 * MINUTE)
    assert tale.owed() == [("preflight", "a")]
    return tale


def test_one_that_does_not_work_is_tried_again_after_as_long() -> None:
    tale = begun()
    ended = only(tale.answers("preflight", Result.FAILED), ev.FailoverEnded)
    assert (ended.result, ended.failback_to) == ("abandoned", "a")
    assert ended.failback_us == tale.at_us + 30 * MINUTE
    assert block(tale) == Block(reason="failback", until_us=ended.failback_us)


def test_a_pause_that_comes_while_it_looks_ends_it() -> None:
    tale = begun()
    ended = only(tale.see(ev.Paused(until_us=0, reason="r", author="x")), ev.FailoverEnded)
    assert ended.reason == "g is paused"


def test_an_active_that_fails_while_it_looks_is_a_failover() -> None:
    tale = begun()
    taken = tale.crashes("b")
    assert only(taken, ev.FailoverEnded).reason == "the active failed"
    assert only(taken, ev.FailoverStarted).why == "failed"


def test_a_failover_that_is_abandoned_changes_nothing() -> None:
    tale = left(hold_down_us=HOUR)
    due_us = tale.group.failback_us
    tale.fails("b")
    assert only(tale.ok("b"), ev.FailoverEnded).result == "abandoned"
    assert (tale.group.failback_to, tale.group.failback_us) == ("a", due_us)


def test_a_forced_failover_takes_its_place_over() -> None:
    tale = begun()
    tale.ask(ev.FailoverAsked(to="c", author="x"))
    tale.work()
    assert (active_of(tale.group), tale.group.failback_to) == ("c", "")
