"""What clients were told of their writes, held against what masters have.

The promise of a group that replicates: a write that a replica has acknowledged is on whoever is
promoted, if anybody has it who answers when the heir is held against the others. A policy may let
it go; then the log says so. And nobody who was left takes a write, once another one serves.

Invariant: what is judged here is what the servers have, not what they say.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from engine.simulation.schedule import Setting
from engine.simulation.servers import Server
from engine.simulation.streams import WRITE_BYTES


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """Writes that a policy let go, with a promotion."""

    master: str
    epoch: int
    bytes: int  # that one who answered had, and the heir had not


class Promises:
    """What one group has promised to its clients."""

    def __init__(self, group: str, *, allow_loss: bool, broken: Callable[[str, str], None]) -> None:
        """`broken` is told which law does not hold, and what was found."""
        self.group: Final = group
        self._allow_loss: Final = allow_loss
        self._broken: Final = broken
        self._kept: Final[set[int]] = set()  # writes that clients believe to be there
        self._compared: Final[dict[tuple[str, int, int], tuple[frozenset[int], int]]] = {}
        self._promoted = ""  # who was, the last time
        self.losses: Final[list[Loss]] = []
        self.acknowledged_count = 0

    def acknowledged(self, number: int, name: str) -> None:
        """Take note that a client believes a write to be there; `name` took it."""
        self.acknowledged_count += 1
        self._kept.add(number)
        if self._promoted and name != self._promoted:
            self._broken("old primaries are fenced", f"{name} took a write beside {self._promoted}")

    def compared(
        self, heir: str, failover: int, epoch: int, holds: Mapping[str, frozenset[int]]
    ) -> None:
        """Take note that an heir was let, and of what it and all others who answered had."""
        lacking = self._kept - holds[heir]
        theirs = [lacking & found for name, found in holds.items() if name != heir]
        excused = frozenset(lacking.difference(*theirs))
        most = max((len(found) for found in theirs), default=0)
        self._compared[heir, failover, epoch] = excused, most * WRITE_BYTES

    def promoted(self, server: Server, failover: int, epoch: int) -> None:
        """Judge a promotion that took effect."""
        self._promoted = server.name
        lacking = self._kept.difference(server.data.writes)
        excused, most = self._compared.pop((server.name, failover, epoch), (frozenset(), 0))
        self._kept.difference_update(lacking)  # it is said once
        if not failover or not lacking - excused:
            return
        if self._allow_loss:
            self.losses.append(Loss(master=server.name, epoch=epoch, bytes=most))
            return
        found = f"{server.name} was promoted under {epoch} without {len(lacking - excused)} writes"
        self._broken("acknowledged writes are kept", found)


def promises_of(setting: Setting, *, broken: Callable[[str, str], None]) -> dict[str, Promises]:
    """Return those of each group that replicates."""
    return {
        group.id: Promises(group.id, allow_loss=group.policy.failover.allow_loss, broken=broken)
        for group in setting.groups()
        if group.replicates
    }
