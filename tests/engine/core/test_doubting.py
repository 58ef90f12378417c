"""The engine's doubt of itself: who is cut off acts on nothing, says so, and is back by itself."""

import pytest

from engine.core import candidates
from engine.core import events as ev
from engine.core.blocking import Block, blocked, waiting, want
from engine.core.fleet import Health, Mode
from engine.core.policy import MINUTE, MS, SECOND
from engine.core.replay import decide_again, replay
from engine.core.state import copy, fails_softly
from tests.engine.core.build import Story, declared, kinds, made, offer, only, story, subjects


def cut_off(tale: Story, *, times: int = 4, every_us: int = 10 * MS) -> list[ev.Recorded]:
    """Let no master answer any more."""
    taken: list[ev.Recorded] = []
    for _ in range(times):
        tale.wait(every_us)
        taken += tale.fails("a", "b", "c")
    return taken


def reason(tale: Story) -> str:
    wanted = want(tale.group)
    assert wanted is not None
    block = blocked(tale.state, tale.group, wanted, tale.at_us)
    return "" if block is None else block.reason


def test_who_is_cut_off_takes_nothing_from_anybody_and_says_so_once() -> None:
    tale = story(fall=3)
    taken = cut_off(tale, times=9)
    doubt = only(taken, ev.DoubtChanged)
    assert doubt == ev.DoubtChanged(doubted=True, failing=3, masters=3)
    assert subjects(taken, ev.DoubtChanged) == ["fleet"]
    assert kinds(taken) == ["DoubtChanged", "MasterFailed", "MasterFailed", "MasterFailed"]
    assert tale.group.saga is None
    assert tale.group.assigned == "a"


def test_it_is_back_by_itself_when_one_is_heard() -> None:
    tale = story(fall=3, rise=1)
    cut_off(tale)
    tale.wait(MS)
    taken = tale.ok("a")
    assert only(taken, ev.DoubtChanged) == ev.DoubtChanged(doubted=False, failing=2, masters=3)
    assert "FailoverStarted" not in kinds([*taken, *tale.ok("b", "c", "a")])
    assert tale.master("a").health is Health.HEALTHY
    tale.ok("a", "b", "c", "a", "b", "c")
    assert tale.state.cache.places["a"].calm == {"a", "b", "c"}


def test_a_refusal_comes_from_where_the_master_is() -> None:
    tale = story(fall=3)
    cut_off(tale)
    tale.wait(MS)
    assert only(tale.refuses("b"), ev.DoubtChanged).doubted is False


def test_two_that_refuse_twice_leave_nothing_to_doubt() -> None:
    tale = story(fall=3)
    taken = []
    for _ in range(3):
        tale.wait(MS)
        taken += tale.fails("a", "b")
        taken += tale.refuses("c")
    assert "DoubtChanged" not in kinds(taken)


def test_one_alone_cannot_tell_who_is_cut_off() -> None:
    tale = story(names="a", fall=1)
    assert "DoubtChanged" not in kinds(tale.fails("a"))


def test_soft_evidence_needs_an_heir_that_was_heard_since() -> None:
    tale = story(fall=3)
    tale.wait(MS)
    tale.fails("a")
    tale.wait(MS)
    taken = tale.fails("a", "a")
    assert kinds(taken) == ["MasterFailed"]
    assert reason(tale) == "blind"
    rows = candidates.table(tale.state, tale.group, tale.at_us)
    row = next(row for row in rows if row.master == "b")
    assert (row.rule, row.figures) == ("unheard", (("heard_before_us", MS),))
    taken = tale.ok("c")
    assert kinds(taken) == []  # b, the first by priority, may still be heard
    assert reason(tale) == "better heir"
    assert only(tale.ok("b"), ev.AttemptStarted).heir == "b"


def test_a_better_heir_is_waited_for_no_longer_than_it_takes_to_ask_it() -> None:
    tale = story(fall=3)
    tale.wait(MS)
    tale.fails("a")
    began_us = tale.at_us
    tale.wait(MS)
    tale.fails("a", "a")
    tale.ok("c")
    probe = tale.state.policy_of(tale.group).probe
    tale.wait(probe.interval_us + probe.timeout_us)
    attempt = next(one for one in tale.tick() if isinstance(one.event, ev.AttemptStarted))
    assert attempt.event.heir == "c"
    assert attempt.at_us == began_us + probe.interval_us + probe.timeout_us


def test_hard_evidence_needs_nobody_heard_since() -> None:
    tale = story(fall=3)
    tale.wait(MS)
    assert "AttemptStarted" in kinds(tale.crashes("a"))


def test_who_stays_unheard_fails_too_and_then_there_is_no_heir() -> None:
    tale = story(fall=3)
    cut_off(tale, times=2)
    cut_off(tale, times=1)
    assert reason(tale) == "no fit heir"


@pytest.mark.parametrize("first", ["b", "c"])
def test_a_standby_that_is_heard_first_takes_nothing_from_an_active_that_failed_in_doubt(
    first: str,
) -> None:
    tale = story(fall=3, rise=1, recheck_us=50 * MS)
    cut_off(tale, times=2)
    tale.wait(10 * MS)
    assert kinds(tale.fails("a")) == ["DoubtChanged", "MasterFailed"]
    tale.wait(MS)
    assert kinds(tale.ok(first)) == ["DoubtChanged"]  # the others may be heard in a moment
    assert reason(tale) == "doubt"
    tale.wait(MS)
    assert kinds(tale.ok("a", "b", "c")) == ["MasterRecovering", "MasterHealthy"]
    assert want(tale.group) is None


def test_an_active_that_fails_on_after_a_doubt_is_counted_anew_and_replaced() -> None:
    tale = story(fall=3, rise=1)
    cut_off(tale, times=2)
    tale.fails("a")
    tale.ok("b", "c")
    for _ in range(3):
        tale.wait(SECOND)
        assert kinds([*tale.ok("b", "c"), *tale.fails("a")]) == []
    tale.wait(SECOND)
    tale.ok("b", "c")
    assert only(tale.fails("a"), ev.AttemptStarted).heir == "b"


def test_hard_evidence_needs_no_new_count_after_a_doubt() -> None:
    tale = story(fall=3)
    cut_off(tale, times=2)
    tale.fails("a")
    tale.ok("b")
    assert "AttemptStarted" in kinds(tale.refuses("a", "a"))


def test_a_failover_that_waited_is_not_begun_for_what_was_seen_in_doubt() -> None:
    tale = story(hold_down_us=MINUTE, fall=3, rise=1, unknown_after_us=0, interval_us=MINUTE)
    tale.crashes("a")
    tale.work()
    tale.ok("b", "c")
    tale.wait(SECOND)
    tale.fails("b", "b", "b")
    tale.ok("c")
    assert tale.group.saga is not None
    assert tale.group.saga.waits == "hold-down"
    tale.restarts("a")
    tale.ok("a")
    tale.wait(58 * SECOND)
    tale.fails("b")
    cut_off(tale, times=2)
    assert kinds(tale.fails("a")) == ["DoubtChanged", "MasterFailed"]
    assert kinds(tale.ok("c")) == ["DoubtChanged"]
    tale.wait(2 * SECOND)
    assert kinds(tale.ok("c")) == []  # the hold-down is over
    assert waiting(tale.state, tale.group, tale.group.saga, tale.at_us) == Block(reason="doubt")
    for _ in range(3):
        tale.ok("c")
        assert kinds(tale.fails("b")) == []
    assert only(tale.fails("b"), ev.AttemptStarted).heir == "c"


def test_an_open_failover_that_waited_is_blind_too() -> None:
    tale = story(hold_down_us=MINUTE, fall=1, rise=1, unknown_after_us=0, interval_us=MINUTE)
    tale.crashes("a")
    tale.work()
    tale.ok("b", "c")
    tale.wait(30 * SECOND)
    tale.ok("b", "c")
    tale.wait(MS)
    taken = tale.fails("b")
    assert "FailoverStarted" not in kinds(taken)
    tale.ok("c")  # heard: the failover is opened, and waits for the hold-down
    assert tale.group.saga is not None
    assert tale.group.saga.waits == "hold-down"
    tale.wait(10 * SECOND)
    tale.fails("b")  # it fails on; c was heard since its first failure
    tale.wait(20 * SECOND)
    assert only(tale.tick(), ev.AttemptStarted).heir == "c"


def test_a_failover_that_is_open_waits_while_it_is_blind() -> None:
    tale = story(hold_down_us=MINUTE, fall=1, rise=9, unknown_after_us=0, interval_us=MINUTE)
    tale.crashes("a")
    tale.work()
    tale.ok("b", "c")
    tale.wait(30 * SECOND)
    tale.fails("b")
    tale.ok("c")
    assert tale.group.saga is not None
    tale.wait(10 * SECOND)
    tale.ok("b")  # it answers, and begins to fail anew: that c was heard before says nothing
    tale.wait(10 * SECOND)
    tale.fails("b")
    tale.wait(20 * SECOND)
    assert kinds(tale.tick()) == []
    assert tale.group.saga is not None
    assert only(tale.ok("c"), ev.AttemptStarted).heir == "c"


def test_where_all_serve_nobody_is_fenced_in_doubt() -> None:
    tale = story(mode=Mode.ACTIVE_ACTIVE, effects="http", fall=3, balance=None)
    tale.work()
    tale.ok("a", "b", "c")
    taken = cut_off(tale, times=5)
    assert "DoubtChanged" in kinds(taken)
    assert "MasterFenced" not in kinds(taken)
    tale.wait(MS)
    assert subjects(tale.ok("a"), ev.MasterFenced) == []  # b and c may be heard in a moment
    assert subjects(tale.ok("c"), ev.MasterFenced) == []
    tale.wait(MS)
    assert subjects(tale.fails("b"), ev.MasterFenced) == []  # it was asked before the way was open
    for _ in range(2):
        tale.wait(SECOND)
        assert subjects(tale.fails("b"), ev.MasterFenced) == []
    tale.wait(SECOND)
    assert subjects(tale.fails("b"), ev.MasterFenced) == ["b"]


def test_who_begins_to_fail_after_a_doubt_is_fenced_at_its_verdict() -> None:
    tale = story(mode=Mode.ACTIVE_ACTIVE, effects="http", fall=3, rise=1)
    tale.work()
    tale.ok("a", "b", "c")
    cut_off(tale)
    tale.ok("a", "b", "c")
    taken = [tale.fails("b") for _ in range(3)]
    assert [subjects(one, ev.MasterFenced) for one in taken] == [[], [], ["b"]]


@pytest.mark.parametrize("by", ["hard", "refused"])
def test_one_that_refused_long_ago_says_nothing_of_the_way_today(by: str) -> None:
    tale = story(names="abcd", mode=Mode.ACTIVE_ACTIVE, effects="http", fall=3, unknown_after_us=0)
    tale.work()
    if by == "hard":
        tale.crashes("d")
    else:
        tale.refuses("d", "d", "d")
    tale.work()
    taken: list[ev.Recorded] = []
    for _ in range(4):
        tale.wait(SECOND)
        taken += tale.fails("a", "b", "c", "d")
    assert only(taken, ev.DoubtChanged) == ev.DoubtChanged(doubted=True, failing=4, masters=4)
    assert subjects(taken, ev.MasterFenced) == []
    assert fails_softly(tale.master("d"))
    assert copy(tale.state).cache.failing == tale.state.cache.failing == set("abcd")


def pushing() -> Story:
    """Return a story of three that all serve, and of one that sends beats in a group of its own."""
    served = made(mode=Mode.ACTIVE_ACTIVE, effects="http", fall=3, unknown_after_us=0, balance=None)
    beats = made(kind="push", unknown_after_us=0)
    masters = (*declared("abc"), *declared("p", group="h"))
    tale = Story({"g": served, "h": beats}, masters=masters)
    tale.ok("a", "b", "c", "p")
    tale.work()
    tale.ok("a", "b", "c", "p")
    return tale


def test_a_beat_that_is_missing_is_no_sign_that_the_way_is_open() -> None:
    tale = pushing()
    taken: list[ev.Recorded] = []
    for _ in range(4):
        tale.wait(SECOND)
        taken += tale.fails("a", "b", "c")
    assert only(taken, ev.DoubtChanged) == ev.DoubtChanged(doubted=True, failing=3, masters=4)
    assert subjects(taken, ev.MasterFenced) == []
    tale.wait(MS)
    ended = only(tale.ok("p"), ev.DoubtChanged)
    assert ended == ev.DoubtChanged(doubted=False, failing=3, masters=4)


def test_a_beat_that_comes_is_one() -> None:
    tale = pushing()
    taken: list[ev.Recorded] = []
    for _ in range(4):
        tale.wait(SECOND)
        tale.ok("p")
        taken += tale.fails("a", "b", "c")
    assert "DoubtChanged" not in kinds(taken)
    assert sorted(subjects(taken, ev.MasterFenced)) == ["a", "b", "c"]


def test_who_was_never_looked_at_says_nothing() -> None:
    tale = story(names="ab", fall=3)
    offer(tale, names="abc", fall=3)
    assert only(tale.fails(*"ababab"), ev.DoubtChanged).failing == 2


def test_who_fails_and_is_removed_is_not_counted() -> None:
    tale = story(fall=9, rise=1)
    tale.fails("b", "c")
    offer(tale, names="ab", fall=9, rise=1)
    assert tale.state.cache.failing == {"b"}
    assert "DoubtChanged" not in kinds(tale.fails("a"))


@pytest.mark.parametrize("times", [1, 4])
def test_such_a_log_is_folded_and_decided_again_as_it_was(times: int) -> None:
    tale = story(fall=3, rise=1)
    cut_off(tale, times=times)
    tale.wait(MS)
    tale.ok("a", "b", "c")
    assert replay(tale.log) == tale.state
    assert list(decide_again(tale.log)) == tale.log


def test_a_wall_clock_that_was_set_is_noted_and_moves_nothing() -> None:
    tale = story()
    before = tale.at_us
    taken = tale.see(ev.ClockStepped(offset_us=-3_600 * SECOND, step_us=-3_600 * SECOND))
    assert kinds(taken) == []
    assert tale.state.at_us == before
    assert tale.group.saga is None
