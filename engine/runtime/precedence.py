"""Who goes first: what settles a failure, and then messages.

From the first sign against an active master to the switch a failover takes some twenty turns of the
event loop, and each lasts as long as all that is ready in it. Where messages are accepted as fast
as they become durable, that is some milliseconds. So from that sign on no message is accepted or
sent out until the failover has ended or the master has answered; those who wait for it are told
nothing but that it takes a moment longer.

A master that fails again and again must not keep messages waiting: they do so for at most HOLD_US,
and then go on for at least GO_ON times as long as they have waited.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from engine.core import events as ev
from engine.core.state import State

HOLD_US: Final = 100_000  # as long as a whole failover may take [us]
GO_ON: Final = 3
_SIGNS: Final = (ev.ConnectionClosed, ev.ProbeFailed)


class Precedence:
    """Holds messages back for a moment; all methods run in one event loop."""

    def __init__(self, clock_us: Callable[[], int], on_over: Callable[[], None]) -> None:
        """`clock_us` returns engine time [us]; `on_over` is called whenever messages may go on."""
        self._clock_us: Final = clock_us
        self._on_over: Final = on_over
        self._group = ""  # where the failure is; "": nothing is held back
        self._master = ""  # whose it is
        self._seq = 0  # of the last event when it was noticed
        self._began_us = 0
        self._not_before_us = 0
        self._timer: asyncio.TimerHandle | None = None
        self._may_go: Final = asyncio.Event()
        self._may_go.set()

    @property
    def is_held(self) -> bool:
        """Return whether messages wait."""
        return bool(self._group)

    def has(self, master: str) -> bool:
        """Return whether messages wait for what becomes of `master`."""
        return bool(self._group) and self._master == master

    def is_failover(self, state: State) -> bool:
        """Return whether what messages wait for is a failover, which has begun in `state`."""
        group = state.groups.get(self._group)
        return group is not None and group.saga is not None

    def observed(self, state: State, event: ev.Observation, subject: str) -> None:
        """Take note of an observation that was decided upon; `state` is the working one."""
        if self._group or type(event) not in _SIGNS:
            return
        place = state.cache.places.get(subject)
        if place is None or place.group.assigned != subject:
            return
        at_us = self._clock_us()
        if at_us >= self._not_before_us:
            self._group, self._master, self._began_us = place.group.id, subject, at_us
            self._seq = state.seq
            self._may_go.clear()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(HOLD_US / 1_000_000, self.end)

    def published(self, state: State) -> None:
        """Let messages go on if the failure is settled in `state`, which is durable."""
        if self._group and state.seq >= self._seq and _is_settled(state, self._group):
            self.end()

    def end(self) -> None:
        """Let messages go on."""
        if not self._group:
            return
        at_us = self._clock_us()
        self._not_before_us = at_us + GO_ON * (at_us - self._began_us)
        self._group = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._may_go.set()
        self._on_over()

    async def turn_of_messages(self) -> None:
        """Return when messages may go on: at once, as a rule."""
        if self._group:
            await self._may_go.wait()


def _is_settled(state: State, name: str) -> bool:
    group = state.groups.get(name)
    if group is None:
        return True
    if group.saga is not None:
        return False
    active = group.masters.get(group.assigned)
    return active is None or not (active.question or active.failures)
