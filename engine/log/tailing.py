"""Following a log that another process writes: each event once, in order, as it becomes durable.

Nothing tells a reader that the log has grown, so it looks where the log ends, which costs some tens
of microseconds, and pauses where it has not moved. Neither delays the writer.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from engine.core.events import Recorded
from engine.log.protocol import Log

PAUSE_S: Final = 0.05  # between two looks at a log that stands still

Wait: TypeAlias = Callable[[], bool]  # pauses; returns whether to go on following


def pause() -> bool:
    """Pause, and go on for ever."""
    time.sleep(PAUSE_S)
    return True


def tail(
    log: Log, after: int = 0, *, until: int | None = None, wait: Wait = pause
) -> Iterator[Recorded]:
    """Yield every event after the seq `after`, in order, and go on with what is appended.

    Args:
        log: Any log; one that is open for reading sees what another process appends.
        after: The seq to begin after; 0: at the beginning.
        until: The seq to end with; None: it does not end by itself.
        wait: Called whenever everything durable was yielded; pauses. When it returns False, what
            became durable meanwhile is still yielded, and that is the end. So a thread is ended by
            `lambda: not ending.wait(PAUSE_S)` with a `threading.Event`.

    Raises:
        LogError: As `Log.read` does.
    """
    for low, high in spans(log, after, until=until, wait=wait):
        yield from log.read(low, high)


def spans(
    log: Log, after: int = 0, *, until: int | None = None, wait: Wait = pause
) -> Iterator[tuple[int, int]]:
    """Yield what there is to read, as (after, until) seqs that follow one another; as in `tail`."""
    goes_on = True
    while goes_on and (until is None or after < until):
        upto = _end(log, until)
        if upto <= after:
            goes_on = wait()
            upto = _end(log, until)
        if upto > after:
            yield after, upto
            after = upto


def _end(log: Log, until: int | None) -> int:
    head = log.head.seq
    return head if until is None else min(until, head)
