"""Laws of what is seen: several observers, phi, flapping, loads, whatever comes in which order."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import events as ev
from engine.core import lulls
from engine.core import state as states
from engine.core.decider import Decide, decide, step
from engine.core.events import Evidence, Observation, Recorded
from engine.core.fleet import Health, Mode
from engine.core.policy import MS, SECOND, Degraded, GroupPolicy, Observers, Phi
from engine.core.replay import decide_again, replay
from engine.core.state import State
from engine.core.step import Step
from tests.engine.core.build import START_US, declared, loaded, made

NAMES = ("a", "b", "c")
OTHERS = ("o2", "o3")
TTL_US = 200 * MS


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One observation, and the time before it."""

    gap_us: int
    kind: str
    master: str
    observer: str = ""
    number: int = 0


Schedule: TypeAlias = tuple[Turn, ...]
Log: TypeAlias = list[Recorded]

TURNS = st.builds(
    Turn,
    gap_us=st.sampled_from((0, 1, MS, 10 * MS, 10 * MS, 50 * MS, 300 * MS, 6 * SECOND)),
    kind=st.sampled_from(
        ("ok", "ok", "ok", "overdue", "overdue", "refused", "late", "closed", "slow", "load",
         "restart", "tick", "clock")
    ),
    master=st.sampled_from(NAMES),
    observer=st.sampled_from(("", "", "", *OTHERS)),
    number=st.integers(0, 3),
)  # fmt: skip


def rounds(kind: str, times: int, observer: str) -> Schedule:
    """Every master is seen alike, so many times."""
    return tuple(
        Turn(gap_us=5 * MS, kind=kind, master=name, observer=observer)
        for _ in range(times)
        for name in NAMES
    )


def by_turns(master: str, times: int) -> Schedule:
    """One master fails and answers by turns."""
    kinds = ("overdue", "ok") * times
    return tuple(Turn(gap_us=5 * MS, kind=kind, master=master) for kind in kinds)


def crash(master: str, observer: str) -> Schedule:
    """The connection ends and a fresh one is refused."""
    return tuple(
        Turn(gap_us=MS, kind=kind, master=master, observer=observer)
        for kind in ("closed", "refused")
    )


PARTS = st.one_of(
    st.builds(rounds, st.sampled_from(("ok", "slow")), st.integers(1, 25), st.just("")),
    st.builds(crash, st.sampled_from(NAMES), st.sampled_from(("", "o2"))),
    TURNS.map(lambda turn: (turn,)),
    TURNS.map(lambda turn: (turn,)),
    st.builds(
        rounds, st.sampled_from(("ok", "overdue")), st.integers(1, 5), st.sampled_from(("", "o2"))
    ),
    st.builds(by_turns, st.sampled_from(NAMES), st.integers(1, 5)),
)
SCHEDULES = st.lists(PARTS, min_size=1, max_size=25).map(
    lambda parts: tuple(turn for part in parts for turn in part)
)
POLICIES = st.builds(
    lambda mode, fall, quorum, phi, flap: made(
        mode=mode,
        effects="none",
        fall=fall,
        rise=2,
        observers=Observers(quorum=quorum, vote_ttl_us=TTL_US),
        phi=Phi(
            threshold_milli=3_000, deviation_us_min=5 * MS, warm_up=3, suspicion_us_min=0,
            suspicion_us_max=30 * MS,
        ) if phi else None,
        flap_high_ppm=300_000 if flap else 0,
        flap_low_ppm=200_000 if flap else 0,
        slow_us=20 * MS,
        degraded=Degraded(queue=10, reports=2, silent_after_us=SECOND),
    ),
    st.sampled_from(Mode),
    st.integers(1, 4),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
)  # fmt: skip


def seen(turn: Turn, n: int) -> Observation | None:
    """Return what a turn observes; None: nothing but the time."""
    who = turn.observer
    match turn.kind:
        case "ok":
            return ev.ProbeOk(n=n, latency_us=900, boot="x", observer=who)
        case "slow":
            return ev.ProbeOk(n=n, latency_us=30 * MS, boot="x", observer=who)
        case "restart":
            return ev.ProbeOk(n=n, latency_us=900, boot=f"y{turn.number}", observer=who)
        case "overdue" | "refused":
            return ev.ProbeFailed(n=n, evidence=Evidence(turn.kind), observer=who)
        case "late":
            return ev.ProbeFailed(n=n, evidence=Evidence.OVERDUE, late_us=SECOND, observer=who)
        case "closed":
            return ev.ConnectionClosed(evidence=Evidence.CLOSED, observer=who)
        case "load":
            return ev.LoadReported(queue=6 * turn.number, position=turn.number, observer=who)
        case "clock":
            return ev.ClockStepped(offset_us=turn.gap_us, step_us=turn.gap_us)
        case _:
            return None


def run(
    schedule: Schedule,
    policy: GroupPolicy,
    *,
    decide: Decide = decide,
    between: Callable[[State], State] = lambda state: state,
) -> tuple[State, Log]:
    """Return the state and the log; `between` may put another state in its place at each turn."""
    state, at_us = State(), START_US
    log = step(state, loaded(policy, declared(NAMES)), at_us=at_us, decide=decide)
    started = ev.EngineStarted(release="1", stopped_at_us=0)
    log += step(state, started, at_us=at_us, decide=decide)
    counts: dict[tuple[str, str], int] = {}
    for turn in schedule:
        at_us += turn.gap_us
        key = (turn.observer, turn.master)
        counts[key] = counts.get(key, 0) + 1
        event = seen(turn, counts[key])
        subject = "fleet" if event is None or turn.kind == "clock" else turn.master
        state = between(state)
        log += step(state, event, subject=subject, at_us=at_us, decide=decide)
    return state, log


@given(SCHEDULES, POLICIES)
def test_a_state_that_was_stored_and_read_at_every_turn_decides_the_same(
    schedule: Schedule, policy: GroupPolicy
) -> None:
    """So nothing that is decided rests on a cache."""
    once, log = run(schedule, policy)
    again, other = run(schedule, policy, between=lambda state: states.restore(states.dump(state)))
    assert other == log
    assert again == once
    copied, third = run(schedule, policy, between=states.copy)
    assert third == log
    assert copied == once


def settled(state: State) -> State:
    """Return the state as it is read back for the events that follow it."""
    restored = states.restore(states.dump(state))
    lulls.settle(restored)
    return restored


def asking_no_more(policy: GroupPolicy) -> GroupPolicy:
    """Return the policy that asks nothing of an answer but that it is there."""
    probe = msgspec.structs.replace(policy.probe, phi=None, slow_us=0)
    return msgspec.structs.replace(policy, probe=probe)


@given(SCHEDULES, POLICIES.map(asking_no_more))
def test_who_is_settled_in_a_stored_state_has_nothing_to_be_decided(
    schedule: Schedule, policy: GroupPolicy
) -> None:
    once, log = run(schedule, policy)
    again, other = run(schedule, policy, between=settled)
    assert other == log
    assert again == once


@given(SCHEDULES, POLICIES)
def test_the_log_is_folded_and_decided_again_as_it_was(
    schedule: Schedule, policy: GroupPolicy
) -> None:
    state, log = run(schedule, policy)
    assert replay(log) == state
    assert list(decide_again(log)) == [*log, *step(state, None, at_us=state.at_us)]


@given(SCHEDULES, POLICIES)
def test_the_cache_of_who_fails_softly_is_what_the_state_says(
    schedule: Schedule, policy: GroupPolicy
) -> None:
    state, _ = run(schedule, policy)
    assert state.cache.failing == {
        name for name, place in state.cache.places.items() if states.fails_softly(place.master)
    }


# What a verdict rests on.


def of_observers(log: Log, evidence: tuple[int, ...]) -> set[str]:
    """Return whose observations these are."""
    return {
        observed.observer
        for seq in evidence
        if isinstance(
            observed := log[seq - 1].event, ev.ProbeFailed | ev.ConnectionClosed | ev.ProbeOk
        )
    }


def enough_agree(schedule: Schedule, policy: GroupPolicy, decide: Decide) -> None:
    """A verdict rests on failed probes of at least as many observers as the quorum."""
    _, log = run(schedule, policy, decide=decide)
    assert policy.observers is not None
    for recorded in log:
        if isinstance(recorded.event, ev.MasterFailed):
            own = of_observers(log, recorded.event.evidence)
            # Where the engine has never looked itself, one that is alone counts for all.
            looked = any(
                isinstance(before.event, ev.ProbeOk | ev.ProbeFailed)
                and (before.subject, before.event.observer) == (recorded.subject, "")
                for before in log[: recorded.seq]
            )
            assert len(own) >= (policy.observers.quorum if looked else 1), recorded


def nobody_who_hears_is_outvoted(schedule: Schedule, policy: GroupPolicy, decide: Decide) -> None:
    """Nobody fails by one observer alone whom the engine itself has just heard."""
    _, log = run(schedule, policy, decide=decide)
    for recorded in log:
        if not isinstance(recorded.event, ev.MasterFailed):
            continue
        if len(of_observers(log, recorded.event.evidence)) > 1:
            continue
        own = [
            before
            for before in log[: recorded.seq - 1]
            if before.subject == recorded.subject
            and isinstance(before.event, ev.ProbeOk | ev.ProbeFailed)
            and not before.event.observer
            and getattr(before.event, "late_us", 0) == 0
        ]
        limit_us = 2 * policy.probe.interval_us + policy.probe.timeout_us
        is_heard = bool(own) and isinstance(own[-1].event, ev.ProbeOk)
        assert not (is_heard and recorded.at_us - own[-1].at_us <= limit_us), recorded


def flapping_alternates(schedule: Schedule, policy: GroupPolicy, decide: Decide) -> None:
    """What begins ends before it begins again; and so do contradictions and doubt."""
    _, log = run(schedule, policy, decide=decide)
    open_: set[tuple[str, str]] = set()
    for recorded in log:
        match recorded.event:
            case ev.FlappingStarted():
                kind, begins = "flapping", True
            case ev.FlappingEnded():
                kind, begins = "flapping", False
            case ev.ObserversDisagree():
                kind, begins = "contradiction", True
            case ev.ObserversAgree():
                kind, begins = "contradiction", False
            case ev.DoubtChanged(doubted=begins):
                kind = "doubt"
            case _:
                continue
        key = (kind, recorded.subject)
        assert (key in open_) is not begins, recorded
        (open_.add if begins else open_.discard)(key)


def in_doubt_nothing_is_taken(schedule: Schedule, policy: GroupPolicy, decide: Decide) -> None:
    """While the engine doubts itself, no failover starts for soft evidence and nobody is fenced."""
    _, log = run(schedule, policy, decide=decide)
    hard: dict[str, bool] = {}
    doubted = False
    for recorded in log:
        match recorded.event:
            case ev.DoubtChanged(doubted=doubted):
                pass
            case ev.MasterFailed(hard=is_hard):
                hard[recorded.subject] = is_hard
            case ev.FailoverStarted(why="failed", source=source) if doubted:
                assert hard[source], recorded
            case _:
                pass


LAWS = (enough_agree, nobody_who_hears_is_outvoted, flapping_alternates, in_doubt_nothing_is_taken)


@pytest.mark.parametrize("law", LAWS)
@given(schedule=SCHEDULES, policy=POLICIES)
@settings(deadline=None)
def test_law(
    law: Callable[[Schedule, GroupPolicy, Decide], None], schedule: Schedule, policy: GroupPolicy
) -> None:
    law(schedule, policy, decide)


def hasty(sheet: Step, event: Observation) -> None:
    """Fail a master on any failed probe of anybody."""
    decide(sheet, event)
    if isinstance(event, ev.ProbeFailed):
        master = sheet.state.cache.places[sheet.subject].master
        if master.health is not Health.FAILED:
            failed = ev.MasterFailed(evidence=(sheet.seq,), hard=False, rule="hasty")
            sheet.emit(failed)


def forgetful(sheet: Step, event: Observation) -> None:
    """Say each time that it flaps."""
    decide(sheet, event)
    if isinstance(event, ev.ProbeFailed):
        sheet.emit(ev.FlappingStarted(percent_ppm=0))
        sheet.emit(ev.FlappingStarted(percent_ppm=0))


def bold(sheet: Step, event: Observation) -> None:
    """Fail over for soft evidence while in doubt."""
    decide(sheet, event)
    group = sheet.state.groups["g"]
    if sheet.state.fleet.doubt_seq and group.saga is None and group.assigned:
        started = ev.FailoverStarted(
            id=sheet.state.seq + 1, why="failed", source=group.assigned, to="", planned=False,
            waits="", counts=False,
        )  # fmt: skip
        sheet.emit(started, subject="g")


def turns(*said: tuple[str, str, str]) -> Schedule:
    return tuple(
        Turn(gap_us=10 * MS, kind=kind, master=master, observer=who) for kind, master, who in said
    )


ALL_OK = tuple(("ok", name, "") for name in NAMES)
ALL_LATE = tuple(("overdue", name, "") for name in NAMES)
PLAIN = made(effects="none", fall=2, observers=Observers(quorum=2, vote_ttl_us=TTL_US))
ALONE = made(effects="none", fall=3)


@pytest.mark.parametrize(
    ("law", "mutant", "schedule", "policy"),
    [
        (enough_agree, hasty, turns(*ALL_OK, ("overdue", "b", "")), PLAIN),
        (nobody_who_hears_is_outvoted, hasty, turns(*ALL_OK, ("overdue", "b", "o2")), PLAIN),
        (flapping_alternates, forgetful, turns(*ALL_OK, *ALL_LATE, *ALL_LATE), PLAIN),
        (in_doubt_nothing_is_taken, bold, turns(*ALL_OK, *ALL_OK, *ALL_LATE * 3), ALONE),
    ],
)
def test_each_law_catches_its_mutant(
    law: Callable[[Schedule, GroupPolicy, Decide], None],
    mutant: Decide,
    schedule: Schedule,
    policy: GroupPolicy,
) -> None:
    law(schedule, policy, decide)
    with pytest.raises(AssertionError):
        law(schedule, policy, mutant)


def test_schedules_reach_what_they_are_for() -> None:
    reached: set[str] = set()

    @settings(max_examples=300, derandomize=True, database=None, deadline=None)
    @given(SCHEDULES, POLICIES)
    def gather(schedule: Schedule, policy: GroupPolicy) -> None:
        for recorded in run(schedule, policy)[1]:
            reached.add(type(recorded.event).__name__)
            rule = getattr(recorded.event, "rule", "")
            reached.add(f"{type(recorded.event).__name__} {rule}")

    gather()
    assert {
        "ObserversDisagree", "ObserversAgree", "FlappingStarted", "FlappingEnded", "DoubtChanged",
        "MasterFailed fall", "MasterFailed closed-then-refused", "MasterFailed relapse",
        "MasterDegraded resource", "MasterDegraded silent", "MasterDegraded flapping",
        "MasterDegraded slow", "MasterUnknown silence",
    } <= reached  # fmt: skip
