"""What masters would have answered to what was never asked of them: a stated model.

An effect that is owed is done after the median time that this step took in the recorded log, if its
master answered evidence then. If it did not, the effect waits until the master answers again, and a
step of a failover ends as *unknown* when its time is up. A message is acknowledged likewise after
the median of the recorded deliveries. Every such outcome is marked `assumed`.

What a master reports of itself (epoch, role) follows from what it was told. From the moment the
runs part, that is what the model told it; what the recorded report says of effects that were
only recorded is left out, and what came from outside (a restart, a promotion by hand) is kept.
"""

import heapq
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import msgspec

from engine.core import events as ev
from engine.core.events import Observation, Recorded, Result
from engine.core.fleet import Role
from engine.core.lulls import Known
from engine.core.owed import Deliver, Effect, owed_of
from engine.core.policy import MS
from engine.core.sending import Sending, is_current
from engine.core.state import State

ASSUMED_US: Final = 10 * MS  # where nothing of the kind was recorded
KEPT_MAX: Final = 10_000  # recorded times of one step that its median is formed from
DELIVERY: Final = "deliver"
# Steps that the master itself takes; the rest (programs around them, routes) is up to the engine.
BY_MASTER: Final = frozenset(
    ("preflight", "fence", "transfer", "promote", "verify", "follow", "detach")
)
SAYS: Final = "assumed: the median of what was recorded"
SILENT: Final = "assumed: its master did not answer"

Key: TypeAlias = tuple[str, str, int, int]  # step, master, failover, epoch
Report: TypeAlias = tuple[int | None, str, str]  # epoch, role, boot


class Times:
    """How long steps and deliveries took, by group; what is learned is learned once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[int]] = {}
        self._medians: dict[tuple[str, str], int] = {}

    def learn(self, group: str, step: str, elapsed_us: int) -> None:
        """Note that `step` took so long once [us]."""
        found = self._found.setdefault((group, step), [])
        if len(found) < KEPT_MAX:
            found.append(elapsed_us)
            self._medians.pop((group, step), None)

    def add(self, others: "Times") -> None:
        """Learn what `others` has learned."""
        for (group, step), found in others._found.items():
            for elapsed_us in found:
                self.learn(group, step, elapsed_us)

    def median_us(self, group: str, step: str) -> int:
        """Return the median of the group; else of all groups; else what is assumed [us]."""
        key = (group, step)
        if key not in self._medians:
            own = self._found.get(key) or [
                value for (_, name), found in self._found.items() if name == step for value in found
            ]
            self._medians[key] = sorted(own)[len(own) // 2] if own else ASSUMED_US
        return self._medians[key]

    def document(self) -> dict[str, dict[str, int]]:
        """Return the medians that were used, by group and step [us]."""
        shown: dict[str, dict[str, int]] = {}
        for (group, step), value in sorted(self._medians.items()):
            shown.setdefault(group, {})[f"{step}_us"] = value
        return shown


def learned(outcomes: Iterable[Recorded], groups: dict[str, str]) -> Times:
    """Return the times of the recorded `outcomes`; `groups` has the group of each master."""
    times = Times()
    for recorded in outcomes:
        event = recorded.event
        if isinstance(event, ev.Outcome) and event.result is Result.OK:
            times.learn(groups.get(recorded.subject, ""), event.step, event.elapsed_us)
    return times


class _Waiting(msgspec.Struct, kw_only=True):
    """An effect that is under way; `due_us` is when it is answered or given up."""

    effect: Effect
    since_us: int
    due_us: int
    is_silent: bool  # its master did not answer: what is due is the end of its time


class Model:
    """The world after the runs have parted: what is under way, and what masters were told."""

    def __init__(self, state: State, times: Times, silent: Iterable[str]) -> None:
        self._state = state
        self._times = times
        self._silent = set(silent)
        self._under_way: dict[Key, _Waiting] = {}
        self._given_up: set[Key] = set()
        self._deliveries: list[tuple[int, int, Deliver]] = []  # a heap: due, order, what
        self._held: dict[str, list[Deliver]] = {}  # for masters that do not answer
        self._order = 0
        self._told: dict[str, Report] = {}
        self._recorded: dict[str, Report] = {}
        self._drawn: dict[str, set[int]] = {}  # epochs that the recorded log drew, by group
        for name, place in state.cache.places.items():
            master = place.master
            report = (master.reported_epoch, master.reported_role, master.boot)
            self._told[name] = self._recorded[name] = report
        self.sending: Final = Sending()
        self.sending.reset(state)

    # What was recorded, and is no input any more.

    def note(self, recorded: Recorded) -> None:
        """Note what the recorded log told its masters, so that their reports can be read."""
        event = recorded.event
        match event:
            case ev.AttemptStarted() | ev.Activated():
                epoch = event.epoch
            case ev.MasterFenced():
                epoch = event.confirm_at
            case _:
                return
        group = self._state.group_of(recorded.subject)
        if group is not None:
            self._drawn.setdefault(group.id, set()).add(epoch)

    def seen_plainly(self, event: ev.ProbeOk, who: str) -> ev.ProbeOk | None:
        """Return what `seen` would, if that is all there is to do.

        None: an answer of `who` is not like its last one, or something is under way.
        """
        if self._under_way or self._deliveries or who in self._silent:
            return None
        report = (event.epoch, event.role, event.boot)
        if who not in self._state.cache.places or report != self._recorded.get(who):
            return None
        told = self._told[who]
        if told == report:
            return event
        return msgspec.structs.replace(event, epoch=told[0], role=told[1], boot=told[2])

    def known(self, here: Mapping[str, Known]) -> dict[str, Known] | None:
        """Return what the recorded log has of masters of which the state has `here`.

        None: something is under way, or an answer like the last one would be news.
        """
        if self._under_way or self._deliveries or not self._silent.isdisjoint(here):
            return None
        found = {}
        for who, (number, (boot, epoch, role)) in here.items():
            if self._told[who] != (epoch, role, boot) or who not in self._recorded:
                return None
            epoch, role, boot = self._recorded[who]
            found[who] = (number, (boot, epoch, role))
        return found

    def seen(self, event: Observation, who: str) -> Observation:
        """Return an answer of `who` as it would have been: with what it was told here."""
        if not isinstance(event, ev.ProbeOk | ev.ProbeDegraded):
            return event
        report = (event.epoch, event.role, event.boot)
        before = self._recorded.get(who)
        if report != before:
            self._recorded[who] = report
            if before is None or self._is_from_outside(who, before, report):
                self._told[who] = report
        told = self._told[who]
        if told == report:
            return event
        return msgspec.structs.replace(event, epoch=told[0], role=told[1], boot=told[2])

    def _is_from_outside(self, who: str, before: Report, after: Report) -> bool:
        if after[2] != before[2]:
            return True  # another process: it knows only what it says
        group = self._state.group_of(who)
        return group is None or after[0] not in self._drawn.get(group.id, ())

    def heard(self, who: str, at_us: int, *, is_good: bool) -> None:
        """Note whether `who` answers; what waited for it goes on."""
        if not is_good:
            self._silent.add(who)
            return
        if who not in self._silent:
            return
        self._silent.discard(who)
        for key, waiting in list(self._under_way.items()):
            if key[1] == who and waiting.is_silent:
                del self._under_way[key]
        self._given_up = {key for key in self._given_up if key[1] != who}
        for deliver in self._held.pop(who, ()):
            self._send(deliver, at_us)
        self.issue(at_us)

    # What is under way.

    def issue(self, at_us: int) -> None:
        """Begin whatever is owed and is not under way."""
        state = self._state
        for group in state.groups.values():
            policy = state.policy_of(group)
            if policy.effects == "none":
                continue  # taken for done where it is owed
            for effect in owed_of(state, group):
                key = (effect.step, effect.master, effect.failover, effect.epoch)
                if key in self._under_way or key in self._given_up:
                    continue
                is_silent = effect.master in self._silent and effect.step in BY_MASTER
                took_us = (
                    policy.failover.step_timeout_us
                    if is_silent
                    else self._times.median_us(group.id, effect.step)
                )
                self._under_way[key] = _Waiting(
                    effect=effect, since_us=at_us, due_us=at_us + took_us, is_silent=is_silent
                )
        for deliver in self.sending.due(state, at_us, under_way_max=None):
            self._send(deliver, at_us)

    def _send(self, deliver: Deliver, at_us: int) -> None:
        if deliver.master in self._silent:
            self._held.setdefault(deliver.master, []).append(deliver)
            return
        self._order += 1
        due_us = at_us + self._times.median_us(deliver.group, DELIVERY)
        heapq.heappush(self._deliveries, (due_us, self._order, deliver))

    def stopped(self) -> None:
        """Forget what was under way: no engine ran."""
        self._under_way.clear()
        self._given_up.clear()
        self._deliveries.clear()
        self._held.clear()
        self.sending.reset(self._state)

    @property
    def next_us(self) -> int | None:
        """Return when the next answer comes [us]; None: nothing is under way."""
        dues = [waiting.due_us for waiting in self._under_way.values()]
        if self._deliveries:
            dues.append(self._deliveries[0][0])
        return min(dues, default=None)

    def answer(self, due_us: int) -> tuple[str, Observation] | None:
        """Return who answers what at `due_us`, which is `next_us`; None: it matters no more."""
        for key, waiting in self._under_way.items():
            if waiting.due_us == due_us:
                return self._outcome(key, waiting)
        _, _, deliver = heapq.heappop(self._deliveries)
        if not is_current(self._state, deliver):
            return None
        return deliver.master, ev.MessageAcked(key=deliver.key, epoch=deliver.epoch)

    def _outcome(self, key: Key, waiting: _Waiting) -> tuple[str, Observation] | None:
        del self._under_way[key]
        effect = waiting.effect
        group = self._state.groups.get(effect.group)
        if group is None or effect not in owed_of(self._state, group):
            return None  # settled meanwhile
        if waiting.is_silent:
            self._given_up.add(key)  # the same again is no news until its master answers
        else:
            self._tell(effect)
        return effect.master, ev.Outcome(
            step=effect.step,
            failover=effect.failover,
            epoch=effect.epoch,
            result=Result.UNKNOWN if waiting.is_silent else Result.ASSUMED,
            detail=SILENT if waiting.is_silent else SAYS,
            elapsed_us=waiting.due_us - waiting.since_us,
        )

    def _tell(self, effect: Effect) -> None:
        """Let the master know what an effect says, if it says such things at all."""
        report = self._told.get(effect.master)
        if report is None or report[0] is None or effect.step not in ("fence", "promote"):
            return
        role = report[1]
        if role:
            role = (Role.ACTIVE if effect.step == "promote" else Role.STANDBY).value
        self._told[effect.master] = effect.epoch, role, report[2]
