"""What is kept of what was seen of one master, beside the counters in `state`.

Each of these is there only for a master of which such a thing was ever seen, or whose policy asks
for it; so the state of a quiet fleet is no larger for them.
"""

from typing import Final

import msgspec

MAINTENANCE: Final = "maintenance"  # the deadline of a window that begins or ends
SILENT: Final = "silent_after"  # the deadline of a load that is not spoken of any more
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


class Report(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
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
    over: list[int] = msgspec.field(default_factory=list)  # reports in a row beyond a limit [seq]
    within: int = 0  # reports in a row within all limits, after those [count]
    is_silent: bool = False  # nothing was said of its load for too long
    # Since when a share is so large that it is critical if it lasts [us], by its name.
    hot: dict[str, int] = msgspec.field(default_factory=dict)


class Derived(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Figures that the engine has counted, as of a time."""

    seq: int
    at_us: int
    figures: tuple[tuple[str, int], ...] = ()


class Ejected(msgspec.Struct, kw_only=True, gc=False):
    """That a master gets no traffic for what its requests met, or that it was so the last time."""

    until_us: int
    times: int  # in a row [count]
    is_out: bool  # until then; False: it gets traffic again


class Eye(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What another observer saw of one master; the engine's own eye is in the master's fields."""

    heard_us: int = 0  # its last result, by arrival
    good_us: int = 0  # the last good one
    good_seq: int = 0
    failures: list[int] = msgspec.field(default_factory=list)  # seqs of failed ones in a row
    failing_us: int = 0  # when the first of them came
    refused: int = 0  # refused ones in a row
    question: int = 0  # seq of a closed connection that nothing has answered yet; 0: none
    gone_seq: int = 0  # the refusal that answered a closed connection


class Gaps(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """How regularly good answers come: moving averages over the intervals between them."""

    count: int = 0  # intervals seen, up to the warm-up [count]
    mean_us: int = 0
    variance: int = 0  # [us^2]


class Flaps(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The last changes between answered and failed, as the lengths of the runs between them."""

    runs: list[int] = msgspec.field(default_factory=list)  # ended ones, the newest last [count]
    bad: int = 0  # failed checks in a row now; 0: the last one was answered [count]
    since_seq: int = 0  # the decision that it flaps; 0: it does not
