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


class Dues:
    """The bounds of all parts, the earliest first."""

    __slots__ = ("_heap", "_known", "next_us", "spent", "stirred")

    def __init__(self) -> None:
        self.next_us = 0  # no deadline is due before [us]; 0: not known
        self.stirred: Final = Stirred()
        # By part, what was acted upon and is due all the same. It is not acted upon again before
        # something else happens there: a rule that clears nothing must not keep up the others.
        self.spent: Final[dict[str, set[Due]]] = {}
        self._known: Final[dict[str, int]] = {}  # the bounds [us]; a part that lacks has none yet
        self._heap: list[tuple[int, str]] = []  # the same; some entries are not so any more

    def stir(self, part: str) -> None:
        """Forget the bound of `part`."""
        self.stirred.parts.add(part)
        self._known.pop(part, None)
        self.spent.pop(part, None)
        self.next_us = 0

    def stir_all(self) -> None:
        """Forget all bounds."""
        self.stirred.are_all = True
        self._known.clear()
        self._heap.clear()
        self.spent.clear()
        self.next_us = 0

    def note(self, part: str, due_us: int) -> None:
        """Note that no deadline of `part` is due before `due_us` [us]."""
        self._known[part] = due_us
        if due_us < FAR_US:
            if len(self._heap) > 2 * len(self._known) + _SPARE:
                self._heap = [(at_us, name) for name, at_us in self._known.items()]
                heapq.heapify(self._heap)
            else:
                heapq.heappush(self._heap, (due_us, part))

    def first(self) -> tuple[int, str]:
        """Return the earliest bound [us] and its part; (`FAR_US`, "") if no deadline is known."""
        heap, known = self._heap, self._known
        while heap:
            due_us, part = heap[0]
            if known.get(part) == due_us:
                return heap[0]
            heapq.heappop(heap)
        return FAR_US, ""
