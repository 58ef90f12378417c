"""What a person plans: a switchover for later, and the way back from a failover."""

import pytest

from engine.core import events as ev
from engine.core.deadlines import next_due_us
from engine.core.errors import LogCorrupted
from engine.core.events import Recorded
from engine.core.evolve import evolve
from engine.core.fleet import Mode
from engine.core.policy import HOUR, MS, SECOND
from engine.core.scheduling import LATE_US_MAX
from engine.core.state import dump, restore
from tests.engine.core.build import Story, kinds, only, refused, story, switch


def plan(tale: Story, to: str = "b", *, after_us: int = HOUR, **more: bool) -> list[Recorded]:
    due_us = tale.at_us + after_us
    return tale.ask(ev.SwitchoverAsked(to=to, author="ann", due_us=due_us, **more))


def planned(to: str = "b", **changes: object) -> Story:
    """Return a story in which a serves, and a switchover is planned for the next hour."""
    changes.setdefault("unknown_after_us", 0)
    tale = story(**changes)  # type: ignore[arg-type]
    assert kinds(plan(tale, to)) == ["SwitchoverScheduled"]
    return tale


def due(tale: Story) -> list[Recorded]:
    """Let the hour come, with everybody heard just before."""
    scheduled = tale.group.scheduled
    assert scheduled is not None
    tale.at_us = scheduled.due_us - MS
    tale.ok(*sorted(tale.group.masters.keys() - tale.dead))
    tale.wait(MS)
    return tale.tick()


def test_it_is_noted_and_begins_when_it_is_due() -> None:
    tale = planned()
    scheduled = tale.group.scheduled
    assert scheduled is not None
    assert (scheduled.to, scheduled.author) == ("b", "ann")
    assert next_due_us(tale.state) == scheduled.due_us
    assert restore(dump(tale.state)) == tale.state
    taken = due(tale)
    assert taken[0].event == ev.DeadlinePassed(what="schedule")
    assert taken[0].at_us == scheduled.due_us
    assert only(taken, ev.ScheduleEnded).how == "begun"
    started = only(taken, ev.FailoverStarted)
    assert (started.why, started.to, started.planned) == ("switchover", "b", True)
    assert started.evidence == (scheduled.seq,)
    tale.work()
    assert (tale.group.assigned, tale.group.scheduled) == ("b", None)


def test_to_the_best_is_settled_when_it_is_due() -> None:
    tale = planned("")
    tale.fails("b")
    assert only(due(tale), ev.FailoverStarted).to == "c"


def test_it_is_judged_anew_when_it_is_due() -> None:
    tale = planned()
    tale.crashes("b")
    taken = due(tale)
    assert kinds(taken) == ["ScheduleEnded"]
    assert only(taken, ev.ScheduleEnded).how == "refused"
    assert only(taken, ev.ScheduleEnded).reasons[0].startswith("b: health-failed")
    assert tale.group.scheduled is None


def test_in_a_pause_it_does_not_happen() -> None:
    tale = planned()
    tale.see(ev.Paused(until_us=0, reason="r", author="x"))
    assert only(due(tale), ev.ScheduleEnded).reasons == ("g is paused",)


@pytest.mark.parametrize(("late_us", "begins"), [(LATE_US_MAX, True), (LATE_US_MAX + 1, False)])
def test_an_engine_that_starts_late_begins_it_only_if_that_is_not_much(
    late_us: int, begins: bool
) -> None:
    tale = planned()
    scheduled = tale.group.scheduled
    assert scheduled is not None
    stopped_us, tale.at_us = tale.at_us, scheduled.due_us + late_us
    taken = tale.see(ev.EngineStarted(release="1", stopped_at_us=stopped_us))
    assert ("FailoverStarted" in kinds(taken)) is begins
    if not begins:
        assert "when no engine ran" in only(taken, ev.ScheduleEnded).reasons[0]


def test_another_one_takes_its_place() -> None:
    tale = planned()
    first = tale.group.scheduled
    taken = plan(tale, "c", after_us=2 * HOUR)
    assert kinds(taken) == ["ScheduleEnded", "SwitchoverScheduled"]
    assert first is not None
    assert only(taken, ev.ScheduleEnded) == ev.ScheduleEnded(scheduled=first.seq, how="replaced")
    assert tale.group.scheduled is not None
    assert tale.group.scheduled.to == "c"


def test_it_can_be_cancelled_once() -> None:
    tale = planned()
    assert only(tale.ask(ev.ScheduleCancelled(author="x")), ev.ScheduleEnded).how == "cancelled"
    assert next_due_us(tale.state) is None
    assert refused(tale.ask(ev.ScheduleCancelled(author="x"))) == (
        "no switchover of g is scheduled",
    )


def test_what_cannot_be_is_refused_at_once() -> None:
    tale = story()
    assert refused(plan(tale, "z")) == ("z is no master of g: expected one of a, b, c",)
    past = tale.ask(ev.SwitchoverAsked(to="b", author="x", due_us=tale.at_us - SECOND))
    assert refused(past) == ("expected a time to come, found one that was 1000000 us ago",)
    tale = story(mode=Mode.ACTIVE_ACTIVE)
    assert refused(plan(tale)) == ("g is active-active: every healthy master serves",)


def test_a_stopped_log_takes_it_too() -> None:
    tale = story(unknown_after_us=0)
    assert kinds(plan(tale, at_rest=True)) == ["SwitchoverScheduled"]


def test_an_end_without_a_schedule_is_corrupt() -> None:
    tale = story()
    seq = tale.state.seq + 1
    ended = ev.ScheduleEnded(scheduled=1, how="begun")
    recorded = Recorded(seq=seq, at_us=tale.at_us, subject="g", cause=0, event=ended)
    with pytest.raises(LogCorrupted, match="no switchover of g is scheduled"):
        evolve(tale.state, recorded)


# Undo.


def failed_over() -> tuple[Story, int]:
    """Return a story in which b took over from a, which is well again; and the failover."""
    tale = story(unknown_after_us=0, rise=1)
    tale.crashes("a")
    assert tale.group.saga is not None
    failover = tale.group.saga.id
    tale.work()
    tale.restarts("a")
    tale.ok("a", "b", "c")
    tale.answers("fence")
    return tale, failover


def undo(tale: Story, failover: int, *, to: str = "a", heir: str = "b") -> list[Recorded]:
    return tale.ask(ev.UndoAsked(failover=failover, to=to, heir=heir, author="x"))


def test_the_way_back_is_a_switchover_that_loses_nothing() -> None:
    tale, failover = failed_over()
    started = only(undo(tale, failover), ev.FailoverStarted)
    assert (started.why, started.source, started.to) == ("switchover", "b", "a")
    assert started.planned
    assert started.evidence[0] == failover
    tale.work()
    assert tale.group.assigned == "a"


def test_the_way_back_to_one_that_is_unfit_is_refused() -> None:
    tale, failover = failed_over()
    tale.fails("a")
    assert refused(undo(tale, failover))[0].startswith("a: health-failed")


def test_there_is_none_where_nobody_was_before_or_another_took_over_since() -> None:
    tale, failover = failed_over()
    assert refused(undo(tale, failover, to="")) == (
        f"before failover {failover} nobody of g was active",
    )
    switch(tale, "c")
    tale.work()
    assert refused(undo(tale, failover)) == (
        f"c is active by now, and not b, which failover {failover} made active",
    )
    tale.ok("c")
    tale.see(ev.Paused(until_us=0, reason="r", author="x"))
    tale.restarts("c")
    tale.ok("c")
    assert refused(undo(tale, failover))[0].startswith("nobody is active by now")
