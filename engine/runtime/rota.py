"""Whom to call when: the times of all watches of one engine, in one heap.

Each watch has two times, when the next probe is due and when the one under way is overdue, and the
second is hardly ever reached. As timers of the event loop they would cost more than the probes.

Rules:
- An alarm that is put off stays in the heap where it is, and is looked at again when that time has
  come. So to put a time-out off at every probe costs an assignment.
- In one turn of the loop at most TURN_CALLS are made: between them what has arrived is read. Where
  there is more to do than time, everything is done later, and nothing is left out.
- What is set to `AT_ONCE` goes first, whatever waits.
"""

import asyncio
import heapq
from collections.abc import Callable
from typing import Final

from engine.runtime.clock import monotonic_us

TURN_CALLS: Final = 64  # a few milliseconds of probes sent; as many answers are read in between
AT_ONCE: Final = 0
_NEVER: Final = 1 << 62


class Alarm:
    """A call that is due at one time at most; it is made once and then has to be set again."""

    __slots__ = ("_rota", "call", "due_us", "queued_us")

    def __init__(self, rota: "Rota", call: Callable[[], None]) -> None:
        """Make one that is not set."""
        self._rota = rota
        self.call = call
        self.due_us = _NEVER
        self.queued_us = _NEVER  # the first of its places in the heap

    def set(self, due_us: int) -> None:
        """Call at `due_us` on the clock of the rota [us], and not at the time set before."""
        self.due_us = due_us
        if due_us < self.queued_us:
            self._rota.queue(self, due_us)

    def clear(self) -> None:
        """Do not call."""
        self.due_us = _NEVER


class Rota:
    """The alarms of one event loop.

    Args:
        clock: Returns the time since some fixed moment [us].
    """

    def __init__(self, clock: Callable[[], int] = monotonic_us) -> None:
        self._clock: Final = clock
        self._heap: Final[list[tuple[int, int, Alarm]]] = []
        self._count = 0  # of entries ever made, so that no two alarms are compared
        self._handle: asyncio.Handle | None = None
        self._armed_us = _NEVER  # when the loop calls

    def alarm(self, call: Callable[[], None]) -> Alarm:
        """Return an alarm that is not set."""
        return Alarm(self, call)

    def queue(self, alarm: Alarm, due_us: int) -> None:
        """Look at `alarm` at `due_us` or soon after [us]."""
        alarm.queued_us = due_us
        self._count += 1
        heapq.heappush(self._heap, (due_us, self._count, alarm))
        if due_us < self._armed_us:
            self._arm(due_us)

    def _arm(self, due_us: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        wait_us = due_us - self._clock()
        loop = asyncio.get_running_loop()
        self._armed_us = due_us
        if wait_us > 0:
            self._handle = loop.call_later(wait_us / 1_000_000, self._run)
        else:
            self._handle = loop.call_soon(self._run)

    def _run(self) -> None:
        self._handle = None
        self._armed_us = -1  # whoever is set meanwhile is found below
        now_us, heap = self._clock(), self._heap
        left = TURN_CALLS
        while heap and left and heap[0][0] <= now_us:
            due_us, _, alarm = heapq.heappop(heap)
            if alarm.queued_us != due_us:
                continue  # it was set to an earlier time, and has been there
            alarm.queued_us = _NEVER
            if alarm.due_us > now_us:
                if alarm.due_us < _NEVER:
                    self.queue(alarm, alarm.due_us)
                continue
            alarm.due_us = _NEVER
            left -= 1
            self._make(alarm.call)
        self._armed_us = _NEVER
        if heap:
            self._arm(heap[0][0])

    @staticmethod
    def _make(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as err:  # a bug of ours; the others have to be called too
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a watch failed", "exception": err}
            )
