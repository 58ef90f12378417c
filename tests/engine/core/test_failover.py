"""Failovers: which steps, in which order, and what follows when one of them fails."""

import pytest

from engine.core import events as ev
from engine.core.events import Result
from engine.core.fleet import Role
from engine.core.policy import MS, SECOND, Automation, FenceKind
from engine.core.state import Phase
from tests.engine.core.build import Story, kinds, made, only, story, subjects


def phase(tale: Story) -> Phase:
    return Phase.IDLE if tale.group.saga is None else tale.group.saga.phase


def crashed(**changes: object) -> Story:
    """Return a story whose active a has crashed; b is being given the state."""
    tale = story(**changes)  # type: ignore[arg-type]
    tale.crashes("a")
    return tale


def up_to(tale: Story, step: str) -> Story:
    """Answer the steps of the heir before `step`, which is owed then."""
    for name in ("transfer", "promote", "verify"):
        if name == step:
            return tale
        tale.answers(name)
    raise AssertionError(step)


# The first activation.


def test_the_first_one_is_activated_without_a_source_and_counts_for_nothing() -> None:
    tale = Story()
    taken = tale.ok("a", "b", "c")
    started = only(taken, ev.FailoverStarted)
    assert (started.why, started.source, started.counts, started.waits) == ("first", "", False, "")
    taken = tale.work()
    assert kinds(taken) == [
        "PromotionStarted",
        "VerificationStarted",
        "Switched",
        "FailoverEnded",
        "SwitchDone",
    ]
    assert (tale.group.assigned, tale.group.failovers) == ("a", 0)


def test_the_only_one_that_reports_itself_active_is_adopted_under_its_own_epoch() -> None:
    tale = Story()
    tale.ok("b", role="active", epoch=7)
    taken = tale.ok("a", "c")
    assert only(taken, ev.Activated) == ev.Activated(epoch=7, rule="reported")
    assert (tale.group.assigned, tale.group.epoch, tale.owed()) == ("b", 7, [])


@pytest.mark.parametrize("epoch", [0, None])
def test_who_has_no_epoch_is_told_one(epoch: int | None) -> None:
    tale = Story()
    tale.ok("b", role="active", epoch=epoch)
    tale.ok("a", "c")
    assert (tale.group.assigned, tale.owed()) == ("b", [("promote", "b")])
    assert kinds(tale.ok("b", role="active")) == []
    tale.answers("promote")
    assert tale.owed() == []


def test_a_promotion_that_was_refused_is_still_owed() -> None:
    tale = Story()
    tale.ok("b", role="active", epoch=0)
    tale.ok("a", "c")
    tale.answers("promote", Result.REFUSED)
    assert tale.owed() == [("promote", "b")]


def test_when_several_report_themselves_active_nobody_is_chosen() -> None:
    tale = Story()
    assert "Activated" not in kinds(tale.ok("a", "b", role="active", epoch=3))
    assert kinds(tale.ok("c")) == ["MasterHealthy"]
    assert (tale.group.assigned, phase(tale)) == ("", Phase.IDLE)
    tale.ok("b", role="standby")
    assert tale.group.assigned == "a"


def test_a_running_primary_is_adopted_though_it_would_make_no_heir() -> None:
    tale = Story(names="ab")
    tale.ask(ev.ExclusionAsked(excluded=True, reason="", author="x"), "a")
    tale.fails("b")
    taken = tale.ok("a", role="active", epoch=2)
    assert subjects(taken, ev.Activated) == ["a"]


# A kill.


def test_a_kill_is_one_append_and_every_step_waits_for_the_one_before() -> None:
    tale = story()
    taken = tale.crashes("a")
    assert kinds(taken) == [
        "MasterFailed",
        "FailoverStarted",
        "AttemptStarted",
        "MasterFenced",
        "TransferStarted",
    ]
    assert tale.owed() == [("transfer", "b"), ("fence", "a")]
    assert kinds(tale.answers("transfer")) == ["PromotionStarted"]
    assert tale.owed() == [("promote", "b"), ("fence", "a")]
    assert kinds(tale.answers("promote")) == ["VerificationStarted"]
    assert tale.owed() == [("verify", "b"), ("fence", "a")]
    assert kinds(tale.answers("verify")) == ["Switched", "FailoverEnded"]
    assert tale.owed() == [("fence", "a"), ("switch", "b")]
    assert kinds(tale.answers("switch")) == ["SwitchDone"]
    assert tale.owed() == [("fence", "a")]


def test_the_start_names_its_source_its_evidence_and_itself() -> None:
    tale = story()
    taken = tale.crashes("a")
    (failed, started) = (taken[2], taken[3])
    assert started.event == ev.FailoverStarted(
        id=started.seq,
        why="failed",
        source="a",
        to="",
        planned=False,
        waits="",
        counts=True,
        evidence=(failed.seq,),
    )
    attempt = only(taken, ev.AttemptStarted)
    assert (attempt.n, attempt.heir, attempt.epoch) == (1, "b", 2)
    assert [row.master for row in attempt.table] == ["b", "c", "a"]


def test_a_fence_draws_the_epoch_at_which_it_has_to_be_confirmed() -> None:
    tale = story()
    fenced = only(tale.crashes("a"), ev.MasterFenced)
    assert (fenced.revokes, fenced.confirm_at) == (1, 3)
    assert tale.group.epoch == 3


def test_the_end_accounts_for_the_time_of_each_phase() -> None:
    tale = crashed(hold_down_us=SECOND)
    for step in ("transfer", "promote", "verify"):
        tale.wait(MS)
        taken = tale.answers(step)
    ended = only(taken, ev.FailoverEnded)
    assert ended.phases == (
        ("selecting", 0),
        ("fencing", 0),
        ("transferring", MS),
        ("promoting", MS),
        ("verifying", MS),
        ("total", 3 * MS),
    )
    assert (ended.result, ended.reason) == ("completed", "")
    assert ended.hold_until_us == tale.at_us + SECOND
    assert (ended.retry_at_us, tale.group.failovers) == (0, 1)


# The fence.


def test_a_gate_is_a_fence_by_itself() -> None:
    assert phase(crashed()) is Phase.TRANSFERRING


@pytest.mark.parametrize("how", ["answered", "restarted", "released"])
def test_a_confirmed_fence_is_waited_for(how: str) -> None:
    tale = crashed(fence=FenceKind.CONFIRMED)
    assert (phase(tale), tale.owed()) == (Phase.FENCING, [("fence", "a")])
    tale.wait(20 * MS)
    assert kinds(tale.ok("b", "c")) == []
    if how == "answered":
        taken = tale.answers("fence")
    elif how == "restarted":
        tale.restarts("a")
        taken = tale.ok("a")
    else:
        taken = tale.ask(ev.Released(scope="fence", author="x"), "a")
    assert only(taken, ev.FenceConfirmed).how == how
    assert kinds(taken)[-1] == "TransferStarted"


@pytest.mark.parametrize("result", [Result.FAILED, Result.UNKNOWN, Result.REFUSED])
def test_a_fence_that_was_not_confirmed_fails_no_attempt(result: Result) -> None:
    tale = crashed(fence=FenceKind.CONFIRMED)
    assert kinds(tale.answers("fence", result)) == []
    assert phase(tale) is Phase.FENCING


def test_the_heir_is_judged_again_when_the_fence_is_confirmed() -> None:
    tale = crashed(fence=FenceKind.CONFIRMED)
    tale.crashes("b")
    assert phase(tale) is Phase.FENCING
    taken = tale.answers("fence")
    assert kinds(taken)[:4] == [
        "FenceConfirmed",
        "MasterRejoined",
        "AttemptFailed",
        "Compensated",
    ]
    assert only(taken, ev.AttemptStarted).heir == "c"


def test_a_late_answer_to_an_older_fence_readmits_nobody() -> None:
    tale = crashed()
    tale.work()
    old = ev.Outcome(step="fence", failover=0, epoch=2, result=Result.OK)
    assert kinds(tale.see(old, "a")) == []
    assert tale.master("a").role is Role.FENCED


def test_who_confirmed_its_fence_stands_by_and_may_be_chosen_again() -> None:
    tale = crashed(names="ab")
    tale.work()
    tale.restarts("a")
    tale.ok("a", "a", "a", "b")
    assert kinds(tale.answers("fence")) == ["MasterRejoined"]
    assert tale.master("a").epoch == 0
    taken = tale.crashes("b")
    assert only(taken, ev.AttemptStarted).heir == "a"


# A heir that fails.


@pytest.mark.parametrize("step", ["transfer", "promote", "verify"])
@pytest.mark.parametrize("result", [Result.FAILED, Result.REFUSED, Result.UNKNOWN])
def test_a_step_that_fails_is_compensated_and_the_next_candidate_tried(
    step: str, result: Result
) -> None:
    tale = up_to(crashed(), step)
    taken = tale.answers(step, result)
    is_owed = step != "transfer"
    assert kinds(taken) == [
        "AttemptFailed",
        *(["MasterFenced"] if is_owed else []),
        "Compensated",
        "AttemptStarted",
        "TransferStarted",
    ]
    failed = only(taken, ev.AttemptFailed)
    assert failed.reason == f"{step}: {result.value}"
    assert failed.maybe_active is (
        step == "verify" or (step == "promote" and result is Result.UNKNOWN)
    )
    attempt = only(taken, ev.AttemptStarted)
    assert (attempt.n, attempt.heir) == (2, "c")
    assert attempt.epoch > (3 if is_owed else 2)
    tale.work()
    assert tale.group.assigned == "c"


@pytest.mark.parametrize("step", ["transfer", "promote", "verify"])
def test_a_heir_that_dies_meanwhile_is_left_at_once(step: str) -> None:
    tale = up_to(crashed(), step)
    words = {"transfer": "transferring", "promote": "promoting", "verify": "verifying"}
    taken = tale.crashes("b")
    failed = only(taken, ev.AttemptFailed)
    assert failed.reason == f"the heir failed while {words[step]}"
    assert failed.maybe_active is (step != "transfer")
    assert only(taken, ev.AttemptStarted).heir == "c"


def test_a_state_that_arrived_otherwise_is_not_promoted() -> None:
    tale = crashed()
    taken = tale.answers("transfer", digest="00")
    assert "expected digest" in only(taken, ev.AttemptFailed).reason
    assert only(taken, ev.AttemptStarted).heir == "c"


def test_what_is_kept_is_what_is_transferred() -> None:
    tale = story()
    tale.keeps("a", ("s", 3, b"\x01" * 32), ("t", 3, b"\x02" * 32))
    tale.keeps("a", ("s", -1, b""), ("never", -1, b""))
    started = only(tale.crashes("a"), ev.TransferStarted)
    assert started.count == 1
    assert list(tale.group.kept) == ["t"]


def test_after_attempts_max_the_failover_is_abandoned_and_tried_again_later() -> None:
    tale = crashed(attempts_max=2)
    tale.answers("transfer", Result.FAILED)
    ended = only(tale.answers("transfer", Result.FAILED), ev.FailoverEnded)
    assert (ended.result, ended.reason) == ("abandoned", "2 attempts failed")
    assert ended.retry_at_us > tale.at_us
    assert tale.group.counted_us == []


def test_when_no_candidate_is_left_it_is_abandoned() -> None:
    tale = crashed()
    tale.answers("transfer", Result.FAILED)
    ended = only(tale.answers("transfer", Result.FAILED), ev.FailoverEnded)
    assert (ended.result, ended.reason) == ("abandoned", "no candidate is left")


@pytest.mark.parametrize("waits", ["approval", "fence", "engine"])
def test_what_is_waited_for_does_not_use_up_the_time_for_the_next_heir(waits: str) -> None:
    automation = Automation.CONFIRM if waits == "approval" else Automation.AUTO
    fence = FenceKind.CONFIRMED if waits == "fence" else FenceKind.GATE
    tale = Story(made(automation=automation, fence=fence, effects="http", unknown_after_us=0))
    tale.ok("a", "b", "c")
    tale.ask(ev.Approved(author="x"))
    tale.work()
    tale.ok("a", "b", "c")
    tale.crashes("a")
    deadline_us = tale.state.policy_of(tale.group).failover.deadline_us
    tale.wait(2 * deadline_us)
    if waits == "engine":
        tale.see(ev.EngineStarted(release="1", stopped_at_us=tale.state.at_us))
    tale.ok("b", "c")
    if waits == "approval":
        tale.ask(ev.Approved(author="x"))
    elif waits == "fence":
        tale.answers("fence")
    taken = tale.answers("transfer", Result.FAILED)
    assert only(taken, ev.AttemptStarted).heir == "c"


@pytest.mark.parametrize("rule", ["excluded", "maintenance"])
def test_nobody_is_promoted_whom_somebody_took_out_while_state_was_on_the_way(rule: str) -> None:
    tale = crashed(unknown_after_us=0)
    assert ("transfer", "b") in tale.owed()
    mark: ev.Observation = ev.ExclusionAsked(excluded=True, reason="", author="x")
    if rule == "maintenance":
        until_us = tale.at_us + SECOND
        mark = ev.MaintenanceDeclared(from_us=tale.at_us, to_us=until_us, reason="", author="x")
    taken = tale.see(mark, "b")
    assert only(taken, ev.AttemptFailed).reason == f"the heir became unfit: {rule}"
    assert only(taken, ev.AttemptStarted).heir == "c"
    tale.work()
    assert tale.group.assigned == "c"


def test_no_attempt_begins_after_the_deadline_of_the_whole() -> None:
    tale = crashed(unknown_after_us=0)
    tale.wait(2 * SECOND + 1)
    tale.ok("b", "c")
    ended = only(tale.answers("transfer", Result.UNKNOWN), ev.FailoverEnded)
    assert (ended.result, ended.reason) == ("abandoned", "its deadline passed")


def test_an_outcome_counts_only_for_the_step_that_is_owed_now() -> None:
    tale = crashed()
    saga = tale.group.saga
    assert saga is not None
    right = {"step": "transfer", "failover": saga.id, "epoch": saga.epoch}
    for wrong in ({"step": "promote"}, {"failover": 1}, {"epoch": 1}):
        outcome = ev.Outcome(**{**right, **wrong}, result=Result.OK)  # type: ignore[arg-type]
        assert kinds(tale.see(outcome, "b")) == []
    other = ev.Outcome(**right, result=Result.OK)  # type: ignore[arg-type]
    assert kinds(tale.see(other, "c")) == []
    assert phase(tale) is Phase.TRANSFERRING


def test_a_late_switch_changes_nothing() -> None:
    tale = story()
    for epoch, result in ((1, Result.OK), (9, Result.OK)):
        switch = ev.Outcome(step="switch", failover=0, epoch=epoch, result=result)
        assert kinds(tale.see(switch, "a")) == []
    assert kinds(tale.see(switch, "b")) == []


def test_a_switch_that_failed_is_still_owed() -> None:
    tale = up_to(crashed(), "verify")
    tale.answers("verify")
    assert kinds(tale.answers("switch", Result.FAILED)) == []
    assert ("switch", "b") in tale.owed()


# A lost activation.


def test_who_lost_its_activation_is_fenced_even_without_an_heir() -> None:
    tale = story(names="a")
    tale.restarts("a")
    taken = tale.ok("a")
    assert kinds(taken) == ["ActivationLost", "MasterFenced"]
    assert only(taken, ev.MasterFenced).reason == "it lost its activation"
    taken = tale.answers("fence")
    assert kinds(taken)[:4] == [
        "FenceConfirmed",
        "MasterRejoined",
        "FailoverStarted",
        "AttemptStarted",
    ]
    assert only(taken, ev.FailoverStarted).why == "headless"
    tale.work()
    assert tale.group.assigned == "a"


# Messages.


def test_what_the_left_one_had_goes_back_and_on_to_the_next() -> None:
    tale = story()
    first = tale.accepts("i")[0].seq
    tale.accepts("j")
    tale.acks("i", "a")
    tale.accepts("k")
    fenced = only(tale.crashes("a"), ev.MasterFenced)
    assert (fenced.requeued, fenced.first > first, fenced.last > fenced.first) == (2, True, True)
    tale.accepts("l")
    tale.work()
    assert list(tale.group.ledger.by_key) == ["j", "k", "l"]
    assert {message.master for message in tale.group.ledger.open.values()} == {"b"}
    assert kinds(tale.acks("j", "a", epoch=1)) == []
    assert kinds(tale.acks("j", "b")) == ["MessageDone"]
    assert kinds(tale.acks("j", "b")) == []


def test_nothing_is_given_to_an_active_that_failed() -> None:
    tale = story(names="a")
    tale.crashes("a")
    assert kinds(tale.accepts("k")) == []
