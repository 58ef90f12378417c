"""What a benchmark says: goals, each with its parts, every figure beside its floor.

A floor is what the same work costs without the engine, or with a rival, in the same run: absolute
figures drift with the machine, their ratio hardly does.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

TITLES: Final = {
    "P1": "append",
    "P2": "replay",
    "P3": "against the eventsourcing library",
    "P4": "restart and memory",
}


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure has to be: its value or its ratio, at least or at most this much."""

    of: Literal["value", "ratio"]
    at_least: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        sign, limit = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        return f"{self.of} {sign} {limit:g}"

    def is_met(self, figure: float) -> bool:
        """Return whether `figure` is within the bound."""
        return (self.at_least is None or figure >= self.at_least) and (
            self.at_most is None or figure <= self.at_most
        )


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a goal."""

    name: str
    what: str
    unit: str
    value: float | None  # None: it was not measured, `reason` says why
    floor: float | None  # in the same unit; None: there is nothing to compare it with
    floor_is: str
    ratio: float | None  # value / floor
    goal: Bound | None  # None: the figure is only shown
    met: bool | None  # None: there is no goal, or no figure
    reason: str = ""


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """A goal: met if all its parts are; None if none of them was measured."""

    goal: str
    title: str
    met: bool | None
    parts: tuple[Part, ...]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What it was measured on."""

    sqlite: str
    driver: str  # the Python module that brought that SQLite
    python: str
    cores: int
    load: float | None  # processes that wanted to run when it began, over a minute; None: unknown
    system: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one run of the benchmarks found."""

    quick: bool  # sizes were small, so the figures are rough
    rounds: int
    machine: Machine
    goals: tuple[Goal, ...]

    @property
    def is_missed(self) -> bool:
        """Return whether a goal was missed."""
        return any(goal.met is False for goal in self.goals)


def part(
    name: str,
    what: str,
    unit: str,
    value: float,
    *,
    floor: float | None = None,
    floor_is: str = "",
    goal: Bound | None = None,
) -> Part:
    """Return a figure with its ratio and its verdict."""
    ratio = None if floor is None or floor <= 0 else value / floor
    judged = ratio if goal is not None and goal.of == "ratio" else value
    return Part(
        name=name,
        what=what,
        unit=unit,
        value=value,
        floor=floor,
        floor_is=floor_is,
        ratio=ratio,
        goal=goal,
        met=None if goal is None or judged is None else goal.is_met(judged),
    )


def unmeasured(name: str, what: str, unit: str, *, goal: Bound | None, reason: str) -> Part:
    """Return a figure that there is none of, and why."""
    return Part(
        name=name,
        what=what,
        unit=unit,
        value=None,
        floor=None,
        floor_is="",
        ratio=None,
        goal=goal,
        met=None,
        reason=reason,
    )


def goals(found: Mapping[str, list[Part]]) -> tuple[Goal, ...]:
    """Return the goals, in order, from their parts."""
    return tuple(
        Goal(goal=name, title=title, met=_met(found[name]), parts=tuple(found[name]))
        for name, title in TITLES.items()
        if name in found
    )


def _met(parts: list[Part]) -> bool | None:
    verdicts = [part.met for part in parts if part.met is not None]
    return all(verdicts) if verdicts else None


Tick = Callable[[], None]  # called when a round is over
