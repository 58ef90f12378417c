"""Named places where a test may end the process, to show that a crash there loses nothing.

A failpoint is armed by its name, optionally with a word that must occur in its detail and with the
count of the hit that ends the process: `log.after_commit/MasterFenced:2`. Where none is armed, a
hit costs one call.
"""

import os
import signal
from collections.abc import Callable
from typing import Final, TypeAlias

Failpoint: TypeAlias = Callable[[str, str], None]  # name, detail

NAMES: Final = (
    "observe.after",
    "log.before_append",
    "log.before_commit",
    "log.after_commit",
    "durable.before",
    "durable.after",
    "publish.after",
    "effect.before",
    "effect.after",
    "outcome.after",
    "deliver.before",
    "deliver.after",
    "ack.after",
)


def nothing(name: str, detail: str) -> None:
    """Pass every failpoint."""


def kill_at(armed: str) -> Failpoint:
    """Return a failpoint that ends this process by SIGKILL at the place that `armed` names.

    Raises:
        ValueError: `armed` names no failpoint.
    """
    place, _, count = armed.partition(":")
    wanted, _, word = place.partition("/")
    if wanted not in NAMES:
        raise ValueError(f"expected one of {', '.join(NAMES)}, found {wanted!r}")
    left = int(count or 1)

    def hit(name: str, detail: str) -> None:
        nonlocal left
        if name == wanted and word in detail:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hit
