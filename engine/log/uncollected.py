"""Many objects at once, without a garbage collection that finds no garbage among them."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector from looking, once or twice, at all that is in memory.

    A state is many objects at once and none of them garbage, and what is looked at is mostly not
    the state but all modules: that takes longer than to restore a thousand masters.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
