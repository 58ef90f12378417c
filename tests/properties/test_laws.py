"""Every law of the simulated world under generated schedules, and the mutant that each catches."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core import events as ev
from engine.core.decider import Decide, decide
from engine.core.events import Observation, Recorded, Result
from engine.core.evolve import evolve
from engine.core.fleet import Health, Mode, Role
from engine.core.policy import (
    MS,
    SECOND,
    Automation,
    Balance,
    Ejection,
    Fence,
    FenceKind,
    Hooks,
    Recover,
)
from engine.core.standing import Heard, Lack
from engine.core.state import Ledger, State, copy, digest
from engine.core.step import Evolve, Step
from engine.simulation import checkers
from engine.simulation.checkers import Law, violations
from engine.simulation.masters import Answer
from engine.simulation.rim import Rim
from engine.simulation.schedule import KINDS, Schedule, Setting, Turn, policy
from engine.simulation.streams import Replication
from engine.simulation.world import run

FAST = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

POLICIES = st.builds(
    policy,
    mode=st.sampled_from((Mode.ACTIVE_STANDBY, Mode.ACTIVE_STANDBY, Mode.ACTIVE_ACTIVE)),
    automation=st.sampled_from((Automation.AUTO, Automation.AUTO, *Automation)),
    fence=st.sampled_from(FenceKind),
    fall=st.integers(1, 3),
    rise=st.integers(1, 3),
    delay_us=st.sampled_from((0, 80 * MS)),
    hold_down_us=st.sampled_from((0, SECOND)),
    limit=st.integers(0, 1),
)
SETTINGS = st.builds(
    Setting,
    policy=POLICIES,
    masters=st.integers(2, 3),
    message_every_us=st.sampled_from((0, 20 * MS)),
    lanes=st.integers(1, 2),
    acks_later=st.booleans(),
    append_us=st.sampled_from((0, 300, 5 * MS)),
    flush_us=st.sampled_from((0, 30 * MS)),
    down_us=st.sampled_from((1 * MS, 200 * MS)),
)
TURNS = st.builds(
    Turn,
    kind=st.sampled_from(KINDS),
    gap_us=st.sampled_from((0, MS, 30 * MS, 150 * MS)),
    subject=st.sampled_from(("a", "b")),
    count=st.integers(0, 5),
)
SCHEDULES = st.builds(Schedule, setting=SETTINGS, turns=st.lists(TURNS, max_size=12).map(tuple))


RIGHT = (decide, evolve)


def found_by(
    law: Law,
    schedule: Schedule,
    decide: Decide,
    evolve: Evolve,
    *,
    engine: type[Rim] = Rim,
) -> list[str]:
    """Return what `law` finds in the run of `schedule` under these rules and this fold."""
    is_mutant = (decide, evolve, engine) != (*RIGHT, Rim)
    # A world that does not come to rest because of a mutant need not be waited for.
    within_us = 3 * SECOND if is_mutant else None
    made = run(schedule, decide=decide, evolve=evolve, within_us=within_us, engine=engine)
    if law is checkers.decided_again:
        return [str(one) for one in checkers.decided_again(made, decide, evolve)]
    if law is checkers.folds_in_parts:
        return [str(one) for one in checkers.folds_in_parts(made, evolve)]
    if law is checkers.what_is_kept_is_enough:
        return [str(one) for one in checkers.what_is_kept_is_enough(made, decide, evolve)]
    return [str(one) for one in law(made)]


# What these are about is in tests/simulation/test_replication.py: no master here keeps data.
OF_DATA = {*checkers.PROMISED.values(), checkers.losses_are_said}


@pytest.mark.parametrize(
    "law", [law for law in checkers.LAWS if law not in OF_DATA], ids=lambda law: law.__name__
)
@FAST
@given(schedule=SCHEDULES)
def test_the_law_holds(law: Law, schedule: Schedule) -> None:
    assert found_by(law, schedule, decide, evolve) == []


@settings(FAST, max_examples=15)
@given(schedule=SCHEDULES)
def test_live_state_is_replayed_state_after_every_single_event(schedule: Schedule) -> None:
    made = run(schedule)
    live = State()
    for recorded in made.log:
        evolve(live, recorded)
        if recorded.seq % 9 == 0:
            assert digest(copy(live)) == digest(live)
    assert live == made.state


# The mutants: rules and folds with one fault each.


def eager(step: Step, event: Observation) -> None:
    """Activates a standby although another one serves."""
    decide(step, event)
    place = step.state.cache.places.get(step.subject)
    if isinstance(event, ev.ProbeOk) and place is not None:
        serves = any(m.role is Role.ACTIVE for m in place.group.masters.values())
        if serves and place.master.role is Role.STANDBY:
            step.emit(ev.Activated(epoch=place.group.epoch + 1, rule="eager"))


def hasty(step: Step, event: Observation) -> None:
    """Takes a message that was sent for one that is done."""
    decide(step, event)
    if isinstance(event, ev.ProbeFailed):
        ledger = step.state.groups["g"].ledger
        for key in [message.key for message in ledger.open.values() if message.master]:
            step.emit(ev.MessageDone(key=key), subject="g")


def talkative(step: Step, event: Observation) -> None:
    """Says that a healthy master is healthy."""
    decide(step, event)
    place = step.state.cache.places.get(step.subject)
    if isinstance(event, ev.ProbeOk) and place is not None:
        step.emit(ev.MasterHealthy(evidence=(step.seq,), rule="talkative"))


def half_hearted(step: Step, event: Observation) -> None:
    """Refuses, and does something all the same."""
    decide(step, event)
    if isinstance(event, ev.SwitchoverAsked):
        step.emit(ev.StrategyChanged(strategy="priority"))


def deaf(step: Step, event: Observation) -> None:
    """Does not hear that a verification went well."""
    if not (isinstance(event, ev.Outcome) and event.step == "verify"):
        decide(step, event)


def incurious(step: Step, event: Observation) -> None:
    """Hears nothing of what a master says of itself."""
    if not isinstance(event, ev.LoadReported):
        decide(step, event)


def pushing(step: Step, event: Observation) -> None:
    """Takes a program that says no for one that has ended well."""
    if isinstance(event, ev.Outcome) and event.step.startswith("before-"):
        event = msgspec.structs.replace(event, result=Result.OK)
    decide(step, event)


def moody() -> Decide:
    """Return rules that depend on how often they were asked."""
    asked = 0

    def rules(step: Step, event: Observation) -> None:
        nonlocal asked
        decide(step, event)
        asked += 1
        if asked % 7 == 0 and "g" in step.state.groups:
            proposed = ev.FailoverProposed(why="mood", source="", heir="", table=())
            step.emit(proposed, subject="g")

    return rules


def counting() -> Evolve:
    """Return a fold that depends on how often it was called."""
    calls = 0

    def fold(state: State, recorded: Recorded) -> None:
        nonlocal calls
        evolve(state, recorded)
        calls += 1
        if calls % 50 == 0:
            state.fleet.version += 1

    return fold


def after(
    kind: type[ev.AnyEvent], change: Callable[[State, Recorded], None]
) -> Callable[[], Evolve]:
    """Return a fold that makes one more change after each event of `kind`."""

    def fold(state: State, recorded: Recorded) -> None:
        evolve(state, recorded)
        if isinstance(recorded.event, kind):
            change(state, recorded)

    return lambda: fold


def _other_epoch(state: State, recorded: Recorded) -> None:
    saga = state.groups["g"].saga
    assert saga is not None
    saga.epoch += 1


def rosy() -> Evolve:
    """Return a fold that believes of a standby only good things."""

    def fold(state: State, recorded: Recorded) -> None:
        evolve(state, recorded)
        place = state.cache.places.get(recorded.subject)
        if place is not None and place.master.role is Role.STANDBY:
            if isinstance(recorded.event, ev.MasterFailed):
                place.master.health = Health.HEALTHY
            if isinstance(recorded.event, ev.ProbeFailed):
                place.master.good_us = recorded.at_us

    return fold


def _reused(state: State, recorded: Recorded) -> None:
    state.groups["g"].epoch -= 1


def _not_switched(state: State, recorded: Recorded) -> None:
    state.groups["g"].switch_epoch = 0


def _dropped(state: State, recorded: Recorded) -> None:
    state.groups["g"].saga = None


def _late(state: State, recorded: Recorded) -> None:
    state.at_us -= 1


def _believed(state: State, recorded: Recorded) -> None:
    fence = state.groups["g"].masters[recorded.subject].fence
    assert fence is not None
    fence.is_confirmed = True


def _forgotten(state: State, recorded: Recorded) -> None:
    state.groups["g"].counted_us.clear()


def _kept_strategy(state: State, recorded: Recorded) -> None:
    assert isinstance(recorded.event, ev.RollbackAccepted)
    state.groups["g"].strategy = recorded.event.before.strategy


def _ran_already(state: State, recorded: Recorded) -> None:
    saga = state.groups["g"].saga
    assert saga is not None
    saga.hooks = ["before-fence", "before-transfer", "before-promote"]


def _never_tried(state: State, recorded: Recorded) -> None:
    recovery = state.groups["g"].masters[recorded.subject].recovery
    assert recovery is not None
    recovery.n -= 1


def _never_out(state: State, recorded: Recorded) -> None:
    ejected = state.groups["g"].masters[recorded.subject].ejected
    assert ejected is not None
    ejected.is_out = False


def _as_fresh(state: State, recorded: Recorded) -> None:
    report = state.groups["g"].masters[recorded.subject].report
    assert report is not None
    report.position = 1_000_000


def _unsaid(state: State, recorded: Recorded) -> None:
    saga = state.groups["g"].saga
    if saga is not None:
        saga.lacks = 0


def _lapsed_before(state: State, recorded: Recorded) -> None:
    state.groups["g"].masters[recorded.subject].left_at_us -= SECOND


def short_of_memory() -> Evolve:
    """Return a fold that begins with the state in a log, and forgets what failovers there were."""

    def fold(state: State, recorded: Recorded) -> None:
        evolve(state, recorded)
        if isinstance(recorded.event, ev.LogBased):
            state.groups["g"].failovers = 0

    return fold


def forgetful() -> Evolve:
    """Return a fold that begins with the state in a log, and forgets what was to be done."""

    def fold(state: State, recorded: Recorded) -> None:
        evolve(state, recorded)
        if isinstance(recorded.event, ev.LogBased):
            state.groups["g"].ledger = Ledger()

    return fold


class Stingy(Rim):
    """Records no good probe while space is short."""

    def passes_over(self, event: Observation, subject: str) -> bool:
        return isinstance(event, ev.ProbeOk)


class Careless(Rim):
    """Holds no heir against anybody."""

    def lack(
        self, heir: Answer, heard: list[Heard], *, silent: set[str], served: int
    ) -> Lack | None:
        return None


class Sweeping(Rim):
    """Removes every body, whoever needs it."""

    def spared(self) -> tuple[bytes, ...]:
        return tuple(self._outside.tape.bodies)


def lenient() -> Evolve:
    """Return a fold that lets a healthy master become healthy."""

    def fold(state: State, recorded: Recorded) -> None:
        if isinstance(recorded.event, ev.MasterHealthy):
            state.cache.places[recorded.subject].master.health = Health.UNKNOWN
        evolve(state, recorded)

    return fold


def caching() -> Evolve:
    """Return a fold whose result depends on a cache."""

    def fold(state: State, recorded: Recorded) -> None:
        place = state.cache.places.get(recorded.subject)
        is_plain = place is not None and place.is_plain
        evolve(state, recorded)
        if place is not None and is_plain:
            place.group.version += 1

    return fold


def story(*turns: tuple[int, str, str, int], **setting: object) -> Schedule:
    """Return a schedule of (gap in ms, kind, subject, count)."""
    return Schedule(
        setting=msgspec.structs.replace(
            Setting(policy=policy(fall=1, rise=1)),
            **setting,
        ),
        turns=tuple(
            Turn(gap_us=gap * MS, kind=kind, subject=subject, count=count)
            for gap, kind, subject, count in turns
        ),
    )


CALM = story((200, "rest", "", 0))
KILLS = story(
    (100, "crash", "b", 0), (100, "crash", "a", 0), (200, "restart", "a", 0),
    (0, "restart", "b", 0), (100, "crash", "c", 0), (200, "restart", "c", 0),
)  # fmt: skip
# Who is fenced is gone, and cannot say which epoch it knows.
TWO_GONE = story(
    (100, "crash", "a", 0), (100, "crash", "b", 0),
    (200, "restart", "a", 0), (0, "restart", "b", 0),
)  # fmt: skip
BACK = story(
    (60, "checkpoint", "", 1), (30, "strategy", "", 1), (30, "rollback", "", 1),
    (200, "rest", "", 0),
)  # fmt: skip
WAITS = story(
    (60, "pause", "", 20 * MS), (100, "resume", "", 0), (100, "rest", "", 0),
    policy=policy(automation=Automation.CONFIRM),
)  # fmt: skip
UNCONFIRMED = story(
    (100, "hang", "a", 0), (200, "continue", "a", 0), policy=policy(fence=FenceKind.CONFIRMED)
)  # fmt: skip
LIMITED = story(
    (100, "crash", "a", 0), (150, "restart", "a", 0), (200, "crash", "b", 0),
    (150, "restart", "b", 0), policy=policy(fall=1, rise=1, limit=1),
)  # fmt: skip
REFUSED = story((50, "switchover", "a", 0), (50, "rest", "", 0))

HELD_UP = story(
    (100, "hang", "a", 0), (200, "continue", "a", 0),
    policy=msgspec.structs.replace(
        policy(fall=1, rise=1), hooks=Hooks(before_promote=("a program",))
    ),
)  # fmt: skip
HEALED = story(
    (100, "program-lies", "", 3), (0, "crash", "b", 0), (600, "restart", "b", 0),
    policy=msgspec.structs.replace(
        policy(fall=1, rise=1),
        recover=Recover(command=("a program",), attempts=2, backoff_us=50 * MS, timeout_us=50 * MS),
    ),
)  # fmt: skip
FOLLOWED = story(
    (150, "stray", "c", 1), (200, "rest", "", 0),
    policy=msgspec.structs.replace(policy(fall=1, rise=1), effects="redis"),
)  # fmt: skip
LEASED = story(
    (100, "hang", "a", 0), (500, "continue", "a", 0),
    policy=msgspec.structs.replace(
        policy(fall=1, rise=1),
        fence=Fence(kind=FenceKind.LEASE, clients="route", lease_us=200 * MS),
    ),
)  # fmt: skip
EJECTED = story(
    (200, "calls", "a", 3), (10, "calls", "b", 3), (200, "rest", "", 0),
    policy=msgspec.structs.replace(
        policy(mode=Mode.ACTIVE_ACTIVE, fall=1, rise=1),
        balance=Balance(
            slow_start_us=0,
            ejection=Ejection(
                first_us=100 * MS, most_us=300 * MS, share_ppm=200_000, failed_ppm=500_000
            ),
        ),
    ),
)  # fmt: skip


def replicated(
    *turns: tuple[int, str, str, int],
    fence: Fence | None = None,
    behind_max: int = -1,
    allow_loss: bool = False,
) -> Schedule:
    """Return a schedule of three masters that keep data, of which b may be left behind."""
    base = policy(fall=1, rise=1)
    failover = msgspec.structs.replace(base.failover, behind_max=behind_max, allow_loss=allow_loss)
    made = msgspec.structs.replace(
        base, effects="redis", failover=failover, fence=fence or base.fence
    )
    return story(*turns, policy=made, replication=Replication(), message_every_us=0)


LEFT_BEHIND = (
    (100, "severed", "b", 0), (200, "crash", "a", 0), (300, "restart", "a", 0),
)  # fmt: skip
BEHIND = replicated(*LEFT_BEHIND, behind_max=0)
LACKING = replicated(*LEFT_BEHIND)
LET_GO = replicated(*LEFT_BEHIND, allow_loss=True)
OUT_OF_REACH = replicated(
    (100, "gray", "c", 0), (50, "cut", "a", 0), (300, "join", "a", 0), (0, "open", "c", 0),
    fence=Fence(kind=FenceKind.CONFIRMED, clients="direct"),
)  # fmt: skip
FULL = story((100, "fill", "", 500), (900, "free", "", 0), (100, "rest", "", 0))
SWEPT = story((100, "hang", "a", 0), (10, "accept", "", 3), (5, "sweep", "", 0),
              (20, "continue", "a", 0))  # fmt: skip
THINNED = story(
    (100, "crash", "a", 0), (200, "restart", "a", 0), (200, "thin", "", 3),
    (50, "engine-crash", "", 0), (200, "rest", "", 0),
)  # fmt: skip


UNFINISHED = story(
    (100, "crash-all", "", 0), (100, "accept", "", 3), (20, "thin", "", 1),
    (5, "engine-crash", "", 0), (100, "restart-all", "", 0), message_every_us=0,
)  # fmt: skip
SAYS_NO = story(
    (100, "program-fails", "", 1), (0, "crash", "a", 0), (200, "restart", "a", 0),
    policy=HELD_UP.setting.policy,
)  # fmt: skip


class Mutant(NamedTuple):
    law: Law
    rules: Callable[[], Decide]
    fold: Callable[[], Evolve]
    schedule: Schedule
    engine: type[Rim] = Rim
    about: str = ""  # where a law has several


MUTANTS: list[Mutant] = [  # at least one for each law
    Mutant(checkers.watched, lambda: decide, counting, CALM),
    Mutant(checkers.JUDGED["one active"], lambda: eager, lambda: evolve, KILLS),
    Mutant(
        checkers.sink_admits_the_activated,
        lambda: decide,
        after(ev.PromotionStarted, _other_epoch),
        CALM,
    ),
    Mutant(checkers.JUDGED["heirs are fit"], lambda: decide, rosy, KILLS),
    Mutant(
        checkers.JUDGED["epochs ascend"], lambda: decide, after(ev.MasterFenced, _reused), TWO_GONE
    ),
    Mutant(checkers.messages_are_done_once, lambda: hasty, lambda: evolve, KILLS),
    Mutant(checkers.effects_end, lambda: decide, after(ev.SwitchDone, _not_switched), CALM),
    Mutant(checkers.JUDGED["one failover"], lambda: decide, after(ev.Paused, _dropped), WAITS),
    Mutant(checkers.JUDGED["gapless"], lambda: decide, after(ev.MasterHealthy, _late), CALM),
    Mutant(
        checkers.JUDGED["fence before promote"],
        lambda: decide,
        after(ev.MasterFenced, _believed),
        UNCONFIRMED,
    ),
    Mutant(
        checkers.JUDGED["budgets are kept"],
        lambda: decide,
        after(ev.FailoverStarted, _forgotten),
        LIMITED,
    ),
    Mutant(checkers.every_move_is_a_row, lambda: talkative, lenient, CALM),
    Mutant(checkers.decided_again, moody, lambda: evolve, KILLS),
    Mutant(checkers.folds_in_parts, lambda: decide, caching, CALM),
    Mutant(
        checkers.rollbacks_are_exact,
        lambda: decide,
        after(ev.RollbackAccepted, _kept_strategy),
        BACK,
    ),
    Mutant(checkers.JUDGED["refusals stand alone"], lambda: half_hearted, lambda: evolve, REFUSED),
    Mutant(checkers.comes_to_rest, lambda: deaf, lambda: evolve, CALM),
    Mutant(
        checkers.JUDGED["programs are heeded"],
        lambda: decide,
        after(ev.AttemptStarted, _ran_already),
        HELD_UP,
    ),
    Mutant(
        checkers.JUDGED["programs are heeded"],
        lambda: pushing,
        lambda: evolve,
        SAYS_NO,
        about="no",
    ),
    Mutant(checkers.messages_are_done_once, lambda: decide, forgetful, UNFINISHED, about="thinned"),
    Mutant(
        checkers.JUDGED["healing is bounded"],
        lambda: decide,
        after(ev.RecoveryStarted, _never_tried),
        HEALED,
    ),
    Mutant(
        checkers.JUDGED["enough serve"],
        lambda: decide,
        after(ev.MasterEjected, _never_out),
        EJECTED,
    ),
    Mutant(checkers.standbys_follow, lambda: incurious, lambda: evolve, FOLLOWED),
    Mutant(checkers.what_is_kept_is_enough, lambda: decide, short_of_memory, THINNED),
    Mutant(
        checkers.watched,
        lambda: decide,
        after(ev.MasterFenced, _lapsed_before),
        LEASED,
        about="lease",
    ),
    Mutant(
        checkers.JUDGED["heirs are fresh"],
        lambda: decide,
        after(ev.LoadReported, _as_fresh),
        BEHIND,
    ),
    Mutant(
        checkers.PROMISED["acknowledged writes are kept"],
        lambda: decide,
        lambda: evolve,
        LACKING,
        Careless,
    ),
    Mutant(
        checkers.PROMISED["old primaries are fenced"],
        lambda: decide,
        after(ev.MasterFenced, _believed),
        OUT_OF_REACH,
    ),
    Mutant(checkers.losses_are_said, lambda: decide, after(ev.Outcome, _unsaid), LET_GO),
    Mutant(checkers.watched, lambda: decide, lambda: evolve, FULL, Stingy, "space"),
    Mutant(checkers.watched, lambda: decide, lambda: evolve, SWEPT, Sweeping, "bodies"),
]


def name_of(mutant: Mutant) -> str:
    """Return the law that has to find it, and what is wrong where a law has several."""
    return "-".join(filter(None, (mutant.law.__name__, mutant.about)))


@pytest.mark.parametrize("mutant", MUTANTS, ids=name_of)
def test_each_law_catches_its_mutant(mutant: Mutant) -> None:
    law, rules, fold, schedule, engine, _ = mutant
    assert violations(run(schedule)) == []
    assert found_by(law, schedule, rules(), fold(), engine=engine) != []


def test_every_law_has_a_mutant() -> None:
    assert {mutant.law for mutant in MUTANTS} == set(checkers.LAWS)
