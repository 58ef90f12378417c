"""When the parts of a state have their next deadlines: the first is found without a walk.

Deadlines are derived from the state. What is kept here is no more than a bound for each part: none
of it is due before. A part to which something happened has none until it is asked for anew, so that
a step costs what happened in it, whatever the number of parts.
"""

import heapq
from collections.abc import Iterable
from typing import Final, TypeAlias

Due: TypeAlias = tuple[int, str, str, str]  # when [us], the part, what, the subject

FAR_US: Final = 1 << 62  # later than any deadline
_SPARE: Final = 64  # entries that the heap may have beyond twice the parts [count]


class Stirred:
    """The parts that something happened to since they were last looked at; first of all, every."""

    __slots__ = ("are_all", "parts")

    def __init__(self) -> None:
        self.are_all = True
        self.parts: set[str] = set()

    def take(self, every: Iterable[str]) -> list[str]:
        """Return those of `every` part that are to be looked at, in its order or in that of names.

        From here on they count as looked at.
        """
        parts = list(every) if self.are_all else sorted(self.parts)
        self.are_all = False
        self.parts.clear()
        return parts


class Earliest:
    """A time for each part, the earliest first; what changes costs O(log n), with n parts."""

    __slots__ = ("_heap", "known")

    def __init__(self) -> None:
        self.known: Final[dict[str, int]] = {}  # the times [us]
        self._heap: list[tuple[int, str]] = []  # the same; some entries are not so any more

    def clear(self) -> None:
        """Forget all."""
        self.known.clear()
        self._heap.clear()

    def forget(self, part: str) -> None:
        """Forget the time of `part`."""
        self.known.pop(part, None)

    def note(self, part: str, at_us: int) -> None:
        """Note the time of `part` [us]; `FAR_US`: it has none, and that is known."""
        known = self.known
        if known.get(part) == at_us:
            return
        known[part] = at_us
        if at_us == FAR_US:
            return
        if len(self._heap) > 2 * len(known) + _SPARE:
            self._heap = [(us, name) for name, us in known.items() if us < FAR_US]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (at_us, part))

    def first(self) -> tuple[int, str]:
        """Return the earliest time [us] and its part; (`FAR_US`, "") if there is none."""
        heap, known = self._heap, self.known
        while heap:
            at_us, part = heap[0]
            if known.get(part) == at_us:
                return heap[0]
            heapq.heappop(heap)
        return FAR_US, ""

    def upto(self, at_us: int) -> list[str]:
        """Return the parts whose time is `at_us` or before, and forget their times."""
        parts = []
        while (first := self.first())[0] <= at_us:
            heapq.heappop(self._heap)
            del self.known[first[1]]
            parts.append(first[1])
        return parts


class Dues:
    """The bounds of all parts."""

    __slots__ = ("bounds", "next_us", "spent", "stirred")

    def __init__(self) -> None:
        self.next_us = 0  # no deadline is due before [us]; 0: not known
        self.stirred: Final = Stirred()
        self.bounds: Final = Earliest()
        # By part, what was acted upon and is due all the same. It is not acted upon again before
        # something else happens there: a rule that clears nothing must not keep up the others.
        self.spent: Final[dict[str, set[Due]]] = {}

    def stir(self, part: str) -> None:
        """Forget the bound of `part`."""
        parts = self.stirred.parts
        if part not in parts:  # else it has none
            parts.add(part)
            self.bounds.forget(part)
        if self.spent:
            self.spent.pop(part, None)
        self.next_us = 0

    def stir_all(self) -> None:
        """Forget all bounds."""
        self.stirred.are_all = True
        self.bounds.clear()
        self.spent.clear()
        self.next_us = 0
