"""The simulator's world as a state machine of Hypothesis: a rule for each kind of fault.

    class MyFleet(FleetMachine):
        def fleet(self):
            return Setting(policy=my_policy, masters=3)

        def master(self):
            return MyMaster        # with effects of its own

    TestMyFleet = MyFleet.TestCase

After every rule no invariant of the log is broken; at the end all faults stop, and every law of the
simulator has to hold: what was accepted is done once, and each group is served within the time
that its policy adds up to.
"""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.core.policy import MS, SECOND
from engine.simulation.checkers import violations
from engine.simulation.masters import SimulatedMaster
from engine.simulation.schedule import (
    CLOCK_FAULTS,
    COMMANDS,
    LINK_FAULTS,
    MASTER_FAULTS,
    MORE_MASTER_FAULTS,
    PARTITIONS,
    SITE_FAULTS,
    Setting,
    Turn,
    policy,
)
from engine.simulation.world import World

PLACES = st.integers(0, 99)  # of a master; counted around


class FleetMachine(RuleBasedStateMachine):
    """A fleet under faults; subclass it and say whose."""

    def fleet(self) -> Setting:
        """Return the fleet: its policies, its masters, its messages."""
        return Setting(policy=policy(fall=1, rise=1))

    def master(self) -> type[SimulatedMaster]:
        """Return what a master is."""
        return SimulatedMaster

    def check(self, world: World) -> None:
        """Assert what else has to hold after every rule."""

    @initialize()
    def begin(self) -> None:
        """Start the engine."""
        self.world = World(self.fleet(), master=self.master(), compare_every=5)
        self.world.begin()

    def _turn(
        self, kind: str, place: int | None = None, *, count: int = 0, gap_us: int = 0
    ) -> None:
        names = self.world.setting.names()
        subject = "" if place is None else names[place % len(names)]
        self.world.turn(Turn(kind=kind, subject=subject, count=count, gap_us=gap_us))

    @rule(us=st.sampled_from((MS, 20 * MS, 200 * MS, SECOND)))
    def wait(self, us: int) -> None:
        """Let time pass."""
        self._turn("rest", gap_us=us)

    @rule(kind=st.sampled_from((*MASTER_FAULTS, *MORE_MASTER_FAULTS)), place=PLACES,
          count=st.integers(0, 4))  # fmt: skip
    def strike_master(self, kind: str, place: int, count: int) -> None:
        """Let something befall a master."""
        self._turn(kind, place, count=count * 10 * MS if kind == "slow" else count)

    @rule(kind=st.sampled_from(LINK_FAULTS), place=PLACES, count=st.integers(0, 4))
    def strike_way(self, kind: str, place: int, count: int) -> None:
        """Let something befall the way to a master."""
        self._turn(kind, place, count=count * 10 * MS if kind in ("tail", "flap") else count)

    @rule(kind=st.sampled_from(PARTITIONS), count=st.integers(1, 3))
    def divide(self, kind: str, count: int) -> None:
        """Divide the network, or mend it."""
        self._turn(kind, count=count)

    @rule(boundary=st.integers(0, 20))
    def crash_engine(self, boundary: int) -> None:
        """End the engine at a boundary between two duties."""
        self._turn("engine-crash", count=boundary)

    @rule(kind=st.sampled_from(("append-fails", "append-lost", "append-stored", "torn")),
          nth=st.integers(1, 5))  # fmt: skip
    def strike_log(self, kind: str, nth: int) -> None:
        """Let an append fail."""
        self._turn(kind, count=nth)

    @rule(kind=st.sampled_from((*CLOCK_FAULTS, "stall", "late", "locked")), ms=st.integers(0, 400))
    def strike_clock(self, kind: str, ms: int) -> None:
        """Let a clock go astray, or the engine stand still."""
        self._turn(kind, count=ms if kind == "drift" else ms * MS)

    @rule(kind=st.sampled_from(SITE_FAULTS), place=PLACES, count=st.integers(1, 3))
    def strike_site(self, kind: str, place: int, count: int) -> None:
        """Let something befall all masters of a group."""
        self._turn(kind, place, count=count)

    @rule(kind=st.sampled_from(COMMANDS), place=PLACES, count=st.integers(0, 3))
    def command(self, kind: str, place: int, count: int) -> None:
        """Ask something of the engine, as people do."""
        self._turn(kind, place, count=count)

    @rule(count=st.integers(1, 5))
    def accept(self, count: int) -> None:
        """Offer messages."""
        self._turn("accept", count=count)

    @invariant()
    def nothing_is_broken(self) -> None:
        """No invariant of the log is broken, nor what the embedder asserts."""
        world: Any = getattr(self, "world", None)
        if world is not None:
            assert world.broken() == []
            self.check(world)

    def teardown(self) -> None:
        """Stop all faults: every law has to hold."""
        world: Any = getattr(self, "world", None)
        if world is not None:
            assert violations(world.finish()) == []
