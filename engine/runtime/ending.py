"""The end of what somebody else has written: it is asked for, and not waited for without end."""

import asyncio
from typing import Any, Final

ENDS_S: Final = 1.0  # what is cancelled may take so long to clean up [s]


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancel `task` and wait for its end; one that goes on all the same is left to itself."""
    task.add_done_callback(_heard)
    task.cancel()
    await asyncio.wait({task}, timeout=ENDS_S)


def is_asked_to_end() -> bool:
    """Return whether it is this task that was cancelled, and not something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _heard(task: "asyncio.Task[Any]") -> None:
    """Take note of what became of it: nobody waits for that any more."""
    if not task.cancelled():
        task.exception()
