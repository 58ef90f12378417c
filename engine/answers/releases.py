"""Whether this release decides what is recorded: the regression test of a release.

Every observation is decided upon again, with the recorded outcomes of effects, and its decisions
are compared with those of the log.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from engine.answers.folds import Progress
from engine.answers.times import iso
from engine.core.events import Recorded
from engine.core.replay import decide_again
from engine.log.protocol import Log
from engine.log.thinning import to_fold
from engine.log.upgrading import differences

SHOWN_MAX: Final = 100
PROGRESS_EVENTS: Final = 20_000


def check(log: Log, *, progress: Progress | None = None) -> dict[str, Any]:
    """Return where this release would decide otherwise, as `replay --check-release --json` has it.

    Where observations were dropped, it begins after them. Two readers go through the log beside
    each other, so that memory does not grow with it.
    """
    head = log.head.seq
    again = decide_again(_told(to_fold(log, head), head, progress))
    shown: list[dict[str, object]] = []
    count = 0
    for one in differences(to_fold(log, head), again):
        count += 1
        if len(shown) < SHOWN_MAX:
            shown.append(
                {
                    "seq": one.seq,
                    "at": iso(one.at_us),
                    "recorded": list(one.recorded),
                    "again": list(one.again),
                }
            )
    return {"events": head, "count": count, "differences": shown}


def _told(events: Iterable[Recorded], head: int, progress: Progress | None) -> Iterator[Recorded]:
    for recorded in events:
        yield recorded
        if progress is not None and (recorded.seq % PROGRESS_EVENTS == 0 or recorded.seq == head):
            progress(recorded.seq, head)
