"""What all observers of a master say together."""

import pytest

from engine.core import events as ev
from engine.core.deadlines import next_due_us
from engine.core.detection import pending
from engine.core.events import Evidence
from engine.core.fleet import Health
from engine.core.policy import ALERTS, MS, SECOND, Automation, Observers, Phi, Policy
from engine.core.state import active_of
from tests.engine.core.build import Story, declared, kinds, loaded, made, only, story

AGREE = Observers(quorum=2, vote_ttl_us=2 * SECOND)
PHI = Phi(threshold_milli=8_000, deviation_us_min=5 * MS, warm_up=10)


class Eyes:
    """Other observers of a story, each with its own count."""

    def __init__(self, tale: Story) -> None:
        self.tale = tale
        self.n: dict[tuple[str, str], int] = {}

    def _next(self, who: str, name: str) -> int:
        self.n[who, name] = self.n.get((who, name), 0) + 1
        return self.n[who, name]

    def ok(self, who: str, name: str = "b") -> list[ev.Recorded]:
        event = ev.ProbeOk(
            n=self._next(who, name), latency_us=1, boot=f"{name}1", observer=who, epoch=0
        )
        return self.tale.see(event, name)

    def fails(
        self, who: str, name: str = "b", *, times: int = 1, evidence: Evidence = Evidence.OVERDUE
    ) -> list[ev.Recorded]:
        taken: list[ev.Recorded] = []
        for _ in range(times):
            event = ev.ProbeFailed(n=self._next(who, name), evidence=evidence, observer=who)
            taken += self.tale.see(event, name)
        return taken

    def closes(self, who: str, name: str = "b") -> list[ev.Recorded]:
        return self.tale.see(ev.ConnectionClosed(evidence=Evidence.CLOSED, observer=who), name)


def watched(**changes: object) -> tuple[Story, Eyes]:
    settings: dict[str, object] = {"fall": 3, "rise": 2, "observers": AGREE}
    tale = story(**{**settings, **changes})  # type: ignore[arg-type]
    return tale, Eyes(tale)


def test_one_vote_is_no_quorum_of_two() -> None:
    tale, eyes = watched()
    assert kinds(tale.fails("b", "b", "b", "b")) == []
    assert kinds(eyes.fails("o2", times=2)) == []
    failed = only(eyes.fails("o2"), ev.MasterFailed)
    assert (failed.rule, failed.hard) == ("fall", False)
    assert dict(failed.figures)["votes"] == 2
    assert dict(failed.figures)["quorum"] == 2
    assert len(failed.evidence) == 7
    assert all(isinstance(tale.log[seq - 1].event, ev.ProbeFailed) for seq in failed.evidence)


def test_each_counts_by_its_own_fall() -> None:
    tale, eyes = watched()
    eyes.fails("o2", times=2)
    eyes.fails("o3", times=2)
    assert kinds(tale.fails("b", "b", "b")) == []
    assert kinds(eyes.fails("o3")) == ["MasterFailed"]


def test_two_others_are_a_quorum_without_the_engine_if_it_has_heard_nothing_since() -> None:
    _, eyes = watched()
    eyes.fails("o2", times=3)
    assert kinds(eyes.fails("o3", times=3)) == ["MasterFailed"]


def test_a_vote_is_counted_while_it_is_young_by_arrival() -> None:
    tale, eyes = watched(unknown_after_us=0)
    eyes.fails("o2", times=3)
    tale.wait(2 * SECOND)
    tale.fails("b", "b")
    assert kinds(tale.fails("b")) == ["MasterFailed"]
    tale, eyes = watched(unknown_after_us=0)
    eyes.fails("o2", times=3)
    tale.wait(2 * SECOND + 1)
    tale.fails("b", "b")
    assert kinds(tale.fails("b")) == []


def test_closed_then_refused_is_a_vote_of_each_and_hard() -> None:
    tale, eyes = watched()
    assert kinds(tale.crashes("b")) == []
    assert kinds(eyes.closes("o2")) == []
    failed = only(eyes.fails("o2", evidence=Evidence.REFUSED), ev.MasterFailed)
    assert (failed.rule, failed.hard, len(failed.evidence)) == ("closed-then-refused", True, 4)


def test_hard_evidence_of_one_makes_the_verdict_hard() -> None:
    tale, eyes = watched()
    eyes.fails("o2", times=3, evidence=Evidence.REFUSED)
    tale.fails("b", "b")
    assert only(tale.fails("b"), ev.MasterFailed).hard


def test_a_question_that_another_answers_moves_none_of_its_counters() -> None:
    tale, eyes = watched()
    eyes.fails("o2", times=2)
    eyes.closes("o2")
    eyes.ok("o2")
    assert len(tale.master("b").eyes["o2"].failures) == 2
    eyes.ok("o2")
    assert tale.master("b").eyes["o2"].failures == []


def test_what_traffic_met_is_asked_by_the_engine_itself() -> None:
    tale, _ = watched(observers=None)
    tale.see(ev.ConnectionClosed(evidence=Evidence.RESET, observer=ev.TRAFFIC), "b")
    assert only(tale.refuses("b"), ev.MasterFailed).rule == "closed-then-refused"
    assert tale.master("b").eyes == {}


def test_another_eye_moves_none_of_the_engines_counters() -> None:
    tale, eyes = watched()
    tale.fails("b", "b")
    before = (tale.master("b").heard_us, tale.master("b").good_us, list(tale.master("b").failures))
    tale.wait(MS)
    eyes.ok("o2")
    eyes.fails("o2")
    now = (tale.master("b").heard_us, tale.master("b").good_us, tale.master("b").failures)
    assert now == before


def test_a_result_of_another_out_of_order_moves_nothing() -> None:
    tale, eyes = watched()
    eyes.fails("o2", times=3)
    stale = ev.ProbeOk(n=2, latency_us=1, observer="o2")
    tale.see(stale, "b")
    assert len(tale.master("b").eyes["o2"].failures) == 3


def test_another_that_was_late_itself_does_not_count() -> None:
    tale, _ = watched()
    late = ev.ProbeFailed(n=1, evidence=Evidence.OVERDUE, late_us=SECOND, observer="o2")
    tale.see(late, "b")
    assert tale.master("b").eyes == {}


def test_a_master_that_others_watch_is_calm_again() -> None:
    tale, eyes = watched()
    eyes.fails("o2")
    tale.ok("b")
    assert "b" not in tale.state.cache.places["b"].calm
    eyes.ok("o2")
    tale.ok("b")
    assert "b" in tale.state.cache.places["b"].calm
    eyes.ok("o2")
    assert "b" in tale.state.cache.places["b"].calm


# Contradiction.


def test_one_against_one_is_no_verdict_and_is_said_once() -> None:
    tale, eyes = watched(observers=None)
    tale.fails("b", "b")
    tale.wait(MS)
    eyes.ok("o2")
    taken = tale.fails("b")
    said = only(taken, ev.ObserversDisagree)
    assert (said.against, said.well) == (("",), ("o2",))
    assert said.figures == (("votes", 1), ("heard", 1))
    assert kinds(tale.fails("b", "b")) == []
    assert tale.master("b").health is Health.HEALTHY
    assert set(said.evidence) <= {seen.seq for seen in tale.log}


def test_it_ends_by_itself_when_they_agree_that_it_is_well() -> None:
    tale, eyes = watched(observers=None)
    tale.fails("b", "b")
    tale.wait(MS)
    eyes.ok("o2")
    tale.fails("b")
    assert kinds(tale.ok("b")) == ["ObserversAgree"]
    assert kinds(tale.ok("b")) == []
    assert "b" in tale.state.cache.places["b"].calm


def test_it_ends_in_the_verdict_when_they_agree_that_it_failed() -> None:
    tale, eyes = watched(observers=None)
    tale.fails("b", "b")
    tale.wait(MS)
    eyes.ok("o2")
    tale.fails("b")
    assert kinds(eyes.fails("o2")) == ["ObserversAgree", "MasterFailed"]


def test_who_heard_it_and_says_no_more_holds_nothing_back_for_long() -> None:
    tale, eyes = watched(observers=None, unknown_after_us=0)
    tale.fails("b", "b")
    tale.wait(MS)
    eyes.ok("o2")
    tale.fails("b")
    tale.wait(5 * SECOND)
    assert kinds(tale.fails("b")) == []
    tale.wait(1)
    assert kinds(tale.fails("b")) == ["ObserversAgree", "MasterFailed"]


def test_who_heard_it_before_the_first_failure_contradicts_nobody() -> None:
    tale, eyes = watched(observers=None)
    eyes.ok("o2")
    tale.wait(MS)
    tale.fails("b", "b")
    assert kinds(tale.fails("b")) == ["MasterFailed"]


def test_two_against_one_is_a_verdict() -> None:
    tale, eyes = watched()
    tale.fails("b", "b", "b")
    tale.wait(MS)
    assert kinds(eyes.ok("o3")) == ["ObserversDisagree"]
    assert kinds(tale.fails("b")) == []
    taken = eyes.fails("o2", times=3)
    assert kinds(taken) == ["ObserversAgree", "MasterFailed"]


def test_an_answer_may_find_that_who_contradicted_says_no_more() -> None:
    tale, eyes = watched(unknown_after_us=0)
    tale.fails("b", "b", "b")
    tale.wait(MS)
    eyes.ok("o3")
    eyes.ok("o4")
    tale.wait(SECOND)
    assert kinds(eyes.fails("o2", times=3)) == []
    tale.fails("b")
    tale.wait(SECOND + 1)
    taken = eyes.ok("o5")
    assert kinds(taken) == ["ObserversAgree", "MasterFailed"]


def test_another_alone_fails_nobody_whom_the_engine_hears() -> None:
    tale, eyes = watched(observers=None)
    eyes.fails("o2", times=2)
    tale.wait(MS)
    tale.ok("b")
    taken = eyes.fails("o2")
    assert only(taken, ev.ObserversDisagree).well == ("",)
    assert kinds(tale.ok("b")) == []
    assert kinds(eyes.ok("o2")) == ["ObserversAgree"]


@pytest.mark.parametrize("evidence", [Evidence.OVERDUE, Evidence.REFUSED])
def test_another_alone_fails_nobody_before_the_engine_has_looked_itself(
    evidence: Evidence,
) -> None:
    tale, eyes = watched(observers=None, fall=1)
    tale.wait(MS)
    eyes.closes("o2", "a")
    assert kinds(eyes.fails("o2", "a", evidence=evidence)) == []
    tale.wait(MS)
    tale.ok("b", "c")
    taken = tale.fails("a")
    assert dict(only(taken, ev.MasterFailed).figures)["votes"] == 2
    assert tale.group.saga is not None


def test_another_alone_is_believed_when_the_engine_cannot_look() -> None:
    tale, eyes = watched(observers=None, fall=1, unknown_after_us=0)
    tale.wait(70 * MS)
    assert kinds(eyes.fails("o2")) == []
    tale.wait(1)
    assert kinds(eyes.fails("o2")) == ["MasterFailed"]


def test_a_quorum_that_only_disagrees_fails_over_nobody() -> None:
    tale, eyes = watched()
    eyes.ok("o2", "c")
    tale.fails("a", "a", "a")
    tale.wait(MS)
    assert kinds(eyes.ok("o2", "a")) == ["ObserversDisagree"]
    tale.ok("b", "c")
    assert kinds(tale.fails("a", "a", "a")) == []
    assert tale.group.saga is None
    assert tale.group.assigned == "a"


def test_a_relapse_needs_the_quorum_too() -> None:
    tale, eyes = watched()
    tale.fails("b", "b", "b")
    eyes.fails("o2", times=3)
    assert tale.master("b").health is Health.FAILED
    tale.wait(MS)
    eyes.ok("o2")
    tale.ok("b")
    assert tale.master("b").health is Health.RECOVERING
    tale.wait(MS)
    assert kinds(tale.fails("b")) == []
    assert only(eyes.fails("o2"), ev.MasterFailed).rule == "relapse"


def test_who_has_not_looked_since_it_answered_says_nothing_of_that() -> None:
    tale, eyes = watched()
    eyes.fails("o2", times=3)
    eyes.fails("o3", times=3)
    assert tale.master("b").health is Health.FAILED
    tale.wait(MS)
    assert kinds(tale.ok("b")) == ["MasterRecovering"]
    assert kinds(tale.ok("b")) == ["MasterHealthy"]
    assert kinds(tale.ok("b")) == []
    assert kinds(eyes.ok("o2")) == []


def test_what_others_saw_may_still_be_evidence() -> None:
    tale, eyes = watched()
    closed = eyes.closes("o2")[0].seq
    refused = eyes.fails("o2", evidence=Evidence.REFUSED)[0].seq
    tale.see(ev.LoadReported(queue=1), "c")
    assert {closed, refused, tale.state.seq} <= pending(tale.state)


# Where the engine itself has never looked: an import.


def imported(**changes: object) -> tuple[Story, Eyes]:
    tale = Story(made(fall=3, rise=2, **changes))  # type: ignore[arg-type]
    return tale, Eyes(tale)


def test_one_eye_of_an_import_stands_for_the_engines() -> None:
    _, eyes = imported()
    assert kinds(eyes.ok("o1")) == ["MasterHealthy"]
    assert kinds(eyes.fails("o1", times=3)) == ["MasterFailed"]
    assert kinds(eyes.closes("o1")) == []
    assert kinds(eyes.ok("o1")) == ["MasterRecovering"]


def test_several_eyes_of_an_import_share_the_counters_unless_a_quorum_is_asked_for() -> None:
    _, eyes = imported()
    eyes.ok("o1")
    eyes.fails("o1", times=2)
    assert kinds(eyes.fails("o2")) == ["MasterFailed"]
    _, eyes = imported(observers=AGREE)
    eyes.ok("o1")
    eyes.fails("o1", times=3)
    assert kinds(eyes.fails("o2", times=2)) == []
    failed = only(eyes.fails("o2"), ev.MasterFailed)
    assert dict(failed.figures)["votes"] == 2


def test_the_engine_begins_to_count_anew_with_its_first_look() -> None:
    tale, eyes = imported(observers=AGREE)
    eyes.fails("o1", times=3)
    late = ev.ProbeFailed(n=1, evidence=Evidence.OVERDUE, late_us=SECOND)
    assert kinds(tale.see(late, "b")) == []
    assert tale.master("b").failures == []
    tale.n = 1
    tale.fails("b", "b")
    assert kinds(tale.fails("b")) == ["MasterFailed"]


def test_eyes_of_an_import_contradict_only_where_a_quorum_is_asked_for() -> None:
    tale, eyes = imported(observers=AGREE)
    eyes.ok("o1")
    eyes.fails("o1", times=3)
    tale.wait(MS)
    assert "ObserversDisagree" in kinds(eyes.ok("o2"))


# Phi.


def regular(**changes: object) -> Story:
    """Return a story whose masters answer every 10 ms, long enough to know them by."""
    tale = story(**{"fall": 50, "rise": 2, "phi": PHI, **changes})  # type: ignore[arg-type]
    for _ in range(30):
        tale.wait(10 * MS)
        tale.ok("a", "b", "c")
    return tale


def silent(tale: Story, *, upto: int = 60) -> ev.MasterFailed:
    """Let b fail every 5 ms until it has a verdict."""
    for _ in range(upto):
        tale.wait(5 * MS)
        tale.ok("a", "c")
        taken = tale.fails("b")
        if "MasterFailed" in kinds(taken):
            return only(taken, ev.MasterFailed)
    pytest.fail("no verdict")


def test_phi_fails_a_master_whose_silence_is_not_like_it() -> None:
    tale = regular()
    failed = silent(tale)
    figures = dict(failed.figures)
    assert (failed.rule, failed.hard) == ("phi", False)
    # A deviation of 5 ms is the floor: phi 8 is 5.6 of them beyond the mean.
    assert figures["elapsed_us"] == 40 * MS
    assert figures["mean_us"] == pytest.approx(10 * MS, rel=0.05)
    assert figures["deviation_us"] == 5 * MS
    assert 8_000 <= figures["phi_milli"] < 10_000
    assert 10**8 <= figures["false_alarm_one_in"] < 10**10
    assert figures["blips"] == 0


def test_a_master_that_answers_less_evenly_is_waited_for_longer() -> None:
    tale = story(fall=50, phi=PHI)
    for count in range(60):
        tale.wait((4 if count % 2 else 24) * MS)
        tale.ok("a", "b", "c")
    assert dict(silent(tale).figures)["elapsed_us"] > 60 * MS


def test_until_it_is_warm_consecutive_failures_count() -> None:
    tale = story(fall=4, phi=PHI)
    tale.ok("b")
    for _ in range(3):
        tale.wait(50 * MS)
        tale.ok("a", "c")
        assert kinds(tale.fails("b")) == []
    tale.wait(50 * MS)
    failed = only(tale.fails("b"), ev.MasterFailed)
    assert failed.rule == "fall"
    assert "phi_milli" not in dict(failed.figures)


def test_fall_is_the_ceiling_of_phi() -> None:
    tale = regular(fall=2)
    tale.wait(MS)
    tale.fails("b")
    failed = only(tale.fails("b"), ev.MasterFailed)
    assert failed.rule == "fall"
    assert dict(failed.figures)["phi_milli"] < 8_000


def test_a_gap_that_the_engine_slept_through_or_that_failed_is_not_like_the_master() -> None:
    tale = regular()
    before = tale.master("b").gaps
    assert before is not None
    mean_us = before.mean_us
    tale.wait(SECOND)
    tale.see(ev.EngineResumed(stall_us=SECOND, stopped_at_us=tale.at_us - SECOND))
    tale.ok("b")
    tale.wait(20 * MS)
    tale.fails("b")
    tale.wait(500 * MS)
    tale.ok("b")
    assert before.mean_us == mean_us


def test_a_quiet_probe_under_phi_decides_nothing() -> None:
    tale = regular()
    place = tale.state.cache.places["b"]
    assert "b" in place.calm
    tale.wait(10 * MS)
    assert len(tale.ok("b")) == 1
    assert "b" in place.calm


def test_a_suspicion_lasts_and_is_shortened_by_who_confirms_it() -> None:
    phi = Phi(
        threshold_milli=8_000, deviation_us_min=5 * MS, warm_up=10, suspicion_us_min=100 * MS,
        suspicion_us_max=800 * MS, confirmations=3,
    )  # fmt: skip
    took = []
    for confirmed in (0, 1, 3):
        tale = regular(fall=3, phi=phi, unknown_after_us=0)
        eyes = Eyes(tale)
        began_us = tale.at_us + 5 * MS
        for number in range(confirmed):
            eyes.fails(f"o{number}", times=1)
        while tale.master("b").health is not Health.FAILED:
            assert tale.at_us - began_us < 2 * SECOND
            tale.wait(5 * MS)
            for number in range(confirmed):
                eyes.fails(f"o{number}")
            tale.fails("b")
        took.append(tale.at_us - began_us)
    assert took[0] == 800 * MS
    assert took[0] > took[1] > took[2] >= 95 * MS


def test_hard_evidence_waits_for_no_suspicion() -> None:
    phi = Phi(threshold_milli=8_000, deviation_us_min=MS, warm_up=10, suspicion_us_max=SECOND)
    tale = regular(phi=phi)
    assert "MasterFailed" in kinds(tale.crashes("b"))


# A quorum that cannot be reached.


def lone(**changes: object) -> tuple[Story, Eyes]:
    """Return a story whose active is said to have failed by the engine alone, for it is alone."""
    tale, eyes = watched(unknown_after_us=0, **changes)
    tale.fails("a", "a")
    tale.ok("b", "c")
    return tale, eyes


def test_who_is_alone_fails_nobody_and_the_failover_waits_for_an_approval() -> None:
    tale, _ = lone()
    taken = tale.fails("a")
    started = only(taken, ev.FailoverStarted)
    assert (started.why, started.source, started.waits) == ("suspected", "a", "quorum")
    assert set(started.evidence) == set(tale.master("a").failures)
    assert kinds(taken) == ["FailoverStarted"]
    assert tale.master("a").health is Health.HEALTHY
    assert kinds(tale.fails("a", "a")) == []
    assert active_of(tale.group) == "a"
    assert kinds(tale.ask(ev.Approved(author="x")))[:3] == [
        "ApprovalGiven",
        "AttemptStarted",
        "MasterFenced",
    ]
    tale.dead.add("a")
    tale.work()
    assert active_of(tale.group) == "b"


def test_people_hear_of_it() -> None:
    policy = made(fall=3, rise=2, observers=AGREE, unknown_after_us=0)
    tale = Story(Policy(groups={"g": policy}, alerts=ALERTS)).serve()
    tale.fails("a", "a")
    tale.ok("b", "c")
    taken = tale.fails("a")
    raised = {e.event.kind for e in taken if isinstance(e.event, ev.AlertRaised)}
    assert raised == {"failover", "approval"}


def test_it_ends_when_the_master_is_heard_again() -> None:
    tale, _ = lone()
    tale.fails("a")
    ended = only(tale.ok("a"), ev.FailoverEnded)
    assert (ended.result, ended.reason) == ("abandoned", "the active recovered")
    assert active_of(tale.group) == "a"


def test_it_ends_when_another_hears_it_and_goes_on_when_another_agrees() -> None:
    tale, eyes = lone()
    tale.fails("a")
    tale.wait(MS)
    taken = eyes.ok("o2", "a")
    assert kinds(taken) == ["ObserversDisagree", "FailoverEnded"]
    assert only(taken, ev.FailoverEnded).reason == "others hear a"
    tale, eyes = lone()
    tale.fails("a")
    assert kinds(eyes.fails("o2", "a", times=2)) == []
    tale.ok("b", "c")
    taken = eyes.fails("o2", "a")
    assert kinds(taken)[:3] == ["MasterFailed", "AttemptStarted", "MasterFenced"]


def test_the_delay_is_waited_from_the_verdict_on() -> None:
    tale, eyes = lone(delay_staleness_us=SECOND)
    tale.fails("a")
    tale.wait(SECOND)
    tale.ok("b", "c")
    taken = eyes.fails("o2", "a", times=3)
    assert kinds(taken) == ["MasterFailed"]
    assert next_due_us(tale.state) == tale.at_us + SECOND
    tale.wait(SECOND - MS)
    tale.ok("b", "c")
    tale.wait(MS)
    assert kinds(tale.tick())[:2] == ["AttemptStarted", "MasterFenced"]


def test_one_that_lost_its_activation_meanwhile_is_not_waited_for() -> None:
    tale, _ = lone(delay_staleness_us=SECOND)
    tale.fails("a")
    tale.restarts("a")
    taken = tale.ok("a")
    assert kinds(taken)[:2] == ["ActivationLost", "AttemptStarted"]


def test_one_observer_of_an_import_that_asks_for_two_opens_it_too() -> None:
    tale, eyes = imported(observers=AGREE, unknown_after_us=0)
    for name in "abc":
        eyes.ok("o1", name)
    tale.work()
    assert active_of(tale.group) == "a"
    tale.wait(MS)
    eyes.fails("o1", "a", times=2)
    eyes.ok("o1", "b")
    assert only(eyes.fails("o1", "a"), ev.FailoverStarted).why == "suspected"


def test_whoever_is_there_is_asked_first() -> None:
    tale, eyes = watched(unknown_after_us=0, observers=Observers(quorum=3, vote_ttl_us=SECOND))
    eyes.ok("o2", "b")  # it looks at others, too
    tale.fails("a", "a", "a")
    tale.ok("b", "c")
    assert kinds(tale.fails("a")) == []
    assert kinds(eyes.fails("o2", "a", times=2)) == []
    started = only(eyes.fails("o2", "a"), ev.FailoverStarted)
    assert (started.why, started.waits) == ("suspected", "quorum")
    assert len(started.evidence) == 7
    # One that has gone since is not asked.
    tale, eyes = watched(unknown_after_us=0)
    eyes.ok("o2", "b")
    tale.wait(2 * SECOND)
    tale.ok("b", "c")
    assert kinds(tale.fails("a", "a", "a")) == []
    tale.wait(1)
    assert only(tale.fails("a"), ev.FailoverStarted).why == "suspected"


def test_others_alone_suspect_nobody_while_the_engine_looks_itself() -> None:
    tale, eyes = watched(unknown_after_us=0, observers=Observers(quorum=3, vote_ttl_us=SECOND))
    tale.wait(MS)
    eyes.closes("o2", "a")
    assert kinds(eyes.fails("o2", "a", evidence=Evidence.REFUSED)) == []


def test_a_suspicion_of_phi_lasts_as_it_does_for_a_verdict() -> None:
    phi = Phi(threshold_milli=8_000, deviation_us_min=5 * MS, warm_up=10, suspicion_us_max=300 * MS)
    tale = regular(fall=3, phi=phi, unknown_after_us=0, observers=AGREE)
    began_us = tale.at_us + 5 * MS
    while tale.group.saga is None:
        assert tale.at_us - began_us < SECOND
        tale.wait(5 * MS)
        tale.ok("b", "c")
        tale.fails("a")
    assert tale.at_us - began_us == 300 * MS


@pytest.mark.parametrize("automation", [Automation.OBSERVE, Automation.CONFIRM])
def test_it_is_opened_where_the_engine_acts_at_all(automation: Automation) -> None:
    tale, _ = lone()
    tale.see(
        loaded(
            made(fall=3, rise=2, observers=AGREE, unknown_after_us=0, automation=automation),
            declared("abc"),
        )
    )
    is_opened = "FailoverStarted" in kinds(tale.fails("a"))
    assert is_opened is (automation is Automation.CONFIRM)
