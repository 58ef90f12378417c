"""Masters that answer now and then, and observers that are late: who is trusted, and how long."""

from engine.core import events as ev
from engine.core.blocking import Block, blocked, want
from engine.core.events import Recorded
from engine.core.fleet import Health
from engine.core.policy import MS, SECOND, Automation
from engine.core.serving import weights
from tests.engine.core.build import Story, kinds, made, only, story, subjects


def half_dead(**changes: object) -> Story:
    """Return a story whose active fails once, by soft evidence, and waits for the delay."""
    settings: dict[str, object] = {
        "fall": 2, "rise": 3, "delay_staleness_us": SECOND, "unknown_after_us": 0, **changes,
    }  # fmt: skip
    tale = story(**settings)  # type: ignore[arg-type]
    tale.fails("a", "a")
    assert tale.master("a").health is Health.FAILED
    return tale


def beat(tale: Story, *, good: int, bad: int) -> list[Recorded]:
    """Let the active answer, then fail; the others answer."""
    taken = []
    for says in (tale.ok,) * good + (tale.fails,) * bad:
        tale.wait(20 * MS)
        taken += tale.ok("b", "c")
        taken += says("a")
    return taken


def test_one_that_answers_one_probe_in_six_is_replaced_when_the_delay_is_over() -> None:
    tale = half_dead()
    failed_us = tale.at_us
    taken: list[Recorded] = []
    while "FailoverStarted" not in kinds(taken):
        assert tale.at_us < failed_us + 2 * SECOND
        taken += beat(tale, good=1, bad=5)
    started = next(r for r in taken if isinstance(r.event, ev.FailoverStarted))
    assert failed_us + SECOND <= started.at_us < failed_us + SECOND + 120 * MS
    assert subjects(taken, ev.MasterFenced) == ["a"]


def test_while_it_answers_again_it_is_not_replaced_even_after_the_delay() -> None:
    tale = half_dead()
    tale.wait(SECOND - 30 * MS)
    taken = beat(tale, good=2, bad=0)
    assert "FailoverStarted" not in kinds(taken)
    wanted = want(tale.group)
    assert wanted is not None
    assert blocked(tale.state, tale.group, wanted, tale.at_us) == Block(reason="it answers again")
    taken = beat(tale, good=0, bad=1)
    assert kinds(taken)[:2] == ["MasterFailed", "FailoverStarted"]


def test_one_that_is_trusted_again_is_wanted_away_no_longer_and_the_delay_starts_anew() -> None:
    tale = half_dead()
    tale.wait(SECOND - 100 * MS)
    beat(tale, good=3, bad=0)
    assert tale.master("a").health is Health.HEALTHY
    assert want(tale.group) is None
    beat(tale, good=0, bad=2)
    failed_us = tale.at_us
    wanted = want(tale.group)
    assert wanted is not None
    block = blocked(tale.state, tale.group, wanted, tale.at_us)
    assert block == Block(reason="delay", until_us=failed_us + SECOND)


def test_a_failover_that_waits_goes_on_waiting_while_its_active_answers_again() -> None:
    tale = half_dead(delay_staleness_us=0, hold_down_us=3 * SECOND)
    tale.work()
    assert tale.group.assigned == "b"
    tale.ok("a", "b", "c")
    taken = tale.fails("b", "b")
    assert only(taken, ev.FailoverStarted).waits == "hold-down"
    tale.wait(20 * MS)
    assert kinds(tale.ok("b")) == ["MasterRecovering"]
    assert tale.group.saga is not None
    while tale.at_us < tale.group.hold_until_us - 40 * MS:
        tale.wait(20 * MS)
        assert "FailoverEnded" not in kinds([*tale.fails("b"), *tale.ok("b", "a", "c")])
    tale.at_us = tale.group.hold_until_us
    assert kinds(tale.tick()) == []  # it answered last
    assert kinds(tale.ok("a", "c")) == []
    assert kinds(tale.fails("b"))[:2] == ["MasterFailed", "AttemptStarted"]


def test_silence_ends_a_failover_that_waits_and_it_is_not_called_a_recovery() -> None:
    tale = half_dead(delay_staleness_us=0, hold_down_us=30 * SECOND, unknown_after_us=SECOND)
    tale.work()
    tale.ok("a", "b", "c")
    tale.fails("b", "b")
    assert tale.group.saga is not None
    tale.wait(SECOND)
    assert only(tale.tick(), ev.FailoverEnded).reason == "nothing is heard of b"


def test_one_that_failed_gets_no_traffic_before_it_is_trusted_again() -> None:
    tale = half_dead(delay_staleness_us=60 * SECOND)
    for says in (tale.ok, tale.ok):
        assert weights(tale.state, tale.group)["a"] == 0
        says("a")
    assert weights(tale.state, tale.group)["a"] == 0
    tale.ok("a")
    assert weights(tale.state, tale.group)["a"] == 1


def test_probes_that_were_missed_by_a_late_observer_are_silence() -> None:
    tale = story(unknown_after_us=SECOND, late_us_max=10 * MS)
    for _ in range(5):
        tale.wait(300 * MS)
        tale.fails("a", late_us=11 * MS)
        tale.tick()
    assert tale.master("a").health is Health.UNKNOWN
    assert want(tale.group) is None


def test_what_follows_a_failure_is_proposed_once_however_often_it_answers() -> None:
    tale = Story(made(automation=Automation.OBSERVE, fall=1, rise=3, unknown_after_us=0))
    tale.roles = {"a": "active"}
    tale.ok("a", "b", "c")
    taken = [*tale.fails("a"), *beat(tale, good=1, bad=2), *beat(tale, good=2, bad=1)]
    assert kinds(taken).count("FailoverProposed") == 1
    taken = [*beat(tale, good=3, bad=1)]
    assert kinds(taken).count("FailoverProposed") == 1
