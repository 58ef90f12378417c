"""Every event in every state: what the tables answer is what the fold does, cell by cell."""

import enum
import itertools
import re
from typing import Any

import msgspec
import pytest

from engine.core import events as ev
from engine.core import messages
from engine.core import state as st
from engine.core.errors import LogCorrupted
from engine.core.events import FLEET, KINDS, AnyEvent, Recorded
from engine.core.evolve import evolve
from engine.core.fleet import Master
from engine.core.machines import FAILOVER, HEALTH, ROLE, Table
from engine.core.state import Phase, State
from tests.engine.core.build import Story, story
from tests.engine.core.test_events import STORED

MACHINES: dict[str, Table[Any]] = {"health": HEALTH, "role": ROLE, "failover": FAILOVER}
CELLS = [
    pytest.param(name, source, kind, id=f"{name}-{source.value}-{kind.__name__}")
    for name, table in MACHINES.items()
    for source, kind in itertools.product(table.states, KINDS.values())
]


def fresh() -> Story:
    tale = story(names="abc")
    tale.accepts("k")
    return tale


def sample(kind: type[AnyEvent], state: State) -> AnyEvent:
    """Return an event of `kind` that fits the state but for its machines."""
    found = next(event for _, _, event in STORED if type(event) is kind)
    group = state.groups["g"]
    match found:
        case ev.ProbeOk() | ev.ProbeDegraded() | ev.ProbeFailed():
            return msgspec.structs.replace(found, n=1_000)
        case ev.MessageAccepted():
            return msgspec.structs.replace(found, key="another")
        case ev.MasterAdded():
            return ev.MasterAdded(master=Master(id="a", group="g", address="http://a:1"))
        case ev.PolicyAdopted():
            return ev.PolicyAdopted(policy=state.fleet.policy, digest="d")
        case ev.AttemptStarted():
            return msgspec.structs.replace(found, heir="a", epoch=group.epoch + 1)
        case ev.MasterFenced():
            back = messages.assigned_to(group.ledger, "a")
            return msgspec.structs.replace(
                found, requeued=len(back), digest=messages.digest_of(back)
            )
        case ev.MessagesAssigned():
            return msgspec.structs.replace(found, upto=0)
        case ev.HookStarted() | ev.HookEnded():
            return msgspec.structs.replace(found, hook="after-switch", failover=1)
        case _:
            return found


def subject_of(event: AnyEvent, state: State) -> str:
    """Return what an event of this kind is about: a master, its group or the fleet."""
    for subject in ("a", "g"):
        recorded = Recorded(
            seq=state.seq + 1, at_us=state.at_us, subject=subject, cause=0, event=event
        )
        try:
            evolve(st.copy(state), recorded)
        except LogCorrupted as err:
            if re.search("no (master|group)", str(err)):
                continue
        return subject
    return FLEET


def put_in(state: State, name: str, source: enum.Enum) -> None:
    """Put one machine of a or its group into `source`."""
    group = state.groups["g"]
    if name == "failover":
        assert isinstance(source, Phase)
        group.saga = None
        if source is not Phase.IDLE:
            group.saga = st.Saga(
                id=1, seq=1, phase=source, why="failed", source="", to="", planned=False, waits="",
                counts=False, started_us=state.at_us, since_us=state.at_us, heir="a",
            )  # fmt: skip
    else:
        setattr(group.masters["a"], name, source)


def found_in(state: State, name: str) -> enum.Enum | None:
    """Return where one machine of a or its group is; None: a is gone."""
    group = state.groups["g"]
    if name == "failover":
        return Phase.IDLE if group.saga is None else group.saga.phase
    master = group.masters.get("a")
    return None if master is None else getattr(master, name)


@pytest.mark.parametrize(("name", "source", "kind"), CELLS)
def test_the_fold_does_what_the_table_answers(
    name: str, source: enum.Enum, kind: type[AnyEvent]
) -> None:
    fold = fresh().state
    for other, table in MACHINES.items():
        # The other machines are where an event of this kind finds them.
        sources = [state for state in table.states if table.answer(kind, state) is not None]
        if kind is not ev.LogBased and len(sources) < len(table.states) and other != name:
            put_in(fold, other, sources[0])
    if kind is ev.FenceConfirmed:
        fold.groups["g"].masters["a"].fence = st.Fence(confirm_at=1, revokes=0)
    if kind is ev.ScheduleEnded:
        fold.groups["g"].scheduled = st.Scheduled(seq=1, to="", due_us=1, author="x")
    if kind is ev.AlertCleared:
        raised = sample(ev.AlertRaised, fold)
        where = subject_of(raised, fold)
        evolve(
            fold,
            Recorded(seq=fold.seq + 1, at_us=fold.at_us, subject=where, cause=0, event=raised),
        )
    put_in(fold, name, source)
    event = sample(kind, fold)
    recorded = Recorded(
        seq=fold.seq + 1, at_us=fold.at_us, subject=subject_of(event, fold), cause=0, event=event
    )  # fmt: skip
    expected = MACHINES[name].answer(kind, source)
    if expected is None:
        with pytest.raises(LogCorrupted, match=f"event {recorded.seq}"):
            evolve(fold, recorded)
        return
    evolve(fold, recorded)
    is_gone = kind is ev.MasterRemoved and name != "failover"
    assert found_in(fold, name) is (None if is_gone else expected)


@pytest.mark.parametrize("table", MACHINES.values(), ids=MACHINES)
def test_there_is_no_cell_without_an_answer(table: Table[Any]) -> None:
    for kind, source in itertools.product(KINDS.values(), table.states):
        answer = table.answer(kind, source)
        assert answer is None or answer in table.states
        moves = [row[2] for row in table.rows if row[:2] == (kind, source)]
        assert moves in ([], [answer])


@pytest.mark.parametrize("table", MACHINES.values(), ids=MACHINES)
def test_the_drawn_cells_are_those_that_do_not_stay_everywhere(table: Table[Any]) -> None:
    drawn = dict(table.cells())
    for kind in KINDS.values():
        answers = [table.answer(kind, source) for source in table.states]
        if kind in drawn:
            assert drawn[kind] == answers
        elif kind is ev.LogBased:
            assert answers == [None] * len(answers)
        else:
            assert answers == list(table.states)
