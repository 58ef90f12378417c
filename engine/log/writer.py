"""One thread that appends: what waits while it works goes into its next transaction together.

Whoever submits numbers the events from the head it holds. If a transaction fails, the seqs of
everything behind it are void as well: all of that fails with the same error, and who submitted
starts again from the log.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Final, Self

import msgspec

from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.core.terms import Keyed
from engine.log.protocol import NO_BODIES, Hook, Log

TRANSACTION_EVENTS_MAX: Final = 10_000  # some twenty milliseconds; more would delay the rest
QUEUE_EVENTS_MAX: Final = 1_000_000  # what may wait while the disk stands still


class _Submission(msgspec.Struct, frozen=True, kw_only=True):
    events: Sequence[Recorded]
    bodies: Mapping[bytes, bytes]
    keyed: Sequence[Keyed]
    done: Future[None]


class Writer:
    """Appends to `log`, which nobody else appends to meanwhile."""

    def __init__(self, log: Log, *, hook: Hook | None = None) -> None:
        """Start the thread; `hook` is called with the name of each failpoint it passes."""
        if hook is not None:
            log.hook = hook
        self._log: Final = log
        self._waiting: Final[deque[_Submission]] = deque()
        self._waiting_events = 0
        self._is_closed = False
        self._changed: Final = threading.Condition()
        self._thread: Final = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def submit(
        self,
        events: Sequence[Recorded],
        bodies: Mapping[bytes, bytes] = NO_BODIES,
        keyed: Sequence[Keyed] = (),
    ) -> Future[None]:
        """Return a future that is done once the events are durable, or fails as `append` does.

        `keyed` are those of the events that stand under a key, which is new to the log.

        It cannot be cancelled: the seqs behind it would be void.

        Raises:
            LogError: The writer is closed, or too much is waiting.
        """
        submission = _Submission(events=events, bodies=bodies, keyed=keyed, done=Future())
        submission.done.set_running_or_notify_cancel()
        with self._changed:
            if self._is_closed:
                raise LogError("the writer of the log is closed")
            if self._waiting_events + len(events) > QUEUE_EVENTS_MAX:
                raise LogError(f"{self._waiting_events} events wait for the log already")
            self._waiting.append(submission)
            self._waiting_events += len(events)
            self._changed.notify()
        return submission.done

    def close(self) -> None:
        """Append what is waiting, then end the thread; the log stays open."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while taken := self._take():
            events: list[Recorded] = []
            bodies: dict[bytes, bytes] = {}
            keyed: list[Keyed] = []
            for submission in taken:
                events += submission.events
                bodies.update(submission.bodies)
                keyed += submission.keyed
            try:
                self._log.append(events, bodies=bodies, keyed=keyed)
            except BaseException as err:  # whoever waits has to hear of it, whatever it is
                taken += self._void()
                for submission in taken:
                    submission.done.set_exception(err)
            else:
                for submission in taken:
                    submission.done.set_result(None)

    def _take(self) -> list[_Submission]:
        """Return what goes into the next transaction: all that follows on; nothing at the end."""
        with self._changed:
            while not self._waiting:
                if self._is_closed:
                    return []
                self._changed.wait()
            taken = [self._waiting.popleft()]
            count = len(taken[0].events)
            while self._waiting and _follows(self._waiting[0], taken[-1]):
                size = len(self._waiting[0].events)
                if count + size > TRANSACTION_EVENTS_MAX:
                    break
                taken.append(self._waiting.popleft())
                count += size
            self._waiting_events -= count
            return taken

    def _void(self) -> list[_Submission]:
        with self._changed:
            void = list(self._waiting)
            self._waiting.clear()
            self._waiting_events = 0
            return void

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _follows(later: _Submission, earlier: _Submission) -> bool:
    # Without events there is nothing to go by; such a submission goes alone.
    if not later.events or not earlier.events:
        return False
    return later.events[0].seq == earlier.events[-1].seq + 1
