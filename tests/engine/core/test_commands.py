"""What people ask for: done, or refused with every reason."""

from collections.abc import Callable

import msgspec
import pytest

from engine.core import events as ev
from engine.core.blocking import drain_ends_us, is_draining
from engine.core.decider import next_due_us
from engine.core.events import FLEET, Recorded, Result
from engine.core.fleet import Mode, Role
from engine.core.policy import MS, SECOND, Automation, FenceKind
from engine.core.state import Phase, control_digest, control_of
from tests.engine.core.build import Story, declared, kinds, loaded, made, only, story


def refused(taken: list[Recorded]) -> tuple[str, ...]:
    """Return the reasons; whatever else was decided fails."""
    assert kinds(taken) == ["Refused"]
    refusal = only(taken, ev.Refused)
    assert taken[-1].cause == taken[0].seq
    return refusal.reasons


def switch(tale: Story, to: str = "", *, at_rest: bool = False) -> list[Recorded]:
    return tale.ask(ev.SwitchoverAsked(to=to, author="x", at_rest=at_rest))


def force(tale: Story, to: str = "", *, at_rest: bool = False) -> list[Recorded]:
    return tale.ask(ev.FailoverAsked(to=to, author="x", at_rest=at_rest))


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


# Rollback.


def rollback(
    tale: Story, position: int, *, to: str = "", is_forced: bool = False, **control: object
) -> list[Recorded]:
    """Ask to go back to the control of now, but for `to` and what else is given."""
    now = control_of(tale.group)
    then = msgspec.structs.replace(now, **({"assigned": to} if to else {}), **control)
    return tale.ask(
        ev.RollbackRequested(
            position=position,
            control=then,
            digest=control_digest(then),
            author="x",
            force=is_forced,
        )
    )


def test_a_rollback_to_the_same_master_ends_at_once() -> None:
    tale = story()
    taken = rollback(tale, 5, strategy="round-robin", weights=(("a", 7), ("gone", 3)))
    assert kinds(taken) == ["RollbackAccepted", "RollbackEnded"]
    accepted = only(taken, ev.RollbackAccepted)
    assert (accepted.before.strategy, accepted.after.strategy) == ("priority", "round-robin")
    assert (tale.group.strategy, tale.master("a").declared.weight) == ("round-robin", 7)
    assert only(taken, ev.RollbackEnded).result == "incomplete"


def test_a_rollback_to_what_is_changes_nothing_and_is_complete() -> None:
    tale = story()
    assert only(rollback(tale, 5), ev.RollbackEnded).result == "complete"


def test_a_rollback_to_another_master_switches_there() -> None:
    tale = story()
    taken = rollback(tale, 5, to="b")
    assert kinds(taken) == ["RollbackAccepted", "FailoverStarted"]
    started = only(taken, ev.FailoverStarted)
    assert (started.why, started.to, started.waits) == ("rollback", "b", "preflight")
    taken = tale.work()
    assert only(taken, ev.RollbackEnded).result == "complete"
    assert (tale.group.assigned, tale.group.rollback) == ("b", None)


def test_a_rollback_whose_target_does_not_pass_is_incomplete() -> None:
    tale = story()
    rollback(tale, 5, to="b")
    taken = tale.answers("preflight", Result.REFUSED)
    assert kinds(taken) == ["FailoverEnded", "RollbackEnded"]
    assert only(taken, ev.RollbackEnded).result == "incomplete"
    assert (tale.group.assigned, tale.master("a").role) == ("a", Role.ACTIVE)


def test_a_rollback_of_a_headless_group_brings_its_master_back() -> None:
    tale = abandoned()
    tale.ok("b")
    assert (tale.group.assigned, tale.group.saga) == ("a", None)
    rollback(tale, 5, to="b")
    tale.work()
    assert tale.group.assigned == "b"


@pytest.mark.parametrize(
    ("control", "reasons"),
    [
        ({"assigned": "z"}, ("z does not belong to g any more",)),
        ({"assigned": ""}, ("g had no active master at position 5",)),
        ({"strategy": "best"}, ("strategy 'best' is not one of this release",)),
        (
            {"assigned": "b"},
            ("b: excluded", "b: health-failed (since_us 0)"),
        ),
        (
            {"assigned": "b", "strategy": "best"},
            (
                "b: excluded",
                "b: health-failed (since_us 0)",
                "strategy 'best' is not one of this release",
            ),
        ),
    ],
)
def test_a_rollback_is_refused_as_a_whole_with_every_reason(
    control: dict[str, object], reasons: tuple[str, ...]
) -> None:
    tale = story()
    tale.ask(ev.ExclusionAsked(excluded=True, reason="", author="x"), "b")
    tale.fails("b")
    assert refused(rollback(tale, 5, **control)) == reasons  # type: ignore[arg-type]
    assert tale.group.strategy == "priority"


def test_a_rollback_waits_for_no_other() -> None:
    tale = story()
    rollback(tale, 5, to="b")
    failover, rolled = refused(rollback(tale, 5, to="c"))
    assert failover.endswith("of g is open: selecting")
    assert rolled.startswith("rollback ")
    assert [reason.split()[0] for reason in refused(switch(tale))] == ["failover", "rollback"]
    assert [reason.split()[0] for reason in refused(force(tale))] == ["rollback"]


def test_force_tries_a_target_that_looks_dead_and_a_dead_one_leaves_all_as_it_is() -> None:
    tale = story()
    tale.crashes("b")
    taken = rollback(tale, 5, to="b", is_forced=True)
    assert kinds(taken) == ["RollbackAccepted", "FailoverStarted"]
    assert tale.owed() == [("preflight", "b")]
    taken = tale.answers("preflight", Result.FAILED)
    assert only(taken, ev.RollbackEnded).result == "incomplete"
    assert (tale.group.assigned, tale.master("a").epoch) == ("a", 1)


def test_force_never_chooses_what_is_fenced_or_excluded() -> None:
    tale = story()
    tale.ask(ev.ExclusionAsked(excluded=True, reason="", author="x"), "b")
    taken = rollback(tale, 5, to="b", is_forced=True)
    assert only(taken, ev.FailoverEnded).reason == "b became unfit: excluded"
    assert only(taken, ev.RollbackEnded).result == "incomplete"


def test_a_rollback_of_an_active_active_group_ends_at_once() -> None:
    tale = Story(made(mode=Mode.ACTIVE_ACTIVE))
    taken = rollback(tale, 5, strategy="priority")
    assert kinds(taken) == ["RollbackAccepted", "RollbackEnded"]
    assert tale.group.strategy == "priority"


@pytest.mark.parametrize("at_rest", [False, True])
def test_whom_a_group_assigned_before_it_became_active_active_does_not_matter(
    at_rest: bool,
) -> None:
    tale = abandoned()
    offer(tale, names="ab", mode=Mode.ACTIVE_ACTIVE)
    tale.ok("b")
    control = control_of(tale.group)
    assert control.assigned == "a"
    taken = tale.ask(
        ev.RollbackRequested(
            position=5,
            control=control,
            digest=control_digest(control),
            author="x",
            at_rest=at_rest,
        )
    )
    assert kinds(taken) == ["RollbackAccepted", "RollbackEnded"]


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


# Configurations.


def offer(tale: Story, **changes: object) -> list[Recorded]:
    names = str(changes.pop("names", "abc"))
    return tale.see(loaded(made(**changes), declared(names)))  # type: ignore[arg-type]


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


def abandoned() -> Story:
    """Return a story in which a, the last to be assigned, stands by like everybody else."""
    tale = story(names="ab", attempts_max=1, automation=Automation.CONFIRM)
    tale.ask(ev.Approved(author="x"))
    tale.work()
    tale.crashes("a")
    tale.ask(ev.Approved(author="x"))
    tale.answers("transfer", Result.FAILED)
    tale.restarts("a")
    tale.answers("fence")
    return tale


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
