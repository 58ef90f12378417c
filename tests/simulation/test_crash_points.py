"""The engine ends at every boundary of every story, and every append of it fails in every way.

As SQLite tests what it does without memory or disk: strike at the n-th place, n = 1, 2, ... until
the story ends and nothing was struck.
"""

from collections.abc import Iterator

import pytest

from engine.core import events as ev
from engine.core.policy import MS, FenceKind
from engine.simulation.checkers import violations
from engine.simulation.runs import Run
from engine.simulation.schedule import Schedule, Setting, Turn, policy
from engine.simulation.world import run

PLACES_MAX = 2_000  # a story longer than this does not end


def setting(fence: FenceKind = FenceKind.GATE, *, acks_later: bool = False) -> Setting:
    return Setting(
        policy=policy(fence=fence, fall=1, rise=1, interval_us=50 * MS),
        message_every_us=0,
        lanes=2,
        acks_later=acks_later,
        down_us=40 * MS,
    )


def turn(gap_ms: int, kind: str, subject: str = "", count: int = 0) -> Turn:
    return Turn(gap_us=gap_ms * MS, kind=kind, subject=subject, count=count)


# Each begins when `a` serves, `accept` is the load, and the strike comes before the first turn.
STORIES: dict[str, tuple[Setting, tuple[Turn, ...]]] = {
    "kill": (
        setting(),
        (
            turn(0, "accept", count=4),
            turn(0, "crash", "a"),
            turn(5, "accept", count=2),
            turn(60, "restart", "a"),
            turn(60, "rest"),
        ),
    ),
    "kill with a confirmed fence": (
        setting(FenceKind.CONFIRMED),
        (
            turn(0, "accept", count=4),
            turn(0, "crash", "a"),
            turn(60, "restart", "a"),
            turn(60, "rest"),
        ),
    ),
    "hang and continue": (
        setting(acks_later=True),
        (
            turn(0, "keep"),
            turn(0, "accept", count=1),
            turn(60, "rest"),
            turn(0, "hang", "a"),
            turn(0, "accept", count=4),
            turn(120, "continue", "a"),
            turn(60, "rest"),
        ),
    ),
    "hang with a confirmed fence": (
        setting(FenceKind.CONFIRMED),
        (
            turn(0, "hang", "a"),
            turn(0, "accept", count=2),
            turn(120, "continue", "a"),
            turn(60, "rest"),
        ),
    ),
    "switchover": (
        setting(acks_later=True),
        (turn(0, "accept", count=4), turn(0, "switchover", "b"), turn(60, "rest")),
    ),
    "an heir that dies half-way": (
        setting(),
        (
            turn(0, "accept", count=2),
            turn(0, "mute", "b"),
            turn(0, "failover", "b"),
            turn(40, "crash", "b"),
            turn(80, "restart", "b"),
            turn(0, "unmute", "b"),
            turn(60, "rest"),
        ),
    ),
    "rollback": (
        setting(),
        (
            turn(0, "checkpoint", count=1),
            turn(0, "switchover", "b"),
            turn(60, "strategy", count=1),
            turn(0, "accept", count=4),
            turn(0, "rollback", count=1),
            turn(60, "rest"),
        ),
    ),
}
STRIKES = ("engine-crash", "append-fails", "append-lost", "append-stored")


def told(name: str, *strike: Turn) -> Schedule:
    story_setting, turns = STORIES[name]
    return Schedule(setting=story_setting, turns=(turn(120, "rest"), *strike, *turns))


def struck(name: str, strike: str) -> Iterator[tuple[int, Run]]:
    """Return the run of a story for every place at which it can be struck."""
    for nth in range(1, PLACES_MAX):
        made = run(told(name, turn(0, strike, count=nth)))
        if not made.crashes and not made.struck:
            assert nth > 10, "a story has more places than that"
            return
        yield nth, made
    raise AssertionError(f"{name} does not end")


@pytest.mark.parametrize("strike", STRIKES)
@pytest.mark.parametrize("name", STORIES)
def test_nothing_is_lost_and_nothing_done_twice_wherever_it_is_struck(
    name: str, strike: str
) -> None:
    for nth, made in struck(name, strike):
        assert violations(made) == [], f"{name}: {strike} at place {nth}"


EXPECTED: dict[str, tuple[type[ev.AnyEvent], ...]] = {
    "kill": (ev.MasterFailed, ev.MasterFenced, ev.Switched, ev.MasterRejoined),
    "kill with a confirmed fence": (ev.MasterFenced, ev.FenceConfirmed, ev.Switched),
    "hang and continue": (ev.StateKept, ev.MasterFenced, ev.Switched, ev.FenceConfirmed),
    "hang with a confirmed fence": (ev.MasterFenced, ev.FenceConfirmed, ev.Switched),
    "switchover": (ev.DrainStarted, ev.MasterFenced, ev.Switched),
    "an heir that dies half-way": (ev.AttemptFailed, ev.Compensated, ev.Switched),
    "rollback": (ev.CheckpointMarked, ev.RollbackAccepted, ev.RollbackEnded),
}


@pytest.mark.parametrize("name", STORIES)
def test_a_story_tells_what_it_is_for(name: str) -> None:
    made = run(told(name))
    later = [type(recorded.event) for recorded in made.log]
    for kind in EXPECTED[name]:
        assert kind in later
        later = later[later.index(kind) :]
    assert violations(made) == []


def test_a_rollback_that_was_struck_is_accepted_as_a_whole_or_was_never_asked() -> None:
    for _, made in struck("rollback", "engine-crash"):
        asked = [r.seq for r in made.log if isinstance(r.event, ev.RollbackRequested)]
        answered = [
            r.cause for r in made.log if isinstance(r.event, ev.RollbackAccepted | ev.Refused)
        ]
        assert set(asked) <= set(answered)
