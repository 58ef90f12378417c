"""The way back after a failed append: wait, fold the log anew, and let it be tried again.

The engine stands still meanwhile: nothing is taken, nothing is issued.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.core.state import State
from engine.log.protocol import Log
from engine.log.states import state_at

RETRY_S: Final = 0.05  # the first pause after the log refused an append; doubles
RETRY_S_MAX: Final = 5.0

Again = Callable[[State, tuple[Recorded, ...]], None]


class Recovering:
    """Begins again from the log, as often as it takes.

    Args:
        log: What is read.
        position: Returns up to where it is known as durable [seq].
        again: Takes the state folded anew, and what the log holds beyond that position: an append
            whose outcome was unknown.
        failed: Takes the error, whatever it is, if even that did not go well.
    """

    def __init__(
        self,
        log: Log,
        *,
        position: Callable[[], int],
        again: Again,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._log: Final = log
        self._position: Final = position
        self._again: Final = again
        self._failed: Final = failed
        self._pause_s = RETRY_S
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Try it again after a pause, which is twice as long each time."""
        self._task = asyncio.get_running_loop().create_task(self._recover())

    def ended(self) -> None:
        """Note that an append was durable."""
        self._pause_s = RETRY_S

    async def stop(self) -> None:
        """Try it no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _recover(self) -> None:
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, RETRY_S_MAX)
        try:
            state, fresh = await asyncio.to_thread(self._read_again)
            self._again(state, fresh)
        except Exception as err:  # whatever it is: who gives up here stands still for ever
            if not isinstance(err, LogError):
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "the log could not be read again", "exception": err}
                )
            self._failed(err)

    def _read_again(self) -> tuple[State, tuple[Recorded, ...]]:
        seq = self._position()
        return state_at(self._log), tuple(self._log.read(after=seq))
