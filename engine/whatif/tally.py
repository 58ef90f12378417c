"""What one side of a comparison adds up to: detections, failovers, and who was without service.

Counted from events alone, the same way for what was recorded and for what would have been. Rules:

- A group is *down* while none of the masters that serve it answers anybody who watches, from the
  first sign on and whatever was concluded from it. So a failure that no policy would have noticed
  counts as well.
- A *detection* is a verdict `MasterFailed`; it took the time since the first sign.
- A detection or a failover is *false* if the master that was left answers again within
  `false_within_us` of the verdict: it would have been enough to wait.
"""

import copy
from typing import Final, TypeAlias

import msgspec

from engine.core import events as ev
from engine.core.events import Evidence, Recorded
from engine.core.fleet import Role
from engine.core.policy import SECOND
from engine.core.state import State

FALSE_WITHIN_US: Final = 10 * SECOND
VERDICTS_MAX: Final = 100_000  # kept one by one

Verdict: TypeAlias = tuple[str, int, int]  # the master, since when it gave no answer, when [us]


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What one side adds up to; times in microseconds."""

    failovers: int
    detections: int
    detect_us_total: int
    down_us: dict[str, int]  # by group
    detect_us_max: int
    false_detections: int
    false_failovers: int
    proposals: int
    requeued: int  # messages that went back to the queue [count]


class Tally:
    """Counts events as they come; a copy of it goes on by itself."""

    def __init__(self, state: State, *, false_within_us: int = FALSE_WITHIN_US) -> None:
        self.at_us = state.at_us
        self.failovers = self.detections = self.proposals = self.requeued = 0
        self.false_detections = self.false_failovers = 0
        self.detect_us_total = self.detect_us_max = 0
        self.verdicts: list[Verdict] = []
        self.eyes: dict[str, set[str]] = {}  # who has watched a master
        self.failing: dict[str, dict[str, int]] = {}  # since when it does not answer each of them
        self.bad: dict[str, int] = {}  # since when a master answers nobody any more [us]
        self._within_us = false_within_us
        self.asked: dict[str, int] = {}  # when its connection ended, and nothing came after it
        self._failed: dict[str, int] = {}  # when a master failed that has not answered since
        self._left: dict[str, int] = {}  # the same of one that a failover left
        self._why: dict[str, str] = {}  # of the open failover, by group
        self._source: dict[str, str] = {}
        self._groups: dict[str, str] = {}  # of each master
        self._late_us: dict[str, int] = {}  # by group
        self._serving: dict[str, set[str]] = {}
        self._down_since: dict[str, int] = {}
        self._up_us: dict[str, int] = {}  # when the group was last seen to be served
        self._down_us: dict[str, int] = {}
        for group in state.groups.values():
            self._join(group.id, state.policy_of(group).probe.late_us_max)
            for name, master in group.masters.items():
                self._groups[name] = group.id
                if master.role in (Role.ACTIVE, Role.DRAINING):
                    self._serving[group.id].add(name)
                self.eyes[name] = set(master.observers)
                if master.failures:
                    self.failing[name] = dict.fromkeys(self.eyes[name] or {""}, state.at_us)
                    self.bad[name] = state.at_us
            self._settle(group.id, state.at_us)

    def copy(self) -> "Tally":
        """Return one that has counted the same up to now."""
        return copy.deepcopy(self)

    @property
    def is_at_rest(self) -> bool:
        """Return whether every group is served, and no failover is open."""
        return not self._down_since and not self._why

    def take(self, recorded: Recorded) -> None:
        """Count one event."""
        event, who, at_us = recorded.event, recorded.subject, recorded.at_us
        self.at_us = at_us
        match event:
            case ev.ProbeOk() | ev.ProbeDegraded():
                self._answered(who, event.observer, at_us)
            case ev.ProbeFailed():
                self._unanswered(who, event, at_us)
            case ev.ConnectionClosed():
                self.asked.setdefault(who, at_us)
            case ev.MasterFailed():
                self._detected(who, at_us)
            case ev.Activated() | ev.Switched():
                self._serve(who, at_us, serves=True)
            case ev.MasterFenced():
                self.requeued += event.requeued
                self._serve(who, at_us, serves=False)
            case ev.ActivationLost() | ev.DrainEnded() | ev.MasterRemoved():
                self._serve(who, at_us, serves=False)
            case ev.FailoverStarted():
                self._why[who], self._source[who] = event.why, event.source
            case ev.FailoverEnded():
                self._ended(who, event)
            case ev.FailoverProposed():
                self.proposals += event.why != "first"
            case ev.PolicyAdopted():
                for name, policy in event.policy.groups.items():
                    self._join(name, policy.probe.late_us_max)
            case ev.MasterAdded():
                self._groups[who] = event.master.group
                self._serving.setdefault(event.master.group, set())
            case _:
                pass

    def is_quiet(self, who: str, observer: str) -> bool:
        """Return whether a good answer of `who` changes nothing here but the time."""
        seen = self.eyes.get(who)
        return (
            seen is not None
            and observer in seen
            and who not in self.failing
            and who not in self.asked
        )

    def _answered(self, who: str, observer: str, at_us: int) -> None:
        self.asked.pop(who, None)
        self.eyes.setdefault(who, set()).add(observer)
        failing = self.failing.get(who)
        if failing is None:
            return
        failing.pop(observer, None)
        if not failing:
            del self.failing[who]
        if self.bad.pop(who, None) is None:
            return
        failed_us = self._failed.pop(who, None)
        if failed_us is not None and at_us - failed_us <= self._within_us:
            self.false_detections += 1
        left_us = self._left.pop(who, None)
        if left_us is not None and at_us - left_us <= self._within_us:
            self.false_failovers += 1
        self._settle(self._groups.get(who, ""), at_us)

    def sums(self) -> Sums:
        """Return what it adds up to until the last event."""
        down_us = dict(self._down_us)
        for group, since_us in self._down_since.items():
            down_us[group] += self.at_us - since_us
        return Sums(
            failovers=self.failovers,
            detections=self.detections,
            detect_us_total=self.detect_us_total,
            down_us=dict(sorted(down_us.items())),
            detect_us_max=self.detect_us_max,
            false_detections=self.false_detections,
            false_failovers=self.false_failovers,
            proposals=self.proposals,
            requeued=self.requeued,
        )

    def _join(self, group: str, late_us_max: int) -> None:
        self._late_us[group] = late_us_max
        self._serving.setdefault(group, set())
        self._down_us.setdefault(group, 0)

    def _unanswered(self, who: str, event: ev.ProbeFailed, at_us: int) -> None:
        group = self._groups.get(who, "")
        if event.evidence is Evidence.OVERDUE and event.late_us > self._late_us.get(group, 0):
            return  # the observer was late itself
        began_us = self.asked.pop(who, at_us)
        seen = self.eyes.setdefault(who, set())
        seen.add(event.observer)
        failing = self.failing.setdefault(who, {})
        failing.setdefault(event.observer, began_us)
        if len(failing) == len(seen) and who not in self.bad:
            self.bad[who] = max(failing.values())
            self._settle(group, at_us)

    def _detected(self, who: str, at_us: int) -> None:
        since_us = min(self.failing.get(who, {}).values(), default=at_us)
        took_us = at_us - since_us
        if len(self.verdicts) < VERDICTS_MAX:
            self.verdicts.append((who, since_us, at_us))
        self.detections += 1
        self.detect_us_total += took_us
        self.detect_us_max = max(self.detect_us_max, took_us)
        self._failed[who] = at_us

    def _ended(self, group: str, event: ev.FailoverEnded) -> None:
        why, source = self._why.pop(group, ""), self._source.pop(group, "")
        if event.result != "completed" or why == "first":
            return
        self.failovers += 1
        if source in self._failed:
            self._left[source] = self._failed[source]

    def _serve(self, who: str, at_us: int, *, serves: bool) -> None:
        group = self._groups.get(who, "")
        serving = self._serving.setdefault(group, set())
        if serves:
            serving.add(who)
        else:
            serving.discard(who)
        self._settle(group, at_us)

    def _settle(self, group: str, at_us: int) -> None:
        """Note whether the group is served now; before it ever was, it is not down."""
        if not group:
            return
        serving = self._serving[group]
        if any(who not in self.bad for who in serving):
            since_us = self._down_since.pop(group, None)
            if since_us is not None:
                self._down_us[group] = self._down_us.get(group, 0) + at_us - since_us
            self._up_us[group] = at_us
        elif group in self._up_us and group not in self._down_since:
            # It is down since the last of those who served it gave no answer any more.
            began_us = max((self.bad[who] for who in serving), default=at_us)
            self._down_since[group] = max(began_us, self._up_us[group])
