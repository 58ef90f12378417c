"""What a look at a master comes to, whatever the kind of probe, and what does the looking.

A `Link` is the way to one master. It is asked one probe at a time, and each gets exactly one
result: `Answer`, `Failure` or `Interrupted`. Whatever a master does, that result comes at the
latest when its time is up, and takes no more memory than the limits of its kind.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import msgspec

from engine.core.events import Evidence, LoadReported

TEXT_MAX: Final = 200  # characters kept of what a master says, because it goes into the log
# Lateness of an observer that lacked the means to ask at all: recorded, and beyond every limit.
LATE_OWN_US: Final = 3_600_000_000
# What every reader of JSON still counts exactly; a higher figure is a lie or an accident.
COUNT_MAX: Final = 2**48


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The master answered; what it does not say is "" or None."""

    latency_us: int
    status: int = 0  # of HTTP, 200 to 399; 0: it speaks something else
    boot: str = ""
    epoch: int | None = None
    role: str = ""
    degraded: str = ""  # why it is not well; "" if it is
    report: LoadReported | None = None  # what it says of itself besides; None: nothing


class Failure(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The probe failed; `late_us` is how late the observer itself was meanwhile."""

    evidence: Evidence
    waited_us: int
    late_us: int = 0
    detail: str = ""


class Interrupted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The held connection ended under the probe, as `on_closed` was told: no verdict."""


Probed: TypeAlias = Answer | Failure | Interrupted
OnClosed: TypeAlias = Callable[[Evidence], None]


class Link(Protocol):
    """The way to one master.

    Attributes:
        is_waiting: A probe waits for what the master sends by itself, so that the next one begins
            as soon as the last one has its result.
    """

    is_waiting: bool

    def probe(self, *, fresh: bool, timeout_us: int) -> "asyncio.Future[Probed]":
        """Return the future result of a probe, at the latest `timeout_us` from now [us, > 0].

        Args:
            fresh: Use nothing that is left of an earlier probe.
            timeout_us: An answer later than this is overdue. Where the master sends by itself it
                counts from when its word is expected.
        """

    async def close(self) -> None:
        """End the probe under way, if any, and let everything go; nothing is reported."""


def shortened(text: str) -> str:
    """Return `text` as it goes into the log: on one line, not too long, and no half of a pair."""
    return " ".join(text.encode("utf-8", "replace").decode().split())[:TEXT_MAX]
