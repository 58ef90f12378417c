"""Where traffic goes: routes read from the durable state, and those who wait for one."""

import asyncio
from typing import Final

import msgspec

from engine.core import events as ev
from engine.core.events import Recorded
from engine.core.fleet import Role
from engine.core.serving import Picker, picker, shares
from engine.core.state import GroupState
from engine.runtime.loop import Turning

# What a batch may hold without any route changing.
_STILL: Final = frozenset(
    {
        ev.ProbeOk,
        ev.MessageAccepted,
        ev.MessageAcked,
        ev.MessageDone,
        ev.MessagesAssigned,
        ev.StateKept,
    }
)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A master to go to now, and the activation under which it serves."""

    group: str
    master: str
    address: str
    epoch: int


class Routes:
    """Picks masters, and wakes who waits when the serving ones change."""

    def __init__(self, turning: Turning) -> None:
        self._turning: Final = turning
        self._pickers: dict[str, tuple[Picker, object]] = {}  # with what it was made from
        self._fresh: set[str] = set()  # the groups whose picker is known to be in force
        self._grows_us: dict[str, int] = {}  # until when, where somebody has just begun to serve
        self._changed = asyncio.Event()
        turning.listen(self._published)

    def _published(self, events: tuple[Recorded, ...]) -> None:
        if any(type(recorded.event) not in _STILL for recorded in events):
            self.refresh()

    def refresh(self) -> None:
        """Read the routes anew, and wake who waits for one."""
        self._fresh.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    def pick(self, group: str) -> Route | None:
        """Return where to go now; None if nobody serves. Touches no I/O and is no event.

        Raises:
            KeyError: There is no such group.
        """
        part = self._turning.state.groups[group]
        if group not in self._fresh or self._is_growing(group):
            self._look(group, part)
        name = self._pickers[group][0].pick()
        if not name:
            return None
        master = part.masters[name]
        address = master.declared.address
        return Route(group=group, master=name, address=address, epoch=master.epoch)

    def _is_growing(self, group: str) -> bool:
        until_us = self._grows_us.get(group)
        return until_us is not None and self._turning.clock.at_us() >= until_us

    def _look(self, group: str, part: GroupState) -> None:
        """Make a new picker if shares have changed; the old one is in the middle of its round."""
        priorities = [master.declared.priority for master in part.masters.values()]
        shared, until_us = shares(self._turning.state, part, self._turning.clock.at_us())
        if until_us:
            self._grows_us[group] = until_us
        else:
            self._grows_us.pop(group, None)
        basis = (part.strategy, shared, priorities)
        known = self._pickers.get(group)
        if known is None or known[1] != basis:
            self._pickers[group] = picker(part, shared), basis
        self._fresh.add(group)

    async def wait(self, group: str, *, timeout_s: float, other_than: Route | None = None) -> Route:
        """Return a route as soon as there is one, but not `other_than` [s].

        Raises:
            TimeoutError: Nobody could serve within `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                changed = self._changed
                route = self.pick(group)
                if route is not None and route != other_than:
                    return route
                await changed.wait()

    def is_valid(self, route: Route) -> bool:
        """Return whether the activation that `route` was picked under still holds."""
        part: GroupState | None = self._turning.state.groups.get(route.group)
        master = None if part is None else part.masters.get(route.master)
        return (
            master is not None
            and master.role in (Role.ACTIVE, Role.DRAINING)
            and master.epoch == route.epoch
            and not master.lost_seq
        )
