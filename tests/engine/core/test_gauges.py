"""Conditions of figures: every limit on both sides, and what keeps a quiet log from growing."""

import msgspec
import pytest

from engine.core import events as ev
from engine.core.conditions import conditions
from engine.core.deadlines import next_due_us
from engine.core.events import FLEET, Figures
from engine.core.fleet import Mode
from engine.core.gauges import FRESH_US, is_worth_recording
from engine.core.levels import Condition
from engine.core.load import is_worth_recording as is_load_worth_recording
from engine.core.policy import ALERTS, DAY, MINUTE, MS, SECOND, AlertPolicy, Policy
from engine.core.replay import decide_again
from tests.engine.core.build import Story, declared, loaded, made
from tests.engine.core.test_alerts import alerts, pass_us, standing, watched

NEVER = AlertPolicy(
    no_heir_warning_us=0, no_heir_critical_us=0, failovers=0, failovers_window_us=1,
    recovery_us=0, paused_us=0, late_us=SECOND,
)  # fmt: skip


def sharing(**changes: object) -> Story:
    """Return a story in which a, b and c all serve."""
    return watched(mode=Mode.ACTIVE_ACTIVE, effects="none", **changes)  # type: ignore[arg-type]


def derived(tale: Story, subject: str, what: str, **figures: int) -> ev.FiguresDerived:
    return ev.FiguresDerived(what=what, figures=tuple(figures.items()))


def holding(tale: Story) -> dict[str, Condition]:
    """Return the conditions of figures that hold, by kind."""
    found = [*conditions(tale.state, tale.group, tale.at_us), *conditions(tale.state, None, 0)]
    return {condition.kind: condition for condition in found}


def severities(condition: Condition) -> list[str]:
    return [severity for severity, _ in condition.levels]


# Each limit, from both sides: what is counted, and the levels that it reaches.
TRAFFIC = [
    ("errors", {"calls": 20, "errors": 1, "group_calls": 20}, ["warning"]),
    ("errors", {"calls": 19, "errors": 19, "group_calls": 19}, None),
    ("errors", {"calls": 10_000, "errors": 499, "group_calls": 10_000}, None),
    ("errors", {"calls": 100, "errors": 19, "group_calls": 100}, ["warning"]),
    ("errors", {"calls": 100, "errors": 20, "group_calls": 100}, ["warning", "critical"]),
    ("errors", {"calls": 0, "errors": 0, "group_calls": 0}, None),
    ("share", {"calls": 80, "errors": 0, "group_calls": 100}, None),
    ("share", {"calls": 81, "errors": 0, "group_calls": 100}, ["warning"]),
    ("share", {"calls": 99, "errors": 0, "group_calls": 99}, None),
]


@pytest.mark.parametrize(("kind", "figures", "levels"), TRAFFIC)
def test_limits_of_traffic(kind: str, figures: dict[str, int], levels: list[str] | None) -> None:
    tale = sharing()
    event = derived(tale, "b", "traffic", **figures)
    worth = is_worth_recording(tale.state, "b", "traffic", event.figures)
    tale.see(event, "b")
    found = holding(tale).get(kind)
    assert (None if found is None else severities(found)) == levels
    assert worth == bool({"errors", "share"} & set(holding(tale)))
    if found is not None:
        assert (found.subject, found.figures) == ("b", event.figures)
        assert found.evidence == (tale.state.seq - len(alerts(tale.log[-3:])),)


def test_one_that_serves_alone_or_beside_a_sick_one_may_have_it_all() -> None:
    figures = {"calls": 100, "errors": 0, "group_calls": 100}
    standby = watched()
    standby.see(derived(standby, "a", "traffic", **figures), "a")
    assert "share" not in holding(standby)
    tale = sharing(names="ab")
    tale.see(derived(tale, "a", "traffic", **figures), "a")
    assert "share" in holding(tale)
    tale.fails("b")
    assert "share" not in holding(tale)


@pytest.mark.parametrize(
    ("p99_us", "usual_us", "holds"),
    [
        (12_501, 1_000, True),  # a quarter of 50 ms
        (12_500, 1_000, False),
        (30_000, 10_000, False),
        (30_001, 10_000, True),
    ],
)
def test_limits_of_latency(p99_us: int, usual_us: int, holds: bool) -> None:
    tale = watched(timeout_us=50 * MS)
    event = derived(tale, "a", "latency", p99_us=p99_us, usual_us=usual_us)
    assert is_worth_recording(tale.state, "a", "latency", event.figures) == holds
    tale.see(event, "a")
    assert ("latency" in holding(tale)) == holds


@pytest.mark.parametrize(
    ("used_ppm", "free", "lacking", "left_us", "levels"),
    [
        (799_999, 1, -1, -1, None),
        (800_000, 1, -1, -1, ["warning"]),
        (899_999, 1, 2, -1, ["warning"]),
        (900_000, 1, 2, -1, ["warning", "critical"]),
        (900_000, 2, 2, -1, None),  # it finds the room that it may take
        (1, 1, -1, 3 * DAY - 1, ["critical"]),
        (1, 1, -1, 3 * DAY, None),
        (1, 1, -1, 0, ["critical"]),
    ],
)
def test_limits_of_the_disk(
    used_ppm: int, free: int, lacking: int, left_us: int, levels: list[str] | None
) -> None:
    tale = watched()
    event = derived(
        tale, FLEET, "disk", used_ppm=used_ppm, free=free, lacking=lacking, left_us=left_us
    )
    assert is_worth_recording(tale.state, FLEET, "disk", event.figures) == (levels is not None)
    tale.see(event)
    found = holding(tale).get("disk-filling")
    assert (None if found is None else severities(found)) == levels


@pytest.mark.parametrize(("behind_us", "holds"), [(5 * SECOND, False), (5 * SECOND + 1, True)])
def test_limit_of_views(behind_us: int, holds: bool) -> None:
    tale = watched()
    event = derived(tale, FLEET, "views", behind_us=behind_us)
    assert is_worth_recording(tale.state, FLEET, "views", event.figures) == holds
    said = alerts(tale.see(event))
    assert said == ([("warning", "view-behind", FLEET)] if holds else [])


REPORTS = [
    ("cpu", {"cpu_ppm": 849_999}, None),
    ("cpu", {"cpu_ppm": 850_000}, ["warning"]),
    ("cpu", {"cpu_ppm": 949_999}, ["warning"]),
    ("cpu", {"cpu_ppm": 950_000}, ["warning", "critical"]),
    ("memory", {"memory_ppm": 899_999}, None),
    ("memory", {"memory_ppm": 900_000}, ["warning"]),
    ("memory", {"memory_ppm": 969_999}, ["warning"]),
    ("memory", {"memory_ppm": 970_000}, ["warning", "critical"]),
    ("queue", {"queue": 1_000}, None),
    ("queue", {"queue": 1_001}, ["warning"]),
    ("queue", {"queue": 5_000}, ["warning"]),
    ("queue", {"queue": 5_001}, ["warning", "critical"]),
]


@pytest.mark.parametrize(("kind", "said", "levels"), REPORTS)
def test_limits_of_what_a_master_says(
    kind: str, said: dict[str, int], levels: list[str] | None
) -> None:
    tale = watched()
    tale.see(ev.LoadReported(**said), "b")
    found = holding(tale).get(kind)
    assert (None if found is None else severities(found)) == levels


@pytest.mark.parametrize(("kind", "said", "levels"), REPORTS)
def test_a_report_on_the_other_side_of_a_limit_is_worth_recording(
    kind: str, said: dict[str, int], levels: list[str] | None
) -> None:
    tale = watched()
    ((name, value),) = said.items()
    tale.see(ev.LoadReported(**{name: value - 1}), "b")
    more = ev.LoadReported(**said)
    is_at_limit = value in (850_000, 950_000, 900_000, 970_000, 1_001, 5_001)
    assert is_load_worth_recording(tale.state, "b", more, tale.at_us) == is_at_limit


def test_a_busy_processor_is_critical_when_it_was_that_busy_all_the_time() -> None:
    tale = watched()
    assert alerts(tale.see(ev.LoadReported(cpu_ppm=900_000), "b")) == [("pending", "cpu", "b")]
    tale.wait(4 * MINUTE)
    tale.see(ev.LoadReported(cpu_ppm=960_000), "b")
    assert alerts(pass_us(tale, MINUTE - 1)) == []
    assert alerts(pass_us(tale, 1)) == [("warning", "cpu", "b")]
    tale.see(ev.LoadReported(cpu_ppm=940_000), "b")
    tale.see(ev.LoadReported(cpu_ppm=960_000), "b")
    assert alerts(pass_us(tale, 5 * MINUTE - 1)) == []
    assert alerts(pass_us(tale, 1)) == [("critical", "cpu", "b")]
    assert alerts(tale.see(ev.LoadReported(cpu_ppm=10_000), "b")) == [("cleared", "cpu", "b")]


def test_one_that_is_busy_from_the_first_is_critical_after_five_minutes() -> None:
    tale = watched()
    tale.see(ev.LoadReported(memory_ppm=980_000), "b")
    assert alerts(pass_us(tale, 5 * MINUTE)) == [("critical", "memory", "b")]


def test_what_was_busy_before_there_was_a_limit_counts_from_its_report() -> None:
    tale = watched(alerts=NEVER)
    tale.see(ev.LoadReported(cpu_ppm=960_000), "b")
    tale.wait(MINUTE)
    policy = Policy(groups={"g": made(unknown_after_us=0, rise=1)}, alerts=ALERTS)
    assert ("pending", "cpu", "b") in alerts(tale.see(loaded(policy, declared("abc"))))
    assert alerts(pass_us(tale, 4 * MINUTE)) == [("critical", "cpu", "b")]


def test_a_limit_of_never_for_one_level_leaves_the_other() -> None:
    only = msgspec.structs.replace(ALERTS, cpu_warning_ppm=0, queue_warning=0, errors_warning_ppm=0)
    tale = watched(alerts=only)
    tale.see(ev.LoadReported(cpu_ppm=949_999, queue=5_000), "b")
    assert holding(tale) == {}
    tale.see(ev.LoadReported(cpu_ppm=950_000, queue=5_001), "b")
    tale.see(derived(tale, "b", "traffic", calls=20, errors=20, group_calls=20), "b")
    found = {kind: severities(condition) for kind, condition in holding(tale).items()}
    assert found == {"cpu": ["critical"], "queue": ["critical"], "errors": ["critical"]}


def test_limits_of_never_say_nothing() -> None:
    tale = sharing(alerts=NEVER)
    tale.see(ev.LoadReported(cpu_ppm=999_999, memory_ppm=999_999, queue=1_000_000), "b")
    tale.see(derived(tale, "b", "traffic", calls=100, errors=100, group_calls=100), "b")
    tale.see(derived(tale, "b", "latency", p99_us=SECOND, usual_us=1), "b")
    tale.see(derived(tale, FLEET, "views", behind_us=DAY))
    tale.see(derived(tale, FLEET, "disk", used_ppm=999_999, free=1, lacking=-1, left_us=0))
    assert holding(tale) == {}
    assert not is_worth_recording(tale.state, FLEET, "views", (("behind_us", DAY),))


def test_without_a_policy_or_a_master_nothing_is_worth_recording() -> None:
    traffic: Figures = (("calls", 100), ("errors", 100), ("group_calls", 100))
    assert is_worth_recording(watched().state, "a", "traffic", traffic)
    assert not is_worth_recording(watched().state, "z", "traffic", traffic)
    assert not is_worth_recording(watched(alerts=None).state, "a", "traffic", traffic)


# Who has failed, is silent or is worked on.


def test_a_master_that_has_failed_or_is_worked_on_has_no_figures() -> None:
    tale = watched()
    tale.see(ev.LoadReported(queue=2_000), "b")
    assert "queue" in standing(tale)
    span = ev.MaintenanceDeclared(
        from_us=tale.at_us, to_us=tale.at_us + SECOND, reason="disk", author="x"
    )
    assert ("over", "queue", "b") in alerts(tale.see(span, "b"))
    assert ("pending", "queue", "b") in alerts(pass_us(tale, SECOND))
    assert ("over", "queue", "b") in alerts(tale.fails("b"))


def test_what_a_silent_master_said_is_not_held_against_it() -> None:
    tale = watched(unknown_after_us=SECOND)
    tale.see(ev.LoadReported(queue=2_000), "b")
    assert ("over", "queue", "b") in alerts(pass_us(tale, 2 * SECOND))


def test_nor_what_one_said_that_has_fallen_silent_about_its_load() -> None:
    tale = watched()
    tale.see(ev.LoadReported(queue=2_000), "b")
    report = tale.master("b").report
    assert report is not None
    report.is_silent = True
    assert "queue" not in holding(tale)


# Figures of a minute.


def test_figures_of_a_minute_are_judged_when_they_come_and_not_between() -> None:
    tale = watched(timeout_us=50 * MS)
    slow = derived(tale, "a", "latency", p99_us=SECOND, usual_us=1)
    assert alerts(tale.see(slow, "a")) == [("pending", "latency", "a")]
    assert alerts(pass_us(tale, MINUTE + 20 * SECOND)) == []
    tale = watched(timeout_us=50 * MS)
    tale.see(slow, "a")
    tale.wait(MINUTE - 50 * MS)  # the next comes a little sooner than a minute after it
    assert alerts(tale.see(slow, "a")) == [("warning", "latency", "a")]


def test_figures_that_are_not_renewed_are_over() -> None:
    tale = watched()
    tale.see(derived(tale, "a", "traffic", calls=20, errors=20, group_calls=20), "a")
    tale.see(derived(tale, FLEET, "views", behind_us=MINUTE))
    assert {"errors", "view-behind"} <= set(standing(tale))
    assert next_due_us(tale.state) == tale.at_us + FRESH_US
    assert alerts(pass_us(tale, FRESH_US - 1)) == []
    assert {kind for _, kind, _ in alerts(pass_us(tale, 1))} == {"errors", "view-behind"}


def test_what_ends_an_alert_is_recorded_and_what_comes_after_it_is_not() -> None:
    tale = watched()
    well = (("calls", 20), ("errors", 0), ("group_calls", 20))
    tale.see(derived(tale, "a", "traffic", calls=20, errors=20, group_calls=20), "a")
    assert is_worth_recording(tale.state, "a", "traffic", well)
    assert not is_worth_recording(tale.state, "b", "traffic", well)
    assert alerts(tale.see(ev.FiguresDerived(what="traffic", figures=well), "a")) == [
        ("cleared", "errors", "a")
    ]
    assert not is_worth_recording(tale.state, "a", "traffic", well)


def test_figures_move_no_version() -> None:
    tale = watched()
    version = tale.group.version
    tale.see(derived(tale, "a", "latency", p99_us=1, usual_us=1), "a")
    assert tale.group.version == version


# Messages that wait.


def few(**changes: int) -> Story:
    """Return a story in which more than two messages are too many."""
    limits = msgspec.structs.replace(ALERTS, queue_warning=2, queue_critical=4)
    return watched(alerts=msgspec.structs.replace(limits, **changes))


def test_messages_that_wait_warn_after_a_minute_and_many_are_critical_at_once() -> None:
    tale = few()
    assert alerts(tale.accepts("1")) + alerts(tale.accepts("2")) == []
    assert alerts(tale.accepts("3")) == [("pending", "queue", "g")]
    assert alerts(tale.accepts("4")) == []
    assert alerts(pass_us(tale, MINUTE - 1)) == []
    assert alerts(pass_us(tale, 1)) == [("warning", "queue", "g")]
    assert alerts(tale.accepts("5")) == [("critical", "queue", "g")]
    assert alerts(tale.accepts("6")) == []
    said = [alerts(tale.acks(key, "a")) for key in "123"]
    assert said == [[], [], []]
    assert alerts(tale.acks("4", "a")) == [("cleared", "queue", "g")]


def test_a_queue_that_is_done_within_a_minute_wakes_nobody() -> None:
    tale = few()
    for key in "123":
        tale.accepts(key)
    assert alerts(tale.acks("1", "a")) == [("over", "queue", "g")]


def test_a_queue_without_a_critical_limit_is_never_critical() -> None:
    tale = few(queue_critical=0)
    said = [word for key in "123456" for word in alerts(tale.accepts(key))]
    assert said == [("pending", "queue", "g")]


def test_recorded_figures_give_the_recorded_alerts_again() -> None:
    tale = few()
    tale.see(derived(tale, "a", "traffic", calls=20, errors=20, group_calls=20), "a")
    tale.see(derived(tale, FLEET, "views", behind_us=MINUTE))
    tale.see(ev.LoadReported(cpu_ppm=960_000), "b")
    for key in "12345":
        tale.accepts(key)
    pass_us(tale, 10 * MINUTE)
    assert len(alerts(tale.log)) > 5
    assert list(decide_again(tale.log)) == tale.log


# The budget of a group.


def budget(**figures: int) -> ev.FiguresDerived:
    """Return a budget of which nothing burns but what `figures` say."""
    windows = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
    all_ = {f"burn_{name}": 0 for name in windows} | {f"failures_{name}": 3 for name in windows}
    all_ |= {"uptime_ppm": 1_000_000} | figures
    return ev.FiguresDerived(what="budget", figures=tuple(all_.items()))


BURNS = [
    ({"burn_1h": 14_400, "burn_5m": 14_400}, ["critical"]),
    ({"burn_1h": 14_399, "burn_5m": 99_999}, None),
    ({"burn_1h": 99_999, "burn_5m": 14_399}, None),
    ({"burn_6h": 6_000, "burn_30m": 6_000}, ["critical"]),
    ({"burn_6h": 5_999, "burn_30m": 5_999}, None),
    ({"burn_1d": 3_000, "burn_2h": 3_000}, ["warning"]),
    ({"burn_1d": 2_999, "burn_2h": 3_000}, None),
    ({"burn_3d": 1_000, "burn_6h": 1_000}, ["warning"]),
    ({"burn_3d": 1_000, "burn_6h": 999}, None),
    ({"burn_1h": 14_400, "burn_5m": 14_400, "failures_1h": 2}, None),
]


@pytest.mark.parametrize(("figures", "levels"), BURNS)
def test_limits_of_a_budget(figures: dict[str, int], levels: list[str] | None) -> None:
    tale = watched()
    event = budget(**figures)
    assert is_worth_recording(tale.state, "g", "budget", event.figures) == (levels is not None)
    tale.see(event, "g")
    found = holding(tale).get("burn")
    assert (None if found is None else severities(found)) == levels


@pytest.mark.parametrize(("uptime_ppm", "holds"), [(994_999, True), (995_000, False)])
def test_limit_of_an_objective(uptime_ppm: int, holds: bool) -> None:
    tale = watched()
    event = budget(uptime_ppm=uptime_ppm)
    assert is_worth_recording(tale.state, "g", "budget", event.figures) == holds
    said = alerts(tale.see(event, "g"))
    assert said == ([("warning", "objective", "g")] if holds else [])
    if holds:
        assert alerts(pass_us(tale, FRESH_US)) == [("cleared", "objective", "g")]


def test_nobody_hears_of_a_budget_where_that_is_not_asked_for() -> None:
    tale = watched(alerts=NEVER)
    tale.see(budget(burn_1h=99_999, burn_5m=99_999, uptime_ppm=0), "g")
    assert holding(tale) == {}
