"""Alerts: each condition with what begins, damps, raises and clears it; and what silences it."""

from collections.abc import Iterator

import pytest

from engine.core import events as ev
from engine.core.alerts import find
from engine.core.conditions import conditions
from engine.core.deadlines import next_due_us
from engine.core.errors import LogCorrupted
from engine.core.events import FLEET, Recorded, Result
from engine.core.evolve import evolve
from engine.core.fleet import Mode
from engine.core.levels import Condition
from engine.core.policy import (
    ALERTS,
    DAY,
    HOUR,
    MINUTE,
    MS,
    SECOND,
    AlertPolicy,
    Automation,
    FenceKind,
    FleetPolicy,
    Policy,
    sums,
)
from engine.core.state import GroupState, State, digest, dump, restore
from tests.engine.core.build import Story, declared, kinds, loaded, made, only, refused

Said = list[tuple[str, str, str]]


def watched(
    *, names: str = "abc", alerts: AlertPolicy | None = ALERTS, limit: int = 0, **changes: object
) -> Story:
    """Return a story with alerts, in which the first of `names` serves."""
    changes.setdefault("unknown_after_us", 0)
    changes.setdefault("rise", 1)
    fleet = FleetPolicy(limit=limit, share_ppm=0, window_us=HOUR) if limit else None
    policy = Policy(groups={"g": made(**changes)}, fleet=fleet, alerts=alerts)  # type: ignore[arg-type]
    tale = Story(policy, masters=declared(names))
    tale.ok(*names)
    tale.work()
    tale.ok(*names)
    return tale


def alerts(taken: list[Recorded]) -> Said:
    """Return what was said of alerts: pending, a severity or cleared; the kind; the subject."""
    said: Said = []
    for recorded in taken:
        match recorded.event:
            case ev.AlertPending(kind=kind):
                said.append(("pending", kind, recorded.subject))
            case ev.AlertRaised(kind=kind, severity=severity):
                said.append((severity, kind, recorded.subject))
            case ev.AlertCleared(kind=kind, alert=alert):
                said.append(("cleared" if alert else "over", kind, recorded.subject))
    return said


def standing(tale: Story) -> dict[str, str]:
    """Return the severity of every alert of the group and of the fleet, by kind."""
    parts = (tale.group.alerts, tale.state.fleet.alerts)
    return {alert.kind: alert.severity for part in parts for alert in part.values()}


def raised(tale: Story, kind: str) -> int:
    """Return the id of the one alert of that kind."""
    (found,) = [alert.id for alert in tale.group.alerts.values() if alert.kind == kind]
    assert found
    return found


def pass_us(tale: Story, us: int) -> list[Recorded]:
    """Let time pass; the timer fires what is due."""
    tale.wait(us)
    return tale.tick()


def test_a_quiet_fleet_has_none_and_waits_for_none() -> None:
    tale = watched()
    assert standing(tale) == {}
    assert next_due_us(tale.state) is None


def test_a_policy_without_alerts_says_nothing() -> None:
    tale = watched(alerts=None)
    assert alerts(tale.crashes("a")) == []
    assert alerts(tale.see(ev.EngineResumed(stall_us=2 * SECOND, stopped_at_us=0))) == []


def test_alerts_are_cleared_when_a_policy_without_any_is_adopted() -> None:
    tale = watched()
    tale.fails("b")
    tale.see(ev.SpaceShort(left=3, reserve=4))
    policy = made(unknown_after_us=0, rise=1)
    assert alerts(tale.see(loaded(policy, declared("abc")))) == [
        ("cleared", "master-failed", "b"),
        ("cleared", "disk-full", FLEET),
    ]


# Masters.


def test_a_failed_master_is_alerted_until_it_is_trusted_again() -> None:
    tale = watched(rise=2)
    taken = tale.fails("b")
    assert alerts(taken) == [("warning", "master-failed", "b")]
    event = only(taken, ev.AlertRaised)
    assert event.evidence == (tale.master("b").failed_seq,)
    assert alerts(tale.ok("b")) == []
    taken = tale.ok("b")
    assert alerts(taken) == [("cleared", "master-failed", "b")]
    assert only(taken, ev.AlertCleared).alert == event_seq(tale, ev.AlertRaised)


def event_seq(tale: Story, kind: type[ev.AnyEvent]) -> int:
    return next(recorded.seq for recorded in tale.log if isinstance(recorded.event, kind))


def test_one_under_maintenance_is_not_alerted_and_is_when_that_ends() -> None:
    tale = watched()
    span = ev.MaintenanceDeclared(
        from_us=tale.at_us, to_us=tale.at_us + SECOND, reason="disk", author="x"
    )
    tale.see(span, "b")
    assert alerts(tale.fails("b")) == []
    assert ("warning", "master-failed", "b") in alerts(pass_us(tale, SECOND))


def test_when_all_are_down_that_is_critical_at_once() -> None:
    tale = watched()
    for name in "abc":
        tale.crashes(name)
        tale.work()
    assert standing(tale)["all-down"] == "critical"
    tale.restarts("c")
    assert ("cleared", "all-down", "g") in alerts(tale.ok("c"))


def test_masters_that_are_only_silent_are_not_down() -> None:
    tale = watched(unknown_after_us=SECOND)
    pass_us(tale, 2 * SECOND)
    assert "all-down" not in standing(tale)


def test_a_master_that_is_removed_takes_its_alerts_with_it() -> None:
    tale = watched(names="ab")
    tale.fails("b")
    policy = Policy(groups={"g": made(unknown_after_us=0, rise=1)}, alerts=ALERTS)
    tale.see(loaded(policy, declared("a")))
    assert "master-failed" not in standing(tale)


# Who serves, and who could.


def headless() -> Story:
    """Return a story whose only two masters are gone."""
    tale = watched(names="ab")
    tale.crashes("b")
    tale.crashes("a")
    return tale


def test_nobody_serving_is_critical_when_the_worst_restoration_has_passed() -> None:
    tale = headless()
    assert standing(tale)["no-active"] == ""
    worst_us = sums(tale.state.policy_of(tale.group)).restore_staleness_us
    assert ("critical", "no-active", "g") not in alerts(pass_us(tale, worst_us - 1))
    taken = pass_us(tale, 1)
    assert ("critical", "no-active", "g") in alerts(taken)
    assert ev.DeadlinePassed(what="alert") in [recorded.event for recorded in taken]
    tale.restarts("b")
    tale.ok("b")
    tale.answers("fence", master="a") if tale.master("a").fence else None
    tale.work()
    assert "no-active" not in standing(tale)


def test_a_blip_is_recorded_and_nobody_is_woken() -> None:
    tale = watched()
    said = alerts(tale.crashes("a")) + alerts(tale.work())
    assert ("pending", "no-active", "g") in said
    assert ("over", "no-active", "g") in said
    assert ("critical", "no-active", "g") not in said


def test_a_start_hears_its_masters_first() -> None:
    policy = Policy(groups={"g": made(grace_us=HOUR)}, alerts=ALERTS)
    tale = Story(policy)
    assert standing(tale) == {"no-active": ""}
    assert ("critical", "no-active", "g") not in alerts(pass_us(tale, HOUR - MS - 1))
    assert ("critical", "no-active", "g") in alerts(pass_us(tale, 1))


def test_a_group_that_only_observes_and_never_had_an_active_is_no_outage() -> None:
    tale = Story(Policy(groups={"g": made(automation=Automation.OBSERVE)}, alerts=ALERTS))
    tale.ok("a", "b", "c")
    pass_us(tale, HOUR)
    assert "no-active" not in standing(tale)


def test_no_heir_warns_and_then_is_critical_before_anybody_is_needed() -> None:
    tale = watched(names="ab")
    assert ("pending", "no-heir", "g") in alerts(tale.fails("b"))
    assert alerts(pass_us(tale, 2 * MINUTE)) == [("warning", "no-heir", "g")]
    first = raised(tale, "no-heir")
    taken = pass_us(tale, 13 * MINUTE)
    assert alerts(taken) == [("critical", "no-heir", "g")]
    assert raised(tale, "no-heir") == first  # it is the same one, and worse
    assert ("cleared", "no-heir", "g") in alerts(tale.ok("b"))


def test_an_answer_that_is_old_is_no_lack_of_an_heir() -> None:
    tale = watched(names="ab")
    tale.wait(HOUR)
    tale.ok("a")
    assert standing(tale) == {}


def test_while_somebody_takes_over_it_is_as_it_was() -> None:
    tale = watched(names="ab")
    said = alerts(tale.ask(ev.SwitchoverAsked(to="b", author="x")))
    said += alerts(tale.answers("preflight"))
    said += alerts(tale.work())
    # For a moment nobody is active, and nobody is woken.
    assert {what for what, _, _ in said} == {"pending", "over"}
    assert standing(tale) == {}


def test_an_alert_of_no_heir_stands_while_somebody_takes_over() -> None:
    tale = watched(names="abc")
    tale.fails("b", "c")
    pass_us(tale, 2 * MINUTE)
    tale.ask(ev.Paused(until_us=0, reason="r", author="x"))
    tale.crashes("a")
    tale.restarts("c")
    tale.ok("c")
    assert "no-heir" not in standing(tale)
    tale.ask(ev.Resumed(author="x"))
    assert tale.group.saga is not None
    assert "no-heir" not in standing(tale)


def test_a_limit_of_never_for_the_critical_one_leaves_the_warning() -> None:
    quiet = AlertPolicy(
        no_heir_warning_us=MINUTE, no_heir_critical_us=0, failovers=0, failovers_window_us=HOUR,
        recovery_us=0, paused_us=0, late_us=MINUTE,
    )  # fmt: skip
    tale = watched(names="abc", alerts=quiet)
    tale.fails("b", "c")
    pass_us(tale, DAY)
    assert standing(tale)["no-heir"] == "warning"
    tale.ok("b", "c")
    tale.see(ev.Paused(until_us=0, reason="r", author="x"))
    pass_us(tale, 2 * DAY)
    assert "paused" not in standing(tale)
    tale.see(ev.Resumed(author="x"))
    tale.ok("a", "b", "c")
    tale.crashes("a")
    assert tale.group.saga is not None
    assert "recovery" not in standing(tale)
    silent = AlertPolicy(
        no_heir_warning_us=0, no_heir_critical_us=0, failovers=0, failovers_window_us=HOUR,
        recovery_us=0, paused_us=0, late_us=MINUTE,
    )  # fmt: skip
    tale = watched(names="ab", alerts=silent)
    tale.fails("b")
    assert "no-heir" not in standing(tale)


def test_in_an_active_active_group_one_that_serves_alone_has_no_heir() -> None:
    tale = watched(names="ab", mode=Mode.ACTIVE_ACTIVE)
    assert ("pending", "no-heir", "g") in alerts(tale.fails("b"))
    assert ("pending", "no-active", "g") in alerts(tale.fails("a"))
    assert ("critical", "all-down", "g") in [(s, k, "g") for k, s in standing(tale).items()]


# Failovers.


def test_a_failover_is_alerted_while_it_is_open() -> None:
    tale = watched()
    taken = tale.crashes("a")
    assert ("critical", "failover", "g") in alerts(taken)
    saga = tale.group.saga
    assert saga is not None
    assert [e.evidence for e in events(taken, ev.AlertRaised) if e.kind == "failover"] == [
        (saga.seq,)
    ]
    assert ("cleared", "failover", "g") in alerts(tale.work())


def events(taken: list[Recorded], kind: type[ev.AlertRaised]) -> list[ev.AlertRaised]:
    return [recorded.event for recorded in taken if isinstance(recorded.event, kind)]


def test_what_a_person_asked_for_is_no_alert() -> None:
    tale = watched()
    said = alerts(tale.ask(ev.FailoverAsked(to="b", author="x")))
    assert said == [("pending", "no-active", "g")]


def test_one_that_failed_is_alerted_until_somebody_serves() -> None:
    tale = watched(names="ab", attempts_max=1, fence=FenceKind.GATE)
    tale.crashes("a")
    taken = tale.answers("transfer", Result.FAILED)
    assert ("critical", "failover-failed", "g") in alerts(taken)
    # Tries that follow are no news: the alert of the failover stays.
    assert "failover" in standing(tale)
    tale.at_us = tale.group.retry_at_us
    said = alerts(tale.ok("b"))
    assert ("critical", "failover", "g") not in said
    said = alerts(tale.work())
    assert ("cleared", "failover-failed", "g") in said
    assert ("cleared", "failover", "g") in said


def test_data_that_a_policy_lets_go_is_critical_at_once() -> None:
    tale = watched(allow_loss=True)
    tale.crashes("a")
    saga = tale.group.saga
    assert saga is not None
    taken = tale.see(
        ev.Outcome(
            step="transfer",
            failover=saga.id,
            epoch=saga.epoch,
            result=Result.OK,
            digest=saga.transfer_digest,
            lacks=30,
        ),
        saga.heir,
    )
    assert ("critical", "data-lost", "g") in alerts(taken)
    (lost,) = [event for event in events(taken, ev.AlertRaised) if event.kind == "data-lost"]
    assert lost.figures == (("id", saga.id), ("bytes", 30))
    tale.answers("promote")
    assert ("cleared", "data-lost", "g") in alerts(tale.answers("verify"))


def test_what_waits_for_a_person_says_so() -> None:
    tale = watched(automation=Automation.CONFIRM)
    assert ("critical", "approval", "g") in alerts(tale.log)  # the first activation waits too
    tale.ask(ev.Approved(author="x"))
    tale.work()
    assert standing(tale) == {}
    tale.ok("a", "b", "c")
    assert ("critical", "approval", "g") in alerts(tale.crashes("a"))
    assert ("cleared", "approval", "g") in alerts(tale.ask(ev.Approved(author="x")))


@pytest.mark.parametrize("scope", ["group", "fleet"])
def test_a_spent_limit_says_so(scope: str) -> None:
    group = {"limit": 1, "limit_window_us": HOUR} if scope == "group" else {}
    tale = watched(limit=1) if scope == "fleet" else limited(**group)
    tale.crashes("a")
    tale.work()
    tale.wait(MS)
    tale.ok("b", "c")
    taken = tale.crashes("b")
    assert ("critical", "limit", "g") in alerts(taken)
    (event,) = [e for e in events(taken, ev.AlertRaised) if e.kind == "limit"]
    assert dict(event.figures)["until_us"] > tale.at_us


def limited(**changes: int) -> Story:
    changed = made(unknown_after_us=0, rise=1, **changes)
    tale = Story(Policy(groups={"g": changed}, alerts=ALERTS))
    tale.ok("a", "b", "c")
    tale.work()
    tale.ok("a", "b", "c")
    return tale


def test_a_hold_down_that_is_waited_for_says_so() -> None:
    tale = watched(hold_down_us=MINUTE)
    tale.crashes("a")
    tale.work()
    tale.ok("b", "c")
    assert ("warning", "held-down", "g") in alerts(tale.fails("b"))


def test_a_fence_that_nobody_confirms_is_critical_after_a_step() -> None:
    tale = watched(fence=FenceKind.CONFIRMED, effects="http")
    tale.crashes("a")
    assert standing(tale)["fence"] == ""
    assert ("critical", "fence", "g") in alerts(
        pass_us(tale, tale.state.policy_of(tale.group).failover.step_timeout_us)
    )
    assert ("cleared", "fence", "g") in alerts(tale.see(ev.Released(scope="any", author="x"), "a"))


def test_three_failovers_in_half_an_hour_warn_until_one_is_older() -> None:
    tale = watched(names="abcd")
    for name in "abc":
        tale.crashes(name)
        tale.work()
        tale.wait(MINUTE)
        tale.ok(*sorted(set("abcd") - tale.dead))
    assert standing(tale)["failovers"] == "warning"
    first_us = tale.group.counted_us[0]
    tale.at_us = first_us + 30 * MINUTE
    assert ("cleared", "failovers", "g") in alerts(tale.tick())


def test_a_failover_that_is_open_for_long_warns() -> None:
    tale = watched(fence=FenceKind.CONFIRMED, effects="http")
    tale.crashes("a")
    assert ("warning", "recovery", "g") in alerts(pass_us(tale, 5 * MINUTE))


def test_several_that_report_themselves_active_are_critical() -> None:
    tale = Story(Policy(groups={"g": made()}, alerts=ALERTS))
    tale.roles = {"a": "active", "b": "active"}
    tale.ok("a", "b", "c")
    assert standing(tale)["several-active"] == "critical"


# Pauses, observing, the engine itself.


@pytest.mark.parametrize("subject", ["g", FLEET])
def test_a_pause_of_a_day_warns_and_its_end_clears(subject: str) -> None:
    tale = watched()
    said = alerts(tale.see(ev.Paused(until_us=0, reason="r", author="x"), subject))
    assert said == [("pending", "paused", subject)]
    assert alerts(pass_us(tale, DAY)) == [("warning", "paused", subject)]
    assert alerts(tale.see(ev.Resumed(author="x"), subject)) == [("cleared", "paused", subject)]


def test_a_pause_that_ends_by_itself_is_over_at_its_end() -> None:
    tale = watched()
    tale.see(ev.Paused(until_us=tale.at_us + MINUTE, reason="r", author="x"))
    assert alerts(pass_us(tale, MINUTE)) == [("over", "paused", FLEET)]


def test_a_pause_by_file_is_one_too() -> None:
    tale = watched()
    tale.see(ev.Paused(until_us=0, reason="r", author="file", by_file=True))
    assert alerts(pass_us(tale, DAY)) == [("warning", "paused", FLEET)]


def test_observing_for_a_day_warns_where_there_are_effects() -> None:
    for effects, said in (("http", [("warning", "observing", "g")]), ("none", [])):
        tale = watched(automation=Automation.OBSERVE, effects=effects)
        assert [each for each in alerts(pass_us(tale, DAY)) if each[1] == "observing"] == said


def test_an_engine_that_stood_still_says_so_for_a_minute() -> None:
    tale = watched()
    tale.wait(3 * SECOND)
    taken = tale.see(ev.EngineResumed(stall_us=3 * SECOND, stopped_at_us=tale.at_us - 3 * SECOND))
    assert ("warning", "engine-late", FLEET) in alerts(taken)
    (event,) = [e for e in events(taken, ev.AlertRaised) if e.kind == "engine-late"]
    assert event.figures == (("stall_us", 3 * SECOND),)
    assert ("cleared", "engine-late", FLEET) in alerts(pass_us(tale, MINUTE))


def test_a_wall_clock_that_was_set_is_told_for_a_minute() -> None:
    tale = watched()
    said = alerts(tale.see(ev.ClockStepped(step_us=HOUR, offset_us=HOUR)))
    assert said == [("warning", "clock", FLEET)]
    assert alerts(pass_us(tale, MINUTE)) == [("cleared", "clock", FLEET)]


def test_an_engine_that_doubts_itself_says_so_until_it_hears_somebody() -> None:
    tale = watched(fall=2)
    tale.fails("a", "b", "c")
    assert ("warning", "doubt", FLEET) in alerts(tale.fails("a", "b", "c"))
    assert ("cleared", "doubt", FLEET) in alerts(tale.ok("c"))


def test_a_master_that_flaps_warns() -> None:
    tale = watched(fall=2, flap_high_ppm=300_000, flap_low_ppm=200_000)
    said: Said = []
    for _ in range(8):
        tale.wait(MS)
        said += alerts(tale.fails("b")) + alerts(tale.ok("b"))
    assert ("warning", "flapping", "b") in said
    for _ in range(30):
        tale.wait(MS)
        said += alerts(tale.ok("b"))
    assert said[-1] == ("cleared", "flapping", "b")


def test_observers_that_contradict_one_another_warn() -> None:
    tale = watched(fall=3)
    tale.fails("b", "b")
    tale.wait(MS)
    tale.see(ev.ProbeOk(n=1, latency_us=1, boot="b1", epoch=0, observer="o2"), "b")
    assert alerts(tale.fails("b")) == [("warning", "contradict", "b")]
    assert alerts(tale.ok("b")) == [("cleared", "contradict", "b")]


def test_a_full_disk_is_critical_until_there_is_space() -> None:
    tale = watched()
    assert alerts(tale.see(ev.SpaceShort(left=3, reserve=4))) == [("critical", "disk-full", FLEET)]
    assert alerts(tale.see(ev.SpaceShort(left=2, reserve=4))) == []
    assert alerts(tale.see(ev.SpaceReturned(reserve=4))) == [("cleared", "disk-full", FLEET)]


# Who has seen one.


def test_an_acknowledged_alert_is_silent_until_it_is_worse() -> None:
    tale = watched(names="ab")
    tale.fails("b")
    pass_us(tale, 2 * MINUTE)
    alert = raised(tale, "no-heir")
    assert find(tale.state, alert) == ("g", tale.group.alerts["no-heir g"])
    assert kinds(tale.see(ev.AlertAcked(alert=alert, author="ann"), "g")) == []
    tale.see(ev.AlertAcked(alert=alert, author="bob"), "g")
    assert tale.group.alerts["no-heir g"].acked == "ann"
    pass_us(tale, 13 * MINUTE)
    assert tale.group.alerts["no-heir g"].acked == ""


def test_an_acknowledgement_lifts_nothing() -> None:
    tale = watched(automation=Automation.CONFIRM)
    tale.see(ev.AlertAcked(alert=raised(tale, "approval"), author="ann"), "g")
    assert tale.group.saga is not None
    assert "approval" in standing(tale)


def test_what_is_over_or_somebody_elses_cannot_be_acknowledged() -> None:
    tale = watched()
    tale.fails("b")
    alert = raised(tale, "master-failed")
    elsewhere = refused(tale.see(ev.AlertAcked(alert=alert, author="x"), FLEET))
    assert elsewhere == (f"no alert {alert} in fleet: it is over, or there never was one",)
    tale.ok("b")
    gone = refused(tale.see(ev.AlertAcked(alert=alert, author="x"), "g"))
    assert gone == (f"no alert {alert}: it is over, or there never was one",)
    tale.see(ev.Paused(until_us=0, reason="r", author="x"))
    assert refused(tale.see(ev.AlertAcked(alert=0, author="x"), FLEET))


def test_an_alert_of_the_fleet_is_acknowledged_there() -> None:
    tale = watched()
    tale.see(ev.SpaceShort(left=3, reserve=4))
    alert = tale.state.fleet.alerts["disk-full fleet"]
    assert kinds(tale.see(ev.AlertAcked(alert=alert.id, author="ann"), FLEET)) == []
    assert alert.acked == "ann"


# The fold.


def test_alerts_move_no_version_and_survive_a_restore() -> None:
    tale = watched(names="ab")
    version = tale.group.version
    tale.fails("b")
    assert tale.group.version == version + 1  # the verdict alone
    again = restore(dump(tale.state))
    assert digest(again) == digest(tale.state)
    assert again.groups["g"].alerts == tale.group.alerts


def test_a_command_to_a_stopped_log_judges_nothing() -> None:
    tale = watched()
    taken = tale.see(ev.Paused(until_us=0, reason="r", author="x", at_rest=True))
    assert alerts(taken) == []


def test_messages_do_not_pay_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    tale = watched()

    def asked(*_: object) -> None:
        raise AssertionError("conditions were judged")

    monkeypatch.setattr("engine.core.alerts.conditions", asked)
    tale.accepts("m")
    tale.acks("m", "a")


@pytest.mark.parametrize(
    ("subject", "event", "said"),
    [
        ("g", ev.AlertCleared(kind="no-heir", alert=1, lasted_us=1), "no alert no-heir of g"),
        ("z", ev.AlertPending(kind="no-heir"), "no master or group 'z'"),
    ],
)
def test_what_does_not_fit_is_corrupt(subject: str, event: ev.AnyEvent, said: str) -> None:
    tale = watched()
    seq = tale.state.seq + 1
    recorded = Recorded(seq=seq, at_us=tale.at_us, subject=subject, cause=0, event=event)
    with pytest.raises(LogCorrupted, match=said):
        evolve(tale.state, recorded)


def test_a_group_without_masters_has_no_conditions() -> None:
    tale = Story(Policy(groups={"g": made()}, alerts=ALERTS), masters=())
    assert list(conditions(tale.state, tale.group, tale.at_us)) == []


def test_a_standby_whose_data_is_too_old_is_no_heir() -> None:
    tale = watched(lag_us_max=SECOND)
    assert "no-heir" not in standing(tale)
    for name in ("b", "c"):
        tale.see(ev.LoadReported(lag_us=HOUR), name)
    assert "no-heir g" in tale.group.alerts


def test_what_holds_is_found_once_after_each_thing_that_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[tuple[int, int, str]] = []

    def counted(state: State, group: GroupState | None, at_us: int) -> Iterator[Condition]:
        found.append((state.seq, at_us, FLEET if group is None else group.id))
        return conditions(state, group, at_us)

    monkeypatch.setattr("engine.core.alerts.conditions", counted)
    tale = watched()
    tale.crashes("a")
    tale.tick()
    assert {part for _, _, part in found} == {FLEET, "g"}
    assert len(found) == len(set(found))
