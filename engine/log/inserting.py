"""Many rows by few statements.

The driver lets the interpreter's lock go at each step of a statement, and where another thread is
busy it is had again only after the switch interval. So a batch of a hundred rows that go one by one
takes ten milliseconds, during which nothing else can become durable; as one statement, one or two.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

ROWS_MAX: Final = 256  # in one statement; more are some statements more


class Insertion:
    """Puts rows into a table; its statements are the same ones each time, so they stay prepared."""

    def __init__(self, into: str, *, columns: int) -> None:
        """`into` is an INSERT up to its values; each row has a value for every one of `columns`."""
        row = f"({', '.join('?' * columns)})"
        sizes = [1 << power for power in range(ROWS_MAX.bit_length())]
        self._statements: Final = {
            size: f"{into} VALUES {', '.join([row] * size)}" for size in sizes
        }

    def put(
        self, cursor: Any, rows: Sequence[Sequence[object]], *, together_max: int = ROWS_MAX
    ) -> int:
        """Insert `rows` in their order; return how many were not there yet [count].

        At most `together_max` go into one statement, which has a copy of what they hold until it is
        used again [count, 1 to ROWS_MAX].
        """
        new = start = 0
        while start < len(rows):
            # As many as there are, down to a power of two: any number takes a few statements.
            size = 1 << min(len(rows) - start, together_max).bit_length() - 1
            values = tuple(chain.from_iterable(rows[start : start + size]))
            new += cursor.execute(self._statements[size], values).rowcount
            start += size
        return new
