"""The engine is killed at every failpoint, amid a failover, a switchover and a rollback.

Whatever the moment: after a restart the change is there as a whole or not at all, no step took
effect twice, every message that was accepted is applied once, and the log is what it should be.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.events import Recorded
from engine.core.evolve import evolve
from engine.core.replay import control_at, replay
from engine.core.state import State
from engine.log.sqlite import open_log
from engine.log.verify import verify
from engine.runtime.failpoints import NAMES
from tests.faults.fleet import GROUP, EngineProcess, Fleet, fleet

FIRST, SECOND_BEST = "master-1", "master-2"
SOME: Final = 8  # messages that are accepted before, and after [count]


class Kill(NamedTuple):
    """Where the engine is killed: at `place`, from when an event of kind `after` was published.

    `ends` is where control is in the end: "before" the change, or "after" it; `do` is the command
    that asks for the change, if one does.
    """

    place: str
    after: str = ""
    ends: str = "after"
    do: str = "switchover"


def kills(*moments: Kill) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kill", moments, ids=lambda kill: f"{kill.place}-{kill.after}")


FAILOVER = (
    Kill("observe.after/ProbeFailed"),
    Kill("log.before_append/MasterFenced"),
    Kill("log.before_commit/MasterFenced"),
    Kill("log.after_commit/MasterFenced"),
    Kill("durable.before/PromotionStarted"),
    Kill("durable.after/VerificationStarted"),
    Kill("publish.after/MasterFenced"),
    Kill("effect.before/promote"),
    Kill("effect.after/promote ok"),
    Kill("outcome.after/verify ok"),
    Kill("deliver.before", after="Switched"),
    Kill("deliver.after", after="Switched"),
    Kill("ack.after", after="Switched"),
)
ASKED = (
    Kill("log.before_append/SwitchoverAsked", ends="before"),
    Kill("log.after_commit/SwitchoverAsked"),
    Kill("effect.after/preflight ok"),
    Kill("publish.after/DrainStarted"),
    Kill("ack.after", after="DrainStarted"),
    Kill("log.before_commit/MasterFenced"),
    Kill("effect.after/fence ok"),
    Kill("outcome.after/transfer ok"),
    Kill("durable.before/Switched"),
    Kill("durable.after/FailoverAsked", do="failover"),
    Kill("effect.before/fence", do="failover"),
)
ROLLBACK = (
    Kill("log.before_append/RollbackAccepted", ends="before"),
    Kill("log.after_commit/RollbackAccepted"),
    Kill("observe.after/RollbackRequested", ends="before"),
    Kill("effect.after/promote ok"),
    Kill("log.before_commit/Switched"),
    Kill("publish.after/RollbackEnded"),
)


class Played(NamedTuple):
    """What came of a story."""

    log: list[Recorded]
    state: State


@kills(*FAILOVER)
def test_a_failover_during_which_the_engine_is_killed_is_completed(
    tmp_path: Path, kill: Kill
) -> None:
    accepted: set[str] = set()
    log = tmp_path / "tanist.db"
    with fleet(tmp_path) as masters:
        with start(log, masters, accepted) as engine:
            engine.tell(do="send", first=0)
            engine.accept_more(SOME)
            arm(engine, kill)
            masters.kill(FIRST)
            engine.dies()
        with start(log, masters, accepted) as engine:
            carry_on(engine)
            assert engine.ask(do="served", without=FIRST)["active"] == SECOND_BEST
            masters.start_again(FIRST)
            played = settle(engine, log)
        check(played, masters, accepted)
        assert st.active_of(played.state.groups[GROUP]) == SECOND_BEST


@kills(*ASKED)
def test_a_change_that_was_asked_for_happens_as_a_whole_or_not_at_all_if_the_engine_is_killed(
    tmp_path: Path, kill: Kill
) -> None:
    accepted: set[str] = set()
    log = tmp_path / "tanist.db"
    with fleet(tmp_path) as masters:
        with start(log, masters, accepted) as engine:
            engine.tell(do="send", first=0)
            engine.accept_more(SOME)
            arm(engine, kill)
            engine.tell(do=kill.do, to=SECOND_BEST)
            engine.dies()
        with start(log, masters, accepted) as engine:
            carry_on(engine)
            played = settle(engine, log)
        check(played, masters, accepted)
        expected = {"before": FIRST, "after": SECOND_BEST}[kill.ends]
        assert st.active_of(played.state.groups[GROUP]) == expected


@kills(*ROLLBACK)
def test_a_rollback_during_which_the_engine_is_killed_happens_as_a_whole_or_not_at_all(
    tmp_path: Path, kill: Kill
) -> None:
    accepted: set[str] = set()
    log = tmp_path / "tanist.db"
    with fleet(tmp_path) as masters:
        with start(log, masters, accepted) as engine:
            engine.tell(do="send", first=0)
            engine.accept_more(SOME)
            position = engine.ask(do="checkpoint", name="good")["position"]
            assert isinstance(position, int)
            assert engine.ask(do="switchover", to=SECOND_BEST)["active"] == SECOND_BEST
            arm(engine, kill)
            engine.tell(do="rollback", position=position)
            engine.dies()
        with start(log, masters, accepted) as engine:
            carry_on(engine)
            played = settle(engine, log)
        check(played, masters, accepted)
        before = control_at(played.log, GROUP, position=position)
        asked = [each for each in played.log if isinstance(each.event, ev.RollbackRequested)]
        if kill.ends == "after":
            assert st.control_of(played.state.groups[GROUP]) == before
        else:
            assert not asked
            assert st.active_of(played.state.groups[GROUP]) == SECOND_BEST


@pytest.mark.parametrize(
    "again", ["log.before_commit/EngineStarted", "observe.after/ProbeOk", "effect.before/transfer"]
)
def test_an_engine_that_is_killed_again_while_it_takes_the_failover_up_loses_nothing(
    tmp_path: Path, again: str
) -> None:
    accepted: set[str] = set()
    log = tmp_path / "tanist.db"
    with fleet(tmp_path) as masters:
        with start(log, masters, accepted) as engine:
            engine.tell(do="send", first=0)
            engine.accept_more(SOME)
            arm(engine, Kill("log.after_commit/MasterFenced"))
            masters.kill(FIRST)
            engine.dies()
        with EngineProcess(log, masters.addresses, accepted=accepted, failpoint=again) as engine:
            engine.dies()
        with start(log, masters, accepted) as engine:
            carry_on(engine)
            masters.start_again(FIRST)
            played = settle(engine, log)
        check(played, masters, accepted)
        assert st.active_of(played.state.groups[GROUP]) == SECOND_BEST


def test_the_moments_above_cover_every_failpoint() -> None:
    moments = (*FAILOVER, *ASKED, *ROLLBACK)
    assert {kill.place.partition("/")[0] for kill in moments} == set(NAMES)


# The story.


def start(log: Path, masters: Fleet, accepted: set[str]) -> EngineProcess:
    """Start the engine, and wait until it is open and, in a new log, the first master serves."""
    is_new = not log.exists()
    engine = EngineProcess(log, masters.addresses, accepted=accepted)
    engine.said("open")
    if is_new:
        assert engine.ask(do="settle")["active"] == FIRST
    return engine


def arm(engine: EngineProcess, kill: Kill) -> None:
    engine.ask(do="arm", place=kill.place, after=kill.after)


def carry_on(engine: EngineProcess) -> None:
    """Send again whatever is not known to be accepted, and more than that."""
    known = engine.accepted
    first = next(number for number in range(len(known) + 1) if f"m-{number}" not in known)
    engine.tell(do="send", first=first)
    engine.accept_more(SOME)


def settle(engine: EngineProcess, log: Path) -> Played:
    """Wait until nothing is open and nothing is owed, end the engine, and read its log."""
    engine.ask(do="stop")
    engine.ask(do="settle")
    return read(engine, log)


def read(engine: EngineProcess, log: Path) -> Played:
    """End the engine and read its log, which has to be what it should be."""
    end = engine.ends()
    with open_log(log) as reading:
        state = State()
        verification = verify(reading, lambda recorded: evolve(state, recorded))
        assert verification.ok, verification
        events = list(reading.read())
    assert st.digest(replay(events)) == st.digest(state) == end["digest"]
    assert state.seq == end["seq"]
    return Played(log=events, state=state)


# What holds in the end.


def check(played: Played, masters: Fleet, accepted: set[str]) -> None:
    changes_are_whole(played.log)
    epochs_go_up(played.log)
    one_serves(played.state, masters)
    steps_took_effect_once(masters)
    messages_are_applied_once(played.log, masters, accepted)


def changes_are_whole(log: list[Recorded]) -> None:
    """Every failover ended, completed by one switch or abandoned without; every rollback ended."""
    started = [each.event.id for each in log if isinstance(each.event, ev.FailoverStarted)]
    ended = [each.event.id for each in log if isinstance(each.event, ev.FailoverEnded)]
    assert started == ended
    switches = 0
    for each in log:
        if isinstance(each.event, ev.Switched):
            switches += 1
        elif isinstance(each.event, ev.FailoverEnded):
            assert switches == (each.event.result == "completed")
            switches = 0
    kinds = Counter(type(each.event) for each in log)
    assert kinds[ev.RollbackAccepted] == kinds[ev.RollbackEnded]
    assert all(
        each.event.result == "complete" for each in log if isinstance(each.event, ev.RollbackEnded)
    )


def epochs_go_up(log: Iterable[Recorded]) -> None:
    """Each epoch that was drawn is newer than all before it."""
    drawn = [0]
    for each in log:
        match each.event:
            case ev.Activated(epoch=epoch) | ev.AttemptStarted(epoch=epoch):
                drawn.append(epoch)
            case ev.MasterFenced(confirm_at=epoch):
                drawn.append(epoch)
            case _:
                continue
        assert drawn[-1] > drawn[-2]


def one_serves(state: State, masters: Fleet) -> None:
    """Exactly one master believes that it is active: the one the log says, under its epoch."""
    group = state.groups[GROUP]
    active = st.active_of(group)
    believers = {
        name: health["epoch"]
        for name, health in masters.health().items()
        if health["role"] == "active"
    }
    assert believers == {active: group.masters[active].epoch}


def steps_took_effect_once(masters: Fleet) -> None:
    """No process of a master carried out one step of one attempt twice."""
    counts = Counter(tuple(step.values()) for step in masters.steps())
    assert counts
    assert set(counts.values()) == {1}, counts


def messages_are_applied_once(log: list[Recorded], masters: Fleet, accepted: set[str]) -> None:
    """What was accepted was applied, once and in the order of its lane, and nothing else was."""
    report = masters.report()
    assert report["applied_twice"] == 0
    assert report["out_of_order"] == 0
    applied = report["keys_by_group"]
    assert isinstance(applied, dict)
    logged = {each.event.key for each in log if isinstance(each.event, ev.MessageAccepted)}
    assert accepted <= logged
    assert logged == set(applied[GROUP])
