"""One step: deadlines first, then what was seen, then whatever there is to do."""

import pytest

from engine.core import events as ev
from engine.core.calm import is_calm
from engine.core.deadlines import deadlines, next_due_us
from engine.core.decider import step
from engine.core.events import FLEET
from engine.core.fleet import Mode
from engine.core.policy import MS, SECOND, Automation
from engine.core.state import State
from tests.engine.core.build import START_US, Story, declared, kinds, loaded, made, only, story


def due(tale: Story) -> list[tuple[int, str, str]]:
    return sorted((at_us, what, subject) for _, (at_us, _, what, subject) in deadlines(tale.state))


# Deadlines.


def test_an_empty_state_waits_for_nothing() -> None:
    assert next_due_us(State()) is None
    assert step(State(), None, at_us=5) == []


def test_every_master_that_was_heard_of_will_be_silent_some_day() -> None:
    tale = story(names="ab")
    at_us = tale.at_us + 5 * SECOND
    assert due(tale) == [(at_us, "unknown_after", "a"), (at_us, "unknown_after", "b")]
    assert next_due_us(tale.state) == at_us


def test_deadlines_fire_before_what_is_seen_at_that_time_and_in_order() -> None:
    tale = story(names="ab")
    tale.wait(MS)
    tale.ok("a")
    tale.wait(5 * SECOND)
    taken = tale.ok("b")
    fired = [
        (seen.subject, seen.at_us) for seen in taken if isinstance(seen.event, ev.DeadlinePassed)
    ]
    assert fired == [("b", tale.at_us - MS), ("a", tale.at_us)]
    assert isinstance(taken[-2].event, ev.ProbeOk)
    assert kinds(taken[-1:]) == ["MasterHealthy"]


def test_a_deadline_that_became_due_in_the_past_is_stamped_with_now() -> None:
    tale = story(delay_crash_us=SECOND, unknown_after_us=0)
    tale.crashes("a")
    tale.wait(900 * MS)
    tale.ok("b", "c")
    masters = tuple(master.declared for master in tale.group.masters.values())
    taken = tale.see(loaded(made(unknown_after_us=0), masters))
    assert "FailoverStarted" in kinds(taken)
    assert all(seen.at_us == tale.at_us for seen in taken)


def test_a_late_wake_up_is_invisible() -> None:
    early, late = story(names="ab"), story(names="ab")
    for tale, nap_us in ((early, SECOND), (late, 6 * SECOND)):
        ends_us = tale.at_us + 6 * SECOND
        while tale.at_us < ends_us:
            tale.wait(nap_us)
            tale.tick()
    assert early.log == late.log


def test_a_decision_is_caused_by_what_was_seen() -> None:
    tale = story()
    taken = tale.crashes("a")
    refused = taken[1]
    assert refused.cause == 0
    assert {seen.cause for seen in taken[2:]} == {refused.seq}


# Starts and stalls.


def stopped(*, stopped_for_us: int) -> Story:
    """Return a story whose engine stopped with a delay running, and starts again later."""
    tale = story(delay_crash_us=SECOND, unknown_after_us=3 * SECOND, rise=1)
    tale.crashes("a")
    stopped_us = tale.at_us
    tale.wait(stopped_for_us)
    tale.see(ev.EngineStarted(release="2", stopped_at_us=stopped_us))
    return tale


def test_after_a_short_stop_what_has_to_be_done_is_done_after_the_start() -> None:
    tale = stopped(stopped_for_us=2 * SECOND)
    assert tale.state.fleet.release == "2"
    passed = [seen for seen in tale.log if isinstance(seen.event, ev.DeadlinePassed)]
    assert [seen.event for seen in passed] == []
    tale.wait(1)
    tale.ok("b", "c")
    tale.refuses("a")
    assert tale.group.saga is not None


def test_after_a_long_stop_what_became_stale_did_so_at_its_time() -> None:
    tale = stopped(stopped_for_us=60 * SECOND)
    passed = [seen for seen in tale.log if isinstance(seen.event, ev.DeadlinePassed)]
    assert [seen.subject for seen in passed] == ["a", "b", "c"]
    assert {seen.at_us for seen in passed} == {tale.at_us - 57 * SECOND}
    assert tale.group.saga is None


def test_what_was_due_before_the_stop_fires_first_and_is_acted_upon() -> None:
    tale = story(delay_crash_us=10 * MS, unknown_after_us=0)
    tale.crashes("a")
    tale.wait(60 * SECOND)
    taken = tale.see(ev.EngineStarted(release="2", stopped_at_us=tale.at_us - 59_950 * MS))
    assert taken[0].event == ev.DeadlinePassed(what="delay")
    assert kinds(taken[:3]) == ["FailoverStarted", "AttemptStarted"]
    assert isinstance(taken[-1].event, ev.EngineStarted)


# Messages.


def test_what_a_master_asks_to_be_kept_counts_with_its_acknowledgement_or_not_at_all() -> None:
    tale = story()
    tale.accepts("k")
    keeps = (("s", 3, b"\x01" * 32),)
    stale = ev.MessageAcked(key="k", epoch=9, keeps=keeps)
    assert kinds(tale.see(stale, "a")) == []
    assert tale.group.kept == {}
    taken = tale.see(ev.MessageAcked(key="k", epoch=1, keeps=keeps), "a")
    assert kinds(taken) == ["StateKept", "MessageDone"]
    assert tale.group.kept == {"s": b"\x01" * 32}
    assert [seen.subject for seen in taken] == ["a", "g", "g"]


@pytest.mark.parametrize(("name", "epoch"), [("b", 1), ("a", 0), ("a", 2)])
def test_only_whom_a_message_is_assigned_to_can_end_it(name: str, epoch: int) -> None:
    tale = story()
    tale.accepts("k")
    assert kinds(tale.acks("k", name, epoch=epoch)) == []
    assert kinds(tale.acks("k", "a")) == ["MessageDone"]


# Calm: a good probe that calls for no decision costs no decision.


def test_a_master_at_peace_is_calm_and_any_event_of_its_group_unsettles_it() -> None:
    tale = story()
    tale.ok("a", "b", "c")
    calm = tale.state.cache.calm["g"]
    assert calm == {"a", "b", "c"}
    tale.ok("a")
    assert calm == {"a", "b", "c"}
    tale.closes("b")
    assert calm == set()
    tale.ok("a", "c", "b", "a", "c")
    assert calm == {"a", "b", "c"}


@pytest.mark.parametrize(
    "unsettle",
    [
        ev.Paused(until_us=0, reason="", author="x"),
        ev.EngineResumed(stall_us=1, stopped_at_us=START_US),
    ],
)
def test_what_concerns_the_fleet_unsettles_everybody(
    unsettle: ev.Paused | ev.EngineResumed,
) -> None:
    tale = story()
    tale.see(unsettle, FLEET)
    assert tale.state.cache.calm["g"] == set()


def test_nobody_is_calm_while_there_is_something_to_do() -> None:
    tale = story()
    tale.crashes("a")
    tale.ok("b", "c")
    assert tale.state.cache.calm["g"] == set()
    assert not any(
        is_calm(tale.state, tale.group, master) for master in tale.group.masters.values()
    )


def test_who_does_not_serve_an_active_active_group_is_not_calm() -> None:
    tale = Story(made(mode=Mode.ACTIVE_ACTIVE))
    tale.ok("a", "b", "a", "b", "a", "b")
    assert tale.state.cache.calm["g"] == {"a", "b"}
    tale.ask(ev.ExclusionAsked(excluded=True, reason="", author="x"), "a")
    tale.ok("a", "a", "b", "b")
    assert tale.state.cache.calm["g"] == {"b"}


def test_observing_nobody_is_calm_whose_report_is_not_its_role() -> None:
    tale = Story(made(automation=Automation.OBSERVE))
    tale.roles = {"a": "active"}
    tale.ok("a", "b", "c")
    tale.roles = {"a": "active", "b": "active"}
    tale.ok("a", "b", "c", "a", "b", "c")
    assert tale.state.cache.calm["g"] == {"a", "c"}
    tale.roles = {"a": "active"}
    tale.ok("b", "c", "b", "c")
    assert tale.state.cache.calm["g"] == {"b", "c"}


def test_a_kill_is_decided_though_everybody_was_calm() -> None:
    tale = story()
    tale.ok("a", "b", "c")
    assert only(tale.crashes("a"), ev.AttemptStarted).heir == "b"


def test_a_new_master_is_not_calm() -> None:
    tale = story()
    tale.see(loaded(made(), declared("abcd")))
    assert tale.state.cache.calm["g"] == set()
    assert kinds(tale.ok("d")) == ["MasterHealthy"]
