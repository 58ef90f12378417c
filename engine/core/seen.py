"""What is kept of what was seen of one master, beside the counters in `state`.

Each of these is there only for a master of which such a thing was ever seen, or whose policy asks
for it; so the state of a quiet fleet is no larger for them.
"""

from typing import Final

import msgspec

# Of a report: what may be said or not, -1 if it never was.
FIGURES: Final = (
    "cpu_ppm",
    "memory_ppm",
    "queue",
    "active",
    "errors_ppm",
    "position",
    "lag_us",
    "lease_us",
)


class Report(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a master said of itself last, figure by figure: the fields are those of the event."""

    seq: int = 0  # the newest report
    at_us: int = 0  # when it came
    load_us: int = 0  # when processor, memory, queue or work under way were last said
    position_us: int = 0  # when the position was
    cpu_ppm: int = -1
    memory_ppm: int = -1
    queue: int = -1
    active: int = -1
    errors_ppm: int = -1
    position: int = -1
    lag_us: int = -1
    lease_us: int = -1
    follows: str = ""
