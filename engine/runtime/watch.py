"""The watch over one master: when to probe it, and what was seen.

When is a function of the state (`detection.pace`); this module keeps the time and the connections.
"""

from typing import Final

from engine.core import events as ev
from engine.core.detection import pace
from engine.core.events import Evidence
from engine.core.load import is_worth_recording
from engine.core.state import Place
from engine.runtime.eyes import Eyes
from engine.runtime.loop import Turning
from engine.runtime.rota import AT_ONCE
from engine.runtime.seen import Answer, Failure, Probed

GONE_US: Final = 50_000  # between two looks for a master that was just removed


class Watch:
    """Probes one master until it is closed.

    A fleet has thousands of them, and each probes every second, so a watch is no task: it is
    called when a probe is due, when one has its result, and when a connection ends.
    """

    def __init__(
        self, turning: Turning, master: str, *, phase_s: float = 0.0, eyes: Eyes | None = None
    ) -> None:
        """Watch `master`; the first probe goes out after `phase_s` [s].

        Raises:
            ConfigurationError: What its probe needs is not there.
        """
        eyes = eyes or Eyes()
        self._turning: Final = turning
        self._master: Final = master
        place = self._place()
        self._link: Final = eyes.link(
            place.master.declared,
            turning.state.policy_of(place.group).probe,
            on_closed=self._closed,
            clock=turning.clock.monotonic_us,
            told=place.master.boot if place.master.epoch else "",
        )
        self._n = place.master.observers.get("", 0)
        self._clock: Final = turning.clock.monotonic_us
        self._is_stopped = False
        self._is_asking = False
        self._has_asked = False
        self._alarm: Final = eyes.rota.alarm(self._probe)
        # The first probe opens a connection, and calls for decisions.
        self._alarm.is_patient = True
        self._began_us = self._clock() + round(phase_s * 1e6)
        self._alarm.set(self._began_us)

    def stop(self) -> None:
        """Probe no more, from now on; nothing of this master is recorded any more."""
        self._is_stopped = True
        self._alarm.clear()

    async def close(self) -> None:
        """Probe no more, and close every connection."""
        self.stop()
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
        self._ask_first()

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
        self._ask_first()

    def _ask_first(self) -> None:
        """Ask in this very turn of the loop, if messages wait for the answer; else when it is due.

        That is one master at most: where many connections end at once, each has its turn.
        """
        if self._turning.precedence.has(self._master) and not self._is_asking:
            place = self._place()
            after_us, _ = pace(self._turning.driver.working, place.group, place.master)
            if not after_us and not self._link.is_waiting:
                self._alarm.clear()
                self._probe()
                return
        self._pace()

    def _probe(self) -> None:
        """Ask, because it is due."""
        if self._is_stopped:
            return
        if not self._is_there():
            self._alarm.set(self._clock() + GONE_US)  # until the durable state has it, or not
            return
        place, working = self._place(), self._turning.driver.working
        _, fresh = pace(working, place.group, place.master)
        timeout_us = working.policy_of(place.group).probe.timeout_us
        self._n += 1
        self._is_asking = self._has_asked = True
        self._alarm.is_patient = False
        self._began_us = self._clock()
        try:
            self._link.ask(fresh=fresh, timeout_us=timeout_us, tell=self._probed)
        except BaseException:
            # Whatever broke here says nothing of the master, and must not be the last look at it.
            self._is_asking = False
            self._pace()
            raise

    def _probed(self, seen: Probed) -> None:
        """Take the result of the probe under way, and say when the next one is due."""
        self._is_asking = False
        try:
            if self._is_there():
                if isinstance(seen, Answer):
                    self._answered(seen)
                elif isinstance(seen, Failure):
                    self._failed(seen)
        finally:
            self._pace()

    def _pace(self) -> None:
        """Set when the next probe is due, unless one is under way."""
        if self._is_asking or self._is_stopped:
            return
        if self._link.is_waiting or not self._is_there():
            self._alarm.set(AT_ONCE)
            return
        place = self._place()
        after_us, _ = pace(self._turning.driver.working, place.group, place.master)
        if not self._has_asked and after_us:
            return  # its turn comes as it was set
        self._alarm.set(self._began_us + after_us if after_us else AT_ONCE)

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
