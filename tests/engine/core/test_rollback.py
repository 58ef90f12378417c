"""Rollback: the control of one group goes back as a whole, or not at all."""

import msgspec
import pytest

from engine.core import events as ev
from engine.core.events import Recorded, Result
from engine.core.fleet import Mode, Role
from engine.core.state import control_digest, control_of
from tests.engine.core.build import (
    Story,
    abandoned,
    force,
    kinds,
    made,
    offer,
    only,
    refused,
    story,
    switch,
)


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


def test_without_force_a_target_that_dies_before_its_preflight_is_left_alone() -> None:
    tale = story()
    rollback(tale, 5, to="b")
    taken = tale.crashes("b")
    assert only(taken, ev.FailoverEnded).reason == "b became unfit: health-failed"
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
