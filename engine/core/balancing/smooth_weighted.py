"""Smooth weighted round robin: in n picks each gets its share, as evenly spread as can be.

At each pick every current weight grows by its base weight; the largest wins and is lowered by the
total. Over one round of `sum(weights)` picks each master is picked exactly `weight` times.

Source: the algorithm of nginx (ngx_http_upstream_round_robin), as `conformance` has its numbers.
"""

from collections.abc import Mapping


class SmoothWeighted:
    """Picks masters by smooth weighted round robin. O(n) a pick."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        """Take the base weights [count, >= 0] by master; those of weight 0 are never picked."""
        self._weights = {name: weight for name, weight in weights.items() if weight > 0}
        self._current = dict.fromkeys(self._weights, 0)
        self._total = sum(self._weights.values())

    def pick(self) -> str:
        """Return the next master; "" if there is none.

        Example:
            >>> picker = SmoothWeighted({"a": 5, "b": 1, "c": 1})
            >>> "".join(picker.pick() for _ in range(7))
            'aabacaa'
        """
        best = ""
        for name, weight in self._weights.items():
            self._current[name] += weight
            if not best or self._current[name] > self._current[best]:
                best = name
        if best:
            self._current[best] -= self._total
        return best
