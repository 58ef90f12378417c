"""The story of a failover, read from the events that the engine published."""

from typing import Final

from engine.answers.telling import sentence
from engine.core import events as ev
from engine.core.events import Recorded


class Story:
    """Keeps what matters of the failover after a strike, with the time that it was durable."""

    def __init__(self) -> None:
        self.struck_us = 0
        self.failed: Recorded | None = None
        self.failed_us = 0
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
            match event:
                case ev.MasterFailed() if self.failed is None:
                    self.failed, self.failed_us = recorded, now_us
                    self._tell(now_us, f"{who} has failed: {event.rule} (event {recorded.seq})")
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
    def detect_us(self) -> int | None:
        """Return the time from the strike to the durable decision [us]; None: there was none."""
        return self.failed_us - self.struck_us if self.failed is not None else None

    @property
    def failover_us(self) -> int | None:
        """Return the time from the decision to the switch [us]; None: there was none."""
        return self.switched_us - self.failed_us if self.switched is not None else None
