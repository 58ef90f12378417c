"""How an effect is carried out: what a carrier is asked, and what it says came of it.

A carrier reaches one kind of masters: over HTTP, by a program, over the protocol of Redis, by a
function of the service. It is asked once for each issue of an effect, gives one answer within the
effect's time, and decides nothing. The same effect may come again under its key, after a crash of
the engine or because nobody knows what became of it; then it must take effect no second time.

Rules, the same for every carrier:
- Nothing was sent or started: FAILED. From there on only a clear answer makes it anything but
  UNKNOWN, for it may have taken effect.
- REFUSED is a clear no, and nothing has changed.
- Its detail goes into the log, so it is short and on one line.
"""

import re
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from engine.core.events import LoadReported, Result
from engine.core.fleet import Health, Role

DETAIL_MAX: Final = 200  # characters of a reason, because it goes into the log
_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f]+")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A master of the group, as the log knows it."""

    id: str
    address: str
    health: Health
    role: Role


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An effect with all that is needed to carry it out; its key is `key`."""

    step: str
    group: str
    mode: str
    master: str
    address: str
    failover: int  # 0: owed outside a failover
    epoch: int
    timeout_us: int  # when its one answer is due, counted from now [us]
    active: Member | None = None  # who serves besides the master itself
    members: tuple[Member, ...] = ()  # of the group, the master itself among them
    state: Mapping[str, bytes] = msgspec.field(default_factory=dict)  # of a transfer
    digest: str = ""  # of that state
    served: int = 0  # the epoch of the last activation that traffic went to; 0: there was none
    allow_loss: bool = False  # a heir that lacks something is better than none

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Return what receivers know the effect by."""
        return self.step, self.master, self.failover, self.epoch


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """How an effect ended; `reports` is what was learnt of masters on the way."""

    result: Result
    detail: str = ""
    digest: str = ""  # of the state that the receiver confirmed
    reports: tuple[tuple[str, LoadReported], ...] = ()
    lacks: int = 0  # what an heir does not have, and the policy lets go [bytes]


class Carrier(Protocol):
    """Carries effects out for one kind of masters."""

    async def carry(self, asked: Asked) -> Carried:
        """Return how the effect ended, at the latest when its time is up.

        Who gives it up cancels: what is under way may still take effect then.
        """

    def attach(self, group: str, members: tuple[Member, ...]) -> None:
        """Hold a way open to each master, so that one that hangs can still be told."""

    async def close(self) -> None:
        """End what is under way and close every connection."""


def line(text: str, *, most: int = DETAIL_MAX) -> str:
    r"""Return `text` as one line of at most `most` characters, the end of it if it is longer.

    Example:
        >>> line("first\n  second\n")
        'first second'
        >>> line("abcdef", most=4)
        '…def'
    """
    flat = _BLANK.sub(" ", text).strip()
    return flat if len(flat) <= most else f"…{flat[-(most - 1) :]}"
