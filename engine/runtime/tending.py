"""What operators do with a fleet that runs, beside pauses and failovers: each is recorded.

Each takes the same conditions as the other commands, and may raise the same errors
(engine.runtime.commands).
"""

from collections.abc import Callable
from typing import Unpack

from engine.core import events as ev
from engine.core import state as st
from engine.core.alerts import find
from engine.core.errors import CommandRefused
from engine.core.events import Observation
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
