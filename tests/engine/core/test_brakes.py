"""The hold-down and the limit: what brakes an automatic failover, and what lets it go."""

import pytest

from engine.core import events as ev
from engine.core.blocking import Block, waiting
from engine.core.policy import HOUR, MINUTE, MS, FenceKind
from tests.engine.core.build import Story, kinds, only, refused, story


def wait_of(tale: Story) -> Block | None:
    """Return what the open failover waits for."""
    assert tale.group.saga is not None
    return waiting(tale.state, tale.group, tale.group.saga, tale.at_us)


def held() -> Story:
    """Return a story in which b serves, and the hold-down of that failover runs."""
    tale = story(hold_down_us=MINUTE, rise=1, unknown_after_us=0)
    tale.crashes("a")
    tale.work()
    tale.restarts("a")
    tale.ok("a", "b", "c")
    tale.answers("fence")
    assert tale.group.assigned == "b"
    return tale


def test_soft_evidence_within_the_hold_down_opens_and_waits() -> None:
    tale = held()
    started = only(tale.fails("b"), ev.FailoverStarted)
    assert (started.waits, started.counts) == ("hold-down", True)
    assert wait_of(tale) == Block(reason="hold-down", until_us=tale.group.hold_until_us)


def test_hard_evidence_goes_on_within_the_hold_down() -> None:
    tale = held()
    taken = tale.crashes("b")
    assert only(taken, ev.FailoverStarted).waits == ""
    assert "AttemptStarted" in kinds(taken)


def test_it_goes_on_when_the_evidence_turns_hard() -> None:
    tale = held()
    tale.fails("b")
    assert "AttemptStarted" in kinds(tale.crashes("b"))


def test_it_goes_on_when_the_hold_down_ends() -> None:
    tale = held()
    ends_us = tale.group.hold_until_us
    tale.fails("b")
    tale.at_us = ends_us - MS
    tale.ok("a", "c")
    tale.wait(2 * MS)
    taken = tale.tick()
    assert taken[0].event == ev.DeadlinePassed(what="hold-down")
    assert taken[0].at_us == ends_us
    assert "AttemptStarted" in kinds(taken)


def test_it_goes_on_when_it_is_approved_and_when_it_is_released() -> None:
    for command in (ev.Approved(author="x"), ev.Released(scope="hold-down", author="x")):
        tale = held()
        tale.fails("b")
        assert "AttemptStarted" in kinds(tale.ask(command))


def test_it_is_abandoned_when_the_active_recovers_and_then_counts_for_nothing() -> None:
    tale = held()
    counted = list(tale.group.counted_us)
    hold_us = tale.group.hold_until_us
    tale.wait(MS)
    tale.fails("b")
    tale.ok("c")
    assert len(tale.group.counted_us) == len(counted) + 1
    ended = only(tale.ok("b"), ev.FailoverEnded)
    assert (ended.result, ended.reason) == ("abandoned", "the active recovered")
    assert (tale.group.counted_us, tale.group.hold_until_us) == (counted, hold_us)


def test_a_lost_activation_is_hard() -> None:
    tale = held()
    tale.restarts("b")
    assert "AttemptStarted" in kinds(tale.ok("b"))


# The limit.


def limited(*, after: int = 2) -> Story:
    """Return a story in which the limit of two is spent."""
    tale = story(limit=2, limit_window_us=HOUR, rise=1, unknown_after_us=0)
    for name in ("a", "b", "c")[:after]:
        tale.crashes(name)
        tale.work()
        tale.restarts(name)
        tale.ok("a", "b", "c")
        tale.answers("fence")
        tale.wait(10 * MS)
        tale.ok("a", "b", "c")
    return tale


def test_a_spent_limit_waits_even_on_hard_evidence() -> None:
    tale = limited()
    assert tale.group.assigned == "c"
    taken = tale.crashes("c")
    assert only(taken, ev.FailoverStarted).waits == "limit"
    assert "AttemptStarted" not in kinds(taken)
    first_us = tale.group.counted_us[0]
    assert wait_of(tale) == Block(reason="limit", until_us=first_us + HOUR)


@pytest.mark.parametrize(
    "command", [ev.Approved(author="x"), ev.Released(scope="limit", author="x")]
)
def test_a_person_lets_it_go_on(command: ev.Approved | ev.Released) -> None:
    tale = limited()
    tale.crashes("c")
    assert "AttemptStarted" in kinds(tale.ask(command))


def test_it_goes_on_when_its_window_has_passed() -> None:
    tale = limited()
    ends_us = tale.group.counted_us[0] + HOUR
    tale.crashes("c")
    tale.at_us = ends_us - MS
    tale.ok("a", "b")
    tale.wait(MS)
    taken = tale.tick()
    assert taken[0].event == ev.DeadlinePassed(what="limit")
    assert taken[0].at_us == ends_us
    assert "AttemptStarted" in kinds(taken)


def test_a_failover_below_the_limit_does_not_brake_itself() -> None:
    tale = limited(after=1)
    assert "AttemptStarted" in kinds(tale.crashes("b"))


def test_brakes_bind_automatic_choices_only() -> None:
    for command in (
        ev.FailoverAsked(to="a", author="x"),
        ev.SwitchoverAsked(to="a", author="x"),
    ):
        tale = limited()
        tale.ask(command)
        tale.work()
        assert tale.group.assigned == "a"
        assert len(tale.group.counted_us) == 2


@pytest.mark.parametrize("asks", ["switchover", "forced", "first"])
def test_what_was_asked_for_and_the_first_activation_hold_nothing_down(asks: str) -> None:
    tale = story(hold_down_us=MINUTE)
    if asks == "switchover":
        tale.ask(ev.SwitchoverAsked(to="b", author="x"))
    elif asks == "forced":
        tale.ask(ev.FailoverAsked(to="b", author="x"))
    tale.work()
    assert tale.group.assigned == ("a" if asks == "first" else "b")
    assert tale.group.hold_until_us == 0


def test_a_release_of_a_group_lifts_both_brakes() -> None:
    tale = held()
    tale.fails("b")
    assert "AttemptStarted" in kinds(tale.ask(ev.Released(scope="any", author="x")))
    assert tale.group.counted_us == []


def stuck() -> Story:
    """Return a story whose failover waits for the fence of a, which is gone for good."""
    tale = story(fence=FenceKind.CONFIRMED, effects="http", unknown_after_us=0)
    tale.crashes("a")
    tale.ok("b", "c")
    return tale


def test_a_release_of_a_master_lets_the_failover_go_that_waits_for_its_fence() -> None:
    tale = stuck()
    taken = tale.ask(ev.Released(scope="any", author="x"), "a")
    assert kinds(taken) == ["FenceConfirmed", "TransferStarted"]
    assert only(taken, ev.FenceConfirmed).how == "released"


@pytest.mark.parametrize(
    "command",
    [
        ev.Released(scope="any", author="x"),
        ev.FailoverAsked(to="c", author="x"),
        ev.SwitchoverAsked(to="c", author="x"),
    ],
    ids=["release", "failover", "switchover"],
)
def test_what_cannot_go_on_without_a_fence_says_what_can_be_done(command: ev.Observation) -> None:
    (reason,) = refused(stuck().ask(command))
    assert reason == (
        "failover 31 of g waits until a confirms its fence: release a, if it cannot act any more"
    )


@pytest.mark.parametrize("scope", ["any", "hold-down", "limit"])
def test_a_release_that_is_refused_has_lifted_nothing(scope: str) -> None:
    tale = stuck()
    tale.group.hold_until_us = tale.at_us + MINUTE
    counted = list(tale.group.counted_us)
    assert counted
    assert refused(tale.ask(ev.Released(scope=scope, author="x")))
    assert (tale.group.hold_until_us, tale.group.counted_us) == (tale.at_us + MINUTE, counted)


def test_a_master_without_a_fence_has_nothing_to_release() -> None:
    tale = stuck()
    assert refused(tale.ask(ev.Released(scope="any", author="x"), "b")) == (
        "b has no unconfirmed fence",
    )
