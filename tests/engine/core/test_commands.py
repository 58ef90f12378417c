"""What people ask for: done, or refused with every reason."""

from collections.abc import Callable

import msgspec
import pytest

from engine.core import events as ev
from engine.core.blocking import drain_ends_us, is_draining
from engine.core.deadlines import next_due_us
from engine.core.events import Recorded, Result
from engine.core.fleet import Mode, Role
from engine.core.policy import MS, SECOND, Automation, FenceKind
from engine.core.state import control_digest, control_of
from tests.engine.core.build import (
    Story,
    force,
    kinds,
    made,
    only,
    refused,
    story,
    switch,
)

# Switchover.


def test_a_switchover_looks_at_its_target_before_it_takes_anything() -> None:
    tale = story()
    started = only(switch(tale), ev.FailoverStarted)
    assert (started.why, started.source, started.to) == ("switchover", "a", "b")
    assert (started.planned, started.waits, started.counts) == (True, "preflight", False)
    assert tale.owed() == [("preflight", "b")]
    assert tale.master("a").role is Role.ACTIVE
    taken = tale.answers("preflight")
    assert kinds(taken) == ["AttemptStarted", "DrainStarted", "MasterFenced", "TransferStarted"]
    tale.work()
    assert (tale.group.assigned, tale.master("a").role) == ("b", Role.STANDBY)
    assert tale.group.failovers == 1


def test_a_switchover_to_a_named_one_goes_there() -> None:
    tale = story()
    switch(tale, "c")
    tale.work()
    assert tale.group.assigned == "c"


def test_the_source_finishes_what_it_has_and_gets_nothing_new() -> None:
    tale = story()
    tale.accepts("i")
    switch(tale)
    taken = tale.answers("preflight")
    assert kinds(taken) == ["AttemptStarted", "DrainStarted"]
    assert is_draining(tale.group)
    assert not is_draining(story().group)
    assert kinds(tale.accepts("j")) == []
    assert kinds(tale.acks("i", "a")) == ["MessageDone", "MasterFenced", "TransferStarted"]
    tale.work()
    assert tale.group.ledger.requeued == 0
    assert kinds(tale.acks("j", "b")) == ["MessageDone"]


def test_a_drain_ends_at_its_time() -> None:
    tale = story(unknown_after_us=0)
    tale.accepts("i")
    switch(tale)
    tale.answers("preflight")
    saga = tale.group.saga
    assert saga is not None
    ends_us = drain_ends_us(tale.state, tale.group, saga)
    assert ends_us == tale.at_us + 200 * MS == next_due_us(tale.state)
    tale.wait(200 * MS)
    taken = tale.tick()
    assert taken[0].event == ev.DeadlinePassed(what="drain")
    assert only(taken, ev.MasterFenced).requeued == 1


@pytest.mark.parametrize("happens", ["dies", "restarts"])
def test_a_draining_source_that_is_lost_is_waited_for_no_longer(happens: str) -> None:
    tale = story()
    tale.accepts("i")
    switch(tale)
    tale.answers("preflight")
    if happens == "dies":
        taken = tale.crashes("a")
    else:
        tale.restarts("a")
        taken = tale.ok("a")
    assert kinds(taken)[1:] == ["MasterFenced", "TransferStarted"]


@pytest.mark.parametrize("result", [Result.FAILED, Result.REFUSED, Result.UNKNOWN])
def test_a_target_that_fails_its_preflight_leaves_the_source_untouched(result: Result) -> None:
    tale = story()
    switch(tale)
    ended = only(tale.answers("preflight", result), ev.FailoverEnded)
    assert ended.result == "abandoned"
    assert ended.reason == f"b did not pass its preflight: {result.value}"
    assert (tale.master("a").role, tale.master("a").epoch) == (Role.ACTIVE, 1)


def test_a_target_that_dies_before_leaves_the_source_untouched() -> None:
    tale = story()
    switch(tale)
    ended = only(tale.crashes("b"), ev.FailoverEnded)
    assert ended.reason == "b became unfit: health-failed"
    assert (tale.master("a").role, tale.master("a").epoch) == (Role.ACTIVE, 1)


def test_a_target_that_dies_while_the_source_drains_gives_it_back() -> None:
    tale = story()
    tale.accepts("i")
    switch(tale)
    tale.answers("preflight")
    taken = tale.crashes("b")
    assert kinds(taken) == [
        "MasterFailed",
        "AttemptFailed",
        "DrainCancelled",
        "Compensated",
        "FailoverEnded",
    ]
    assert only(taken, ev.FailoverEnded).reason == "b became unfit: failed-attempt"
    assert (tale.master("a").role, tale.master("a").epoch) == (Role.ACTIVE, 1)
    assert kinds(tale.acks("i", "a")) == ["MessageDone"]


def test_a_target_that_dies_after_the_source_was_fenced_is_followed_by_another() -> None:
    tale = story()
    switch(tale)
    tale.answers("preflight")
    tale.crashes("b")
    tale.work()
    assert tale.group.assigned == "c"


def test_an_active_that_fails_meanwhile_calls_for_a_failover() -> None:
    tale = story()
    switch(tale, "c")
    taken = tale.crashes("a")
    assert only(taken, ev.FailoverEnded).reason == "the active failed"
    assert only(taken, ev.FailoverStarted).why == "failed"


def test_a_late_preflight_of_another_failover_changes_nothing() -> None:
    tale = story()
    switch(tale)
    late = ev.Outcome(step="preflight", failover=1, epoch=0, result=Result.OK)
    assert kinds(tale.see(late, "b")) == []


def excluded(tale: Story) -> None:
    for name in "bc":
        tale.ask(ev.ExclusionAsked(excluded=True, reason="", author="x"), name)


@pytest.mark.parametrize(
    ("happens", "to", "reasons"),
    [
        (lambda tale: None, "a", ("a: serving (epoch 1)",)),
        (lambda tale: None, "z", ("z is no master of g: expected one of a, b, c",)),
        (
            lambda tale: tale.fails("b"),
            "b",
            ("b: health-failed (since_us 0)",),
        ),
        (excluded, "", ("a: serving (epoch 1)", "b: excluded", "c: excluded")),
    ],
)
@pytest.mark.parametrize("ask", [switch, force])
def test_a_target_that_cannot_be_is_refused_with_every_reason(
    ask: Callable[[Story, str], list[Recorded]],
    happens: Callable[[Story], object],
    to: str,
    reasons: tuple[str, ...],
) -> None:
    tale = story()
    happens(tale)
    assert refused(ask(tale, to)) == reasons


def test_a_switchover_needs_an_active() -> None:
    tale = Story()
    assert refused(switch(tale)) == ("g has no active master: a failover is needed",)


@pytest.mark.parametrize("ask", [switch, force])
def test_while_a_failover_runs_no_other_is_opened(
    ask: Callable[[Story], list[Recorded]],
) -> None:
    tale = story()
    tale.crashes("a")
    (reason,) = refused(ask(tale))
    assert reason.endswith("of g is open: transferring")


@pytest.mark.parametrize("ask", [switch, force])
def test_an_active_active_group_has_nobody_to_switch(
    ask: Callable[[Story], list[Recorded]],
) -> None:
    tale = Story(made(mode=Mode.ACTIVE_ACTIVE))
    assert refused(ask(tale)) == ("g is active-active: every healthy master serves",)


# A forced failover.


def test_a_forced_failover_takes_a_running_active_out_at_once() -> None:
    tale = story()
    taken = force(tale)
    assert kinds(taken) == ["FailoverStarted", "AttemptStarted", "MasterFenced", "TransferStarted"]
    started = only(taken, ev.FailoverStarted)
    assert (started.why, started.planned, started.counts) == ("forced", False, False)


def test_a_forced_failover_takes_over_one_that_waits() -> None:
    tale = story(automation=Automation.CONFIRM)
    assert tale.group.saga is not None
    taken = force(tale, "b")
    assert kinds(taken)[:3] == ["FailoverEnded", "FailoverStarted", "AttemptStarted"]
    assert only(taken, ev.FailoverEnded).reason == "a forced failover takes over"
    assert only(taken, ev.AttemptStarted).heir == "b"


def test_a_forced_failover_goes_on_to_others_when_its_target_fails() -> None:
    tale = story()
    force(tale, "c")
    taken = tale.answers("transfer", Result.FAILED)
    assert only(taken, ev.AttemptStarted).heir == "b"


# Approvals and releases.


def test_there_is_nothing_to_approve_when_nothing_waits() -> None:
    tale = story()
    approved = ev.Approved(author="x")
    assert refused(tale.ask(approved)) == ("no failover of g waits for an approval",)
    tale.crashes("a")
    assert refused(tale.ask(approved)) == ("no failover of g waits for an approval",)


def test_an_approval_is_given_once() -> None:
    tale = story(automation=Automation.CONFIRM)
    tale.fails("a", "b", "c")
    assert kinds(tale.ask(ev.Approved(author="x"))) == ["ApprovalGiven"]
    assert len(refused(tale.ask(ev.Approved(author="x")))) == 1


def test_a_fence_is_released_once_and_where_there_is_one() -> None:
    tale = story(fence=FenceKind.CONFIRMED)
    released = ev.Released(scope="fence", author="x")
    assert refused(tale.ask(released, "a")) == ("a has no unconfirmed fence",)
    assert refused(tale.ask(released)) == ("g has no unconfirmed fence",)
    tale.crashes("a")
    assert kinds(tale.ask(released, "a"))[0] == "FenceConfirmed"
    assert refused(tale.ask(released, "a")) == ("a has no unconfirmed fence",)


def test_what_does_not_brake_can_be_released_all_the_same() -> None:
    tale = story()
    assert kinds(tale.ask(ev.Released(scope="hold-down", author="x"))) == []
    assert kinds(tale.ask(ev.Released(scope="limit", author="x"))) == []
    assert kinds(tale.ask(ev.Released(scope="hold-down", author="x"), "a")) == []


# Strategy, exclusion, checkpoints.


def test_a_strategy_is_changed_or_unknown() -> None:
    tale = story()
    assert kinds(tale.ask(ev.StrategyAsked(strategy="round-robin", author="x"))) == [
        "StrategyChanged"
    ]
    assert tale.group.strategy == "round-robin"
    (reason,) = refused(tale.ask(ev.StrategyAsked(strategy="best", author="x")))
    assert reason.startswith("expected one of ")
    assert reason.endswith("found 'best'")


def test_a_checkpoint_has_its_name_for_ever() -> None:
    tale = story()
    seq = tale.see(ev.CheckpointMarked(name="before", author="x"))[0].seq
    taken = tale.see(ev.CheckpointMarked(name="before", author="x"))
    assert refused(taken) == (f"checkpoint 'before' is taken: it marks {seq}",)
    assert tale.state.fleet.checkpoints["before"] == seq


@pytest.mark.parametrize("name", ["", "12", "-x"])
def test_a_name_cannot_be_mistaken_for_a_position(name: str) -> None:
    (reason,) = refused(story().see(ev.CheckpointMarked(name=name, author="x")))
    assert reason == f"expected a name that starts with a letter, found {name!r}"


# At rest: a command to a stopped log.


def test_at_rest_nothing_follows_but_the_command_itself() -> None:
    tale = story()
    tale.crashes("a")
    tale.wait(60 * SECOND)
    taken = tale.ask(ev.StrategyAsked(strategy="round-robin", author="x", at_rest=True))
    assert kinds(taken) == ["MasterUnknown"] * 3 + ["StrategyChanged"]


def test_at_rest_unknown_is_no_reason_to_refuse() -> None:
    tale = story()
    tale.wait(60 * SECOND)
    taken = switch(tale, "b", at_rest=True)
    assert kinds(taken) == ["MasterUnknown"] * 3 + ["FailoverStarted"]
    assert tale.owed() == [("preflight", "b")]


def test_at_rest_a_forced_failover_is_owed_to_the_next_run() -> None:
    tale = story()
    tale.wait(60 * SECOND)
    taken = force(tale, at_rest=True)
    assert kinds(taken)[3:] == [
        "FailoverStarted",
        "AttemptStarted",
        "MasterFenced",
        "TransferStarted",
    ]


@pytest.mark.parametrize("to", ["a", "b"])
def test_at_rest_a_rollback_is_decided(to: str) -> None:
    tale = story()
    tale.wait(60 * SECOND)
    control = msgspec.structs.replace(control_of(tale.group), assigned=to)
    taken = tale.ask(
        ev.RollbackRequested(
            position=5, control=control, digest=control_digest(control), author="x", at_rest=True
        )
    )
    follows = "RollbackEnded" if to == "a" else "FailoverStarted"
    assert kinds(taken)[3:] == ["RollbackAccepted", follows]


def test_at_rest_what_was_open_before_waits_for_an_engine() -> None:
    tale = story()
    tale.accepts("k")
    switch(tale, "b")
    tale.answers("preflight")
    assert tale.master("a").role is Role.DRAINING
    tale.wait(2 * tale.state.policy_of(tale.group).failover.step_timeout_us)
    asked = ev.StrategyAsked(strategy="round-robin", author="x", at_rest=True)
    assert "MasterFenced" not in kinds(tale.ask(asked))
    assert "MasterFenced" in kinds(tale.tick())
