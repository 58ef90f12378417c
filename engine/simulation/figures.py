"""What the simulated engine has counted in a minute: figures that are out of the ordinary, or not.

As in the engine that is shipped, they are recorded only if they show a condition, or if they are of
one that has begun.
"""

from collections.abc import Callable
from typing import Final

from engine.core import events as ev
from engine.core import gauges
from engine.core.events import FLEET, Figures
from engine.core.policy import SECOND
from engine.core.state import State

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FREE_BYTES: Final = 1 << 30


def _budget(*, is_bad: bool) -> Figures:
    burn = 20_000 if is_bad else 0
    return (
        *((f"burn_{window}", burn) for window in WINDOWS),
        *((f"failures_{window}", 3 if is_bad else 0) for window in WINDOWS),
        ("uptime_ppm", 900_000 if is_bad else 1_000_000),
    )


def _traffic(*, is_bad: bool) -> Figures:
    return (("calls", 1_000), ("errors", 500 if is_bad else 0), ("group_calls", 1_100))


def _latency(*, is_bad: bool) -> Figures:
    return (("p99_us", SECOND if is_bad else 1_000), ("usual_us", 1_000))


def _disk(*, is_bad: bool) -> Figures:
    lacking = 2 * FREE_BYTES if is_bad else 0
    used_ppm = 990_000 if is_bad else 10_000
    return (
        ("used_ppm", used_ppm), ("free", FREE_BYTES), ("lacking", lacking),
        ("left_us", SECOND if is_bad else -1),
    )  # fmt: skip


def _views(*, is_bad: bool) -> Figures:
    return (("behind_us", 100 * SECOND if is_bad else 0),)


KINDS: Final[tuple[tuple[str, Callable[..., Figures]], ...]] = (
    (gauges.BUDGET, _budget),
    (gauges.TRAFFIC, _traffic),
    (gauges.LATENCY, _latency),
    (gauges.DISK, _disk),
    (gauges.VIEWS, _views),
)


def counted(
    state: State, count: int, *, group: str, master: str
) -> tuple[ev.FiguresDerived, str] | None:
    """Return what is told the core, and of whom; None: it is not worth recording.

    Args:
        state: The working state.
        count: Which figures, and whether they are bad [count, >= 1].
        group: Whose budget it would be.
        master: Whose requests and answers it would be; "": nobody's.
    """
    what, figures = KINDS[(count - 1) // 2 % len(KINDS)]
    said = figures(is_bad=count % 2 > 0)
    match what:
        case gauges.BUDGET:
            subject = group
        case gauges.DISK | gauges.VIEWS:
            subject = FLEET
        case _:
            subject = master
    if not subject or not gauges.is_worth_recording(state, subject, what, said):
        return None
    return ev.FiguresDerived(what=what, figures=said), subject
