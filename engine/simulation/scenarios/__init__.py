"""Incidents as files, each with its oracle: what any sound policy makes of them.

    found = judge(load("github-2018-10-21"))
    found.shipped       # what is wrong under the scenario's policy: nothing
    found.naive         # what goes wrong where the first failure acts

A file has the fleet, the changes to the preset, the turns by their times, and what is asked of the
run. A naive controller (naive.py) has to fail it: else the scenario would prove nothing.
"""

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from engine.config import override
from engine.config.durations import microseconds
from engine.core.errors import ConfigurationError
from engine.core.fleet import Mode
from engine.core.policy import (
    ALERTS,
    PRESETS,
    Automation,
    FenceKind,
    GroupPolicy,
    Policy,
    preset,
)
from engine.simulation.checkers import violations
from engine.simulation.runs import Run
from engine.simulation.scenarios.naive import naive_decide, naive_policy
from engine.simulation.scenarios.oracle import RULES
from engine.simulation.schedule import ALL_KINDS, GROUP, Schedule, Setting, Turn
from engine.simulation.world import run

SUFFIX: Final = ".toml"
COMPARE_EVERY: Final = 50  # ends of a batch


class Incident(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it comes from, and what it is like."""

    title: str
    shape: str
    lesson: str
    when: str = ""  # "": it is made up
    source: str = ""


class Fleet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom it happens to."""

    masters: int = 3
    mode: Mode = Mode.ACTIVE_STANDBY
    preset: str = "zone"
    fence: FenceKind = FenceKind.CONFIRMED
    observers: int = 0
    message_every: str = "1s"
    set: tuple[str, ...] = ()  # changes, as `--set` takes them
    alerts: bool = False


class Happening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A turn, at its time from the beginning."""

    at: str
    kind: str
    subject: str = ""
    count: int | str = 0  # a duration is meant in microseconds
    group: str = ""


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    incident: Incident
    fleet: Fleet = Fleet()
    turns: tuple[Happening, ...] = ()
    until: str
    oracle: tuple[dict[str, Any], ...] = ()
    name: str = ""

    def policy(self) -> GroupPolicy:
        """Return the policy that has to meet it: a preset, and what the file changes of it."""
        base = preset(self.fleet.preset, mode=self.fleet.mode)
        policy = Policy(
            groups={
                GROUP: replace(
                    base,
                    automation=Automation.AUTO,
                    effects="http",
                    fence=replace(base.fence, kind=self.fleet.fence),
                )
            }
        )
        for change in self.fleet.set:
            policy = override(policy, change)
        return policy.groups[GROUP]

    def schedule(self, policy: GroupPolicy) -> Schedule:
        """Return what happens, under a policy."""
        setting = Setting(
            policy=policy,
            masters=self.fleet.masters,
            message_every_us=_us(self.fleet.message_every),
            observers=self.fleet.observers,
            flush_us=PRESETS[self.fleet.preset].flush_us,
            alerts=ALERTS if self.fleet.alerts else None,
        )
        return Schedule(setting=setting, turns=tuple(self._turns()))

    def _turns(self) -> Iterator[Turn]:
        now_us = 0
        happenings = sorted(self.turns, key=lambda one: _us(one.at))  # stable: as they are written
        for one in (*happenings, Happening(at=self.until, kind="rest")):
            at_us = _us(one.at)
            count = _us(one.count) if isinstance(one.count, str) else one.count
            yield Turn(
                kind=one.kind,
                gap_us=at_us - now_us,
                subject=one.subject,
                count=count,
                group=one.group,
            )
            now_us = at_us


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario found."""

    name: str
    shipped: tuple[str, ...]  # wrong under its policy; laws that did not hold are among it
    naive: tuple[str, ...]  # wrong where the first failure acts
    failovers: int  # under its policy [count]
    virtual_us: int


def names() -> list[str]:
    """Return the names of all scenarios."""
    found = files(__package__).iterdir()
    return sorted(one.name.removesuffix(SUFFIX) for one in found if one.name.endswith(SUFFIX))


def load(name: str) -> Scenario:
    """Return a scenario by its name.

    Raises:
        ConfigurationError: There is none, or its file is wrong.
    """
    if name not in names():
        raise ConfigurationError([f"expected one of {', '.join(names())}; found {name!r}"])
    text = files(__package__).joinpath(name + SUFFIX).read_text(encoding="utf-8")
    try:
        found = msgspec.convert(tomllib.loads(text), Scenario)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as err:
        raise ConfigurationError([f"{name}{SUFFIX}: {err}"]) from err
    for one in found.turns:
        if one.kind not in ALL_KINDS:
            raise ConfigurationError([f"{name}{SUFFIX}: there is no turn {one.kind!r}"])
    for asked in found.oracle:
        if asked.get("rule") not in RULES:
            raise ConfigurationError([f"{name}{SUFFIX}: there is no rule {asked.get('rule')!r}"])
    return replace(found, name=name)


def judge(scenario: Scenario) -> Judgement:
    """Run a scenario twice, and say what is wrong each time."""
    policy = scenario.policy()
    shipped = run(scenario.schedule(policy), compare_every=COMPARE_EVERY)
    naive = run(
        scenario.schedule(naive_policy(policy)), decide=naive_decide, compare_every=COMPARE_EVERY
    )
    laws = tuple(f"{one.law}: {one.found}" for one in violations(shipped))
    return Judgement(
        name=scenario.name,
        shipped=(*laws, *asked_of(scenario, shipped)),
        naive=tuple(asked_of(scenario, naive)),
        failovers=sum(part.failovers for part in shipped.state.groups.values()),
        virtual_us=shipped.virtual_us,
    )


def asked_of(scenario: Scenario, made: Run) -> list[str]:
    """Return what the oracle of a scenario finds wrong with a run."""
    found = ((asked, RULES[asked["rule"]](made, asked)) for asked in scenario.oracle)
    return [f"{asked['rule']}: {wrong}" for asked, wrong in found if wrong]


def _us(text: str) -> int:
    found = microseconds(text)
    if found is None:
        raise ConfigurationError([f"expected a duration, found {text!r}"])
    return found
