"""A link to a master that cannot be reached: it says by itself how it is, again and again.

Rules:
- One beat is one answer. A beat is expected within one interval, and is overdue a time-out later.
- Beats that come more often than twice in an interval are not recorded one by one: the newest of
  them counts once the half interval is over.
- Nothing is asked, so a look waits for the next beat and never for less.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from engine.core.events import Evidence
from engine.runtime.clock import monotonic_us
from engine.runtime.health import read_health
from engine.runtime.seen import Asked, Failure, Probed


class BeatLink(Asked):
    """Waits for the beats of one master.

    Args:
        interval_us: How often one is expected [us, > 0].
        recheck_us: After one that did not come, how often it is said again [us, > 0].
        clock: Returns the time since some fixed moment [us].
    """

    is_waiting = True

    def __init__(
        self, *, interval_us: int, recheck_us: int, clock: Callable[[], int] = monotonic_us
    ) -> None:
        self._interval_us: Final = interval_us
        self._recheck_us: Final = recheck_us
        self._clock: Final = clock
        self._asked: asyncio.Future[Probed] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._beat: bytes | None = None  # the newest that was not taken
        self._since_us = clock()  # the last beat, or the last time that one was missed
        self._is_missed = False
        self._quiet_until_us = 0
        self._due_us = 0

    def beat(self, body: bytes) -> None:
        """Take what the master says of itself: a health document, or nothing."""
        self._beat = body
        self._offer()

    def probe(self, *, fresh: bool, timeout_us: int) -> asyncio.Future[Probed]:
        """Return the future next beat, or that it did not come."""
        assert self._asked is None or self._asked.done(), "one probe at a time"
        loop = asyncio.get_running_loop()
        self._asked = loop.create_future()
        wait_us = (
            max(self._recheck_us, timeout_us)
            if self._is_missed
            else (self._interval_us + timeout_us)
        )
        self._due_us = self._since_us + wait_us
        self._arm(self._due_us)
        self._offer()
        return self._asked

    async def close(self) -> None:
        """Wait no more; nothing is reported."""
        if self._timer is not None:
            self._timer.cancel()
        if self._asked is not None:
            self._asked.cancel()

    def _arm(self, at_us: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait_s = max(0, at_us - self._clock()) / 1_000_000
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_time)

    def _offer(self) -> None:
        """Hand the newest beat out, if somebody waits and the last one is not too near."""
        if self._asked is None or self._asked.done() or self._beat is None:
            return
        now_us = self._clock()
        if now_us < self._quiet_until_us:
            self._arm(min(self._due_us, self._quiet_until_us))
            return
        body, self._beat = self._beat, None
        self._is_missed = False
        self._since_us, self._quiet_until_us = now_us, now_us + self._interval_us // 2
        self._finish(read_health(body.lstrip(), latency_us=0))

    def _on_time(self) -> None:
        if self._clock() < self._due_us:
            self._arm(self._due_us)
            self._offer()
            return
        # What has arrived is handed out first: a beat comes through a server of this same loop,
        # which reads, parses and dispatches it in a few turns.
        asked = self._asked
        self._timer = asyncio.get_running_loop().call_later(0.001, self._judge, asked)

    def _judge(self, asked: "asyncio.Future[Probed] | None") -> None:
        self._offer()
        if asked is None or asked.done():
            return
        now_us = self._clock()
        self._is_missed = True
        waited_us = now_us - self._since_us
        self._since_us = now_us
        self._finish(
            Failure(
                evidence=Evidence.OVERDUE,
                waited_us=waited_us,
                late_us=max(0, now_us - self._due_us),
                detail="no beat",
            )
        )

    def _finish(self, probed: Probed) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        assert self._asked is not None
        self._asked.set_result(probed)
