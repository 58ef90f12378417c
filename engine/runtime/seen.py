"""What a look at a master comes to, whatever the kind of probe, and what does the looking.

A `Link` is the way to one master. It is asked one probe at a time, and each gets exactly one
result: `Answer`, `Failure` or `Interrupted`. Whatever a master does, that result comes at the
latest when its time is up, and takes no more memory than the limits of its kind.
"""

import asyncio
from abc import ABC, abstractmethod
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


def again(answer: Answer, *, latency_us: int) -> Answer:
    """Return the same answer, given once more within `latency_us` [us]."""
    return Answer(
        latency_us=latency_us,
        status=answer.status,
        boot=answer.boot,
        epoch=answer.epoch,
        role=answer.role,
        degraded=answer.degraded,
        report=answer.report,
    )


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
Tell: TypeAlias = Callable[[Probed], None]


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

    def ask(self, *, fresh: bool, timeout_us: int, tell: Tell) -> None:
        """Let `tell` know the result of a probe; the arguments of `probe`.

        It is called once, perhaps before this returns. Where there are many masters this is the
        way: a future and a task for each probe cost more than the probe.
        """

    async def close(self) -> None:
        """End the probe under way, if any, and let everything go; nothing is reported."""


class Asked(ABC):
    """The part of a link that tells what a future has."""

    @abstractmethod
    def probe(self, *, fresh: bool, timeout_us: int) -> "asyncio.Future[Probed]":
        """Return the future result of a probe."""

    def ask(self, *, fresh: bool, timeout_us: int, tell: Tell) -> None:
        """Let `tell` know the result of a probe; if that is given up, nobody is told."""

        def ended(probe: "asyncio.Future[Probed]") -> None:
            if probe.cancelled():
                return
            bug = probe.exception()
            tell(probe.result() if bug is None else own_trouble(bug, waited_us=0))

        self.probe(fresh=fresh, timeout_us=timeout_us).add_done_callback(ended)


def own_trouble(bug: BaseException, *, waited_us: int) -> Failure:
    """Return what a probe comes to in which a rule of ours broke, and say that it did.

    It is recorded, but beyond every limit: it says nothing of the master.
    """
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a look at a master broke, which is a bug", "exception": bug}
    )
    return Failure(
        evidence=Evidence.OVERDUE,
        waited_us=waited_us,
        late_us=LATE_OWN_US,
        detail=shortened(f"the observer itself: {bug!r}"),
    )


def shortened(text: str) -> str:
    """Return `text` as it goes into the log: on one line, not too long, and no half of a pair."""
    return " ".join(text.encode("utf-8", "replace").decode().split())[:TEXT_MAX]
