"""The `eventsourcing` library, used as its documentation has it and as fast as that goes.

An aggregate for each master; event classes with their own `apply`, which spares the inspection
that the decorators do; its SQLite persistence, which has a write-ahead log and syncs each commit;
no snapshots and no cache; all aggregates that saw something saved in one transaction. It counts
good and failed probes as the detector does, and derives the health in its fold: one event for each
probe, and none for a verdict.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate

from engine.bench.history import PRESET, Probe
from engine.core.fleet import Health
from engine.core.policy import preset

_PROBE: Final = preset(PRESET).probe


class Watched(Aggregate):
    """One master."""

    class Added(Aggregate.Created):
        """It is there."""

        name: str

    class ProbeOk(Aggregate.Event):
        """It answered."""

        n: int
        latency_us: int

        def apply(self, aggregate: "Watched") -> None:
            """Count it."""
            aggregate.good += 1
            aggregate.bad = 0
            needed = 1 if aggregate.health is Health.UNKNOWN else _PROBE.rise
            if aggregate.health is Health.FAILED:
                aggregate.health = Health.RECOVERING
            elif aggregate.health is not Health.HEALTHY and aggregate.good >= needed:
                aggregate.health = Health.HEALTHY

    class ProbeFailed(Aggregate.Event):
        """It did not."""

        n: int
        evidence: str
        waited_us: int

        def apply(self, aggregate: "Watched") -> None:
            """Count it."""
            aggregate.bad += 1
            aggregate.good = 0
            if aggregate.bad >= _PROBE.fall or aggregate.health is Health.RECOVERING:
                aggregate.health = Health.FAILED

    def __init__(self, name: str) -> None:
        self.name = name
        self.health = Health.UNKNOWN
        self.good = 0
        self.bad = 0

    def observe(self, probe: Probe) -> None:
        """Take a probe."""
        if probe.is_ok:
            self.trigger_event(self.ProbeOk, n=probe.n, latency_us=probe.latency_us)
        else:
            self.trigger_event(self.ProbeFailed, n=probe.n, evidence="overdue", waited_us=500_000)


def _projected(
    aggregate: Watched | None, events: Iterable[Aggregate.Event | Aggregate.Created]
) -> Watched | None:
    """Return the fold of `events`, without the library's look at the type of each."""
    for event in events:
        aggregate = event.mutate(aggregate)
    return aggregate


class Rival:
    """An application of the library with so many masters."""

    def __init__(self, path: Path, *, masters: int) -> None:
        self._application: Final = Application(
            env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}
        )
        self.masters: Final = [Watched(name=f"m{number}") for number in range(masters)]
        self._application.save(*self.masters)

    def append(self, probes: Iterable[Probe]) -> None:
        """Take the probes and save them in one transaction."""
        touched = {}
        for probe in probes:
            master = self.masters[probe.number]
            master.observe(probe)
            touched[probe.number] = master
        self._application.save(*touched.values())

    def rebuild(self, *, is_tuned: bool = False) -> dict[str, Health]:
        """Return the health of every master, folded again from the database.

        `is_tuned` takes a projector of ours in place of the library's, which its repository allows.
        """
        get = self._application.repository.get
        options = {"projector_func": _projected} if is_tuned else {}
        rebuilt = [get(master.id, **options) for master in self.masters]
        return {master.name: master.health for master in rebuilt}

    def close(self) -> None:
        """Close the database."""
        self._application.close()
