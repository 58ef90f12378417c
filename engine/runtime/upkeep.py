"""What keeps a log small and its next start quick while an engine writes it: portions of work.

Each is a turn for `Keeping`: it does a portion, in a thread, and says whether there is more.
"""

from collections.abc import Callable

from engine.answers.positions import last_until
from engine.log import states
from engine.log.protocol import Log
from engine.runtime.keeping import Turn


def sealing(log: Log, *, after_us: int, at_us: Callable[[], int]) -> Turn:
    """Return what seals a block whose events are all older than `after_us` [us].

    A log of format 1 is left as it is. An append waits for one block at most, some milliseconds.
    """

    def turn() -> bool:
        if not log.may_seal:
            return False
        return log.seal(until=last_until(log, at_us() - after_us)) > 0

    return turn


def snapshots(log: Log) -> Turn:
    """Return what stores a snapshot when enough was appended since the last one."""

    def turn() -> bool:
        if log.may_seal and states.is_due(log):
            states.keep(log, states.state_at(log))
        return False

    return turn
