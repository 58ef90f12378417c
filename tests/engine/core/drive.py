"""A driver with a log, for tests that follow its order of duty."""

from collections.abc import Sequence

from engine.core import events as ev
from engine.core.driver import Driver
from engine.core.events import Evidence, Recorded, Result
from engine.core.owed import Effect
from engine.core.policy import MS
from tests.engine.core.build import START_US, declared, loaded, made

MEMBERS = declared("abc")
FLUSH_US = 5 * MS


class Engine:
    """A driver with a log that is only durable when told so."""

    def __init__(self, **changes: object) -> None:
        changes.setdefault("unknown_after_us", 0)
        self.driver = Driver(flush_us=FLUSH_US)
        self.log: list[Recorded] = []
        self.at_us = START_US
        self.n = 0
        policy = made(**changes)  # type: ignore[arg-type]
        self.see(loaded({"g": policy, "h": policy}, (*MEMBERS, *declared("x", group="h"))))
        self.see(ev.EngineStarted(release="1", stopped_at_us=0))
        self.at_us += 1

    def see(self, event: ev.Observation, subject: str = ev.FLEET) -> int:
        return self.driver.observe(event, subject=subject, at_us=self.at_us)

    def ok(self, *names: str, epoch: int | None = None, boot: str = "") -> None:
        for name in names:
            self.n += 1
            self.see(ev.ProbeOk(n=self.n, latency_us=1, epoch=epoch, boot=boot), name)

    def crashes(self, name: str) -> None:
        self.n += 1
        self.see(ev.ConnectionClosed(evidence=Evidence.CLOSED), name)
        self.see(ev.ProbeFailed(n=self.n, evidence=Evidence.REFUSED), name)

    def accepts(self, key: str, group: str = "g", lane: str = "") -> None:
        offer = self.driver.offer(group, key=key, lane=lane, size=1, digest=key.encode())
        assert offer.event is not None
        self.see(offer.event, group)

    def append(self) -> Sequence[Recorded]:
        """Make durable what is to be appended now."""
        batch = self.driver.take_batch(self.at_us)
        if batch is None:
            return ()
        done = self.driver.durable()
        assert done == batch.events
        self.log += done
        return done

    def effects(self) -> list[Effect]:
        return self.driver.due_effects(self.at_us)

    def ends(self, effect: Effect, result: Result = Result.OK, *, digest: str = "") -> None:
        saga = self.driver.durable_state.groups[effect.group].saga
        if saga is not None and not digest:
            digest = saga.transfer_digest
        outcome = ev.Outcome(
            step=effect.step,
            failover=effect.failover,
            epoch=effect.epoch,
            result=result,
            digest=digest,
        )
        self.driver.outcome(effect, outcome, at_us=self.at_us)

    def work(self) -> None:
        """Append and answer what is owed until nothing new is."""
        self.append()
        while effects := self.effects():
            for effect in effects:
                self.ends(effect)
            self.append()


def serving(**changes: object) -> Engine:
    """Return an engine whose groups are served, with everything durable."""
    engine = Engine(**changes)
    engine.ok("a", "b", "c", "x")
    engine.work()
    engine.ok("a", "b", "c", "x")
    engine.ok("a", "b", "c", "x")
    engine.at_us += FLUSH_US
    engine.append()
    return engine
