"""A schedule that fails, made small: fewer turns first, then smaller numbers."""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec.structs import replace

from engine.core.policy import MS
from engine.simulation.schedule import Schedule, Turn

Fails = Callable[[Schedule], bool]
ROUNDS_MAX: Final = 20  # of making numbers smaller


def shrink(schedule: Schedule, fails: Fails) -> Schedule:
    """Return a schedule that fails and does not without any one of its turns.

    Ever smaller pieces are left out as long as what remains fails: ddmin, Zeller and Hildebrandt,
    *Simplifying and Isolating Failure-Inducing Input*, 2002. The time that a turn took is kept.
    """
    assert fails(schedule)
    size = max(1, len(schedule.turns) // 2)
    while True:
        at, is_smaller = 0, False
        while at < len(schedule.turns):
            shorter = _without(schedule, at, size)
            if fails(shorter):
                schedule, is_smaller = shorter, True
            else:
                at += size
        if size == 1 and not is_smaller:
            return schedule
        size = max(1, size // 2)


def simplify(schedule: Schedule, fails: Fails) -> Schedule:
    """Return `schedule` shrunk, with a plainer setting and smaller numbers where it still fails."""
    schedule = shrink(schedule, fails)
    for _ in range(ROUNDS_MAX):
        smaller = next((one for one in _simpler(schedule) if fails(one)), None)
        if smaller is None:
            return schedule
        schedule = smaller
    return schedule


def _simpler(schedule: Schedule) -> Iterator[Schedule]:
    setting = schedule.setting
    named = {turn.subject for turn in schedule.turns} | {turn.group for turn in schedule.turns}
    if setting.more and not any(group.id in named for group in setting.more):
        yield replace(schedule, setting=replace(setting, more=()))
    for plain in (
        {"message_every_us": 0}, {"flush_us": 0}, {"acks_later": False}, {"lanes": 1},
        {"append_us": 300},
    ):  # fmt: skip
        changed = replace(setting, **plain)
        if changed != setting:
            yield replace(schedule, setting=changed)
    for place, turn in enumerate(schedule.turns):
        for smaller in _smaller(turn):
            turns = (*schedule.turns[:place], smaller, *schedule.turns[place + 1 :])
            yield replace(schedule, turns=turns)


def _smaller(turn: Turn) -> Iterator[Turn]:
    for gap_us in (0, turn.gap_us // 2 // MS * MS):
        if gap_us < turn.gap_us:
            yield replace(turn, gap_us=gap_us)
    for count in (0, 1, turn.count // 2):
        if abs(count) < abs(turn.count):
            yield replace(turn, count=count)


def _without(schedule: Schedule, at: int, size: int) -> Schedule:
    cut, rest = schedule.turns[at : at + size], schedule.turns[at + size :]
    if rest:
        gap_us = rest[0].gap_us + sum(turn.gap_us for turn in cut)
        rest = (replace(rest[0], gap_us=gap_us), *rest[1:])
    return replace(schedule, turns=(*schedule.turns[:at], *rest))
