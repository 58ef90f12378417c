"""What keeps a log small and its next start quick while an engine writes it: portions of work.

Each is a turn for `Keeping`: it does a portion, in a thread, and says whether there is more.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from engine.answers.positions import last_until
from engine.core.events import BodiesRemoved, Observation
from engine.log import states
from engine.log.protocol import Log
from engine.log.releasing import Releasing
from engine.runtime.keeping import Turn
from engine.runtime.retention import Retention

KEYS_US: Final = 7 * 24 * 3_600 * 1_000_000
KEYS_MAX: Final = 100_000

# Makes an observation, or None, in the thread that decides: nothing changes between that and its
# place in the log.
Make: TypeAlias = Callable[[], Observation | None]
Record: TypeAlias = Callable[[Make], None]  # returns when it is durable, or raises LogError


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a log may hold, and for how long."""

    seal_after_us: int  # events older than this are sealed [us]
    keep_observations_us: int = 0  # older ones are dropped [us]; 0: never
    size_max: int = 0  # beyond it, the oldest observations are dropped [bytes]; 0: any size
    keep_bodies_us: int  # bodies go that were not needed for so long [us]


def turns(
    log: Log,
    bounds: Bounds,
    *,
    at_us: Callable[[], int],
    is_short: Callable[[], bool],
    record: Record,
    spare: Callable[[tuple[bytes, ...]], tuple[bytes, ...]],
) -> dict[str, Turn]:
    """Return all of it, by what a failure is said of.

    Args:
        log: What is kept.
        bounds: How much of it, and for how long.
        at_us: The time [us].
        is_short: Whether the disk is full: then a cache is not worth its space.
        record: Makes an observation durable.
        spare: Returns those of some bodies that nothing needs, in the thread that decides.
    """

    def remove(digests: tuple[bytes, ...]) -> None:
        def make() -> BodiesRemoved | None:
            found = spare(digests)
            return BodiesRemoved(digests=found, why="keep_bodies") if found else None

        record(make)

    retention = Retention(
        log,
        keep_us=bounds.keep_observations_us,
        size_max=bounds.size_max,
        at_us=at_us,
        append=lambda event: record(lambda: event),
    )
    return {
        "what is old enough to be sealed": sealing(log, after_us=bounds.seal_after_us, at_us=at_us),
        "a snapshot": snapshots(log, is_short=is_short),
        "what is old enough to be dropped": retention.turn,
        "what is not needed any more": removing(log, keep_us=bounds.keep_bodies_us, remove=remove),
        "what a purge left": erasing(log),
        "keys that nobody repeats any more": keys(log),
    }


def sealing(log: Log, *, after_us: int, at_us: Callable[[], int]) -> Turn:
    """Return what seals a block whose events are all older than `after_us` [us].

    A log of format 1 is left as it is. An append waits for one block at most, some milliseconds.
    """

    def turn() -> bool:
        if not log.may_seal:
            return False
        return log.seal(until=last_until(log, at_us() - after_us)) > 0

    return turn


def removing(log: Log, *, keep_us: int, remove: Callable[[tuple[bytes, ...]], None]) -> Turn:
    """Return what removes bodies that were not needed for `keep_us` [us].

    `remove` has to make the event durable, with those of the digests that nothing needs again, or
    raise LogError. A log of format 1 is left as it is.
    """
    releasing = Releasing(log, keep_us=keep_us)

    def turn() -> bool:
        if not log.may_seal:
            return False
        digests = releasing.next()
        if digests:
            remove(digests)
            releasing.settled(digests)
        return bool(digests) or releasing.is_behind

    return turn


def keys(log: Log, *, keep_us: int = KEYS_US, keep_max: int = KEYS_MAX) -> Turn:
    """Return what drops keys of appends and commands, never an event.

    Those go that are older than `keep_us`, by the time of the log [us], and those beyond the newest
    `keep_max` [count]. What comes again under such a key is done again.
    """

    def turn() -> bool:
        return log.append_keys.drop(before_us=log.head.at_us - keep_us, keep_max=keep_max)

    return turn


def erasing(log: Log) -> Turn:
    """Return what tries again where readers kept a purge from emptying the files."""

    def turn() -> bool:
        log.erase()
        return False

    return turn


def snapshots(log: Log, *, is_short: Callable[[], bool]) -> Turn:
    """Return what stores a snapshot when enough was appended since the last one.

    `is_short` returns whether the disk is full: then a cache is not worth its space.
    """

    def turn() -> bool:
        if log.may_seal and not is_short() and states.is_due(log):
            states.keep(log, states.state_at(log))
        return False

    return turn
