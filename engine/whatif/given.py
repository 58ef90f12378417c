"""The recorded log as it is decided upon again: what is left out, and what comes sooner.

Inputs are what came from outside. Decisions, deadlines that passed and outcomes that were assumed
are derived again. A time-out that is narrower than the recorded one turns an answer that took
longer into none, at the moment when that time would have been up; so does one that was overdue
come sooner.
"""

import collections
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from engine.core import events as ev
from engine.core.events import Evidence, Observation, Recorded, Result
from engine.core.gauges import BUDGET
from engine.core.policy import Policy
from engine.core.state import State

# Kinds of observation that a run derives by itself, or that stand for the log and not the world.
DERIVED: Final[frozenset[type]] = frozenset((ev.DeadlinePassed, ev.LogBased))
INPUTS: Final[frozenset[type]] = ev.OBSERVATIONS - DERIVED
ANSWERS: Final[frozenset[type]] = frozenset((ev.Outcome, ev.MessageAcked))

# An event of the log, or none; what is decided upon in its place, or nothing; whether that is new.
Line: TypeAlias = tuple[Recorded | None, Recorded | None, bool]
Change: TypeAlias = Callable[[Policy], Policy]


def is_input(recorded: Recorded) -> bool:
    """Return whether an event came from outside."""
    return not recorded.cause and type(recorded.event) in INPUTS


def rests_on_decisions(event: ev.AnyEvent) -> bool:
    """Return whether an input tells what the recorded decisions came to: the budget of a group."""
    return type(event) is ev.FiguresDerived and event.what == BUDGET


class Limits:
    """The time-outs that are narrower than recorded, by group; the groups of all masters."""

    def __init__(self, change: Change, before: State) -> None:
        self._change = change
        self._groups: dict[str, str] = {}
        self._recorded = before.fleet.policy
        self._asked = change(before.fleet.policy)
        for group in before.groups.values():
            self._groups.update(dict.fromkeys(group.masters, group.id))

    def note(self, recorded: Recorded) -> None:
        """Note who belongs where, and which policy was in force."""
        event = recorded.event
        if type(event) is ev.MasterAdded:
            self._groups[recorded.subject] = event.master.group
        elif type(event) is ev.PolicyAdopted:
            self._recorded, self._asked = event.policy, self._change(event.policy)

    @property
    def lag_us(self) -> int:
        """Return how much sooner something may come at most [us]; 0: no time-out is narrower."""
        return max(
            (
                max(
                    before.probe.timeout_us - after.probe.timeout_us,
                    before.failover.step_timeout_us - after.failover.step_timeout_us,
                )
                for name, before in self._recorded.groups.items()
                if (after := self._asked.groups.get(name)) is not None
            ),
            default=0,
        )

    def narrowed(self, recorded: Recorded) -> Recorded | None:
        """Return what would have been seen in the place of `recorded`; None: the same."""
        name = self._groups.get(recorded.subject, "")
        if name not in self._recorded.groups or name not in self._asked.groups:
            return None
        before, after = self._recorded.groups[name], self._asked.groups[name]
        event, found = recorded.event, None
        limit_us = after.probe.timeout_us
        if limit_us < before.probe.timeout_us:
            found = _probe_cut(event, limit_us)
        step_us = after.failover.step_timeout_us
        if step_us < before.failover.step_timeout_us and isinstance(event, ev.Outcome):
            found = _outcome_cut(event, step_us)
        if found is None:
            return None
        sooner_us, seen = found
        return msgspec.structs.replace(recorded, at_us=recorded.at_us - sooner_us, event=seen)


def _probe_cut(event: ev.AnyEvent, limit_us: int) -> tuple[int, Observation] | None:
    match event:
        case ev.ProbeOk() | ev.ProbeDegraded() if event.latency_us > limit_us:
            overdue = ev.ProbeFailed(
                n=event.n, evidence=Evidence.OVERDUE, waited_us=limit_us, observer=event.observer
            )
            return event.latency_us - limit_us, overdue
        case ev.ProbeFailed(evidence=Evidence.OVERDUE) if event.waited_us > limit_us:
            return event.waited_us - limit_us, msgspec.structs.replace(event, waited_us=limit_us)
        case _:
            return None


def _outcome_cut(event: ev.Outcome, limit_us: int) -> tuple[int, Observation] | None:
    if event.elapsed_us <= limit_us:
        return None
    cut = msgspec.structs.replace(event, result=Result.UNKNOWN, elapsed_us=limit_us, digest="")
    return event.elapsed_us - limit_us, cut


def lines(
    log: Iterable[Recorded], *, skipped: Collection[int] = (), limits: Limits | None = None
) -> Iterator[Line]:
    """Yield the log as it is given, in the order of the times at which things would have come.

    Args:
        log: In order.
        skipped: Seqs of inputs that are left out.
        limits: Time-outs that are narrower; events are held back for as long as one may come sooner
            than another that the log has before it. Without, nothing is held back.
    """
    if limits is None:
        for recorded in log:
            yield recorded, None if recorded.seq in skipped else recorded, recorded.seq in skipped
        return
    held: collections.deque[tuple[int, Line]] = collections.deque()
    for recorded in log:
        limits.note(recorded)
        is_left_out = recorded.seq in skipped
        seen = None if is_left_out or not is_input(recorded) else limits.narrowed(recorded)
        if seen is None:
            held.append(
                (recorded.at_us, (recorded, None if is_left_out else recorded, is_left_out))
            )
        else:
            _insert(held, seen.at_us, (None, seen, True))
            held.append((recorded.at_us, (recorded, None, True)))
        safe_us = recorded.at_us - limits.lag_us
        while held and held[0][0] < safe_us:
            yield held.popleft()[1]
    for _, line in held:
        yield line


def _insert(held: "collections.deque[tuple[int, Line]]", at_us: int, line: Line) -> None:
    """Put a line behind all that came before it or at the same time; few are held."""
    place = len(held)
    while place and held[place - 1][0] > at_us:
        place -= 1
    held.insert(place, (at_us, line))
