"""Says when the engine stands still because its log cannot be written, and when it goes on.

No event can say so while it lasts. It is looked for and not waited for, so a failure that is over
before the next look is not said here; `EngineResumed` in the log has that too.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from engine.answers.words import harmless, lasting
from engine.embed import Engine
from engine.runtime.clock import monotonic_us

LOOK_S: Final = 0.2
_IN_ORDER: Final = "the engine has ended"  # the failure of a `Turning` that ended without one


class Halts:
    """What people are told of a log that cannot be written."""

    def __init__(self, engine: Engine, say: Callable[[str], None]) -> None:
        self._engine: Final = engine
        self._say: Final = say
        self._since_us: int | None = None
        self._is_pause_said = False

    async def watch(self) -> None:
        """Look until this is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Say whether it has begun to stand still, or goes on."""
        failure = self._engine.failure
        if self._engine.ended.is_set():
            return  # it will not go on, and whoever runs it says why
        if failure and self._since_us is None:
            self._since_us = monotonic_us()
            self._say(
                f"tanist: the log cannot be written: {harmless(failure)}; "
                "nothing is decided and nothing issued until it can"
            )
        if failure:
            self._say_pause()
        elif self._since_us is not None:
            self._is_pause_said = False
            spent = lasting(monotonic_us() - self._since_us)
            self._since_us = None
            self._say(f"tanist: the log can be written again, after {spent}; it goes on")

    def _say_pause(self) -> None:
        """Say that a file pauses the engine, which the log cannot take note of now."""
        said = self._engine.paused_by_file
        if said is not None and not self._is_pause_said:
            self._is_pause_said = True
            self._say(
                f"tanist: a file pauses the fleet: {harmless(said)}; it is obeyed, and recorded "
                "when the log can be written"
            )

    def say_ending(self) -> None:
        """Say what becomes of what was observed; call it before the engine is left."""
        failure = self._engine.failure
        if not failure:
            self._say("tanist: ending: what was observed is made durable")
            return
        spent = ""
        if self._since_us is not None:
            spent = f" for {lasting(monotonic_us() - self._since_us)}"
        self._say(
            f"tanist: ending: the log could not be written{spent}, and what was observed since "
            f"then is lost: {harmless(failure)}"
        )
        self._since_us = monotonic_us()

    def say_end(self) -> None:
        """Say if the very last of it was lost; call it after the engine was left."""
        failure = self._engine.failure
        if self._since_us is None and failure != _IN_ORDER:
            self._say(
                f"tanist: ended: what was observed last could not be made durable and is lost: "
                f"{harmless(failure)}"
            )
