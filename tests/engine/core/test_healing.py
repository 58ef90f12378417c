"""Failed masters are tried to be healed, a few times."""

import pytest

from engine.core import events as ev
from engine.core.events import Result
from engine.core.fleet import Mode
from engine.core.owed import Effect, owed
from engine.core.policy import SECOND, Automation, FenceKind, Recover
from tests.engine.core.build import (
    Story,
    declared,
    kinds,
    loaded,
    made,
    only,
    story,
    subjects,
)

HEALS = Recover(command=("heal",), attempts=3, backoff_us=10 * SECOND, timeout_us=5 * SECOND)


def healing(**changes: object) -> Story:
    return story(recover=HEALS, unknown_after_us=0, **changes)


def owed_of(tale: Story) -> list[Effect]:
    return [effect for effect in owed(tale.state) if effect.step == "recover"]


def tries(tale: Story, name: str) -> int:
    recovery = tale.master(name).recovery
    return 0 if recovery is None else recovery.n


def test_a_failed_standby_is_healed_and_the_count_begins_anew_when_it_is_well() -> None:
    tale = healing(rise=1)
    failed = only(taken := tale.crashes("b"), ev.RecoveryStarted)
    assert subjects(taken, ev.RecoveryStarted) == ["b"]
    assert (failed.n, failed.attempts) == (1, 3)
    assert failed.again_at_us == tale.at_us + 15 * SECOND
    assert tale.owed() == [("recover", "b")]
    tale.answers("recover")
    assert tale.owed() == []
    tale.restarts("b")
    tale.ok("b")
    assert tale.master("b").recovery is None
    first = tale.log[-1].seq
    taken = tale.crashes("b")
    assert only(taken, ev.RecoveryStarted).n == 1
    # It is another attempt than the first one was, and its outcome is no other's.
    (again,) = owed_of(tale)
    assert again.failover > first


def test_attempts_are_backed_off_and_there_are_no_more_than_told() -> None:
    tale = healing()
    tale.crashes("b")
    begun = [tale.at_us]
    for pause_us in (15 * SECOND, 25 * SECOND):
        tale.answers("recover", Result.UNKNOWN)
        tale.wait(pause_us - 1)
        assert kinds(tale.tick()) == []
        tale.wait(SECOND)
        taken = tale.tick()
        (started,) = [seen for seen in taken if isinstance(seen.event, ev.RecoveryStarted)]
        begun.append(started.at_us)
        tale.at_us = started.at_us
    assert [then - begun[0] for then in begun] == [0, 15 * SECOND, 40 * SECOND]
    tale.answers("recover", Result.REFUSED)
    tale.wait(1000 * SECOND)
    assert kinds(tale.tick()) == []
    assert tries(tale, "b") == 3


def test_an_attempt_that_runs_is_waited_for() -> None:
    tale = healing()
    tale.crashes("b")
    tale.wait(100 * SECOND)
    assert kinds(tale.tick()) == []
    late = ev.Outcome(step="recover", failover=0, epoch=7, result=Result.OK)
    assert kinds(tale.see(late, "b")) == []  # of no attempt that runs
    assert tale.owed() == [("recover", "b")]


def test_a_failed_active_is_healed_when_its_heir_serves() -> None:
    tale = healing()
    assert "RecoveryStarted" not in kinds(tale.crashes("a"))
    assert {step for step, _ in tale.owed()} == {"transfer", "fence"}
    for step in ("transfer", "promote"):
        assert "RecoveryStarted" not in kinds(tale.answers(step))
    assert "RecoveryStarted" in kinds(tale.answers("verify"))
    assert tale.group.assigned == "b"


def test_one_whose_fence_is_waited_for_is_healed_for_that_may_confirm_it() -> None:
    tale = healing(fence=FenceKind.CONFIRMED)
    assert "RecoveryStarted" in kinds(tale.crashes("a"))
    assert {step for step, _ in tale.owed()} == {"fence", "recover"}


def test_one_that_no_heir_can_replace_is_healed() -> None:
    tale = healing(names="a")
    assert "RecoveryStarted" in kinds(tale.crashes("a"))


@pytest.mark.parametrize("what", ["maintenance", "excluded", "paused", "observing", "none"])
def test_nobody_is_healed_where_somebody_is_at_work_or_nobody_acts(what: str) -> None:
    changes: dict[str, object] = {}
    if what == "observing":
        changes = {"automation": Automation.OBSERVE}
    elif what == "none":
        changes = {"effects": "none"}
    tale = healing(**changes)
    if what == "maintenance":
        tale.ask(
            ev.MaintenanceDeclared(
                from_us=tale.at_us, to_us=tale.at_us + SECOND, reason="", author="x"
            ),
            "b",
        )
    elif what == "excluded":
        tale.ask(ev.ExclusionAsked(excluded=True, reason="", author="x"), "b")
    elif what == "paused":
        tale.ask(ev.Paused(until_us=tale.at_us + SECOND, reason="", author="x"))
    assert "RecoveryStarted" not in kinds(tale.crashes("b"))
    tale.wait(2 * SECOND)
    taken = tale.tick()
    # What was in the way by time alone is over; a pause that is over is noticed by what comes next.
    assert ("RecoveryStarted" in kinds(taken) or what != "maintenance") is True
    if what == "paused":
        assert "RecoveryStarted" in kinds([*taken, *tale.refuses("b")])


def test_an_outcome_of_one_that_is_well_again_is_recorded_and_no_more() -> None:
    tale = healing(rise=1)
    tale.crashes("b")
    tale.restarts("b")
    tale.ok("b")
    assert tale.owed() == []
    late = ev.Outcome(step="recover", failover=0, epoch=1, result=Result.OK)
    assert len(tale.see(late, "b")) == 1


@pytest.mark.parametrize("mode", Mode)
def test_nobody_is_healed_who_failed_while_the_engine_doubted_itself(mode: Mode) -> None:
    tale = healing(fall=3, rise=1, mode=mode, effects="http")
    tale.work()
    tale.ok("a", "b", "c")
    taken = [one for _ in range(4) for one in tale.fails("a", "b", "c")]
    assert "DoubtChanged" in kinds(taken)
    assert "RecoveryStarted" not in kinds([*taken, *tale.tick()])
    tale.wait(SECOND)
    taken = tale.ok("a")  # c and b may be heard in a moment
    assert "RecoveryStarted" not in kinds([*taken, *tale.tick(), *tale.ok("c")])
    for _ in range(3):
        tale.wait(SECOND)
        assert "RecoveryStarted" not in kinds([*tale.fails("b"), *tale.tick()])
    assert subjects(tale.fails("b"), ev.RecoveryStarted) == ["b"]  # it was counted anew


def test_a_program_that_the_policy_has_no_more_ends_and_none_follows() -> None:
    tale = healing(rise=1)
    tale.crashes("b")
    assert tale.owed() == [("recover", "b")]
    tale.see(loaded(made(unknown_after_us=0, rise=1), declared("abc")))
    assert tale.owed() == [("recover", "b")]  # it may run already
    assert kinds(tale.answers("recover", Result.FAILED)) == []
    tale.wait(100 * SECOND)
    assert kinds(tale.tick()) == []
    assert tale.owed() == []
    tale.see(loaded(made(unknown_after_us=0, rise=1, recover=HEALS), declared("abc")))
    assert only([*tale.log[-3:], *tale.tick()], ev.RecoveryStarted).n == 2
