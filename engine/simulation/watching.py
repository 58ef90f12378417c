"""How the simulated engine probes its masters: one probe in flight for each, at the core's pace.

While neither a master nor the ways to it have a fault, question and answer are one entry of the
queue. If something befell them meanwhile, the question arrives then.
"""

from typing import Final, Protocol

from engine.core import events as ev
from engine.core.detection import pace
from engine.core.driver import Driver
from engine.core.events import Evidence, Observation
from engine.core.load import is_worth_recording
from engine.core.policy import Policy, Probe
from engine.core.state import GroupState, Place
from engine.simulation.masters import Answer, SimulatedMaster, Status
from engine.simulation.network import LATENCY_US, Pair
from engine.simulation.outside import RETRY_US, Outside

THERE_AND_BACK_US: Final = 2 * LATENCY_US
Probed = ev.ProbeOk | ev.ProbeDegraded | ev.ProbeFailed


class Watcher(Protocol):
    """The engine's process, as its probes meet it."""

    @property
    def driver(self) -> Driver:
        """Return the order of duty."""

    @property
    def now_us(self) -> int:
        """Return its own time [us]."""

    def is_late(self) -> bool:
        """Return whether it looks at its clock too late."""

    @property
    def is_here(self) -> bool:
        """Return whether this life goes on, and is not stalled."""

    def later(self, after_us: int, action: "Late") -> None:
        """Let `action` happen after a time, in this life; it is told by how much too late."""

    def postponed(self, action: "Late") -> None:
        """Let `action` happen now if this life goes on, or when a stall is over."""

    def heard(self, event: ev.ProbeOk, subject: str) -> bool:
        """Take a good probe that changes nothing; return False, and take nothing, if it does."""

    def seen(self, event: Observation, subject: str) -> None:
        """Take an observation, and do what follows from it."""


class Late(Protocol):
    """What happens, told how late it is [us]."""

    def __call__(self, late_us: int, /) -> None:
        """Act."""


class Watched:
    """One master, as the engine probes it."""

    __slots__ = (
        "asked", "group", "is_held", "is_silent", "is_sound", "master", "n", "name", "pair",
        "policy", "probe", "started_us", "struck",
    )  # fmt: skip

    def __init__(self, name: str, master: SimulatedMaster, pair: Pair) -> None:
        self.name = name
        self.master = master
        self.pair = pair
        self.asked = 0  # the probe whose answer is awaited
        self.n = 0
        self.started_us = 0  # when the last one was sent
        self.struck = 0  # what had befallen the master by then [count]
        self.is_sound = False  # it was plain by then, and so it is until something befalls it
        self.is_held = False  # a connection is held open to it
        self.is_silent = False  # its last probe failed
        # How it is probed, as the policy of the fleet has it for its group.
        self.probe: Probe | None = None
        self.policy: Policy | None = None
        self.group: GroupState | None = None


class Probes:
    """All probes of one life of the engine."""

    def __init__(self, rim: Watcher, outside: Outside) -> None:
        """Probe nobody yet."""
        self._rim: Final = rim
        self._driver: Final = rim.driver
        self._outside: Final = outside
        self._watched: Final = {
            name: Watched(name, master, outside.network.pairs[name])
            for name, master in outside.masters.items()
        }

    def begin(self) -> None:
        """Look at every master; numbers go on where the log has them."""
        places = self._driver.working.cache.places
        for name, watched in self._watched.items():
            if name in places:
                watched.n = max(places[name].master.observers.values(), default=0)
        for watched in self._watched.values():
            self._probe(watched)

    def closed(self, name: str, evidence: Evidence) -> None:
        """See the connection held open to a master end; a fresh one is tried at once."""
        watched = self._watched[name]
        if not watched.is_held or name not in self._driver.working.cache.places:
            return
        watched.is_held = False
        watched.asked += 1  # an answer under way is no answer to it
        self._rim.seen(ev.ConnectionClosed(evidence=evidence), name)
        self._probe(watched)

    def _probe_of(self, watched: Watched, place: Place) -> Probe:
        """Return how a master is probed; that is looked up again when its policy is another."""
        working, group, probe = self._driver.working, place.group, watched.probe
        if (
            probe is None
            or watched.policy is not working.fleet.policy
            or watched.group is not group
        ):
            watched.policy, watched.group = working.fleet.policy, group
            probe = watched.probe = working.policy_of(group).probe
        return probe

    # One probe.

    def _probe(self, watched: Watched) -> None:
        outside, master = self._outside, watched.master
        place = self._driver.working.cache.places.get(watched.name)
        if place is None:  # its declaration was not stored
            self._rim.later(RETRY_US, lambda _: self._probe(watched))
            return
        token = watched.asked = watched.asked + 1
        watched.n += 1
        watched.started_us = outside.now_us
        if not watched.is_sound or watched.struck != master.struck:
            watched.struck, watched.is_sound = master.struck, master.is_plain
        if (
            watched.is_sound
            and watched.pair.is_plain
            and self._probe_of(watched, place).timeout_us > THERE_AND_BACK_US
        ):
            outside.at(THERE_AND_BACK_US, self._answered_plainly, (watched, token))
            return
        if master.hears():
            self._ask(watched, token, watched.started_us)
        self._await(watched, token, watched.started_us)

    def _answered_plainly(self, given: tuple[Watched, int]) -> None:
        watched, token = given
        if watched.asked != token:
            return
        rim, started_us = self._rim, watched.started_us
        if not rim.is_here:
            rim.postponed(lambda _: self._answered_plainly(given))
            return
        master, outside = watched.master, self._outside
        if master.struck != watched.struck or not watched.pair.is_plain:
            if master.hears():
                self._ask(watched, token, started_us)
            self._await(watched, token, started_us)
            return
        watched.asked = token = token + 1
        waited_us = outside.now_us - started_us
        event = ev.ProbeOk(
            n=watched.n,
            latency_us=waited_us,
            boot=master.boot,
            epoch=master.reported_epoch,
            role=master.role,
        )
        name, working = watched.name, self._driver.working
        place = working.cache.places.get(name)
        # What changes nothing, and nine of ten do, ends here; anything else ends as it must.
        if (
            place is None
            or not place.is_plain
            or watched.is_silent
            or master.speaks
            or master.lag_us
            or place.master.report is not None
            or not rim.heard(event, name)
        ):
            self._ended(watched, event, started_us)
            return
        probe = self._probe_of(watched, place)
        watched.is_held = probe.hold_open
        outside.at(max(0, probe.interval_us - waited_us), self._next, (watched, token))

    def _ask(self, watched: Watched, token: int, started_us: int) -> None:
        rim, outside = self._rim, self._outside

        def answered(answer: Answer) -> None:
            if answer.status is Status.CLOSED:
                ended(ev.ProbeFailed(n=watched.n, evidence=Evidence.RESET))
                return
            latency_us = outside.now_us - started_us
            ended(
                ev.ProbeDegraded(
                    n=watched.n, latency_us=latency_us, reason="says so",
                    boot=answer.boot, epoch=answer.epoch, role=answer.role,
                )
                if answer.is_poor
                else ev.ProbeOk(
                    n=watched.n, latency_us=latency_us,
                    boot=answer.boot, epoch=answer.epoch, role=answer.role,
                )
            )  # fmt: skip

        def refused(_: int) -> None:
            ended(ev.ProbeFailed(n=watched.n, evidence=Evidence.REFUSED))

        def ended(event: Probed) -> None:
            if watched.asked == token:
                watched.asked += 1
                self._ended(watched, event, started_us)

        outside.send(
            watched.name,
            watched.master.health,
            lambda answer: rim.postponed(lambda _: answered(answer)),
            lambda: rim.postponed(refused),
        )

    def _await(self, watched: Watched, token: int, started_us: int) -> None:
        place = self._driver.working.cache.places.get(watched.name)
        if place is None:
            self._rim.later(RETRY_US, lambda _: self._probe(watched))
            return
        probe = self._driver.working.policy_of(place.group).probe

        def overdue(late_us: int) -> None:
            if watched.asked != token:
                return
            watched.asked += 1
            if self._rim.is_late():
                late_us += probe.late_us_max + 1
            failed = ev.ProbeFailed(n=watched.n, evidence=Evidence.OVERDUE, late_us=late_us)
            self._ended(watched, failed, started_us)

        waited_us = self._outside.now_us - started_us
        self._rim.later(max(0, probe.timeout_us - waited_us), overdue)

    def _ended(self, watched: Watched, event: Probed, started_us: int) -> None:
        rim, name, driver = self._rim, watched.name, self._driver
        place = driver.working.cache.places.get(name)
        if place is None:  # it left the fleet meanwhile
            self._probe(watched)
            return
        probe = driver.working.policy_of(place.group).probe
        if type(event) is ev.ProbeFailed:
            watched.is_silent = True
        else:
            watched.is_held = probe.hold_open
            master = watched.master
            if master.speaks or master.lag_us or place.master.report is not None:
                self._report(watched)
            if watched.is_silent:
                watched.is_silent = False
                driver.answered(name)
        rim.seen(event, name)
        known, place = place, driver.working.cache.places.get(name)
        if place is None:
            after_us = RETRY_US
        elif place is known and name in place.calm:  # nothing asks for haste
            after_us = probe.interval_us
        else:
            after_us, _ = pace(driver.working, place.group, place.master)
        after_us = max(0, started_us + after_us - self._outside.now_us)
        self._outside.at(after_us, self._next, (watched, watched.asked))

    def _next(self, given: tuple[Watched, int]) -> None:
        watched, token = given
        if watched.asked != token:
            return
        if self._rim.is_here:
            self._probe(watched)
        else:
            self._rim.postponed(lambda _: self._next(given))

    def _report(self, watched: Watched) -> None:
        """Take what the master says of its data along with its answer."""
        said, rim = watched.master.report(), self._rim
        if is_worth_recording(self._driver.working, watched.name, said, rim.now_us):
            rim.seen(said, watched.name)
