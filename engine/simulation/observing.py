"""Other observers: each looks at every master from where it stands, and tells the engine.

They are probes and nothing else: they decide nothing, and what they tell may be lost on the way.
"""

from collections.abc import Callable
from typing import Final, Protocol

from engine.core import events as ev
from engine.core.events import Evidence, Observation
from engine.core.policy import GroupPolicy
from engine.simulation.masters import Answer, Phase, SimulatedMaster, Status
from engine.simulation.network import Network
from engine.simulation.rim import Rim
from engine.simulation.schedule import GroupSetting


class Seen(Protocol):
    """The world, as another observer meets it."""

    now_us: int
    rim: Rim | None

    @property
    def masters(self) -> dict[str, SimulatedMaster]:
        """Return the masters by id."""

    @property
    def network(self) -> Network:
        """Return the ways."""

    def later(self, after_us: int, action: Callable[[], None]) -> None:
        """Let `action` happen after a time."""


class Observer:
    """One of them."""

    def __init__(self, name: str, world: Seen) -> None:
        """Look at nobody yet."""
        self.name: Final = name
        self._world: Final = world
        self._n: Final[dict[str, int]] = dict.fromkeys(world.masters, 0)

    def begin(self, group: GroupSetting) -> None:
        """Look at the masters of a group from now on."""
        for name in group.names():
            self._probe(name, group.policy)

    def _probe(self, master: str, policy: GroupPolicy) -> None:
        world, probe = self._world, policy.probe
        self._n[master] += 1
        n, started_us, receiver = self._n[master], world.now_us, world.masters[master]
        pair = world.network.beside[self.name, master]
        is_over = False

        def ended(event: Observation) -> None:
            nonlocal is_over
            if is_over:
                return
            is_over = True
            self._tell(event, master)
            is_failed = isinstance(event, ev.ProbeFailed)
            after_us = probe.recheck_us if is_failed else probe.interval_us
            wait_us = max(0, started_us + after_us - world.now_us)
            world.later(wait_us, lambda: self._probe(master, policy))

        def failed(evidence: Evidence) -> None:
            ended(ev.ProbeFailed(n=n, evidence=evidence, observer=self.name))

        def answered(answer: Answer) -> None:
            if answer.status is Status.CLOSED:
                failed(Evidence.RESET)
                return
            latency_us = world.now_us - started_us
            ended(
                ev.ProbeDegraded(
                    n=n, latency_us=latency_us, reason="says so", boot=answer.boot,
                    epoch=answer.epoch, role=answer.role, observer=self.name,
                )
                if answer.is_poor
                else ev.ProbeOk(
                    n=n, latency_us=latency_us, boot=answer.boot,
                    epoch=answer.epoch, role=answer.role, observer=self.name,
                )
            )  # fmt: skip

        if receiver.phase is Phase.DOWN:
            if not pair.there.is_closed:
                pair.back.carry(lambda: failed(Evidence.REFUSED))
        elif receiver.hears():
            pair.there.carry(
                lambda: receiver.receive(
                    receiver.health, lambda answer: pair.back.carry(lambda: answered(answer))
                )
            )
        world.later(probe.timeout_us, lambda: failed(Evidence.OVERDUE))

    def _tell(self, event: Observation, master: str) -> None:
        def arrived() -> None:
            rim = self._world.rim
            if rim is not None and rim.is_here and master in rim.driver.working.cache.places:
                rim.seen(event, master)

        self._world.network.posts[self.name].carry(arrived)
