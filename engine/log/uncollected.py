"""Many objects at once, without a garbage collection that finds no garbage among them."""

import contextlib
import gc
from collections.abc import Iterator
from typing import Final

YOUNG_MAX: Final = 50_000  # objects that are new before it is looked which of them are garbage


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


@contextlib.contextmanager
def seldom_collected() -> Iterator[None]:
    """Let the garbage collector look much less often, at many more objects each time.

    A simulated world makes few objects that only a collector finds, and keeps most of the others:
    a look after every few hundred of them is a tenth of its time.
    """
    young, *others = gc.get_threshold()
    gc.set_threshold(max(young, YOUNG_MAX) if young else 0, *others)
    try:
        yield
    finally:
        gc.set_threshold(young, *others)
