"""Effects by functions of the service that embeds the engine.

    @engine.effect("bots", "promote")
    async def promote(asked: Asked) -> None: ...

A function that returns has done it; a text that a transfer returns is the digest that the receiver
confirmed. One that raises `EffectRefused` has refused and changed nothing; of any other error
nobody knows what it left.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from engine.core.errors import EffectRefused
from engine.core.events import Result
from engine.runtime.carriers.asked import Asked, Carried, Member, line
from engine.runtime.ending import end
from engine.runtime.threads import Threads

Function: TypeAlias = Callable[[Asked], Awaitable[str | None] | str | None]

STEPS: Final = (
    "preflight", "fence", "detach", "transfer", "promote", "verify", "switch", "follow",
)  # fmt: skip
_EFFECTS: Final = Threads("effect")
_MAY_LACK: Final = frozenset(("preflight", "switch", "follow"))  # that change nothing that counts


class Functions:
    """The functions that a service has registered, by group and step."""

    def __init__(self) -> None:
        self._functions: Final[dict[tuple[str, str], Function]] = {}

    def register(self, group: str, step: str, function: Function) -> None:
        """Carry out `step` of `group` by `function` from here on.

        Raises:
            ValueError: There is no such step, or it has a function.
        """
        if step not in STEPS:
            raise ValueError(f"expected one of {', '.join(STEPS)}, found {step!r}")
        if (group, step) in self._functions:
            raise ValueError(f"expected one function for {step} of {group}, found a second one")
        self._functions[group, step] = function

    def has(self, group: str, step: str) -> bool:
        """Return whether a function was registered for this step."""
        return (group, step) in self._functions

    def attach(self, group: str, members: tuple[Member, ...]) -> None:
        """Do nothing: functions hold what they need."""

    async def carry(self, asked: Asked) -> Carried:
        """Call the function; one that is not async runs in a thread, which nothing can end."""
        function = self._functions.get((asked.group, asked.step))
        if function is None:
            if asked.step in _MAY_LACK:
                return Carried(result=Result.OK, detail="no function: nothing to do")
            detail = f'no function: register one with @engine.effect("{asked.group}", …)'
            return Carried(result=Result.REFUSED, detail=detail)
        # A task of its own: one that does not let itself be cancelled must have an outcome, too.
        doing = asyncio.get_running_loop().create_task(_called(function, asked))
        try:
            done, _ = await asyncio.wait({doing}, timeout=asked.timeout_us / 1e6)
        except asyncio.CancelledError:
            await end(doing)
            raise
        if not done:
            await end(doing)
            return Carried(result=Result.UNKNOWN, detail="no answer in time")
        if doing.cancelled():
            detail = "CancelledError: what it waited for was ended"
            return Carried(result=Result.UNKNOWN, detail=detail)
        try:
            said = doing.result()
        except EffectRefused as err:
            return Carried(result=Result.REFUSED, detail=line(str(err)))
        except Exception as err:  # the service's own: whatever it is, it is an outcome
            return Carried(result=Result.UNKNOWN, detail=line(repr(err)))
        return Carried(result=Result.OK, digest=said if isinstance(said, str) else asked.digest)

    async def close(self) -> None:
        """Do nothing: who waits for a function is cancelled."""


async def _called(function: Function, asked: Asked) -> object:
    if inspect.iscoroutinefunction(function):
        return await function(asked)
    said = await _EFFECTS.call(lambda: function(asked))
    return await said if inspect.isawaitable(said) else said
