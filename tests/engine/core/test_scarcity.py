"""While the disk is full: which good probes are worth their space, cell by cell."""

from collections.abc import Callable

import pytest

from engine.core import events as ev
from engine.core.events import FLEET, Observation
from engine.core.fleet import Mode
from engine.core.policy import MS, SECOND, Automation, Phi
from engine.core.scarcity import matters
from tests.engine.core.build import Story, force, story

UNKNOWN_US = 10 * SECOND
INTERVAL_US, TIMEOUT_US = SECOND, 500 * MS


def told(mode: Mode = Mode.ACTIVE_STANDBY, *, unknown_after_us: int = UNKNOWN_US) -> Story:
    """Return a quiet story: a is active or all are, all were heard just now."""
    tale = story(
        "zone",
        mode=mode,
        automation=Automation.AUTO,
        interval_us=INTERVAL_US,
        timeout_us=TIMEOUT_US,
        unknown_after_us=unknown_after_us,
    )
    tale.ok("a", "b", "c")
    tale.wait(INTERVAL_US)
    return tale


def good(tale: Story, name: str, **fields: object) -> ev.ProbeOk:
    """Return an answer of `name` like its last one, but for `fields`."""
    master = tale.master(name)
    said: dict[str, object] = {
        "boot": master.boot,
        "epoch": master.reported_epoch,
        "role": master.reported_role,
        **fields,
    }
    return ev.ProbeOk(n=tale.n + 1, latency_us=1, **said)  # type: ignore[arg-type]


def is_worth_it(tale: Story, name: str, **fields: object) -> bool:
    return matters(tale.state, name, good(tale, name, **fields), tale.at_us)


@pytest.mark.parametrize("mode", Mode)
def test_an_answer_like_the_last_one_in_a_quiet_group_is_not(mode: Mode) -> None:
    tale = told(mode)
    assert not any(is_worth_it(tale, name) for name in "abc")


def test_what_is_not_worth_it_changes_nothing_that_is_decided() -> None:
    tale = told()
    assert not is_worth_it(tale, "b")
    assert [type(recorded.event) for recorded in tale.ok("b")] == [ev.ProbeOk]


@pytest.mark.parametrize(
    ("subject", "event"),
    [
        ("a", ev.ProbeFailed(n=99, evidence=ev.Evidence.OVERDUE)),
        ("a", ev.ProbeDegraded(n=99, latency_us=1, reason="slow")),
        ("a", ev.ConnectionClosed(evidence=ev.Evidence.CLOSED)),
        ("a", ev.Outcome(step="fence", failover=1, epoch=1, result=ev.Result.OK)),
        ("a", ev.MessageAcked(key="k", epoch=1)),
        ("g", ev.SwitchoverAsked(to="b", author="x")),
        (FLEET, ev.Paused(until_us=0, reason="x", author="x")),
        (FLEET, ev.EngineStarted(release="1", stopped_at_us=0)),
        (FLEET, ev.SpaceShort(left=1, reserve=2)),
    ],
)
def test_whatever_else_is_observed_is_recorded(subject: str, event: Observation) -> None:
    tale = told()
    assert matters(tale.state, subject, event, tale.at_us)


@pytest.mark.parametrize("fields", [{"boot": "new"}, {"epoch": 7}, {"role": "active"}])
def test_an_answer_that_differs_is_recorded(fields: dict[str, object]) -> None:
    assert is_worth_it(told(), "b", **fields)


def test_an_active_that_answers_under_another_epoch_is_judged_each_time() -> None:
    tale = told()
    # As where it serves already and its switch is not done: it is judged when it is.
    tale.master("a").reported_epoch = tale.master("a").epoch + 1
    assert is_worth_it(tale, "a")
    assert not is_worth_it(tale, "b")


def test_one_that_was_told_no_epoch_is_not() -> None:
    tale = told(Mode.ACTIVE_ACTIVE)
    assert tale.master("b").epoch != tale.master("b").reported_epoch == 0
    assert not is_worth_it(tale, "b")


def close_a(tale: Story) -> None:
    tale.closes("a")


def fail_a(tale: Story) -> None:
    tale.fails("a")


def slow_a(tale: Story) -> None:
    tale.degraded("a")


def lose_a(tale: Story) -> None:
    tale.ok("a", epoch=0)


def kill_a(tale: Story) -> None:
    tale.crashes("a")


def ask(tale: Story) -> None:
    force(tale, "b")


@pytest.mark.parametrize("trouble", [close_a, fail_a, slow_a, lose_a, kill_a, ask])
def test_while_the_active_is_in_doubt_everybody_who_could_be_heir_is_kept_fresh(
    trouble: Callable[[Story], None],
) -> None:
    tale = told()
    trouble(tale)
    assert is_worth_it(tale, "b")
    assert is_worth_it(tale, "c")


def test_after_the_failover_there_is_calm_again() -> None:
    tale = told()
    tale.crashes("a")
    tale.ok("b", "c")
    tale.work()
    tale.ok("b", "c")
    assert is_worth_it(tale, "b")  # that answer may have been sent before its activation
    tale.ok("b")
    tale.wait(INTERVAL_US)
    assert tale.group.assigned == "b"
    assert tale.group.saga is None
    assert not is_worth_it(tale, "b")
    assert not is_worth_it(tale, "c")


def test_a_standby_that_is_down_makes_nobody_elses_answers_worth_it() -> None:
    tale = told()
    tale.crashes("c")
    tale.wait(INTERVAL_US)
    tale.refuses("c")
    assert not is_worth_it(tale, "a")
    assert not is_worth_it(tale, "b")
    tale.restarts("c")
    assert is_worth_it(tale, "c")


def test_where_all_serve_each_is_judged_by_itself() -> None:
    tale = told(Mode.ACTIVE_ACTIVE)
    tale.fails("a")
    assert is_worth_it(tale, "a")
    assert not is_worth_it(tale, "b")


def test_a_master_is_heard_when_half_of_its_silence_is_over() -> None:
    tale = told()
    tale.wait(UNKNOWN_US // 2 - INTERVAL_US - 1)
    assert not is_worth_it(tale, "b")
    tale.wait(1)
    assert is_worth_it(tale, "b")
    tale.ok("b")
    assert not is_worth_it(tale, "b")


def test_a_master_is_heard_while_the_next_answer_is_sure_to_come_in_time() -> None:
    tale = told(unknown_after_us=2 * INTERVAL_US + TIMEOUT_US + 1)
    assert not is_worth_it(tale, "b")
    tale.wait(1)
    assert is_worth_it(tale, "b")


def test_where_silence_says_nothing_nobody_has_to_be_heard_for_it() -> None:
    tale = told(unknown_after_us=0)
    tale.wait(1_000 * UNKNOWN_US)
    assert not is_worth_it(tale, "b")


def test_every_master_is_heard_once_since_the_engine_began() -> None:
    tale = told()
    tale.see(ev.EngineStarted(release="1", stopped_at_us=tale.at_us))
    assert is_worth_it(tale, "b")
    tale.wait(1)
    tale.ok("b")
    assert not is_worth_it(tale, "b")


def test_a_detector_that_learns_the_intervals_needs_each_answer() -> None:
    phi = Phi(threshold_milli=8_000, deviation_us_min=100 * MS, warm_up=10)
    tale = story("zone", automation=Automation.AUTO, unknown_after_us=0, phi=phi)
    for _ in range(60):
        tale.wait(SECOND)
        tale.ok("a", "b", "c")
    tale.see(ev.SpaceShort(left=1, reserve=2))
    tale.wait(SECOND)
    for name in "abc":
        assert is_worth_it(tale, name)
        tale.ok(name)
    tale.wait(SECOND)
    assert "MasterFailed" not in [type(one.event).__name__ for one in tale.fails("a")]
