"""What keeps a failover from being opened, what an open one waits for, and when that ends."""

import pytest

from engine.core import events as ev
from engine.core.blocking import RETRY_US, Block, blocked, waiting, want
from engine.core.deadlines import next_due_us
from engine.core.events import FLEET, Recorded
from engine.core.fleet import Health
from engine.core.policy import MS, SECOND, Automation
from engine.core.state import Phase
from tests.engine.core.build import Story, kinds, made, only, story


def block(tale: Story) -> Block | None:
    """Return what keeps a failover of the group from being opened."""
    wanted = want(tale.group)
    assert wanted is not None
    return blocked(tale.state, tale.group, wanted, tale.at_us)


def wait_of(tale: Story) -> Block | None:
    """Return what the open failover waits for."""
    assert tale.group.saga is not None
    return waiting(tale.state, tale.group, tale.group.saga, tale.at_us)


def pause(tale: Story, until_us: int = 0, subject: str = "g") -> list[Recorded]:
    return tale.see(ev.Paused(until_us=until_us, reason="work", author="x"), subject)


def is_open(tale: Story) -> bool:
    return tale.group.saga is not None


# What is wanted.


def test_a_group_that_is_served_wants_nothing() -> None:
    assert want(story().group) is None


def test_a_group_that_nobody_ever_served_wants_its_first() -> None:
    wanted = want(Story().group)
    assert wanted is not None
    assert (wanted.why, wanted.source, wanted.is_hard) == ("first", "", True)


def test_an_active_of_which_nothing_is_known_is_no_reason_to_act() -> None:
    tale = story()
    tale.wait(6 * SECOND)
    tale.tick()
    assert tale.master("a").health is Health.UNKNOWN
    assert want(tale.group) is None


@pytest.mark.parametrize("is_hard", [False, True])
def test_a_failed_active_is_a_reason_as_hard_as_its_evidence(is_hard: bool) -> None:
    tale = story(automation=Automation.OBSERVE)
    tale.roles["a"] = "active"
    tale.ok("a")
    assert tale.group.assigned == "a"
    taken = tale.crashes("a") if is_hard else tale.fails("a")
    wanted = want(tale.group)
    assert wanted is not None
    assert (wanted.why, wanted.source, wanted.is_hard) == ("failed", "a", is_hard)
    (failed,) = [seen.seq for seen in taken if isinstance(seen.event, ev.MasterFailed)]
    assert wanted.evidence == (failed,)


# Pause.


@pytest.mark.parametrize("subject", ["g", FLEET])
def test_a_pause_stops_a_new_failover_and_resuming_lets_it_go(subject: str) -> None:
    tale = story()
    pause(tale, subject=subject)
    tale.crashes("a")
    assert not is_open(tale)
    assert block(tale) == Block(reason="pause")
    taken = tale.see(ev.Resumed(author="x"), subject)
    assert "AttemptStarted" in kinds(taken)


@pytest.mark.parametrize("subject", ["g", FLEET])
def test_a_pause_ends_by_itself_at_its_time(subject: str) -> None:
    tale = story(unknown_after_us=0)
    until_us = tale.at_us + 50 * MS
    pause(tale, until_us, subject=subject)
    tale.crashes("a")
    assert next_due_us(tale.state) == until_us
    tale.wait(60 * MS)
    taken = tale.tick()
    assert taken[0].event == ev.DeadlinePassed(what="pause")
    assert (taken[0].at_us, taken[0].subject) == (until_us, "g")
    assert "AttemptStarted" in kinds(taken)


@pytest.mark.parametrize(
    ("fleet_us", "group_us", "until_us"), [(10, 20, 20), (20, 10, 20), (0, 10, 0), (10, 0, 0)]
)
def test_of_two_pauses_the_longer_one_holds(fleet_us: int, group_us: int, until_us: int) -> None:
    tale = story()
    start_us = tale.at_us
    pause(tale, start_us + fleet_us if fleet_us else 0, FLEET)
    pause(tale, start_us + group_us if group_us else 0)
    tale.crashes("a")
    assert block(tale) == Block(reason="pause", until_us=start_us + until_us if until_us else 0)


def test_a_pause_stops_nothing_that_is_under_way() -> None:
    tale = story()
    tale.crashes("a")
    pause(tale)
    assert "Switched" in kinds(tale.work())


def test_a_pause_holds_an_open_failover_that_still_waits() -> None:
    tale = story(automation=Automation.CONFIRM)
    tale.ask(ev.FailoverAsked(to="", author="x"))
    tale.work()
    tale.ok("a", "b", "c")
    tale.crashes("a")
    assert wait_of(tale) == Block(reason="approval")
    until_us = tale.at_us + SECOND
    pause(tale, until_us)
    assert wait_of(tale) == Block(reason="pause", until_us=until_us)


# Grace.


def test_within_the_grace_evidence_of_every_master_is_awaited() -> None:
    tale = Story()
    tale.ok("a")
    assert block(tale) == Block(reason="grace", until_us=tale.state.fleet.started_us + SECOND)
    tale.ok("b")
    assert not is_open(tale)
    tale.fails("c")
    assert is_open(tale)


def test_the_grace_ends_at_its_time() -> None:
    tale = Story()
    tale.ok("a")
    tale.wait(SECOND)
    tale.ok("a")
    taken = tale.log[-6:]
    assert any(seen.event == ev.DeadlinePassed(what="grace") for seen in taken)
    assert is_open(tale)


def test_a_start_and_a_resumption_begin_a_new_grace() -> None:
    tale = story()
    stopped_us = tale.at_us
    tale.wait(MS)
    tale.see(ev.EngineResumed(stall_us=2 * SECOND, stopped_at_us=stopped_us))
    tale.wait(1)
    tale.crashes("a")
    assert block(tale) == Block(reason="grace", until_us=stopped_us + MS + SECOND)


# Delay.


def delayed() -> Story:
    return story(delay_crash_us=20 * MS, delay_staleness_us=60 * MS, rise=1)


@pytest.mark.parametrize(("is_hard", "delay_us"), [(True, 20 * MS), (False, 60 * MS)])
def test_the_delay_depends_on_the_evidence(is_hard: bool, delay_us: int) -> None:
    tale = delayed()
    ends_us = tale.at_us + delay_us
    taken = tale.crashes("a") if is_hard else tale.fails("a")
    assert "FailoverStarted" not in kinds(taken)
    assert block(tale) == Block(reason="delay", until_us=ends_us)
    tale.wait(delay_us)
    tale.ok("b", "c")
    (due,) = [seen for seen in tale.log if seen.event == ev.DeadlinePassed(what="delay")]
    assert due.at_us == ends_us
    assert is_open(tale)


def test_recovery_cancels_the_delay() -> None:
    tale = delayed()
    tale.fails("a")
    tale.wait(59 * MS)
    tale.ok("a", "b", "c")
    tale.wait(2 * MS)
    assert tale.tick() == []
    assert want(tale.group) is None


def test_evidence_that_turns_hard_shortens_the_delay() -> None:
    tale = delayed()
    tale.fails("a")
    tale.wait(30 * MS)
    tale.ok("b", "c")
    assert not is_open(tale)
    tale.crashes("a")
    assert is_open(tale)


# Groups that nobody serves.


def test_a_headless_group_backs_off_twice_as_long_each_time() -> None:
    tale = story(names="ab", attempts_max=1, unknown_after_us=0)
    tale.crashes("a")
    backoffs = []
    for _ in range(3):
        tale.ok("b")
        tale.answers("transfer", ev.Result.FAILED)
        ended = tale.log[-1].event
        assert isinstance(ended, ev.FailoverEnded)
        backoffs.append(ended.retry_at_us - tale.at_us)
        assert block(tale) == Block(reason="retry", until_us=ended.retry_at_us)
        tale.at_us = ended.retry_at_us - 1
        tale.ok("b")
        assert not is_open(tale)
        tale.wait(1)
        assert tale.tick()[0].event == ev.DeadlinePassed(what="retry")
    assert backoffs == [RETRY_US, 2 * RETRY_US, 4 * RETRY_US]
    assert is_open(tale)
    assert tale.group.saga is not None
    assert (tale.group.saga.why, tale.group.saga.counts) == ("headless", False)


def test_the_back_off_ends_somewhere_and_begins_anew_after_a_switch() -> None:
    tale = story(names="ab", attempts_max=1, unknown_after_us=0)
    tale.crashes("a")
    for _ in range(9):
        tale.ok("b")
        tale.answers("transfer", ev.Result.FAILED)
        tale.at_us = tale.group.retry_at_us
        tale.ok("b")
        tale.tick()
    assert tale.group.retry_us == 64 * RETRY_US
    tale.work()
    assert (tale.group.assigned, tale.group.retry_us, tale.group.retry_at_us) == ("b", 0, 0)


def test_without_a_fit_heir_nothing_is_opened_until_there_is_one() -> None:
    tale = story(rise=1)
    tale.fails("b", "c")
    tale.crashes("a")
    assert block(tale) == Block(reason="no fit heir")
    assert "AttemptStarted" in kinds(tale.ok("c"))


# Automation.


def observing(*, epoch: int = 0) -> Story:
    tale = Story(made(automation=Automation.OBSERVE, rise=1))
    tale.roles = {"a": "active", "b": "standby", "c": "standby"}
    tale.epochs = {"a": epoch}
    tale.ok("a", "b", "c")
    return tale


def test_observing_proposes_once_for_each_verdict() -> None:
    tale = observing()
    taken = tale.crashes("a")
    proposed = only(taken, ev.FailoverProposed)
    assert (proposed.why, proposed.source, proposed.heir) == ("failed", "a", "b")
    assert block(tale) == Block(reason="observing")
    assert kinds(tale.refuses("a") + tale.ok("b", "c")) == []
    assert kinds(tale.ok("a")) == ["MasterRecovering", "MasterHealthy"]
    assert "FailoverProposed" in kinds(tale.crashes("a"))


def test_observing_proposes_nothing_without_an_heir() -> None:
    tale = observing()
    tale.fails("b", "c")
    assert kinds(tale.crashes("a")) == ["MasterFailed"]


def test_observing_proposes_for_a_lost_activation_and_fences_nobody() -> None:
    tale = observing(epoch=7)
    tale.ok("a")
    assert kinds(tale.ok("a", epoch=0, role="standby")) == [
        "ActivationLost",
        "FailoverProposed",
    ]


def test_confirming_opens_and_waits_for_an_approval() -> None:
    tale = story(automation=Automation.CONFIRM)
    assert not tale.group.assigned
    assert tale.group.saga is not None
    assert tale.group.saga.waits == "approval"
    assert wait_of(tale) == Block(reason="approval")
    taken = tale.ask(ev.Approved(author="x"))
    assert kinds(taken)[:2] == ["ApprovalGiven", "AttemptStarted"]


def test_an_approval_without_a_fit_heir_stays_and_is_used_when_one_appears() -> None:
    tale = story(automation=Automation.CONFIRM, rise=1)
    tale.ask(ev.Approved(author="x"))
    tale.work()
    tale.crashes("a")
    tale.fails("b", "c")
    assert kinds(tale.ask(ev.Approved(author="x"))) == ["ApprovalGiven"]
    assert tale.group.saga is not None
    assert (tale.group.saga.phase, wait_of(tale)) == (Phase.SELECTING, None)
    taken = tale.ok("c")
    assert only(taken, ev.AttemptStarted).heir == "c"
