"""What would happen if a master failed now: the same rules, on a copy of the state.

Its connection ends and a fresh one is refused. All others go on answering as they did, effects are
assumed to be done at once, but for those owed to the one that failed, and time goes on until the
group is served again, or waits for something that no time ends, or for longer than anybody watches.
"""

import copy
from typing import Any, Final

import msgspec

from engine.answers.waiting import sentence, wait_of
from engine.answers.words import lasting
from engine.core import events as ev
from engine.core import state as st
from engine.core.blocking import want
from engine.core.candidates import heir, table
from engine.core.deadlines import next_due_us
from engine.core.decider import step
from engine.core.events import Evidence, Observation, Recorded, Result
from engine.core.fleet import Health, Role
from engine.core.owed import owed_of
from engine.core.policy import MINUTE, SECOND
from engine.core.serving import able
from engine.core.state import GroupState, State, active_of, is_active_standby
from engine.whatif.model import BY_MASTER

WATCHED_US: Final = 2 * MINUTE  # how far ahead is looked
TURNS_MAX: Final = 1_000
FORESEEN_MAX: Final = 100  # masters of one answer
COPIED_MAX: Final = 2_000  # masters that are copied for one answer: each try takes its whole group
NAMED_MAX: Final = 3  # masters in one sentence
SERVING: Final = (Role.ACTIVE, Role.DRAINING)


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen if one master failed now."""

    master: str
    role: str
    ends: str  # served, waits, proposed, nobody, unnoticed
    heir: str  # who serves then, or would; "": nobody
    after_us: int  # until then, without the time that effects take [us]
    requeued: int  # messages that would be sent again [count]
    says: str


def foresee(state: State, group: GroupState, name: str) -> Foreseen:
    """Return what would happen to `group` if its master `name` failed now."""
    role = group.masters[name].role
    world = _World(_alone(state, group), group.id, name)
    if not is_active_standby(state, group):
        return _of_all_serving(world, role)
    world.fail()
    if role not in SERVING:
        return _of_standby(world, role)
    world.go_on()
    return _of_active(world, role)


def foreseen(state: State, group: GroupState, most: int = FORESEEN_MAX) -> list[Foreseen]:
    """Return what would happen if each master failed: those that serve first, `most` of them."""
    names = sorted(group.masters, key=lambda name: group.masters[name].role not in SERVING)
    most = min(most, max(1, COPIED_MAX // max(1, len(names))))
    return [foresee(state, group, name) for name in names[:most]]


def with_foresight(status: dict[str, Any], state: State) -> dict[str, Any]:
    """Return a status in which every group says what happens `if_failed`, by master."""
    room, copies = FORESEEN_MAX, COPIED_MAX
    groups: dict[str, Any] = {}
    for name, document in status["groups"].items():
        group = state.groups.get(name)
        found = [] if group is None or copies <= 0 else foreseen(state, group, room)
        room -= len(found)
        copies -= len(found) * (0 if group is None else len(group.masters))
        groups[name] = {
            **document,
            "if_failed": {one.master: msgspec.to_builtins(one) for one in found},
        }
    return {**status, "groups": groups}


def _alone(state: State, group: GroupState) -> State:
    """Return a state of one group that moves by itself; the others stand still in it."""
    alone = State()
    alone.groups = {group.id: group}
    made = st.copy(alone)
    fleet = copy.copy(state.fleet)
    for name in fleet.__struct_fields__:
        value = getattr(fleet, name)
        if isinstance(value, list | dict):
            setattr(fleet, name, copy.copy(value))
    made.fleet, made.seq, made.at_us = fleet, state.seq, state.at_us
    st.reindex(made)
    return made


class _World:
    """A group in which one master has failed, and all others answer."""

    def __init__(self, state: State, group: str, name: str) -> None:
        self.state = state
        self.name = name
        self._group = group
        self._well = [
            other
            for other, master in self.group.masters.items()
            if other != name and master.health in (Health.HEALTHY, Health.DEGRADED)
        ]
        self._n = 1 + max(
            (n for master in self.group.masters.values() for n in master.observers.values()),
            default=0,
        )
        self.began_us = state.at_us
        self.seen: list[Recorded] = []

    @property
    def group(self) -> GroupState:
        return self.state.groups[self._group]

    def fail(self) -> None:
        """Let the master fail, beyond doubt, in the eyes of all who watch it."""
        for observer in self._eyes(self.name):
            closed = ev.ConnectionClosed(evidence=Evidence.CLOSED, observer=observer)
            self._see(closed, self.name)
        self._probe_failed()

    def _eyes(self, name: str) -> list[str]:
        return sorted(self.group.masters[name].observers) or [""]

    def go_on(self) -> None:
        """Let time pass until there is nothing to wait for."""
        for _ in range(TURNS_MAX):
            if self._do_effect():
                continue
            if self.is_served or (self.group.saga is None and want(self.group) is None):
                return
            block = wait_of(self.state, self.group)
            due_us = next_due_us(self.state)
            if block is not None and not block.until_us:
                return
            until_us = block.until_us if block is not None else due_us
            if until_us is None or until_us > self.began_us + WATCHED_US:
                return
            self._pass(until_us)

    @property
    def is_served(self) -> bool:
        """Return whether another master is active, and no failover open."""
        return active_of(self.group) not in ("", self.name) and self.group.saga is None

    def _do_effect(self) -> bool:
        """Assume the next effect that is owed to somebody who answers; return whether one is."""
        for effect in owed_of(self.state, self.group):
            if effect.master == self.name and effect.step in (*BY_MASTER, "recover"):
                continue
            before = self.state.seq
            outcome = ev.Outcome(
                step=effect.step,
                failover=effect.failover,
                epoch=effect.epoch,
                result=Result.ASSUMED,
            )
            self._see(outcome, effect.master)
            if any(one.seq > before + 1 for one in self.seen[-1:]):
                return True  # something followed
            if effect not in owed_of(self.state, self.group):
                return True
        return False

    def _pass(self, until_us: int) -> None:
        """Let time pass to `until_us`; everybody answers, or does not, now and then."""
        silence_us = self.state.policy_of(self.group).probe.unknown_after_us
        tick_us = max(1, min(silence_us // 2 or SECOND, WATCHED_US // 20))
        at_us = self.state.at_us + tick_us
        while at_us < until_us - 1:
            self._probe(at_us)
            at_us += tick_us
        if until_us - 1 > self.state.at_us:
            self._probe(until_us - 1)
        self.seen += step(self.state, None, at_us=max(until_us, self.state.at_us))

    def _probe(self, at_us: int) -> None:
        for name in self._well:
            master = self.group.masters[name]
            self._n += 1
            answer = ev.ProbeOk(
                n=self._n,
                latency_us=0,
                boot=master.boot,
                epoch=master.epoch or master.reported_epoch if self._is_told(name) else None,
                role=master.role.value if master.reported_role and self._is_told(name) else "",
                observer=self._eyes(name)[0],
            )
            self._see(answer, name, at_us=at_us)
        self._probe_failed(at_us)

    def _is_told(self, name: str) -> bool:
        return self.group.masters[name].reported_epoch is not None

    def _probe_failed(self, at_us: int = 0) -> None:
        for observer in self._eyes(self.name):
            self._n += 1
            refused = ev.ProbeFailed(n=self._n, evidence=Evidence.REFUSED, observer=observer)
            self._see(refused, self.name, at_us=at_us)

    def _see(self, event: Observation, who: str, *, at_us: int = 0) -> None:
        at_us = max(at_us, self.state.at_us)
        self.seen += step(self.state, event, subject=who, at_us=at_us)


def _of_active(world: _World, role: Role) -> Foreseen:
    group, name = world.group, world.name
    requeued = sum(
        one.event.requeued for one in world.seen if isinstance(one.event, ev.MasterFenced)
    )
    after_us = world.state.at_us - world.began_us
    if world.is_served:
        new = active_of(group)
        when = f"after {lasting(after_us)}" if after_us else "at once"
        return _foreseen(
            name, role, "served", new, after_us, f"{new} takes over {when}", requeued=requeued
        )
    proposals = (one.event for one in world.seen)
    proposed = next((one for one in proposals if isinstance(one, ev.FailoverProposed)), None)
    if proposed is not None:
        says = f"it only observes: it would propose {proposed.heir}"
        return _foreseen(name, role, "proposed", proposed.heir, after_us, says)
    able = heir(table(world.state, group, world.state.at_us))
    if group.saga is not None and group.saga.heir:
        able = group.saga.heir
    block = wait_of(world.state, group)
    is_open = block is None or (
        group.saga is None and block.reason in ("quorum", "observers contradict")
    )
    if is_open and active_of(group) == name and want(group) is None:
        says = "it would not be found to have failed: too few who watch it have to agree"
        return _foreseen(name, role, "unnoticed", "", after_us, says)
    if block is None:
        says = f"{name} is left and nobody serves"
        return _foreseen(name, role, "nobody", "", after_us, says, requeued=requeued)
    ends = "waits" if able else "nobody"
    then = f"; then {able} takes over" if able else ""
    says = f"{sentence(world.state, group, block)}{then}"
    return _foreseen(name, role, ends, able, after_us, says, requeued=requeued)


def _of_standby(world: _World, role: Role) -> Foreseen:
    group = world.group
    active = active_of(group)
    able = heir(table(world.state, group, world.state.at_us)) if active else ""
    if not active:
        says = "nobody serves already"
    elif able:
        says = f"{active} serves on; {able} would take over from it"
    else:
        says = f"{active} serves on, and nobody could take over from it"
    return _foreseen(world.name, role, "served" if active else "nobody", able, 0, says)


def _of_all_serving(world: _World, role: Role) -> Foreseen:
    had = world.group.ledger.assigned.get(world.name, 0)
    world.fail()
    world.go_on()
    others = sorted(able(world.group) - {world.name})
    if not others:
        return _foreseen(world.name, role, "nobody", "", 0, "nobody serves", requeued=had)
    few = ", ".join(others[:NAMED_MAX]) + (" …" if len(others) > NAMED_MAX else "")
    few += " serves on" if len(others) == 1 else " serve on"
    back = f"; {had} messages go to them" if had else ""
    return _foreseen(world.name, role, "served", others[0], 0, few + back, requeued=had)


def _foreseen(
    name: str, role: Role, ends: str, able: str, after_us: int, says: str, *, requeued: int = 0
) -> Foreseen:
    return Foreseen(
        master=name,
        role=role.value,
        ends=ends,
        heir=able,
        after_us=after_us,
        requeued=requeued,
        says=says,
    )
