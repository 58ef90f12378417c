"""What is made of what was seen of one master."""

import pytest

from engine.core import events as ev
from engine.core.detection import follows_reports, pace, pending
from engine.core.events import Evidence, Result
from engine.core.fleet import Health, Mode
from engine.core.policy import MS, SECOND, Automation, FenceKind
from tests.engine.core.build import Story, kinds, made, only, story, subjects


def told(**changes: object) -> Story:
    """Return a story whose policy is slow to doubt: four failed probes, three good ones."""
    return story(**{"fall": 4, "rise": 3, **changes})  # type: ignore[arg-type]


def test_one_answer_is_enough_for_a_master_that_never_failed() -> None:
    assert kinds(Story(made(rise=3)).ok("b")) == ["MasterHealthy"]


def test_a_first_answer_that_complains_makes_degraded() -> None:
    healed = Story(made(rise=3)).degraded("b")
    assert only(healed, ev.MasterDegraded).rule == "rise"


def test_fall_failed_probes_in_a_row_fail_a_master() -> None:
    tale = told()
    assert kinds(tale.fails("b", "b", "b")) == []
    taken = tale.fails("b")
    failed = only(taken, ev.MasterFailed)
    assert (failed.rule, failed.hard) == ("fall", False)
    assert failed.figures == (
        ("failures", 4),
        ("fall", 4),
        ("probes", tale.n),
        ("blips", 0),
        ("blip_max", 0),
        ("verdicts", 0),
    )
    assert failed.evidence == tuple(range(tale.state.seq - 4, tale.state.seq))


def test_a_good_answer_starts_the_count_anew() -> None:
    tale = told()
    tale.fails("b", "b", "b")
    tale.ok("b")
    assert kinds(tale.fails("b", "b", "b")) == []
    assert kinds(tale.fails("b")) == ["MasterFailed"]


@pytest.mark.parametrize("evidence", [kind for kind in Evidence if kind is not Evidence.REFUSED])
def test_evidence_of_every_other_kind_is_soft(evidence: Evidence) -> None:
    tale = told(fall=2)
    tale.fails("b", evidence=evidence)
    assert not only(tale.fails("b", evidence=evidence), ev.MasterFailed).hard


def test_refused_twice_is_hard_and_still_waits_for_fall() -> None:
    tale = told()
    assert kinds(tale.refuses("b", "b", "b")) == []
    assert only(tale.refuses("b"), ev.MasterFailed).hard


def test_evidence_that_was_answered_hardens_nothing_later() -> None:
    tale = told()
    tale.refuses("b", "b")
    tale.ok("b")
    assert kinds(tale.refuses("b")) == []
    assert kinds(tale.fails("b", "b")) == []
    assert not only(tale.fails("b"), ev.MasterFailed).hard


def test_a_refusal_after_a_time_out_answers_no_question() -> None:
    tale = told(fall=6)
    tale.refuses("b", "b")
    tale.fails("b")
    assert kinds(tale.refuses("b")) == []


# A closed connection is a question.


@pytest.mark.parametrize("evidence", [Evidence.CLOSED, Evidence.RESET])
def test_closed_then_refused_fails_whatever_fall_is(evidence: Evidence) -> None:
    tale = told(fall=9)
    closed = tale.closes("b", evidence)
    assert kinds(closed) == []
    failed = only(tale.refuses("b"), ev.MasterFailed)
    assert (failed.rule, failed.hard) == ("closed-then-refused", True)
    assert failed.evidence == (closed[0].seq, closed[0].seq + 1)


def test_closed_then_answered_moves_no_counter() -> None:
    tale = told()
    tale.fails("b", "b", "b")
    good = tale.master("b").good
    tale.closes("b")
    assert kinds(tale.ok("b")) == []
    assert (tale.master("b").good, len(tale.master("b").failures)) == (good, 3)
    assert kinds(tale.fails("b")) == ["MasterFailed"]


def test_closed_then_unanswered_is_the_first_of_the_normal_count() -> None:
    tale = told()
    tale.closes("b")
    assert kinds(tale.fails("b", "b", "b")) == []
    assert len(tale.master("b").failures) == 3
    assert only(tale.fails("b"), ev.MasterFailed).rule == "fall"


def test_closed_then_overdue_then_refused_is_no_crash() -> None:
    tale = told()
    tale.closes("b")
    tale.fails("b")
    assert kinds(tale.refuses("b")) == []


def test_a_question_is_still_open_when_the_observer_was_late() -> None:
    tale = told()
    tale.closes("b")
    tale.fails("b", late_us=SECOND)
    assert only(tale.refuses("b"), ev.MasterFailed).rule == "closed-then-refused"


# What does not count.


@pytest.mark.parametrize(
    ("late_us", "evidence", "counts"),
    [
        (25 * MS, Evidence.OVERDUE, True),
        (25 * MS + 1, Evidence.OVERDUE, False),
        (25 * MS + 1, Evidence.REFUSED, True),
        (25 * MS + 1, Evidence.STATUS, True),
    ],
)
def test_a_time_out_seen_by_a_late_observer_does_not_count(
    late_us: int, evidence: Evidence, counts: bool
) -> None:
    tale = told(fall=1)
    assert bool(kinds(tale.fails("b", evidence=evidence, late_us=late_us))) is counts
    assert tale.master("b").heard_us == tale.at_us


@pytest.mark.parametrize("n", [1, 2])
def test_a_result_out_of_order_moves_nothing(n: int) -> None:
    tale = told(fall=1)
    tale.see(ev.ProbeOk(n=2, latency_us=1, observer="far"), "b")
    before = tale.master("b").good
    failed = ev.ProbeFailed(n=n, evidence=Evidence.REFUSED, observer="far")
    poor = ev.ProbeDegraded(n=n, latency_us=1, reason="slow", observer="far")
    good = ev.ProbeOk(n=n, latency_us=1, observer="far")
    tale.wait(MS)
    for event in (failed, poor, good):
        assert kinds(tale.see(event, "b")) == []
    master = tale.master("b")
    assert (master.good, master.failures, master.poor) == (before, [], 0)
    assert master.heard_us == tale.at_us - MS


def test_each_observer_counts_for_itself() -> None:
    tale = told(fall=1)
    tale.see(ev.ProbeOk(n=900, latency_us=1, observer="far"), "b")
    failed = ev.ProbeFailed(n=1, evidence=Evidence.REFUSED, observer="near")
    (seen,) = tale.see(failed, "b")  # the engine itself has heard it just now, and looks first
    assert tale.master("b").eyes["near"].failures == [seen.seq]
    assert tale.master("b").observers["far"] == 900


def test_further_evidence_on_a_failed_master_decides_nothing_and_may_harden_it() -> None:
    tale = told(fall=1)
    tale.fails("b")
    assert not tale.master("b").is_hard
    assert kinds(tale.crashes("b")) == []
    assert tale.master("b").is_hard


def test_evidence_is_kept_for_one_more_than_fall_and_no_longer() -> None:
    tale = told(fall=2)
    tale.fails("b", "b", "b", "b", "b")
    assert len(tale.master("b").failures) == 3


# The way back.


def test_rise_good_answers_in_a_row_make_healthy_again() -> None:
    tale = told(fall=1)
    tale.fails("b")
    assert kinds(tale.ok("b")) == ["MasterRecovering"]
    assert kinds(tale.ok("b")) == []
    well = only(tale.ok("b"), ev.MasterHealthy)
    assert (well.rule, well.figures) == ("rise", (("good", 3), ("rise", 3)))


def test_with_a_rise_of_one_both_rows_are_in_one_append() -> None:
    tale = told(fall=1, rise=1)
    tale.fails("b")
    assert kinds(tale.ok("b")) == ["MasterRecovering", "MasterHealthy"]


def test_a_degraded_answer_counts_for_rise() -> None:
    tale = told(fall=1)
    tale.fails("b")
    assert kinds(tale.degraded("b", "b", "b")) == ["MasterRecovering", "MasterDegraded"]


def test_a_degraded_answer_never_counts_for_fall() -> None:
    tale = told(fall=2)
    tale.fails("b")
    assert kinds(tale.degraded("b")) == []
    assert kinds(tale.fails("b")) == []


def test_one_failed_probe_while_recovering_is_a_relapse() -> None:
    tale = told()
    tale.fails("b", "b", "b", "b")
    tale.ok("b", "b")
    assert only(tale.fails("b"), ev.MasterFailed).rule == "relapse"
    assert kinds(tale.ok("b", "b")) == ["MasterRecovering"]


def test_enough_degraded_answers_make_degraded_and_rise_good_ones_undo_it() -> None:
    tale = told()
    assert kinds(tale.degraded("b", "b", "b")) == []
    poor = only(tale.degraded("b"), ev.MasterDegraded)
    assert (poor.rule, poor.figures) == ("degraded", (("poor", 4), ("fall", 4)))
    assert kinds(tale.ok("b", "b")) == []
    assert kinds(tale.degraded("b")) == []
    assert kinds(tale.ok("b", "b")) == []
    assert kinds(tale.ok("b")) == ["MasterHealthy"]


def test_a_degraded_master_can_fail() -> None:
    tale = told()
    tale.degraded("b", "b", "b", "b")
    tale.fails("b", "b", "b")
    assert kinds(tale.fails("b")) == ["MasterFailed"]


# Silence.


def test_silence_makes_unknown_at_its_time_and_never_failed() -> None:
    tale = story()
    heard_us = tale.at_us
    tale.wait(60 * SECOND)
    taken = tale.tick()
    assert kinds(taken) == ["MasterUnknown"] * 3
    assert {recorded.at_us for recorded in taken} == {heard_us + 5 * SECOND}
    assert taken[0].event == ev.DeadlinePassed(what="unknown_after")
    assert only(taken[:2], ev.MasterUnknown).figures == (
        ("silent_us", 5 * SECOND),
        ("unknown_after_us", 5 * SECOND),
    )
    assert tale.group.saga is None


def test_a_policy_may_never_make_unknown() -> None:
    tale = story(unknown_after_us=0)
    tale.wait(3_600 * SECOND)
    assert tale.tick() == []


@pytest.mark.parametrize(("doubted", "answers"), [(False, 1), (True, 3)])
def test_doubt_outlives_silence(doubted: bool, answers: int) -> None:
    tale = told(fall=1)
    if doubted:
        tale.fails("b")
    tale.wait(6 * SECOND)
    assert "b" in subjects(tale.tick(), ev.MasterUnknown)
    for _ in range(answers - 1):
        assert kinds(tale.ok("b")) == []
    assert kinds(tale.ok("b")) == ["MasterHealthy"]


def test_an_unknown_master_can_fail() -> None:
    tale = told(fall=2)
    tale.wait(6 * SECOND)
    tale.tick()
    tale.fails("b")
    assert kinds(tale.fails("b")) == ["MasterFailed"]


def test_silence_forgets_what_was_counted() -> None:
    tale = told()
    tale.refuses("b", "b", "b")
    tale.wait(6 * SECOND)
    tale.tick()
    assert kinds(tale.fails("b", "b", "b")) == []
    assert not only(tale.fails("b"), ev.MasterFailed).hard


# The activation.


def test_an_active_that_answers_under_another_epoch_has_lost_its_activation() -> None:
    tale = story()
    tale.restarts("a")
    taken = tale.ok("a")
    assert kinds(taken)[:3] == ["ActivationLost", "FailoverStarted", "AttemptStarted"]
    assert only(taken, ev.ActivationLost) == ev.ActivationLost(
        epoch=1, found=0, evidence=(taken[0].seq,)
    )
    assert only(taken, ev.FailoverStarted).why == "activation-lost"


def test_a_degraded_answer_shows_it_as_well() -> None:
    tale = story()
    tale.restarts("a")
    assert "ActivationLost" in kinds(tale.degraded("a"))


def test_the_first_answer_after_a_switch_is_excused() -> None:
    tale = Story()
    tale.ok("a", "b", "c")
    tale.work()
    assert kinds(tale.ok("a", epoch=0)) == []
    assert kinds(tale.ok("a", epoch=0))[0] == "ActivationLost"


def test_an_answer_that_says_nothing_of_epochs_loses_nothing() -> None:
    tale = story()
    assert kinds(tale.ok("a", epoch=None)) == []


def test_a_standby_may_say_what_it_likes() -> None:
    tale = story()
    assert kinds(tale.ok("b", epoch=77)) == []


def test_a_switch_that_does_not_succeed_hides_no_restart() -> None:
    tale = Story(made(effects="command", unknown_after_us=0))
    tale.ok("a", "b", "c")
    for step in ("transfer", "promote", "verify"):
        tale.answers(step)
    tale.answers("switch", Result.FAILED)
    assert ("switch", "a") in tale.owed()
    assert kinds(tale.ok("a", epoch=0)) == []  # it may have been sent before
    assert kinds(tale.ok("a", epoch=0))[0] == "ActivationLost"


def test_in_an_active_active_group_no_epoch_is_judged() -> None:
    tale = Story(made(mode=Mode.ACTIVE_ACTIVE))
    tale.ok("a")
    tale.ok("a", epoch=4)
    assert kinds(tale.ok("a", epoch=9)) == []


def test_a_fenced_master_that_was_restarted_cannot_act_any_more() -> None:
    tale = story()
    tale.crashes("a")
    tale.work()
    tale.restarts("a")
    taken = tale.ok("a")
    assert only(taken, ev.FenceConfirmed) == ev.FenceConfirmed(epoch=3, how="restarted")
    assert "FenceConfirmed" not in kinds(tale.ok("a"))


@pytest.mark.parametrize(("role", "is_confirmed"), [("", False), ("standby", True)])
def test_a_promotion_may_have_reached_who_was_restarted_unseen(
    role: str, is_confirmed: bool
) -> None:
    tale = story(fence=FenceKind.CONFIRMED, unknown_after_us=0)
    tale.crashes("a")
    tale.restarts("a")
    tale.answers("fence")
    tale.answers("transfer")
    tale.boots["b"] = "b2"
    tale.answers("promote", Result.UNKNOWN)
    fence = tale.master("b").fence
    assert fence is not None
    taken = tale.ok("b", epoch=fence.revokes, role=role)
    assert ("FenceConfirmed" in kinds(taken)) is is_confirmed
    assert ("TransferStarted" in kinds(taken)) is is_confirmed
    assert "FenceConfirmed" in kinds(tale.answers("fence", master="b")) or is_confirmed


@pytest.mark.parametrize(
    ("role", "is_confirmed"), [("standby", True), ("fenced", True), ("active", False), ("", False)]
)
def test_who_was_confirmed_and_is_fenced_anew_is_waited_for_only_if_it_may_act(
    role: str, is_confirmed: bool
) -> None:
    tale = story()
    tale.crashes("a")
    tale.work()
    tale.restarts("a")
    tale.ok("a")
    fence = tale.master("a").fence
    assert fence is not None
    assert fence.is_confirmed
    taken = tale.ok("a", epoch=fence.confirm_at + 1, role=role)
    assert only(taken, ev.MasterFenced).reason == f"it knows epoch {fence.confirm_at + 1}"
    again = tale.master("a").fence
    assert again is not None
    assert again.is_confirmed is is_confirmed


def test_a_fenced_master_that_was_not_restarted_is_still_a_danger() -> None:
    tale = story()
    tale.crashes("a")
    tale.work()
    tale.dead.clear()
    assert kinds(tale.ok("a")) == ["MasterRecovering"]


# When to probe next.


@pytest.mark.parametrize(
    ("told_us", "pace_us", "is_fresh"),
    [
        ("well", 10 * MS, False),
        ("asked", 0, True),
        ("failing", 40 * MS, True),
        ("failed", 40 * MS, True),
    ],
)
def test_the_pace_of_probes_follows_the_state(told_us: str, pace_us: int, is_fresh: bool) -> None:
    tale = told(recheck_us=40 * MS)
    match told_us:
        case "asked":
            tale.closes("b")
        case "failing":
            tale.fails("b")
        case "failed":
            tale.fails("b", "b", "b", "b")
        case _:
            pass
    assert pace(tale.state, tale.group, tale.master("b")) == (pace_us, is_fresh)


def test_without_a_connection_held_open_each_probe_is_on_a_fresh_one() -> None:
    tale = told(hold_open=False)
    assert pace(tale.state, tale.group, tale.master("b")) == (10 * MS, True)


def test_only_an_observing_engine_follows_reports() -> None:
    tale = story(automation=Automation.OBSERVE)
    assert follows_reports(tale.state, tale.group)
    assert not follows_reports(story().state, story().group)
    assert tale.master("b").health is Health.HEALTHY


def test_what_a_later_verdict_may_name_is_pending_until_then() -> None:
    tale = told()
    assert pending(tale.state) == set()
    first = tale.state.seq + 1
    tale.fails("b", "c", "b")
    assert pending(tale.state) == {first, first + 1, first + 2}
    tale.ok("c")
    assert pending(tale.state) == {first, first + 2}
    failed = only(tale.fails("b", "b"), ev.MasterFailed)
    assert set(failed.evidence) <= pending(tale.state)


def test_a_question_that_nobody_has_answered_is_pending() -> None:
    tale = told()
    tale.see(ev.ConnectionClosed(evidence=Evidence.CLOSED), "b")
    assert pending(tale.state) == {tale.state.seq}
