"""How a world comes to rest once all faults have stopped: what people mend, and what is well.

Where an engine cannot know who has to act, people choose; what they have laid upon the fleet they
lift; and data that nobody stands in for is reconciled, again and again, for an engine may be begun
late.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from engine.core.policy import MS
from engine.core.replay import replay
from engine.core.step import Evolve
from engine.simulation.bounds import Settled
from engine.simulation.masters import SimulatedMaster
from engine.simulation.replication import Following
from engine.simulation.rest import is_detected, is_drained, is_served, lift
from engine.simulation.rim import Rim
from engine.simulation.schedule import Setting
from engine.simulation.tape import Tape

LIFTED_US: Final = 20 * MS  # between two looks whether there is something to lift
RECONCILED_US: Final = 200 * MS  # between two looks of people at data that nobody stands in for


class Healed(Protocol):
    """The world, as those meet it who mend it."""

    now_us: int
    rim: Rim | None

    @property
    def setting(self) -> Setting:
        """Return the fleet."""

    @property
    def tape(self) -> Tape:
        """Return the log."""

    @property
    def masters(self) -> dict[str, SimulatedMaster]:
        """Return the masters by id."""

    def later(self, after_us: int, action: Callable[[], None]) -> None:
        """Let `action` happen after a time."""


class Resting:
    """The time after all faults of one world."""

    def __init__(
        self,
        world: Healed,
        followings: Sequence[Following],
        *,
        offered: Collection[str],
        evolve: Evolve,
    ) -> None:
        """Mend nothing before `choose`; `offered` are the messages that have no receipt yet."""
        self._world: Final = world
        self._followings: Final = followings
        self._offered: Final = offered
        self._evolve: Final = evolve
        self._since_us = 0
        self.settled: Final = Settled()

    def choose(self) -> None:
        """Let people choose who acts where several do and the log knows of no activation."""
        world = self._world
        for group in world.setting.groups():
            members = [world.masters[name] for name in group.names()]
            acting = [master for master in members if master.role == "active"]
            acting.sort(key=lambda master: (master.is_usurper, -master.epoch))
            for master in acting[1:]:
                if master.is_usurper or not self._was_activated(group.id):
                    master.yield_()
                    master.follow(acting[0].name)

    def _was_activated(self, group: str) -> bool:
        """Return whether the log, perhaps an older copy, has ever had an active of `group`."""
        part = replay(self._world.tape.log, evolve=self._evolve).groups.get(group)
        return part is not None and part.epoch > 0

    def begin(self) -> None:
        """Lift what people have laid upon the fleet, and reconcile data, until all is well."""
        self._lift()
        if self._followings:
            self._reconcile()

    def wait(self) -> None:
        """Measure from here on how soon all is well."""
        self._since_us = self._world.now_us

    def _lift(self) -> None:
        rim = self._world.rim
        if rim is None or rim.is_stalled or not lift(rim, self._world.setting):
            self._world.later(LIFTED_US, self._lift)

    def _reconcile(self) -> None:
        for following in self._followings:
            following.reconcile()
        self._world.later(RECONCILED_US, self._reconcile)

    def is_over(self) -> bool:
        """Return whether all is well again; take note of what is."""
        world, rim, settled = self._world, self._world.rim, self.settled
        if rim is None or rim.is_stalled:
            return False
        state = rim.driver.durable_state
        settled.note(
            world.now_us - self._since_us,
            detected=is_detected(state, world.setting),
            served=is_served(state, world.setting, world.masters),
            drained=not self._offered and is_drained(state, world.setting),
        )
        return min(settled.detected_us, settled.served_us, settled.drained_us) >= 0
