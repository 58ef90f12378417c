"""A small fleet driven by hand: three masters of one group, their answers and their deaths."""

from engine.core import events as ev
from engine.core import state as st
from engine.core.driver import Driver
from engine.core.events import FLEET, Evidence, Observation
from engine.core.fleet import Master, Mode
from engine.core.policy import AlertPolicy, GroupPolicy, Policy, content_digest, preset
from engine.log.memory import MemoryLog

GROUP = "g"
BEGIN_US = 1_767_225_600_000_000  # 2026-01-01
STEP_US = 10_000


class Story:
    """A driver, the log that it fills, and masters that answer as they are told."""

    def __init__(
        self,
        policy: GroupPolicy | None = None,
        *,
        names: str = "abc",
        alerts: AlertPolicy | None = None,
    ) -> None:
        self.log = MemoryLog()
        self.driver = Driver()
        self.at_us = BEGIN_US
        self.n = 0
        self.names = names
        self.epochs = dict.fromkeys(names, 0)
        self.dead: set[str] = set()
        policies = Policy(groups={GROUP: policy or preset("bench")}, alerts=alerts)
        masters = tuple(
            Master(id=name, group=GROUP, address=f"http://{name}:1", priority=number)
            for number, name in enumerate(names, start=1)
        )
        digest = content_digest(policies, masters)
        self.see(ev.ConfigurationLoaded(digest=digest, policy=policies, masters=masters))
        self.see(ev.EngineStarted(release="0", stopped_at_us=0))

    def see(self, event: Observation, subject: str = FLEET) -> int:
        """Observe one thing, do what follows from it, and return its seq."""
        seq = self.driver.observe(event, subject=subject, at_us=self.at_us)
        self.settle()
        return seq

    def probe(self, rounds: int = 1) -> None:
        """Probe every master once a round: it answers, or refuses if it is dead."""
        for _ in range(rounds):
            self.n += 1
            self.at_us += STEP_US
            for name in self.names:
                self.see(self._answer(name), name)

    def _answer(self, name: str) -> Observation:
        if name in self.dead:
            return ev.ProbeFailed(n=self.n, evidence=Evidence.REFUSED)
        return ev.ProbeOk(n=self.n, latency_us=5, boot=name, epoch=self.epochs[name])

    def settle(self) -> None:
        """Append what was decided and carry out what is owed, until nothing is."""
        while True:
            batch = self.driver.take_batch(self.at_us)
            if batch is not None:
                self.log.append(batch.events, bodies=batch.bodies)
                self.driver.durable()
                continue
            effects = self.driver.due_effects(self.at_us)
            if not effects:
                return
            for effect in effects:
                is_dead = effect.master in self.dead
                if not is_dead and effect.step in ("promote", "fence"):
                    self.epochs[effect.master] = effect.epoch
                saga = self.driver.durable_state.groups[GROUP].saga
                outcome = ev.Outcome(
                    step=effect.step,
                    failover=effect.failover,
                    epoch=effect.epoch,
                    result=ev.Result.FAILED if is_dead else ev.Result.OK,
                    digest=saga.transfer_digest if saga else "",
                )
                self.driver.outcome(effect, outcome, at_us=self.at_us)

    def kill(self, name: str) -> None:
        """End the process of a master: its connection closes, and nobody listens any more."""
        self.dead.add(name)
        self.see(ev.ConnectionClosed(evidence=Evidence.CLOSED), name)
        self.probe()

    @property
    def state(self) -> st.State:
        """Return the durable state."""
        return self.driver.durable_state

    @property
    def active(self) -> str:
        """Return the active master of the group."""
        return st.active_of(self.state.groups[GROUP])

    def last(self, kind: type[ev.AnyEvent]) -> int:
        """Return the seq of the last event of a kind."""
        return max(found.seq for found in self.log.read() if type(found.event) is kind)


def failed_over(alerts: AlertPolicy | None = None) -> Story:
    """Return the story in which a, the active one, is killed and b takes over."""
    story = Story(alerts=alerts)
    story.probe(3)
    assert story.active == "a"
    story.kill("a")
    story.probe(2)
    assert story.active == "b"
    return story


def serving() -> Story:
    """Return the story of an active-active group whose three masters serve."""
    story = Story(preset("bench", mode=Mode.ACTIVE_ACTIVE))
    story.probe(3)
    return story
