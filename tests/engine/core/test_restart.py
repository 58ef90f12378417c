"""After a start: what is open waits until every master was heard, or the grace is over."""

from engine.core import events as ev
from engine.core.blocking import Block, waiting
from engine.core.fleet import Role
from engine.core.policy import MS, SECOND, FenceKind
from tests.engine.core.build import Story, kinds, only, story, subjects

GRACE_US = 2 * SECOND


def start(tale: Story, *, down_us: int = 0) -> None:
    """Let an engine start after none ran for a while."""
    stopped_at_us = tale.state.at_us
    tale.wait(down_us)
    tale.see(ev.EngineStarted(release="1", stopped_at_us=stopped_at_us))
    tale.wait(MS)


def waits_of(tale: Story) -> Block | None:
    assert tale.group.saga is not None
    return waiting(tale.state, tale.group, tale.group.saga, tale.at_us)


def held() -> Story:
    """Return a story with a failover that waits for its hold-down, which ends with a stop."""
    tale = story(hold_down_us=10 * SECOND, grace_us=GRACE_US, unknown_after_us=0, rise=1, fall=1)
    tale.ok("a", "b", "c")
    tale.crashes("a")
    tale.work()
    tale.ok("b", "c")
    tale.fails("b")
    assert tale.group.saga is not None
    start(tale, down_us=11 * SECOND)
    return tale


def test_an_open_failover_that_waited_is_judged_when_every_master_was_heard() -> None:
    tale = held()
    assert waits_of(tale) == Block(reason="grace", until_us=tale.at_us - MS + GRACE_US)
    assert kinds(tale.ok("c")) == []
    assert kinds(tale.refuses("a")) == []
    assert "AttemptStarted" in kinds(tale.fails("b"))


def test_it_is_abandoned_if_the_active_answers() -> None:
    tale = held()
    assert only(tale.ok("b"), ev.FailoverEnded).reason == "the active recovered"


def test_or_when_the_grace_is_over() -> None:
    tale = held()
    tale.ok("c")
    tale.wait(GRACE_US - 2 * MS)
    tale.ok("c")
    tale.wait(2 * MS)
    assert kinds(tale.tick()) == ["AttemptStarted", "MasterFenced", "TransferStarted"]


def confirmed() -> Story:
    """Return a story with a heir that waits for a fence that nobody has confirmed yet."""
    tale = story(
        fence=FenceKind.CONFIRMED,
        effects="http",
        grace_us=GRACE_US,
        unknown_after_us=0,
        deadline_us=60 * SECOND,
    )
    tale.crashes("a")
    tale.ok("b", "c")
    assert tale.group.saga is not None
    assert tale.group.saga.heir == "b"
    tale.wait(2 * GRACE_US)
    return tale


def test_a_heir_that_went_silent_while_the_fence_was_awaited_is_passed_over() -> None:
    tale = confirmed()
    tale.ok("c")
    taken = tale.answers("fence")
    assert only(taken, ev.AttemptFailed).reason == "the heir became unfit: stale"
    assert only(taken, ev.AttemptStarted).heir == "c"


def test_a_heir_that_was_excluded_meanwhile_is_passed_over() -> None:
    tale = confirmed()
    tale.ok("b", "c")
    tale.see(ev.ExclusionAsked(excluded=True, reason="", author="x"), "b")
    taken = tale.answers("fence")
    assert only(taken, ev.AttemptFailed).reason == "the heir became unfit: excluded"


def test_a_heir_that_an_engine_has_not_heard_since_its_start_is_waited_for() -> None:
    tale = confirmed()
    start(tale)
    assert kinds(tale.answers("fence")) == ["FenceConfirmed", "MasterRejoined"]
    assert kinds(tale.ok("b")) == ["TransferStarted"]


def test_but_not_beyond_the_grace() -> None:
    tale = confirmed()
    start(tale)
    tale.answers("fence")
    tale.ok("c")
    tale.wait(GRACE_US - 2 * MS)
    tale.ok("c")
    tale.wait(2 * MS)
    taken = tale.tick()
    assert taken[0].event == ev.DeadlinePassed(what="grace")
    assert only(taken, ev.AttemptStarted).heir == "c"


def test_a_delay_that_began_before_the_start_ends_at_its_time_and_not_with_the_grace() -> None:
    tale = story(
        delay_crash_us=40 * MS, grace_us=GRACE_US, unknown_after_us=0, effects="http", names="ab"
    )
    tale.ok("a", "b", "b")
    tale.crashes("a")
    ends_us = tale.at_us + 40 * MS
    tale.wait(10 * MS)
    tale.see(ev.EngineResumed(stall_us=1, stopped_at_us=tale.at_us))
    tale.wait(MS)
    tale.refuses("a")
    tale.ok("b")
    tale.at_us = ends_us
    assert kinds(tale.tick())[:1] == ["FailoverStarted"]


def draining() -> Story:
    """Return a story in which no engine ran for a while, with a switchover from a to b open."""
    tale = story(step_timeout_us=SECOND, unknown_after_us=0, rise=1)
    tale.accepts("k")
    tale.ask(ev.SwitchoverAsked(to="b", author="x"))
    tale.answers("preflight")
    start(tale, down_us=60 * SECOND)
    assert tale.master("a").role is Role.DRAINING
    return tale


def test_nothing_is_taken_from_who_drains_before_its_heir_was_heard_again() -> None:
    tale = draining()
    taken = tale.crashes("b")
    assert only(taken, ev.AttemptFailed).reason == "the heir became unfit: health-failed"
    assert tale.master("a").role is Role.ACTIVE


def test_who_drains_has_its_time_from_the_start_on() -> None:
    tale = draining()
    tale.ok("a", "b", "c")
    tale.wait(SECOND)
    tale.ok("b")
    taken = tale.tick()
    assert subjects([*tale.log[-8:], *taken], ev.MasterFenced) == ["a"]
    tale.work()
    assert tale.group.assigned == "b"
