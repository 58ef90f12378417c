"""The end of a demonstration whose log cannot be written.

Nothing that is sent then comes to an end, so somebody has to give it up.
"""

import asyncio
from collections.abc import Coroutine
from typing import Final

from engine.core.errors import LogError
from engine.embed import Engine

LOOK_S: Final = 0.2
HALT_S: Final = 5.0  # how long it may last until it is given up [s]


async def unless_halted(engine: Engine, play: Coroutine[object, object, None]) -> None:
    """Play to the end, unless `engine` stands still meanwhile.

    Raises:
        LogError: The log could not be written for HALT_S, or is another engine's.
    """
    tasks = [asyncio.create_task(play), asyncio.create_task(_halted(engine))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _halted(engine: Engine) -> None:
    """Return never; raise if the log cannot be written for HALT_S, or is another engine's."""
    loop = asyncio.get_running_loop()
    since_s: float | None = None
    while True:
        if not engine.failure:
            since_s = None
        elif since_s is None:
            since_s = loop.time()
        elif engine.ended.is_set() or loop.time() - since_s >= HALT_S:
            raise LogError(f"the demonstration is given up: {engine.failure}")
        await asyncio.sleep(LOOK_S)
