"""Incidents and records: tables of cases, and what they conserve."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core import events as ev
from engine.core.events import FLEET, AnyEvent, Evidence, Recorded
from projections.base import fold
from projections.incidents import EVENTS_MAX, INCIDENTS, Incidents, Row, failover_at, rows
from projections.records import DAY_US, Record, records
from tests.projections import logs
from tests.projections.logs import DEGRADED, HEALTHY, LOST, OPENING, RECOVERING, UNKNOWN, log

Line = tuple[int, str, AnyEvent]


def probe(evidence: Evidence = Evidence.OVERDUE) -> ev.ProbeFailed:
    return ev.ProbeFailed(n=1, evidence=evidence)


def failed(*evidence: int, hard: bool = False) -> ev.MasterFailed:
    return ev.MasterFailed(evidence=evidence, hard=hard, rule="fall")


def told(*lines: Line) -> Incidents:
    return fold(INCIDENTS, log(*OPENING, *lines))  # these get the seqs from 5 on


def by_subject(view: Incidents) -> dict[str, Row]:
    return {row.subject: row for row in rows(view)}


TRANSFER = ev.TransferStarted(digest="d", count=0)
PROMOTION = ev.PromotionStarted(epoch=6, digest="d")
VERIFICATION = ev.VerificationStarted()
DONE = ev.SwitchDone(epoch=6)
STORY: tuple[Line, ...] = (
    (10, "a", probe()),  # 5
    (20, "a", probe(Evidence.REFUSED)),  # 6
    (20, "a", failed(5, 6)),  # 7
    (50, "g", logs.started()),  # 8, after a delay of 30
    (55, "g", logs.attempt("b")),  # 9
    (55, "a", logs.FENCED),  # 10
    (60, "b", TRANSFER),
    (70, "b", PROMOTION),
    (90, "b", VERIFICATION),
    (91, "b", logs.SWITCHED),
    (91, "g", logs.ended("completed")),
    (95, "b", DONE),
    (200, "a", RECOVERING),
    (300, "a", HEALTHY),
)


def test_a_failure_that_led_to_a_failover_is_an_incident_of_both() -> None:
    found = by_subject(told(*STORY))
    master = found["a"]
    assert (master.id, master.kind, master.group, master.failover) == (7, "failed", "g", 1)
    assert (master.started_us, master.detected_us, master.recovered_us) == (10, 20, 300)
    assert (master.detect_us, master.failover_us, master.recover_us) == (10, 71, 290)
    assert master.classes == {"overdue": 1, "refused": 1}
    assert master.events == [5, 6, 7, 17, 18]
    group = found["g"]
    assert (group.id, group.kind, group.source, group.heir) == (1, "failed", "a", "b")
    assert (group.started_us, group.detected_us, group.recovered_us) == (10, 20, 91)
    assert (group.detect_us, group.failover_us, group.recover_us) == (10, 71, 81)
    assert group.events == [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]


def test_the_time_of_a_failover_is_split_without_a_gap() -> None:
    assert by_subject(told(*STORY))["g"].phases == {
        "detected": 10,
        "decided": 35,
        "fenced": 5,
        "transferred": 10,
        "promoted": 20,
        "verified": 1,
        "switched": 4,
    }


def test_an_attempt_that_failed_is_undone_and_decided_anew() -> None:
    view = told(
        *STORY[:7],
        (70, "b", ev.AttemptFailed(reason="no", maybe_active=False)),
        (75, "g", ev.Compensated()),
        (85, "g", logs.attempt("x", n=2)),
        (86, "x", TRANSFER),
    )
    found = failover_at(view, 1)
    assert found is not None
    assert (found.heir, found.attempts, found.phase) == ("x", 2, "transferred")
    assert found.phases == {
        "detected": 10, "decided": 35 + 10, "fenced": 5 + 1, "transferred": 10, "compensated": 5
    }  # fmt: skip
    assert failover_at(view, 999) is None


def test_one_that_was_abandoned_ends_with_its_end() -> None:
    row = by_subject(told(*STORY[:5], (80, "g", logs.ended("abandoned", "recovered"))))["g"]
    assert (row.ended, row.recovered_us, row.failover_us, row.recover_us) == (
        "abandoned", None, None, None,
    )  # fmt: skip
    assert row.phases == {"detected": 10, "decided": 35, "fenced": 25}


@pytest.mark.parametrize("why", ["switchover", "rollback", "first"])
def test_what_was_planned_is_no_incident(why: str) -> None:
    view = told((10, "g", logs.started(why)), (20, "g", logs.attempt("b")))
    assert rows(view) == []
    found = failover_at(view, 1)
    assert found is not None
    assert found.phases == {"decided": 10}


def test_a_failover_without_a_source_begins_when_it_is_decided() -> None:
    row = by_subject(told((10, "g", logs.started("headless"))))["g"]
    assert (row.started_us, row.detect_us, row.phases) == (10, 0, {})


def test_what_was_never_seen_to_be_switched_ends_with_the_next() -> None:
    view = told(*STORY[:11], (400, "g", logs.started(number=99)))
    assert [row.ended for row in rows(view) if row.subject == "g"] == ["completed", "open"]


def test_a_degraded_master_that_fails_is_in_one_trouble() -> None:
    poor = ev.ProbeDegraded(n=1, latency_us=1, reason="slow")
    view = told(
        (10, "a", poor),  # 5
        (20, "a", poor),  # 6
        (30, "a", ev.MasterDegraded(evidence=(6,), rule="degraded", figures=(("poor", 2),))),
        (40, "a", probe()),  # 8
        (50, "a", failed(8)),
        (60, "a", UNKNOWN),
        (70, "a", HEALTHY),
    )
    (row,) = rows(view)
    assert (row.kind, row.id, row.started_us, row.detected_us) == ("failed", 7, 10, 30)
    assert (row.recovered_us, row.classes) == (70, {"degraded": 2, "overdue": 1})
    (record, *_) = records(view)
    assert (record.failures, record.degradations) == (1, 0)


def test_a_master_that_is_degraded_only_has_not_failed() -> None:
    view = told((10, "a", DEGRADED), (20, "a", HEALTHY))
    (row,) = rows(view)
    assert (row.kind, row.started_us, row.recover_us) == ("degraded", 10, 10)
    assert (records(view)[0].failures, records(view)[0].degradations) == (0, 1)


def test_an_activation_that_was_lost_is_a_trouble_until_the_master_is_trusted() -> None:
    view = told((10, "a", LOST), (15, "a", DEGRADED), (20, "a", failed(5)), (30, "a", HEALTHY))
    (row,) = rows(view)
    assert (row.kind, row.ended, row.recover_us) == ("failed", "recovered", 20)
    view = told((10, "a", DEGRADED), (15, "a", LOST), (30, "a", HEALTHY))
    assert rows(view)[0].kind == "activation-lost"
    view = told((10, "a", failed(1)), (15, "a", LOST))
    assert rows(view)[0].kind == "failed"


def test_who_is_removed_did_not_recover() -> None:
    view = told((10, "a", failed(1)), (50, "a", ev.MasterRemoved(group="g")))
    (row,) = rows(view)
    assert (row.ended, row.recovered_us, row.recover_us) == ("removed", None, None)
    record = next(one for one in records(view) if one.master == "a")
    assert (record.failures, record.recoveries, record.group) == (1, 0, "g")


def test_an_incident_lists_so_many_events_and_no_more() -> None:
    view = told((1, "a", failed(1)), *((2, "a", RECOVERING) for _ in range(2 * EVENTS_MAX)))
    assert len(rows(view)[0].events) == EVENTS_MAX


def test_steps_of_nobodys_failover_are_passed_over() -> None:
    view = told(
        (10, "b", TRANSFER),
        (10, "b", logs.SWITCHED),
        (10, "b", DONE),
        (10, "a", logs.FENCED),
        (10, "g", logs.attempt("b")),
        (10, "g", logs.ended("completed")),
        *STORY[:5],
        (60, "b", logs.SWITCHED),
        (61, "b", TRANSFER),  # after the switch nothing moves but its end
        (62, "g", logs.ended("completed")),
    )
    assert by_subject(view)["g"].phases["fenced"] == 5


def test_a_switch_is_done_only_after_it_was_made() -> None:
    view = told(*STORY[:5], (56, "b", DONE))
    assert by_subject(view)["g"].ended == "open"


HISTORY: tuple[Line, ...] = (
    (100, "a", probe()),  # 5
    (110, "a", failed(5)),
    (150, "a", HEALTHY),
    (1_150, "a", probe(Evidence.REFUSED)),  # 8
    (1_160, "a", failed(8, hard=True)),
    (1_170, "a", RECOVERING),
    (1_175, "a", probe(Evidence.RESET)),  # 11
    (1_175, "a", failed(11)),  # it relapses: the same trouble
    (1_250, "a", HEALTHY),
    (DAY_US + 1_160, "a", probe()),  # 14
    (DAY_US + 1_160, "a", failed(14)),
)


def test_the_record_of_a_master() -> None:
    (found, *others) = records(told(*HISTORY))
    assert found == Record(
        master="a",
        group="g",
        failures=3,
        degradations=0,
        failures_24h=1,  # the second was detected exactly a day before
        classes={"overdue": 2, "refused": 1, "reset": 1},
        between_us=(1_000 + DAY_US - 90) // 2,
        recoveries=2,
        recovery_us_min=50,
        recovery_us_max=100,
        recovery_us_mean=75,
        down_us=150,
        is_open=True,
    )
    assert [(one.master, one.failures, one.between_us) for one in others] == [
        ("b", 0, None), ("c", 0, None),
    ]  # fmt: skip


def test_a_record_is_as_of_a_time() -> None:
    view = told(*HISTORY)
    (found, *_) = records(view, at_us=DAY_US + 1_159 + 500)
    assert (found.failures_24h, found.down_us) == (1, 150 + 499)
    (found, *_) = records(told(*HISTORY[:6]), at_us=2_000)
    assert (found.failures_24h, found.down_us, found.recoveries) == (2, 50 + 850, 1)


MORE = st.one_of(
    logs.EVENTS,
    st.tuples(
        st.sampled_from("abcx"),
        st.one_of(
            st.sampled_from([TRANSFER, PROMOTION, VERIFICATION, DONE]),
            st.builds(probe, st.sampled_from(Evidence)),
            st.builds(failed, st.integers(1, 40)),
        ),
    ),
)


@st.composite
def drawn(draw: st.DrawFn) -> list[Recorded]:
    lines: list[Line] = list(OPENING)
    at_us = 0
    for gap_us, (subject, event) in draw(st.lists(st.tuples(st.integers(0, 9), MORE), max_size=60)):
        at_us += gap_us
        lines.append((at_us, subject, event))
    return log(*lines)


def phases_add_up(view: Incidents) -> None:
    for one in (*view.failovers, *view.switching.values()):
        assert sum(one.phases.values()) == one.since_us - one.started_us, one
        assert all(spent_us >= 0 for spent_us in one.phases.values())


def nothing_is_lost(view: Incidents, log: list[Recorded]) -> None:
    verdicts = sum(isinstance(one.event, ev.MasterFailed) for one in log)
    troubles = [*view.troubles, *view.open.values()]
    assert sum(one.failures for one in troubles) == verdicts
    found = records(view)
    assert sum(one.failures + one.degradations for one in found) == len(troubles)
    for record in found:
        own = [one for one in troubles if one.subject == record.master]
        assert sum(record.classes.values()) == sum(sum(one.classes.values()) for one in own)
        assert record.recoveries <= record.failures
        low, mean, high = record.recovery_us_min, record.recovery_us_mean, record.recovery_us_max
        if low is not None and mean is not None and high is not None:
            assert low <= mean <= high


@given(drawn())
def test_what_incidents_conserve(log: list[Recorded]) -> None:
    view = INCIDENTS.new()
    for recorded in log:
        INCIDENTS.project(view, recorded)
        phases_add_up(view)
    nothing_is_lost(view, log)
    for row in rows(view):
        assert row.started_us <= row.detected_us
        assert row.recovered_us is None or row.recovered_us >= row.detected_us


def test_conservation_catches_a_phase_that_is_charged_twice() -> None:
    view = told(*STORY)
    view.failovers[0].phases["fenced"] += 1
    with pytest.raises(AssertionError):
        phases_add_up(view)


def test_conservation_catches_a_lost_failure() -> None:
    view = told(*HISTORY)
    view.troubles.pop()
    with pytest.raises(AssertionError):
        nothing_is_lost(view, log(*OPENING, *HISTORY))


def test_the_view_grows_with_incidents_and_not_with_the_log() -> None:
    quiet = [(n, "a", logs.PROBE_OK) for n in range(1_000)]
    sizes = [
        len(msgspec.msgpack.encode(told(*STORY, *lines)))
        for lines in ([], [(500 + at, who, event) for at, who, event in quiet])
    ]
    assert sizes[1] - sizes[0] < 10
    assert FLEET not in {row.subject for row in rows(told(*STORY))}
