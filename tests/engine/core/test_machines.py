"""Every cell of every table, against the library that it is declared with."""

import enum
import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from transitions import MachineError

from engine.core import events as ev
from engine.core.errors import LogCorrupted
from engine.core.events import KINDS, Recorded
from engine.core.fleet import Health, Role
from engine.core.machines import FAILOVER, HEALTH, ROLE, Table
from engine.core.state import Phase

TABLES: list[Table[Any]] = [HEALTH, ROLE, FAILOVER]
IDS = ["health", "role", "failover"]


def states_of(table: Table[Any]) -> list[enum.Enum]:
    """Return all states, the first one first."""
    kind: type[enum.Enum] = table.states
    return list(kind)


def by_transitions(table: Table[Any], kind: type, source: enum.Enum) -> object:
    """Return what the library itself does, the slow way; None if it refuses."""
    model = SimpleNamespace(state=source)
    try:
        table.machine.events[kind.__name__].trigger(model)
    except (KeyError, MachineError):
        return None
    return model.state


@pytest.mark.parametrize("table", TABLES, ids=IDS)
def test_every_cell_agrees_with_transitions(table: Table[Any]) -> None:
    for kind, source in itertools.product(KINDS.values(), states_of(table)):
        assert table.moves.get((kind, source)) is by_transitions(table, kind, source)


@pytest.mark.parametrize("table", TABLES, ids=IDS)
def test_no_row_is_lost_or_has_two_answers(table: Table[Any]) -> None:
    assert table.moves == {(kind, source): dest for kind, source, dest in table.rows}
    assert len(table.moves) == len(table.rows)


@pytest.mark.parametrize("table", TABLES, ids=IDS)
def test_there_is_no_trigger_past_the_table(table: Table[Any]) -> None:
    assert set(table.machine.events) == {kind.__name__ for kind, _, _ in table.rows}


@pytest.mark.parametrize("table", TABLES, ids=IDS)
def test_every_state_but_the_first_is_reached_and_every_one_is_left(table: Table[Any]) -> None:
    first, *others = states_of(table)
    assert {dest for _, _, dest in table.rows} >= set(others)
    assert {source for _, source, _ in table.rows} == {first, *others}
    assert first in (Health.UNKNOWN, Role.STANDBY, Phase.IDLE)


# design.md, 9.4, spelt out.
@pytest.mark.parametrize(
    ("table", "kind", "sources", "dest"),
    [
        (HEALTH, ev.MasterHealthy, "unknown degraded recovering", "healthy"),
        (HEALTH, ev.MasterDegraded, "unknown healthy recovering", "degraded"),
        (HEALTH, ev.MasterFailed, "unknown healthy degraded recovering", "failed"),
        (HEALTH, ev.MasterRecovering, "failed", "recovering"),
        (HEALTH, ev.MasterUnknown, "healthy degraded failed recovering", "unknown"),
        (ROLE, ev.Activated, "standby", "active"),
        (ROLE, ev.PromotionStarted, "standby", "promoting"),
        (ROLE, ev.Switched, "promoting", "active"),
        (ROLE, ev.DrainStarted, "active", "draining"),
        (ROLE, ev.DrainCancelled, "draining", "active"),
        (ROLE, ev.DrainEnded, "draining", "standby"),
        (ROLE, ev.MasterFenced, "standby promoting active draining fenced", "fenced"),
        (ROLE, ev.MasterRejoined, "fenced", "standby"),
        (FAILOVER, ev.FailoverStarted, "idle", "selecting"),
        (FAILOVER, ev.AttemptStarted, "selecting", "fencing"),
        (FAILOVER, ev.TransferStarted, "fencing", "transferring"),
        (FAILOVER, ev.PromotionStarted, "transferring", "promoting"),
        (FAILOVER, ev.VerificationStarted, "promoting", "verifying"),
        (FAILOVER, ev.Switched, "verifying", "completed"),
        (FAILOVER, ev.AttemptFailed, "fencing transferring promoting verifying", "compensating"),
        (FAILOVER, ev.Compensated, "compensating", "selecting"),
        (FAILOVER, ev.FailoverEnded, "selecting completed", "idle"),
    ],
)
def test_the_rows_are_those_of_the_design(
    table: Table[Any], kind: type, sources: str, dest: str
) -> None:
    found = {source.value for moved, source in table.moves if moved is kind}
    assert found == set(sources.split())
    assert {table.moves[kind, table.states(source)].value for source in found} == {dest}


def test_an_illegal_move_is_a_corrupt_log_that_names_the_place() -> None:
    recorded = Recorded(
        seq=7, at_us=1, subject="a", cause=6, event=ev.MasterRecovering(evidence=(6,), rule="r")
    )
    with pytest.raises(LogCorrupted, match="event 7: MasterRecovering of a while healthy"):
        HEALTH.move(Health.HEALTHY, recorded)


def test_the_diagram_has_a_line_for_each_row() -> None:
    lines = ROLE.mermaid().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert "    fenced --> standby: MasterRejoined" in lines
    assert len(lines) == 1 + len(ROLE.rows)
