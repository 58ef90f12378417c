"""What is told to a running engine without being asked: beats, loads, and what other observers saw.

Rules:
- What comes is bounded and typed; what does not fit is refused as a whole, with a line that says
  where.
- An observer counts its probes of each master with n. What does not count on from the last n that
  the log has was told before, and is passed over; so a batch may be told again.
- One process at a time has the name of an observer: the one that said hello last.
- What makes a difference is durable when its batch is answered. A good probe that changes nothing
  need not be: it is told once, and if it is lost it was not seen.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from engine.core import events as ev
from engine.core.errors import CommandRefused
from engine.core.events import Evidence, LoadReported
from engine.core.load import is_worth_recording
from engine.core.state import Place
from engine.runtime.awaiting import BeatLink
from engine.runtime.health import read_report
from engine.runtime.loop import Turning
from engine.runtime.seen import COUNT_MAX, shortened

BATCH_MAX: Final = 1_000  # observations in one batch [count]
NAME_MAX: Final = 64  # of an observer and of a session [characters]
OBSERVERS_MAX: Final = 64  # names that one engine takes; each stays in the state [count]
OWN: Final = frozenset(("", "traffic"))  # observers that are this engine itself


class Observation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an observer saw of a master: the result of its n-th probe, or after it an end.

    `outcome` closed is the end of a held connection, seen after the n-th probe.
    """

    master: str
    n: int
    outcome: Literal["ok", "degraded", "failed", "closed"]
    latency_us: int = 0
    boot: str = ""
    epoch: int | None = None
    role: str = ""
    reason: str = ""
    evidence: Evidence = Evidence.OVERDUE
    late_us: int = 0
    waited_us: int = 0
    detail: str = ""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What an observer tells at once; `session` is the process that has its name."""

    observer: str
    session: str
    observations: tuple[Observation, ...] = ()
    hello: bool = False


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch."""

    recorded: int  # of its observations [count]
    unknown: tuple[str, ...]  # masters that this engine does not have
    last: dict[str, int]  # the newest n of this observer that the log has, by master


class Hearing:
    """Takes what is told, for one engine."""

    def __init__(self, turning: Turning, beats: Mapping[str, BeatLink]) -> None:
        """`beats` are the links to masters that say by themselves how they are."""
        self._turning: Final = turning
        self._beats: Final = beats
        self._sessions: Final[dict[str, str]] = {}  # by observer

    def _place(self, master: str) -> Place:
        place = self._turning.driver.working.cache.places.get(master)
        if place is None:
            raise CommandRefused((f"no master {master!r}",))
        return place

    def beat(self, master: str, body: bytes) -> Place:
        """Take a beat of `master`: a health document, or nothing; return where it belongs.

        Raises:
            CommandRefused: There is no such master, or its group looks at it by itself.
        """
        place = self._place(master)
        link = self._beats.get(master)
        kind = self._turning.driver.working.policy_of(place.group).probe.kind
        if link is None or kind != "push":  # a link may be of before, and nobody listens to it
            raise CommandRefused(
                (f"{master} is probed by {kind}: only probe.kind = push waits for beats",)
            )
        link.beat(body)
        return place

    def report(self, master: str, *, load: object, freshness: object, observer: str = "") -> bool:
        """Take what `master` says of its load; return whether that was worth recording.

        Args:
            master: Who says it.
            load: As in its health document.
            freshness: Likewise.
            observer: Who passes it on; "": the master itself.

        Raises:
            CommandRefused: There is no such master.
            ValueError: Nothing in it can be read.
        """
        self._place(master)
        report = read_report(load, freshness)
        if report is None:
            raise ValueError(
                'expected "load" with active, queued, cpu, memory or errors, or "freshness" with '
                "position or lag_ms; shares are numbers from 0 to 1"
            )
        return self.record(master, msgspec.structs.replace(report, observer=observer))

    def record(self, master: str, report: LoadReported) -> bool:
        """Record a report if it is worth it; return whether it was."""
        turning = self._turning
        at_us = turning.clock.at_us()
        worth = is_worth_recording(turning.driver.working, master, report, at_us)
        if worth:
            turning.record(report, subject=master)
        return worth

    async def observe(self, batch: Batch) -> Told:
        """Record what an observer saw; what was told before is passed over.

        Raises:
            CommandRefused: Another process has the observer's name.
            ValueError: It is no name, or something in the batch is beyond its limits.
            LogError: It could not be made durable, or nobody knows; tell it again.
        """
        _check(batch)
        is_new = batch.observer not in self._sessions
        if is_new and len(self._sessions) >= OBSERVERS_MAX:
            raise ValueError(f"observer: expected at most {OBSERVERS_MAX} of them")
        if batch.hello:
            self._sessions[batch.observer] = batch.session
        elif self._sessions.setdefault(batch.observer, batch.session) != batch.session:
            raise CommandRefused((f"another process has taken the name {batch.observer!r} since",))
        places = self._turning.driver.working.cache.places
        recorded, unknown, last = 0, set(), {}
        durable = None
        for seen in batch.observations:
            if seen.master not in places:
                unknown.add(seen.master)
                continue
            place = places[seen.master]  # found anew: a lost append changes the working state
            newest = place.master.observers.get(batch.observer, 0)
            if seen.n < newest or (seen.n == newest and seen.outcome != "closed"):
                continue
            event = _event(seen, batch.observer)
            if isinstance(event, ev.ProbeOk | ev.ProbeDegraded):
                recorded += bool(self._turning.record(event, subject=seen.master))
            else:
                durable = self._turning.ask(event, subject=seen.master)
                recorded += 1
        if durable is not None:
            await durable
        for name, place in places.items():
            last[name] = place.master.observers.get(batch.observer, 0)
        return Told(recorded=recorded, unknown=tuple(sorted(unknown)), last=last)


def _check(batch: Batch) -> None:
    for what, name in (("observer", batch.observer), ("session", batch.session)):
        if not (0 < len(name) <= NAME_MAX and name.isascii() and name.isprintable()):
            raise ValueError(f"{what}: expected a name of 1 to {NAME_MAX} characters")
    if batch.observer in OWN:
        raise ValueError(f"observer: {batch.observer!r} is this engine itself")
    if len(batch.observations) > BATCH_MAX:
        raise ValueError(f"observations: expected at most {BATCH_MAX}")
    for number, seen in enumerate(batch.observations):
        counts = (seen.n, seen.latency_us, seen.late_us, seen.waited_us, seen.epoch or 0)
        if not all(0 <= count <= COUNT_MAX for count in counts):
            raise ValueError(f"observations[{number}]: a count is beyond its limits")


def _event(
    seen: Observation, observer: str
) -> ev.ProbeOk | ev.ProbeDegraded | ev.ProbeFailed | ev.ConnectionClosed:
    match seen.outcome:
        case "ok":
            return ev.ProbeOk(
                n=seen.n,
                latency_us=seen.latency_us,
                boot=shortened(seen.boot),
                epoch=seen.epoch,
                role=shortened(seen.role),
                observer=observer,
            )
        case "degraded":
            return ev.ProbeDegraded(
                n=seen.n,
                latency_us=seen.latency_us,
                reason=shortened(seen.reason) or "degraded",
                boot=shortened(seen.boot),
                epoch=seen.epoch,
                role=shortened(seen.role),
                observer=observer,
            )
        case "failed":
            return ev.ProbeFailed(
                n=seen.n,
                evidence=seen.evidence,
                late_us=seen.late_us,
                waited_us=seen.waited_us,
                detail=shortened(seen.detail),
                observer=observer,
            )
        case _:
            evidence = Evidence.RESET if seen.evidence is Evidence.RESET else Evidence.CLOSED
            return ev.ConnectionClosed(evidence=evidence, observer=observer)
