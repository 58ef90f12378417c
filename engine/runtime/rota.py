"""Whom to call when: the times of all watches of one engine, in one heap.

Each watch has two times, when the next probe is due and when the one under way is overdue, and the
second is hardly ever reached. As timers of the event loop they would cost more than the probes.

Rules:
- An alarm that is put off stays in the heap where it is, and is looked at again when that time has
  come. So to put a time-out off at every probe costs an assignment.
- In one turn of the loop at most TURN_CALLS are made: between them what has arrived is read. Where
  there is more to do than time, everything is done later, and nothing is left out.
- What is set to `AT_ONCE` goes first, whatever waits.
- A patient alarm gives way to all others: many of them are called in a turn in which nothing else
  is left to do, one in any other. So whoever is looked at already is not kept waiting by those who
  come, each of whom takes as much time as ten who are known.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Final

from engine.runtime.clock import monotonic_us

TURN_CALLS: Final = 64  # a few milliseconds of probes sent; as many answers are read in between
PATIENT_CALLS: Final = 8  # in a turn in which nothing else is left
AT_ONCE: Final = 0
_NEVER: Final = 1 << 62


class Alarm:
    """A call that is due at one time at most; it is made once and then has to be set again."""

    __slots__ = ("_rota", "call", "due_us", "is_patient", "queued_us")

    def __init__(self, rota: "Rota", call: Callable[[], None]) -> None:
        """Make one that is not set."""
        self._rota = rota
        self.call = call
        self.is_patient = False
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
        self._patient: Final[deque[Alarm]] = deque()  # those that are due
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
            if alarm.is_patient:
                self._patient.append(alarm)
            else:
                left -= self._call(alarm, now_us)
        for _ in range(PATIENT_CALLS if left else 1):
            if self._patient:
                self._call(self._patient.popleft(), now_us)
        self._armed_us = _NEVER
        if self._patient:
            self._arm(now_us)
        elif heap:
            self._arm(heap[0][0])

    def _call(self, alarm: Alarm, now_us: int) -> bool:
        """Call if it is due; return whether it was."""
        if alarm.due_us > now_us:
            if alarm.due_us < alarm.queued_us:
                self.queue(alarm, alarm.due_us)
            return False
        alarm.due_us = _NEVER
        try:
            alarm.call()
        except Exception as err:  # a bug of ours; the others have to be called too
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a watch failed", "exception": err}
            )
        return True
