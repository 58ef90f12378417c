"""A history to measure with: masters probed in turns, decided upon by the engine's own driver.

Every master has an outage now and then that is long enough to be a failure. The same arguments
give the same history on every machine.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.core import events as ev
from engine.core.driver import Batch, Driver
from engine.core.events import FLEET, Observation
from engine.core.fleet import Master, Mode
from engine.core.policy import Policy, content_digest, preset
from engine.log.protocol import Log

BEGIN_US: Final = 1_767_225_600_000_000  # 2026-01-01
INTERVAL_US: Final = 1_000_000
OUTAGE_EVERY: Final = 7_919  # probes of one master between two outages; a prime: they drift apart
OUTAGE_PROBES: Final = 6
OUTAGE_SPREAD: Final = 151
PRESET: Final = "zone"
BATCH_EVENTS: Final = 1_000  # in one transaction


class Probe(NamedTuple):
    """What was seen of one master at one time."""

    number: int  # of the master, from 0
    n: int  # of the master's probes, from 1
    at_us: int
    is_ok: bool
    latency_us: int


def probes(masters: int, *, first: int = 0) -> Iterator[Probe]:
    """Return the probes of so many masters in turn, without end, from the one numbered `first`."""
    place = first
    while True:
        turn, number = divmod(place, masters)
        yield Probe(
            number,
            turn + 1,
            BEGIN_US + turn * INTERVAL_US + number * INTERVAL_US // masters,
            (turn + number * OUTAGE_SPREAD) % OUTAGE_EVERY >= OUTAGE_PROBES,
            1_000 + place * 37 % 400 * 10,
        )
        place += 1


def observation(probe: Probe) -> Observation:
    """Return the probe as the engine observes it."""
    if probe.is_ok:
        return ev.ProbeOk(n=probe.n, latency_us=probe.latency_us)
    return ev.ProbeFailed(n=probe.n, evidence=ev.Evidence.OVERDUE, waited_us=500_000)


class History:
    """A fleet with its driver: what it decides is appended by whoever asks for the batches."""

    def __init__(self, *, masters: int, groups: int = 1) -> None:
        """Declare `masters` in so many groups, under the default policy; nothing is sent to any."""
        self.driver: Final = Driver()
        self.names: Final = tuple(f"m{number}" for number in range(masters))
        self._probes: Final = probes(masters)
        policy = Policy(
            groups={
                f"g{number}": preset(PRESET, mode=Mode.ACTIVE_ACTIVE) for number in range(groups)
            }
        )
        declared = tuple(
            Master(id=name, group=f"g{number % groups}", address=f"observed://{name}")
            for number, name in enumerate(self.names)
        )
        digest = content_digest(policy, declared)
        self.driver.observe(
            ev.ConfigurationLoaded(digest=digest, policy=policy, masters=declared),
            subject=FLEET,
            at_us=BEGIN_US,
        )

    def batches(self, events: int) -> Iterator[Batch]:
        """Return what to append until at least `events` more are; each is durable at the next."""
        driver, names = self.driver, self.names
        done = driver.durable_state.seq
        until = done + events
        while done < until:
            end = min(until, done + BATCH_EVENTS)
            while driver.working.seq < end:
                probe = next(self._probes)
                driver.observe(observation(probe), subject=names[probe.number], at_us=probe.at_us)
            batch = driver.take_batch(driver.working.at_us)
            assert batch is not None
            yield batch
            driver.durable()
            done = driver.durable_state.seq

    def declare_to(self, log: Log) -> None:
        """Append the declaration of the fleet alone."""
        batch = self.driver.take_batch(BEGIN_US)
        assert batch is not None
        log.append(batch.events, bodies=batch.bodies)
        self.driver.durable()

    def append_to(self, log: Log, events: int) -> None:
        """Append at least `events` more to `log`."""
        for batch in self.batches(events):
            log.append(batch.events, bodies=batch.bodies)
