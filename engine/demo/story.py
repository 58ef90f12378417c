"""The story of a failover, read from the events that the engine published."""

from collections import Counter
from typing import Final

from engine.answers.telling import sentence
from engine.core import events as ev
from engine.core.events import Recorded

# What is counted, by what it is called.
VERDICTS: Final[dict[type[ev.AnyEvent], str]] = {
    ev.MasterFailed: "failed",
    ev.MasterDegraded: "degraded",
    ev.MasterHealthy: "healthy",
    ev.FlappingStarted: "flapping",
    ev.Switched: "switched",
}


class Story:
    """Keeps what matters of the failover after a strike, with the time that it was durable."""

    def __init__(self) -> None:
        self.struck_us = 0
        self.failed: Recorded | None = None
        self.failed_us = 0
        self.poor: Recorded | None = None  # the first verdict that it is not well, and serves
        self.poor_us = 0
        self.concluded: Final[Counter[str]] = Counter()  # verdicts since the strike
        self.switched: Recorded | None = None
        self.switched_us = 0
        self.refused_late = 0  # acknowledgements of the master that was left [count]
        self.lines: Final[list[tuple[int, str]]] = []  # after the strike [us], what

    def strike(self, at_us: int, what: str) -> None:
        """Note the moment of the strike."""
        self.struck_us = at_us
        self._tell(at_us, what)

    def _tell(self, at_us: int, what: str) -> None:
        self.lines.append((at_us - self.struck_us, what))

    def published(self, events: tuple[Recorded, ...], now_us: int) -> None:
        """Take a batch that has just become durable at `now_us`."""
        if not self.struck_us:
            return
        done = {recorded.cause for recorded in events if isinstance(recorded.event, ev.MessageDone)}
        for recorded in events:
            event, who = recorded.event, recorded.subject
            if type(event) in VERDICTS:
                self.concluded[VERDICTS[type(event)]] += 1
            match event:
                case ev.MasterFailed() if self.failed is None:
                    self.failed, self.failed_us = recorded, now_us
                    self._tell(now_us, f"{who} has failed: {event.rule} (event {recorded.seq})")
                case ev.MasterDegraded() if self.poor is None:
                    self.poor, self.poor_us = recorded, now_us
                    self._tell(now_us, sentence(recorded))
                case ev.FlappingStarted() | ev.FlappingEnded():
                    self._tell(now_us, sentence(recorded))
                case ev.Switched() if self.switched is None:
                    self.switched, self.switched_us = recorded, now_us
                    self._tell(now_us, sentence(recorded))
                case (
                    ev.AttemptStarted()
                    | ev.MasterFenced()
                    | ev.PromotionStarted()
                    | ev.VerificationStarted()
                    | ev.MasterRejoined()
                ):
                    self._tell(now_us, sentence(recorded))
                case ev.MessageAcked() if recorded.seq not in done:
                    self.refused_late += 1
                case _:
                    pass

    @property
    def found(self) -> Recorded | None:
        """Return the first verdict against a master; None: there was none."""
        both = [one for one in (self.failed, self.poor) if one is not None]
        return min(both, key=lambda one: one.seq, default=None)

    @property
    def detect_us(self) -> int | None:
        """Return the time from the strike to that verdict, durable [us]; None: there was none."""
        if self.found is None:
            return None
        return (self.failed_us if self.found is self.failed else self.poor_us) - self.struck_us

    @property
    def failover_us(self) -> int | None:
        """Return the time from the failure to the switch [us]; None: there was none."""
        if self.switched is None or self.failed is None:
            return None
        return self.switched_us - self.failed_us
