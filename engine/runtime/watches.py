"""A watch over every master of the fleet, as the durable state has it: who comes, goes or moves.

A master that is added is watched from then on, one that is removed no more. Where the address or
the way of looking has changed, a new watch takes over; it counts on where the last one was.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from engine.core import events as ev
from engine.core.errors import ConfigurationError
from engine.core.events import Recorded
from engine.core.policy import Probe
from engine.runtime.eyes import Eyes
from engine.runtime.loop import Turning
from engine.runtime.watch import Watch

FIRST_PROBE_US: Final = 1_000  # what the first probe of a master may take of one core, with room
RETRY_S: Final = 5.0  # after which a master is tried again that could not be watched [s]
PPM: Final = 1_000_000
GOLDEN_PPM: Final = 618_034

Look: TypeAlias = tuple[str, str, Probe]  # for which group, where, and how

# After these other masters may have to be watched. A removal that was on its way when the log said
# no has never been: the master is there as before.
_DECLARING: Final = frozenset(
    {ev.PolicyAdopted, ev.MasterAdded, ev.MasterRemoved, ev.EngineResumed}
)


class Watches(Mapping[str, Watch]):
    """The watches of one engine, by master."""

    def __init__(self, turning: Turning, eyes: Eyes) -> None:
        """Watch nobody yet."""
        self._turning: Final = turning
        self._eyes: Final = eyes
        self._watches: Final[dict[str, Watch]] = {}
        self._looks: Final[dict[str, Look]] = {}
        self._closing: Final[set[asyncio.Task[None]]] = set()
        self._number = 0  # of watches that were begun
        self._has_begun = False
        self._retry: asyncio.TimerHandle | None = None  # somebody could not be watched
        self._said = ""  # why

    def __getitem__(self, master: str) -> Watch:
        return self._watches[master]

    def __iter__(self) -> Iterator[str]:
        return iter(self._watches)

    def __len__(self) -> int:
        return len(self._watches)

    def start(self) -> None:
        """Watch every master, and from here on whoever comes; all take turns within the interval.

        In a large fleet the first turn takes longer, because connections have to be opened for it,
        and goes through it group by group.

        Raises:
            ConfigurationError: What the probe of a group needs is not there.
        """
        self._turning.listen(self._published)
        self._has_begun = True
        self._follow()

    async def close(self) -> None:
        """Watch nobody any more; an engine that could not start has watched nobody."""
        if self._has_begun:
            self._turning.unlisten(self._published)
        self._unset()
        await asyncio.gather(*(watch.close() for watch in self._watches.values()))
        await asyncio.gather(*self._closing)

    def _published(self, events: tuple[Recorded, ...]) -> None:
        if any(type(recorded.event) in _DECLARING for recorded in events):
            self._said = ""
            self._follow_as_can_be()

    def _follow_as_can_be(self) -> None:
        """Make the watches those of the durable state; what lacks something is tried again.

        The others are looked at. Of this one nothing is known until that is there: a file of
        certificates, for one, may be away for no longer than it takes to replace it.
        """
        loop = asyncio.get_running_loop()
        self._unset()
        try:
            self._follow()
        except ConfigurationError as err:
            self._retry = loop.call_later(RETRY_S, self._follow_as_can_be)
            if str(err) != self._said:
                self._said = str(err)
                context = {"message": f"a master cannot be looked at: {err}", "exception": err}
                loop.call_exception_handler(context)

    def _unset(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _follow(self) -> None:
        """Make the watches those of the durable state.

        Raises:
            ConfigurationError: What the probe of a group needs is not there; all others are made.
        """
        state = self._turning.state
        places = self._turning.driver.working.cache.places
        wanted = {
            name: (group.id, master.declared.address, state.policy_of(group).probe)
            for group in state.groups.values()
            for name, master in group.masters.items()
            if name in places  # its removal may be on its way
        }
        for name in [name for name, look in self._looks.items() if wanted.get(name) != look]:
            self._end(name)
        failed: ConfigurationError | None = None
        for name, look in wanted.items():
            if name not in self._looks:
                try:
                    self._begin(name, look, count=len(wanted))
                except ConfigurationError as err:
                    failed = err
        if failed is not None:
            raise failed

    def _begin(self, name: str, look: Look, *, count: int) -> None:
        first_us = count * FIRST_PROBE_US
        interval_us = look[2].interval_us
        if first_us <= interval_us:
            # Steps of the golden section: whoever stands side by side is far apart in time.
            phase_us = interval_us * (self._number * GOLDEN_PPM % PPM) // PPM
        else:
            # A group is done with before the next one begins: each master that is heard for the
            # first time has all others of its group judged anew.
            phase_us = self._number % count * FIRST_PROBE_US
        self._watches[name] = Watch(self._turning, name, phase_s=phase_us / 1e6, eyes=self._eyes)
        self._looks[name] = look
        self._number += 1

    def _end(self, name: str) -> None:
        watch = self._watches.pop(name)
        del self._looks[name]
        watch.stop()
        task = asyncio.get_running_loop().create_task(watch.close(), name=f"leave {name}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
