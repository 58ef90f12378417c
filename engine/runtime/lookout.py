"""A master looked at without an engine: when to look again, and what was seen, for somebody else.

It is the pace of `core.detection` with what an observer knows by itself: an end of its connection
is a question that is asked at once, a failed probe is repeated after the shorter interval until
there are `fall` of them.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from engine.core.events import Evidence
from engine.core.fleet import Master
from engine.core.policy import Probe
from engine.runtime.clock import monotonic_us
from engine.runtime.eyes import Eyes
from engine.runtime.hearing import Observation
from engine.runtime.seen import Answer, Failure, Interrupted, Probed, shortened


class Lookout:
    """Looks at one master until it is closed.

    Args:
        master: Who is looked at.
        probe: How.
        eyes: Make the link.
        after: The last n that this observer has told of the master.
        tell: Called with everything that is seen.
        phase_s: The first look is that much later [s].

    Raises:
        ConfigurationError: What the probe needs is not there.
    """

    def __init__(
        self,
        master: Master,
        probe: Probe,
        *,
        eyes: Eyes,
        after: int,
        tell: Callable[[Observation], None],
        phase_s: float = 0.0,
    ) -> None:
        self._master: Final = master
        self._probe: Final = probe
        self._tell: Final = tell
        self._n = after
        self._is_asked = False  # a connection ended, and nothing has answered since
        self._failures = 0
        self._kicked = asyncio.Event()
        self._link: Final = eyes.link(master, probe, on_closed=self._closed)
        self._task: Final = asyncio.create_task(self._run(phase_s), name=f"look at {master.id}")

    async def close(self) -> None:
        """Look no more, and close every connection."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._link.close()

    def _closed(self, evidence: Evidence) -> None:
        self._is_asked = True
        self._tell(
            Observation(master=self._master.id, n=self._n, outcome="closed", evidence=evidence)
        )
        self._kicked.set()

    async def _run(self, phase_s: float) -> None:
        await asyncio.sleep(phase_s)
        while True:
            began_us = monotonic_us()
            self._kicked.clear()
            fresh = self._is_asked or self._failures > 0 or not self._probe.hold_open
            n = self._n + 1
            seen = await self._link.probe(fresh=fresh, timeout_us=self._probe.timeout_us)
            if not isinstance(seen, Interrupted):
                self._n = n
                self._is_asked = False
                self._failures = self._failures + 1 if isinstance(seen, Failure) else 0
                self._tell(observed(self._master.id, n, seen))
            if not self._link.is_waiting:
                await self._until_due(began_us)

    def _pace_us(self) -> int:
        if self._is_asked:
            return 0
        if 0 < self._failures < self._probe.fall:
            return self._probe.recheck_us
        return max(self._probe.interval_us, self._probe.recheck_us if self._failures else 0)

    async def _until_due(self, began_us: int) -> None:
        while True:
            left_us = began_us + self._pace_us() - monotonic_us()
            if left_us <= 0:
                return
            self._kicked.clear()
            try:
                async with asyncio.timeout(left_us / 1e6):
                    await self._kicked.wait()
            except TimeoutError:
                return


def observed(master: str, n: int, seen: Probed) -> Observation:
    """Return the result of the n-th probe of `master` as it is told."""
    match seen:
        case Answer():
            return Observation(
                master=master,
                n=n,
                outcome="degraded" if seen.degraded else "ok",
                latency_us=seen.latency_us,
                boot=seen.boot,
                epoch=seen.epoch,
                role=seen.role,
                reason=seen.degraded,
            )
        case Failure():
            return Observation(
                master=master,
                n=n,
                outcome="failed",
                evidence=seen.evidence,
                late_us=seen.late_us,
                waited_us=seen.waited_us,
                detail=shortened(seen.detail),
            )
        case Interrupted():  # pragma: no cover
            raise AssertionError("a probe that was interrupted has no result")
