"""What keeps a log small and its next start quick while an engine writes it: portions of work.

Each is a turn for `Keeping`: it does a portion, in a thread, and says whether there is more.
"""

from collections.abc import Callable
from typing import Final

from engine.answers.positions import last_until
from engine.log import states
from engine.log.protocol import Log
from engine.log.releasing import Releasing
from engine.runtime.keeping import Turn

KEYS_US: Final = 7 * 24 * 3_600 * 1_000_000
KEYS_MAX: Final = 100_000


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
