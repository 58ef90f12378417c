"""What operators do with a fleet that runs, beside pauses and failovers: each is recorded.

Each takes the same conditions as the other commands, and may raise the same errors
(engine.runtime.commands).
"""

import asyncio
from collections.abc import Callable
from typing import Unpack

import msgspec

from engine.answers.undoing import left_by
from engine.config import Configuration
from engine.config.members import misfit
from engine.core import events as ev
from engine.core import state as st
from engine.core.alerts import find
from engine.core.errors import CommandRefused
from engine.core.events import FLEET, Observation
from engine.core.fleet import Master
from engine.runtime.commands import Conditions, terms
from engine.runtime.following import Following
from engine.runtime.loop import Turning
from engine.runtime.repeats import Asked


class Tending:
    """The commands of an engine that tend its fleet, which has what they need."""

    _author: str
    _turning: Turning
    _following: Following

    def _known(self, group: str) -> st.GroupState:
        raise NotImplementedError

    async def _give(
        self,
        said: tuple[object, ...],
        conditions: Conditions,
        make: Callable[[], tuple[Observation, str]],
    ) -> int:
        """Give the command that `make` returns with its subject; return its seq.

        `said` is what it asks for, its name first and its author last.
        """

        async def ask() -> Asked:
            event, subject = make()
            return Asked(event=event, subject=subject)

        return (await self._following.command(ask, terms(said, conditions))).seq

    async def ack(self, alert: int, *, author: str = "", **conditions: Unpack[Conditions]) -> int:
        """Silence the alert of this id, and nothing else.

        Raises:
            CommandRefused: It is over, or there never was one.
        """
        author = author or self._author

        def make() -> tuple[Observation, str]:
            found = find(self._turning.driver.working, alert)
            if found is None:
                raise CommandRefused((f"no alert {alert}: it is over, or there never was one",))
            return ev.AlertAcked(alert=alert, author=author), found[0]

        return await self._give(("ack", alert, author), conditions, make)

    async def reset(
        self, subject: str, *, author: str = "", **conditions: Unpack[Conditions]
    ) -> int:
        """Forget what was counted of a master, or of a group and its masters.

        Raises:
            CommandRefused: There is no such master or group.
        """
        author = author or self._author

        def make() -> tuple[Observation, str]:
            if subject not in self._turning.state.cache.places:
                self._known(subject)
            return ev.ResetAsked(author=author), subject

        return await self._give(("reset", subject, author), conditions, make)

    async def cancel(
        self, group: str, *, author: str = "", **conditions: Unpack[Conditions]
    ) -> int:
        """Take back the switchover of `group` that is scheduled.

        Raises:
            CommandRefused: None is.
        """
        author = author or self._author

        def make() -> tuple[Observation, str]:
            return ev.ScheduleCancelled(author=author), self._known(group).id

        return await self._give(("cancel", group, author), conditions, make)

    async def undo(
        self,
        failover: int = 0,
        *,
        author: str = "",
        wait: bool = True,
        **conditions: Unpack[Conditions],
    ) -> int:
        """Plan the switch back from a failover (0: the last one).

        Raises:
            CommandRefused: There was no such failover, another one has taken over since, or who was
                left is not fit.
        """
        author = author or self._author
        log = self._turning.log
        found = await asyncio.to_thread(left_by, log, failover)

        async def ask() -> Asked:
            event = ev.UndoAsked(
                failover=found.failover, to=found.source, heir=found.heir, author=author
            )
            return Asked(event=event, subject=self._known(found.group).id)

        under = terms(("undo", failover, author), conditions)
        return await self._following.begin(ask, under, found.group, ev.FailoverEnded, wait=wait)

    async def drain(
        self,
        master: str,
        *,
        drained: bool = True,
        reason: str = "",
        author: str = "",
        **conditions: Unpack[Conditions],
    ) -> int:
        """Let `master` finish what it has and rest; or, not `drained`, let it serve again.

        The active of an active-standby group is switched over first.

        Raises:
            CommandRefused: It is so already, or nobody could do its work.
        """
        author = author or self._author

        def make() -> tuple[Observation, str]:
            event = ev.DrainAsked(drained=drained, reason=reason, author=author)
            return event, self._master(master)

        return await self._give(("drain", master, drained, reason, author), conditions, make)

    async def exclude(
        self,
        master: str,
        *,
        excluded: bool = True,
        reason: str = "",
        author: str = "",
        **conditions: Unpack[Conditions],
    ) -> int:
        """Let `master` never be chosen; or, not `excluded`, let it be chosen again."""
        author = author or self._author

        def make() -> tuple[Observation, str]:
            event = ev.ExclusionAsked(excluded=excluded, reason=reason, author=author)
            return event, self._master(master)

        return await self._give(("exclude", master, excluded, reason, author), conditions, make)

    async def add_master(
        self, master: Master, *, author: str = "", **conditions: Unpack[Conditions]
    ) -> int:
        """Take a master into its group; it belongs to no file.

        Raises:
            CommandRefused: Its name or its address is taken, or there is no such group.
        """
        author = author or self._author

        def make() -> tuple[Observation, str]:
            policy = self._turning.state.fleet.policy.groups.get(master.group)
            reason = "" if policy is None else misfit(policy, master)
            if reason:
                raise CommandRefused((reason,))
            return ev.MasterAddAsked(master=master, author=author), FLEET

        said = ("add master", msgspec.to_builtins(master), author)
        return await self._give(said, conditions, make)

    async def remove_master(
        self, master: str, *, author: str = "", **conditions: Unpack[Conditions]
    ) -> int:
        """Take a master out of the fleet.

        Raises:
            CommandRefused: It serves, may still act, or is wanted; or it is the last of its group.
        """
        author = author or self._author

        def make() -> tuple[Observation, str]:
            return ev.MasterRemoveAsked(author=author), self._master(master)

        return await self._give(("remove master", master, author), conditions, make)

    async def strategy(
        self, group: str, strategy: str, *, author: str = "", **conditions: Unpack[Conditions]
    ) -> int:
        """Balance the traffic of `group` by another strategy.

        Raises:
            CommandRefused: There is no such group, or no such strategy.
        """
        author = author or self._author

        def make() -> tuple[Observation, str]:
            event = ev.StrategyAsked(strategy=strategy, author=author)
            return event, self._known(group).id

        return await self._give(("strategy", group, strategy, author), conditions, make)

    async def maintain(
        self,
        subject: str,
        *,
        from_us: int,
        to_us: int,
        reason: str,
        author: str = "",
        **conditions: Unpack[Conditions],
    ) -> int:
        """Declare a maintenance of a master, a group or "fleet": to come, under way or past.

        One with the same beginning takes its place; an empty one (to = from) takes it back.

        Raises:
            CommandRefused: There is no such subject, or it ends before it begins.
        """
        author = author or self._author

        def make() -> tuple[Observation, str]:
            if to_us < from_us:
                raise CommandRefused(("the maintenance ends before it begins",))
            if subject != FLEET and subject not in self._turning.state.cache.places:
                self._known(subject)
            event = ev.MaintenanceDeclared(
                from_us=from_us, to_us=to_us, reason=reason, author=author
            )
            return event, subject

        said = ("maintenance", subject, from_us, to_us, reason, author)
        return await self._give(said, conditions, make)

    async def apply(
        self, configuration: Configuration, *, author: str = "", **conditions: Unpack[Conditions]
    ) -> int:
        """Adopt what a configuration says of groups and masters, or refuse it as a whole.

        What it says of the engine itself and of its log holds from the next start.

        Raises:
            CommandRefused: It would drop who serves, or something else that cannot change now.
        """
        author = author or self._author

        def make() -> tuple[Observation, str]:
            offered = ev.ConfigurationLoaded(
                digest=configuration.digest,
                policy=configuration.policy,
                masters=configuration.masters,
                author=author,
            )
            return offered, FLEET

        return await self._give(("apply", configuration.digest, author), conditions, make)

    def _master(self, name: str) -> str:
        known = self._turning.state.cache.places
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise CommandRefused((f"no master {name!r}: expected one of {names}",))
        return name
