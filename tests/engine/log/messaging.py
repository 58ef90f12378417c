"""A log in which messages come and are done, decided by the real rules; time goes as it is told."""

import hashlib

from engine.core import events as ev
from engine.core.driver import Driver
from engine.core.fleet import Mode
from engine.core.owed import owed
from engine.core.policy import SECOND
from engine.core.state import State
from engine.log.protocol import Log
from engine.log.states import state_at
from tests.engine.core.build import START_US, declared, loaded, made

GROUP = "g"


def digest_of(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


class Messaging:
    """One active-active group `g`, whose master `a` gets every message."""

    def __init__(self, log: Log, *, at_us: int = START_US) -> None:
        self.log = log
        self.at_us = max(log.head.at_us, at_us)
        self.driver = Driver(state_at(log))
        if log.head.seq == 0:
            self.see(loaded(made(mode=Mode.ACTIVE_ACTIVE, effects="http"), declared("a")))
            self.see(ev.EngineStarted(release="1", stopped_at_us=0))
            self.probe()
            for effect in list(owed(self.state)):
                told = ev.Outcome(
                    step=effect.step,
                    failover=effect.failover,
                    epoch=effect.epoch,
                    result=ev.Result.OK,
                )
                self.see(told, effect.master)

    @property
    def state(self) -> State:
        return self.driver.durable_state

    def see(
        self, event: ev.Observation, subject: str = ev.FLEET, **bodies: bytes
    ) -> tuple[ev.Recorded, ...]:
        """Append an observation with its decisions and these bodies; return its events."""
        stored = {digest_of(body): body for body in bodies.values()}
        self.driver.observe(event, subject=subject, at_us=self.at_us, bodies=stored)
        batch = self.driver.take_batch(self.at_us)
        assert batch is not None
        self.log.append(batch.events, bodies=batch.bodies)
        return self.driver.durable()

    def probe(self) -> None:
        """Let the master answer, until it has its place."""
        master = self.driver.working.cache.places["a"].master
        for _ in range(3):
            n = master.observers.get("", 0) + 1
            answer = ev.ProbeOk(n=n, latency_us=1, boot="b", epoch=master.epoch, role="active")
            self.see(answer, "a")
        assert master.epoch

    def wait(self, us: int) -> None:
        """Let time pass; the next event has that of then."""
        self.at_us += us

    def accept(self, key: str, body: bytes) -> int:
        """Accept a message; return its seq."""
        event = ev.MessageAccepted(key=key, lane=key, size=len(body), digest=digest_of(body))
        return self.see(event, GROUP, body=body)[0].seq

    def done(self, key: str, **keeps: bytes | None) -> int:
        """Let the master have done it, and ask for this state to be kept; return the seq."""
        epoch = self.driver.working.cache.places["a"].master.epoch
        asked = tuple(
            (name, -1 if blob is None else len(blob), digest_of(blob or b""))
            for name, blob in keeps.items()
        )
        blobs = {name: blob for name, blob in keeps.items() if blob is not None}
        events = self.see(ev.MessageAcked(key=key, epoch=epoch, keeps=asked), "a", **blobs)
        assert key not in self.state.groups[GROUP].ledger.by_key
        return events[-1].seq

    def through(self, key: str, body: bytes, **keeps: bytes | None) -> None:
        """Accept a message, and let it be done at once."""
        self.accept(key, body)
        self.done(key, **keeps)

    def later(self, us: int = SECOND) -> None:
        """Let time pass, and something happen then."""
        self.wait(us)
        self.see(ev.Resumed(author="ann"))

    def there(self) -> set[bytes]:
        """Return the bodies that are stored."""
        bodies = {self.log.body(stored.digest) for stored in self.log.stored_bodies()}
        return {body for body in bodies if body is not None}
