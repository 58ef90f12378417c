"""What operators can ask of a running engine: each command is recorded, and decided upon.

Each takes, beside its own arguments, what it is given under (`Conditions`):

    key                 The same command under the same key is done once, and answered alike: also
                        by the engine's next process, also if nobody knew what had become of it.
                        Known for a week of the log's time, and for the newest 100,000. Whoever got
                        a LogError gives the command again under its key.
    expected_head       The seq of the last event that the engine has taken. Where masters are
                        probed it moves all the time: it is for a log that stands still.
    expected_versions   Versions of parts, by group, or "fleet" for what concerns all groups: as
                        `status` has them, or `state.groups[name].version`. A version moves with
                        what is decided or asked for in its part, not with probes and messages.

What is expected is looked at when the command enters the core, on all that was decided until then.
If it is not so, the command is refused, as expected and found, and nothing of it is recorded. A
repeat under its key is answered whatever is expected.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import TypedDict, Unpack

import msgspec

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import CommandRefused, StateDropped
from engine.core.events import FLEET, GroupControl
from engine.core.replay import control_in, controls_in
from engine.core.terms import Terms, check_key
from engine.log import purging, states
from engine.log.protocol import Log
from engine.runtime.clock import Clock
from engine.runtime.following import Following
from engine.runtime.loop import Turning
from engine.runtime.repeats import Asked


class Conditions(TypedDict, total=False):
    """What a command may be given under."""

    key: str
    expected_head: int | None
    expected_versions: Mapping[str, int] | None


def terms(said: tuple[object, ...], conditions: Conditions) -> Terms:
    """Return what a command is given under; `said` is what it asks for, the same in each repeat.

    Raises:
        CommandRefused: The key is one that no log can hold.
        TypeError: There is no such condition.
    """
    found = msgspec.structs.replace(Terms(**conditions), content=_digest(said))
    check_key(found.key)
    return found


def _digest(said: tuple[object, ...]) -> bytes:
    return hashlib.sha256(msgspec.msgpack.encode(said)).digest()


class Commands:
    """The commands of an engine, which has what they need.

    Every one returns the seq that it has in the log, and may raise:
        CommandRefused: It was refused, with every reason, or what was expected is not so.
        KeyReused: Its key came with another command before.
        LogError: It could not be made durable, or nobody knows.
    """

    clock: Clock
    _author: str
    _log: Log
    _turning: Turning
    _following: Following

    def _known(self, group: str) -> st.GroupState:
        groups = self._turning.state.groups
        part = groups.get(group)
        if part is None:
            known = ", ".join(sorted(groups)) or "none"
            raise CommandRefused((f"no group {group!r}: expected one of {known}",))
        return part

    def _scope(self, group: str | None) -> str:
        return FLEET if group is None else self._known(group).id

    async def pause(
        self,
        group: str | None = None,
        *,
        for_us: int = 0,
        reason: str,
        author: str = "",
        **conditions: Unpack[Conditions],
    ) -> int:
        """Start no new failover, of `group` or at all, for `for_us` (0: until resumed)."""
        author = author or self._author

        async def ask() -> Asked:
            until_us = self.clock.at_us() + for_us if for_us else 0
            event = ev.Paused(until_us=until_us, reason=reason, author=author)
            return Asked(event=event, subject=self._scope(group))

        under = terms(("pause", group, for_us, reason, author), conditions)
        return (await self._following.command(ask, under)).seq

    async def resume(
        self, group: str | None = None, *, author: str = "", **conditions: Unpack[Conditions]
    ) -> int:
        """End a pause."""
        author = author or self._author

        async def ask() -> Asked:
            return Asked(event=ev.Resumed(author=author), subject=self._scope(group))

        under = terms(("resume", group, author), conditions)
        return (await self._following.command(ask, under)).seq

    async def release(
        self, subject: str, *, author: str = "", **conditions: Unpack[Conditions]
    ) -> int:
        """Lift what brakes a group or the fleet, or the fence of a master that cannot act any more.

        Whoever lifts a fence vouches for it: nothing keeps that master out but its own end.

        Raises:
            CommandRefused: There is no such master or group, or nothing to lift.
        """
        author = author or self._author

        async def ask() -> Asked:
            if subject != FLEET and subject not in self._turning.state.cache.places:
                self._known(subject)
            return Asked(event=ev.Released(scope="any", author=author), subject=subject)

        under = terms(("release", subject, author), conditions)
        return (await self._following.command(ask, under)).seq

    async def approve(
        self, group: str, *, author: str = "", **conditions: Unpack[Conditions]
    ) -> int:
        """Let the waiting failover of `group` go."""
        author = author or self._author

        async def ask() -> Asked:
            return Asked(event=ev.Approved(author=author), subject=self._known(group).id)

        under = terms(("approve", group, author), conditions)
        return (await self._following.command(ask, under)).seq

    async def failover(
        self,
        group: str,
        *,
        to: str = "",
        author: str = "",
        wait: bool = True,
        **conditions: Unpack[Conditions],
    ) -> int:
        """Force a failover.

        Raises:
            CommandRefused: It was refused, or (waited for) it was abandoned.
        """
        author = author or self._author

        async def ask() -> Asked:
            event = ev.FailoverAsked(to=to, author=author)
            return Asked(event=event, subject=self._known(group).id)

        under = terms(("failover", group, to, author), conditions)
        return await self._following.begin(ask, under, group, ev.FailoverEnded, wait=wait)

    async def switchover(
        self,
        group: str,
        *,
        to: str = "",
        due_us: int = 0,
        after_us: int = 0,
        author: str = "",
        wait: bool = True,
        **conditions: Unpack[Conditions],
    ) -> int:
        """Change the active master as planned, losing nothing.

        Args:
            group: Whose active master is changed.
            to: Who shall be it; "": the best.
            due_us: When it shall begin [us since the Unix epoch]; 0: now.
            after_us: The same, counted from now [us].
            author: Who asks; "": as the engine was told.
            wait: Return when it is over; what is to begin later is not waited for.
            conditions: What it is given under.

        Raises:
            CommandRefused: It was refused, or (waited for) it was abandoned.
        """
        author = author or self._author
        is_later = bool(due_us or after_us)

        async def ask() -> Asked:
            when_us = self.clock.at_us() + after_us if after_us else due_us
            event = ev.SwitchoverAsked(to=to, author=author, due_us=when_us)
            return Asked(event=event, subject=self._known(group).id)

        under = terms(("switchover", group, to, due_us, after_us, author), conditions)
        ends = ev.FailoverEnded
        return await self._following.begin(ask, under, group, ends, wait=wait and not is_later)

    async def checkpoint(
        self, name: str, *, author: str = "", **conditions: Unpack[Conditions]
    ) -> int:
        """Give this place in the log a name."""
        author = author or self._author

        async def ask() -> Asked:
            return Asked(event=ev.CheckpointMarked(name=name, author=author), subject=FLEET)

        under = terms(("checkpoint", name, author), conditions)
        return (await self._following.command(ask, under)).seq

    async def purge(
        self,
        key: str,
        /,
        *,
        group: str = "",
        reason: str = "",
        author: str = "",
        **conditions: Unpack[Conditions],
    ) -> int:
        """Remove the body of a message that is done, or of replaced state.

        Its bytes are overwritten, also in the files of the log. While a reader keeps that from
        being done, as a backup may, the engine tries again.

        Args:
            key: That of the message, or else of the state; the key that the command itself is
                given under is one of the `conditions`.
            group: Whose it is; "": the only one that knows it.
            reason: Why, for whoever misses it.
            author: Who asks; "": as the engine was told.
            conditions: What it is given under.

        Raises:
            CommandRefused: It is needed, it is gone already, or there is none.
        """
        author = author or self._author

        async def ask() -> Asked:
            found = await asyncio.to_thread(lambda: purging.find(self._log, key, group=group))
            working = self._turning.driver.working
            event = purging.removal(working, found, key, group=group, why=reason, author=author)
            return Asked(event=event, subject=FLEET)

        under = terms(("purge", key, group, reason, author), conditions)
        answer = await self._following.command(ask, under)
        await asyncio.to_thread(lambda: purging.erased(self._log))
        return answer.seq

    async def rollback(
        self,
        position: int,
        *,
        group: str,
        force: bool = False,
        author: str = "",
        wait: bool = True,
        **conditions: Unpack[Conditions],
    ) -> int:
        """Take the control of `group` back to what it was at the seq `position`.

        Raises:
            CommandRefused: It was refused as a whole, with every reason, or it is incomplete.
        """
        author = author or self._author

        async def ask() -> Asked:
            self._known(group)
            control = await self._control(group, position)
            event = ev.RollbackRequested(
                position=position,
                control=control,
                digest=st.control_digest(control),
                author=author,
                force=force,
            )
            return Asked(event=event, subject=group)

        under = terms(("rollback", position, group, force, author), conditions)
        return await self._following.begin(ask, under, group, ev.RollbackEnded, wait=wait)

    async def rollback_all(
        self,
        position: int,
        *,
        groups: tuple[str, ...] = (),
        force: bool = False,
        author: str = "",
        wait: bool = True,
        **conditions: Unpack[Conditions],
    ) -> int:
        """Take several groups back at once, or none; without names all, and the policy of then.

        Raises:
            CommandRefused: It was refused as a whole, with every reason of every group, or (waited
                for) a group did not get there.
        """
        author = author or self._author

        async def ask() -> Asked:
            for name in groups:
                self._known(name)
            state = await self._then(position)
            controls = controls_in(state, groups or self._turning.state.groups)
            missing = sorted(set(groups) - {control.group for control in controls})
            if missing:
                raise CommandRefused(
                    [f"there was no group {name} at position {position}" for name in missing]
                )
            event = ev.FleetRollbackRequested(
                position=position,
                controls=controls,
                digests=tuple(st.control_digest(control) for control in controls),
                author=author,
                policy=None if groups else state.fleet.policy,
                force=force,
            )
            return Asked(event=event, subject=FLEET)

        under = terms(("rollback all", position, groups, force, author), conditions)
        return await self._following.begin_all(ask, under, wait=wait)

    async def _control(self, group: str, position: int) -> GroupControl:
        control = control_in(await self._then(position), group)
        if control is None:
            raise CommandRefused((f"there was no group {group} at position {position}",))
        return control

    async def _then(self, position: int) -> st.State:
        """Return the state at a position."""
        head = self._turning.state.seq
        if not 0 < position <= head:
            raise CommandRefused((f"expected a seq up to {head}, found {position}",))
        try:
            return await asyncio.to_thread(states.state_at, self._log, position)
        except StateDropped as err:
            raise CommandRefused((str(err),)) from err
