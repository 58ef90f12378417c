"""The watch over one master: when to probe it, and what was seen.

When is a function of the state (`detection.pace`); this module keeps the time and the connections.
"""

import asyncio
from typing import Final

from engine.core import events as ev
from engine.core.detection import pace
from engine.core.events import Evidence
from engine.core.load import is_worth_recording
from engine.core.state import Place
from engine.runtime.eyes import Eyes
from engine.runtime.loop import Turning
from engine.runtime.seen import Answer, Failure

GONE_S: Final = 0.05  # between two looks for a master that was just removed


class Watch:
    """Probes one master until it is closed."""

    def __init__(
        self, turning: Turning, master: str, *, phase_s: float = 0.0, eyes: Eyes | None = None
    ) -> None:
        """Watch `master`; the first probe goes out after `phase_s` [s].

        Raises:
            ConfigurationError: What its probe needs is not there.
        """
        self._turning: Final = turning
        self._master: Final = master
        place = self._place()
        self._link = (eyes or Eyes()).link(
            place.master.declared,
            turning.state.policy_of(place.group).probe,
            on_closed=self._closed,
            clock=turning.clock.monotonic_us,
            told=place.master.boot if place.master.epoch else "",
        )
        self._n = place.master.observers.get("", 0)
        self._kicked = asyncio.Event()
        self._phase_s = phase_s
        self._is_stopped = False
        self._task = asyncio.create_task(self._run(), name=f"watch {master}")

    def stop(self) -> None:
        """Probe no more, from now on; nothing of this master is recorded any more."""
        self._is_stopped = True
        self._task.cancel()

    async def close(self) -> None:
        """Probe no more, and close every connection."""
        self.stop()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._link.close()

    def look(self, evidence: Evidence) -> None:
        """Look at once: traffic to the master met `evidence`."""
        if not self._is_there():
            return
        place = self._place()
        if not place.master.question and not place.master.failures:
            self._turning.record(
                ev.ConnectionClosed(evidence=evidence, observer="traffic"), subject=self._master
            )
        self._kicked.set()

    def report(self, report: ev.LoadReported) -> bool:
        """Record what the master said of itself if it is worth it; return whether it was."""
        at_us = self._turning.clock.at_us()
        worth = is_worth_recording(self._turning.driver.working, self._master, report, at_us)
        if worth:
            self._turning.record(report, subject=self._master)
        return worth

    def _is_there(self) -> bool:
        """Return whether there is such a master; its removal may not be durable yet."""
        places = self._turning.driver.working.cache.places
        return not self._is_stopped and self._master in places

    def _place(self) -> Place:
        return self._turning.driver.working.cache.places[self._master]

    def _closed(self, evidence: Evidence) -> None:
        if not self._is_there():
            return
        self._turning.record(ev.ConnectionClosed(evidence=evidence), subject=self._master)
        self._kicked.set()

    async def _run(self) -> None:
        clock = self._turning.clock
        await asyncio.sleep(self._phase_s)
        while True:
            if not self._is_there():
                await asyncio.sleep(GONE_S)  # until the durable state has it, or not
                continue
            place = self._place()
            policy = self._turning.driver.working.policy_of(place.group).probe
            _, fresh = pace(self._turning.driver.working, place.group, place.master)
            began_us = clock.monotonic_us()
            self._kicked.clear()
            self._n += 1
            seen = await self._link.probe(fresh=fresh, timeout_us=policy.timeout_us)
            if not self._is_there():
                continue
            if isinstance(seen, Answer):
                self._answered(seen)
            elif isinstance(seen, Failure):
                self._failed(seen)
            if not self._link.is_waiting:
                await self._until_due(began_us)

    async def _until_due(self, began_us: int) -> None:
        """Wait until the next probe is due; a closed connection makes it due at once."""
        while self._is_there():
            place = self._place()
            after_us, _ = pace(self._turning.driver.working, place.group, place.master)
            left_us = began_us + after_us - self._turning.clock.monotonic_us()
            if left_us <= 0:
                return
            self._kicked.clear()
            try:
                async with asyncio.timeout(left_us / 1e6):
                    await self._kicked.wait()
            except TimeoutError:
                return

    def _answered(self, seen: Answer) -> None:
        kind = ev.ProbeOk
        if seen.degraded:
            event: ev.ProbeOk | ev.ProbeDegraded = ev.ProbeDegraded(
                n=self._n,
                latency_us=seen.latency_us,
                reason=seen.degraded,
                boot=seen.boot,
                epoch=seen.epoch,
                role=seen.role,
            )
        else:
            event = kind(
                n=self._n,
                latency_us=seen.latency_us,
                boot=seen.boot,
                epoch=seen.epoch,
                role=seen.role,
            )
        self._turning.record(event, subject=self._master)
        if seen.report is not None:
            self.report(seen.report)
        if self._place().master.fence is not None:
            self._turning.driver.answered(self._master)

    def _failed(self, seen: Failure) -> None:
        self._turning.record(
            ev.ProbeFailed(
                n=self._n,
                evidence=seen.evidence,
                late_us=seen.late_us,
                waited_us=seen.waited_us,
                detail=seen.detail,
            ),
            subject=self._master,
        )
