"""Commands and failovers with what came of them."""

import json

import pytest

from engine.core import events as ev
from engine.core.events import FLEET
from engine.core.fleet import Master
from projections.audit import AUDIT, rows
from projections.base import fold
from tests.projections import logs
from tests.projections.logs import attempt, ended, started

GOAL = logs.control("g", "priority", a=1)
ROLLBACK = ev.RollbackRequested(position=3, control=GOAL, digest="d", author="ann")


def told(*lines) -> list[dict]:
    found = rows(fold(AUDIT, logs.log(*lines)))
    assert json.loads(json.dumps(found)) == found
    return found


@pytest.mark.parametrize(
    ("subject", "event", "said"),
    [
        (
            "g",
            ev.Paused(until_us=9, reason="work", author="ann"),
            {"until_us": 9, "reason": "work", "by_file": False},
        ),
        ("g", ev.Resumed(author="ann"), {"by_file": False}),
        ("g", ev.Approved(author="ann"), {}),
        ("g", ev.Released(scope="limit", author="ann"), {"scope": "limit"}),
        ("g", ev.SwitchoverAsked(to="b", author="ann"), {"to": "b", "due_us": 0}),
        ("g", ev.AlertAcked(alert=7, author="ann"), {"alert": 7}),
        ("a", ev.ResetAsked(author="ann"), {}),
        ("g", ev.ScheduleCancelled(author="ann"), {}),
        (
            "g",
            ev.UndoAsked(failover=9, to="a", heir="b", author="ann"),
            {"failover": 9, "to": "a", "heir": "b"},
        ),
        (
            "a",
            ev.DrainAsked(drained=True, reason="r", author="ann"),
            {"drained": True, "reason": "r"},
        ),
        (
            FLEET,
            ev.MasterAddAsked(master=Master(id="d", group="g", address="http://d:1"), author="ann"),
            {},
        ),
        ("a", ev.MasterRemoveAsked(author="ann"), {}),
        (
            FLEET,
            ev.FleetRollbackRequested(position=3, controls=(), digests=(), author="ann"),
            {"position": 3, "force": False},
        ),
        ("g", ev.FailoverAsked(to="", author="ann"), {"to": ""}),
        ("g", ev.StrategyAsked(strategy="priority", author="ann"), {"strategy": "priority"}),
        (
            "a",
            ev.ExclusionAsked(excluded=True, reason="bad disk", author="ann"),
            {"excluded": True, "reason": "bad disk"},
        ),
        ("a", logs.maintenance(1, 2), {"from_us": 1, "to_us": 2, "reason": "patch"}),
        ("g", ROLLBACK, {"position": 3, "digest": "d", "force": False}),
        (FLEET, ev.CheckpointMarked(name="before", author="ann"), {"name": "before"}),
        (
            FLEET,
            ev.BodiesRemoved(digests=(b"d",), why="purge of k", author="ann"),
            {"why": "purge of k"},
        ),
    ],
)
def test_every_command_has_its_author_time_and_words(subject, event, said):
    row = {"seq": 1, "at_us": 7, "kind": type(event).__name__, "subject": subject, "author": "ann"}
    data = {"at_rest": False, **said}
    assert told((7, subject, event)) == [
        {**row, "outcome": "accepted", "reasons": [], "data": data}
    ]
    refused = (7, subject, ev.Refused(what="it", reasons=("no", "never")), 1)
    assert told((7, subject, event), refused) == [
        {**row, "outcome": "refused", "reasons": ["no", "never"], "data": data}
    ]


def test_bodies_that_went_by_their_age_were_asked_for_by_nobody():
    assert told((7, FLEET, ev.BodiesRemoved(digests=(b"d",), why="keep_bodies"))) == []


def test_a_refusal_of_something_else_changes_nothing():
    (row,) = told((7, "g", ev.Resumed(author="ann")), (8, "g", ev.Refused(what="", reasons=()), 9))
    assert row["outcome"] == "accepted"


def test_starts_and_configurations_are_told_without_an_author():
    loaded = ev.ConfigurationLoaded(digest="d")
    found = told(
        (1, FLEET, ev.EngineStarted(release="1.0", stopped_at_us=0)),
        (2, FLEET, loaded),
        (2, FLEET, logs.adopted(g=logs.ACTIVE), 2),
        (3, FLEET, loaded),
        (4, FLEET, logs.adopted(g=logs.ACTIVE)),
    )
    assert [(row["seq"], row["kind"], row["outcome"], row["author"]) for row in found] == [
        (1, "EngineStarted", "accepted", ""),
        (2, "ConfigurationLoaded", "adopted", ""),
        (4, "ConfigurationLoaded", "unchanged", ""),
        (5, "PolicyAdopted", "accepted", ""),
    ]


def test_a_failover_of_the_engines_own_is_told_from_start_to_end():
    lines = [
        (10, "g", started()),
        (11, "g", attempt("b")),
        (12, "b", ev.AttemptFailed(reason="promote refused", maybe_active=True)),
        (13, "g", attempt("c", n=2, epoch=7)),
        (20, "g", ended("completed")),
    ]
    (row,) = told(*lines)
    assert row == {
        "seq": 1, "at_us": 10, "kind": "Failover", "subject": "g", "author": "",
        "outcome": "completed", "reasons": [],
        "data": {
            "id": 1, "why": "failed", "source": "a", "heir": "c", "command": 0,
            "started_us": 10, "ended_us": 20,
            "attempts": [
                {"heir": "b", "epoch": 6, "failed": "promote refused"},
                {"heir": "c", "epoch": 7, "failed": ""},
            ],
        },
    }  # fmt: skip
    (row,) = told(*lines[:1])
    assert (row["outcome"], row["data"]["heir"], row["data"]["ended_us"]) == ("open", "", None)


@pytest.mark.parametrize(
    ("result", "reason", "reasons"),
    [("completed", "", []), ("abandoned", "target unfit", ["target unfit"])],
)
@pytest.mark.parametrize("kind", [ev.SwitchoverAsked, ev.FailoverAsked])
def test_what_was_asked_for_ends_as_its_failover_does(kind, result, reason, reasons):
    command, failover = told(
        (10, "g", kind(to="b", author="ann")),
        (10, "g", started("forced"), 1),
        (20, "g", ended(result, reason)),
    )
    assert (command["outcome"], command["reasons"]) == (result, reasons)
    assert (failover["outcome"], failover["reasons"]) == (result, reasons)
    assert (failover["author"], failover["data"]["command"]) == ("ann", 1)


def test_a_command_that_only_gave_the_occasion_did_not_ask_for_the_failover():
    command, failover = told(
        (10, "g", ev.Resumed(author="ann")), (10, "g", started(), 1), (20, "g", ended("completed"))
    )
    assert (command["outcome"], failover["author"]) == ("accepted", "")


def test_a_rollback_ends_with_its_own_result_and_owns_its_failover():
    command, failover = told(
        (10, "g", ROLLBACK),
        (10, "g", logs.rolled_back("g", "priority"), 1),
        (15, "g", started("rollback"), 99),
        (20, "g", ended("completed")),
        (20, "g", ev.RollbackEnded(result="complete", digest="d")),
    )
    assert (command["outcome"], failover["outcome"]) == ("complete", "completed")
    assert (failover["author"], failover["data"]["command"]) == ("ann", 1)


def test_failovers_of_two_groups_do_not_mix():
    found = told(
        (10, "g", started()),
        (10, "h", started(number=2)),
        (11, "g", attempt("b")),
        (12, "h", attempt("d")),
        (13, "d", ev.AttemptFailed(reason="overdue", maybe_active=False)),
        (14, "h", ended("abandoned", "no candidate left", number=2)),
    )
    assert [(row["subject"], row["outcome"]) for row in found] == [
        ("g", "open"),
        ("h", "abandoned"),
    ]
    failed = [[each["failed"] for each in row["data"]["attempts"]] for row in found]
    assert failed == [[""], ["overdue"]]


def test_what_the_log_never_began_is_passed_over():
    found = told(
        (1, "g", attempt("b")),
        (2, "g", ended("completed")),
        (3, "g", ev.RollbackEnded(result="complete", digest="d")),
        (4, "a", logs.PROBE_OK),
    )
    assert found == []


def test_what_has_ended_is_not_touched_again():
    lines = [
        (10, "g", ROLLBACK),
        (10, "g", logs.rolled_back("g", "priority"), 1),
        (15, "g", started("rollback"), 1),
        (16, "g", attempt("b")),
        (20, "g", ended("completed")),
        (20, "g", ev.RollbackEnded(result="complete", digest="d")),
    ]
    late = [
        (30, "b", ev.AttemptFailed(reason="overdue", maybe_active=False)),
        (31, "g", attempt("c")),
        (32, "g", ended("abandoned", "late")),
        (33, "g", ev.RollbackEnded(result="incomplete", digest="d")),
    ]
    assert told(*lines, *late) == told(*lines)
