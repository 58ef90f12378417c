"""Priority: all work goes to the masters of the best priority that can serve.

Among equals it is spread by smooth weighted round robin.
"""

from collections.abc import Mapping

from engine.core.balancing.smooth_weighted import SmoothWeighted


class Priority:
    """Picks among the masters of the lowest priority number."""

    def __init__(self, priorities: Mapping[str, int], weights: Mapping[str, int]) -> None:
        """Take priorities [count, 1 is first] and base weights by master."""
        able = {name: number for name, number in priorities.items() if weights[name] > 0}
        first = min(able.values(), default=0)
        self._among = SmoothWeighted(
            {name: weights[name] for name, number in able.items() if number == first}
        )

    def pick(self) -> str:
        """Return the next master; "" if there is none.

        Example:
            >>> picker = Priority({"a": 2, "b": 1, "c": 1}, {"a": 1, "b": 1, "c": 1})
            >>> [picker.pick() for _ in range(3)]
            ['b', 'c', 'b']
        """
        return self._among.pick()
