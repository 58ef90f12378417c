"""The programs of operators: around steps, and to heal a master.

One that lies says that all is well and has done nothing.
"""

from typing import Final

import msgspec

from engine.core.events import Result
from engine.core.owed import Effect
from engine.core.policy import MS, GroupPolicy
from engine.simulation.masters import Phase, SimulatedMaster

PROGRAM_US: Final = 20 * MS  # what a program takes that ends by itself
PREFIXES: Final = ("before-", "after-", "recover")


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """How a program fares that was just started."""

    kind: str  # "" or what befell it, as the turns name it
    takes_us: int


class Programs:
    """What befalls the next ones."""

    def __init__(self) -> None:
        """Let nothing befall them."""
        self._waiting: dict[str, int] = {}  # by kind, of how many programs [count]

    def strike(self, kind: str, count: int) -> None:
        """Let this befall the next `count` programs."""
        self._waiting[kind] = count

    def heal(self) -> None:
        """Let nothing befall them any more."""
        self._waiting.clear()

    def begun(self, effect: Effect, policy: GroupPolicy) -> Fate:
        """Return how the program fares that is started now."""
        kind = next((kind for kind, left in self._waiting.items() if left > 0), "")
        if kind:
            self._waiting[kind] -= 1
        is_killed = kind == "program-hangs"
        return Fate(kind=kind, takes_us=_most_us(effect, policy) if is_killed else PROGRAM_US)


def is_program(effect: Effect) -> bool:
    """Return whether `effect` is a program of the operator, and no step."""
    return effect.step.startswith(PREFIXES)


def ended(effect: Effect, fate: Fate, master: SimulatedMaster) -> tuple[Result, str]:
    """Let a program end; return its result, and what it says.

    It fares as the master does that it is about, if nothing else befell it; one heals who is down.
    """
    if fate.kind == "program-hangs":
        return Result.UNKNOWN, "killed"
    if fate.kind == "program-fails":
        return Result.REFUSED, "says no"
    if fate.kind == "program-lies":
        return Result.OK, ""
    if effect.step == "recover":
        if master.phase is Phase.DOWN:
            master.restart()
        return Result.OK, ""
    if master.phase is Phase.HUNG:
        return Result.UNKNOWN, "killed"
    return (Result.REFUSED if master.refusals else Result.OK), ""


def _most_us(effect: Effect, policy: GroupPolicy) -> int:
    """Return when the program of `effect` is killed [us]."""
    if effect.step == "recover":
        return PROGRAM_US if policy.recover is None else policy.recover.timeout_us
    hooks_us = 0 if policy.hooks is None else policy.hooks.timeout_us
    return hooks_us or policy.failover.step_timeout_us
