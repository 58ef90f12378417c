"""Events as columns, as a log gives them, from a list of events."""

from collections.abc import Sequence

from engine.core.events import Recorded
from engine.core.lulls import Stretch
from engine.log.codec import encode_rows, stretch_of
from engine.log.protocol import Head


def stretches(events: Sequence[Recorded], *, each: int = 1_000) -> list[Stretch]:
    """Return `events` in stretches of so many."""
    if not events:
        return []
    head = Head(seq=events[0].seq - 1)
    rows = [row[:6] for row in encode_rows(events, head=head, crc=0)]
    return [stretch_of(rows[at : at + each]) for at in range(0, len(rows), each)]
