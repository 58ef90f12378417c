"""What clients were told of their writes, held against what masters have.

The promise of a group that replicates: a write that a replica has acknowledged is on whoever is
promoted, if anybody has it who answers when the heir is held against the others, and knows of the
last activation that was served. A policy may let it go; what one that was emptied took since is
lost. Then the log says so. What a replica has that counts from 0 is owed to nobody: who could tell?
And nobody who was left takes a write, once another one serves.

Invariant: what is judged here is what the servers have, not what they say.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from engine.core.owed import Effect
from engine.simulation.masters import Answer
from engine.simulation.schedule import Setting
from engine.simulation.servers import Server
from engine.simulation.streams import WRITE_BYTES


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """Writes that were let go with a promotion."""

    master: str
    epoch: int
    bytes: int  # that one who answered had, and the heir had not


class _Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What an heir lacked when it was let."""

    excused: frozenset[int] = frozenset()  # what nobody had of whom it is owed
    owed: int = 0  # what another one had [bytes]
    dropped: int = 0  # what one had that was emptied, and took writes since [bytes]


def _is_same_stream(one: Answer, other: Answer) -> bool:
    standings = one.standing, other.standing
    return len({each.history for each in standings if each is not None}) == 1


def _is_nameless(one: Answer, heir: Answer) -> bool:
    """Return whether a replica was started again, so that what it has cannot be compared."""
    standing = one.standing
    is_replica = standing is not None and not standing.is_primary and not standing.holds_data
    return is_replica and one.epoch == heir.epoch


class Promises:
    """What one group has promised to its clients."""

    def __init__(self, group: str, *, allow_loss: bool, broken: Callable[[str, str], None]) -> None:
        """`broken` is told which law does not hold, and what was found."""
        self.group: Final = group
        self._allow_loss: Final = allow_loss
        self._broken: Final = broken
        self._kept: Final[set[int]] = set()  # writes that clients believe to be there
        self._compared: Final[dict[tuple[str, int, int], _Compared]] = {}
        self._promoted = ""  # who was, the last time
        self.losses: Final[list[Loss]] = []
        self.acknowledged_count = 0

    def acknowledged(self, number: int, name: str) -> None:
        """Take note that a client believes a write to be there; `name` took it."""
        self.acknowledged_count += 1
        self._kept.add(number)
        if self._promoted and name != self._promoted:
            self._broken("old primaries are fenced", f"{name} took a write beside {self._promoted}")

    def compared(self, effect: Effect, answers: Mapping[str, Answer], *, served: int) -> None:
        """Take note that an heir was let, and of what it and all others who answered had.

        `served` is the epoch of the last activation that traffic went to.
        """
        heir = answers[effect.master]
        lacking = self._kept - heir.holds
        owed: list[set[int]] = []
        dropped: list[set[int]] = []
        for name, answer in answers.items():
            if name == effect.master:
                continue
            if _is_same_stream(answer, heir):
                owed.append(lacking & answer.holds)
            elif _is_nameless(answer, heir):
                continue  # nobody can tell
            elif answer.epoch >= min(heir.epoch, served):
                owed.append(lacking & answer.holds)
            elif not answer.epoch:
                dropped.append(lacking & answer.holds)
        self._compared[effect.master, effect.failover, effect.epoch] = _Compared(
            excused=frozenset(lacking.difference(*owed)),
            owed=max(map(len, owed), default=0) * WRITE_BYTES,
            dropped=max(map(len, dropped), default=0) * WRITE_BYTES,
        )

    def promoted(self, server: Server, failover: int, epoch: int) -> None:
        """Judge a promotion that took effect."""
        self._promoted = server.name
        lacking = self._kept.difference(server.data.writes)
        known = self._compared.pop((server.name, failover, epoch), _Compared())
        self._kept.difference_update(lacking)  # it is said once
        missing = lacking - known.excused
        if failover and (known.dropped if not missing else self._allow_loss):
            size = known.owed if missing else known.dropped
            self.losses.append(Loss(master=server.name, epoch=epoch, bytes=size))
            return
        if not failover or not missing:
            return
        found = f"{server.name} was promoted under {epoch} without {len(missing)} writes"
        self._broken("acknowledged writes are kept", found)


def promises_of(setting: Setting, *, broken: Callable[[str, str], None]) -> dict[str, Promises]:
    """Return those of each group that replicates."""
    return {
        group.id: Promises(group.id, allow_loss=group.policy.failover.allow_loss, broken=broken)
        for group in setting.groups()
        if group.replicates
    }
