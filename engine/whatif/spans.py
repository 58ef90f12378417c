"""Two timelines side by side: the stretches of time in which they do not say the same.

Only what is decided about masters and failovers is compared; messages, deadlines and outcomes are
left out. What is decided in both within one stretch, about the same subject, is the same, even if
one has it a few milliseconds later, as the model does not know the time of each step: that is
counted as shifted and not shown. A verdict that comes a probe later is a difference.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from engine.core import events as ev
from engine.core.events import KINDS, Recorded
from engine.core.policy import MS, SECOND

GAP_US: Final = SECOND  # of silence on both sides, that ends a stretch
SHIFT_US: Final = 10 * MS  # what two that say the same may differ by
SPANS_MAX: Final = 1_000  # shown; those beyond are counted
ITEMS_MAX: Final = 200  # of one side of a stretch
QUIET: Final = (ev.MessagesAssigned, ev.MessageDone, ev.StateKept, ev.AlertPending)
NEWS: Final[frozenset[type]] = frozenset(KINDS.values()) - ev.OBSERVATIONS - frozenset(QUIET)


Times = dict[tuple[object, ...], list[int]]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of one side."""

    recorded: Recorded
    is_assumed: bool = False  # it rests on an outcome of the model


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch in which the sides differ."""

    at_us: int
    recorded: tuple[Item, ...]
    whatif: tuple[Item, ...]


class Spans:
    """Collects decisions of both sides, roughly in the order of time."""

    def __init__(self) -> None:
        self.found: Final[list[Difference]] = []
        self.count = 0  # of all that differ, also those that are not kept
        self.shifted = 0  # stretches that differ in time only
        self._sides: tuple[list[Item], list[Item]] = ([], [])
        self._began_us = self._last_us = 0

    def take(self, recorded: Iterable[Item], whatif: Iterable[Item]) -> None:
        """Take what each side has decided since the last call."""
        both = ((0, item) for item in recorded), ((1, item) for item in whatif)
        for side, item in sorted(
            (pair for pairs in both for pair in pairs), key=lambda pair: pair[1].recorded.at_us
        ):
            if type(item.recorded.event) not in NEWS:
                continue
            at_us = item.recorded.at_us
            if at_us > self._last_us + GAP_US:
                self.close()
                self._began_us = at_us
            self._last_us = max(self._last_us, at_us)
            self._sides[side].append(item)

    def close(self) -> None:
        """End the stretch that is open."""
        theirs, ours = self._sides
        self._sides = ([], [])
        if not theirs and not ours:
            return
        shift_us = _shift_us(theirs, ours)
        if shift_us is not None and shift_us <= SHIFT_US:
            self.shifted += shift_us > 0
            return
        self.count += 1
        if len(self.found) < SPANS_MAX:
            self.found.append(
                Difference(
                    at_us=self._began_us,
                    recorded=tuple(theirs[:ITEMS_MAX]),
                    whatif=tuple(ours[:ITEMS_MAX]),
                )
            )


def _shift_us(theirs: list[Item], ours: list[Item]) -> int | None:
    """Return by how much the same decisions are apart at most [us]; None: they are not the same."""
    times: tuple[Times, Times] = ({}, {})
    for side, items in zip(times, (theirs, ours), strict=True):
        for item in items:
            side.setdefault(outline(item), []).append(item.recorded.at_us)
    if {key: len(found) for key, found in times[0].items()} != {
        key: len(found) for key, found in times[1].items()
    }:
        return None
    return max(
        abs(one - other)
        for key, found in times[0].items()
        for one, other in zip(found, times[1][key], strict=True)
    )


# What of a decision says what happens, and not on which figures, seqs and times it rests.
_TELLING: Final = ("heir", "result", "why", "source", "to", "waits", "hard", "strategy", "what")


def outline(item: Item) -> tuple[object, ...]:
    """Return what a decision says that matters to others."""
    event = item.recorded.event
    said = tuple(getattr(event, name, None) for name in _TELLING)
    return type(event).__name__, item.recorded.subject, said
