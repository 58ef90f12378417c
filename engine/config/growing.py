"""How large the log of a configuration gets, and whether its disk holds that.

A steady state: what is hot is as it was written, what is older is sealed, and the oldest probes go
as `keep_observations` and `max_size` say. Decisions stay for ever; a quiet fleet makes few.
"""

from typing import Final, TypedDict

from engine.config.describing import BYTES_HOW, Description, size
from engine.config.durations import spell
from engine.config.loading import Configuration
from engine.config.sizes import spell_size
from engine.core.policy import DAY

# What a good probe takes in a sealed block, columns and chain included [bytes]. A million events
# of fifty masters took 8.3 each; who answers less evenly takes a little more.
SEALED_BYTES: Final = 10


class Growth(TypedDict):
    """What becomes of the log; a document of JSON."""

    hot_bytes_a_day: int
    sealed_bytes_a_day: int
    bytes_at_most: int | None  # of the steady state; null: it grows without end
    keep_observations_us: int  # 0: for ever
    max_bytes: int  # 0: any size
    size: int  # of what is there already [bytes]
    free: int  # on the file system where it lies [bytes]
    days_until_full: float | None  # null: it never is


def growth(configuration: Configuration, found: Description, *, size: int, free: int) -> Growth:
    """Return what becomes of the log of `configuration`, which `found` describes.

    Args:
        configuration: When events are sealed, and how long they are kept.
        found: Its description: how many probes a day.
        size: How large the log is now [bytes].
        free: What its file system has to give [bytes].
    """
    hot, sealed = found["log_bytes_a_day"], found["log_probes_a_day"] * SEALED_BYTES
    keep_us, max_bytes = configuration.keep_observations_us, configuration.max_size
    fresh = hot * configuration.seal_after_us // DAY  # it is there all the time
    bounds = [max_bytes] if max_bytes else []
    if keep_us:
        bounds.append(fresh + sealed * keep_us // DAY)
    at_most = min(bounds, default=None)
    days = None
    is_enough = at_most is not None and at_most - size <= free
    if sealed and not is_enough:
        days = max(0, free - max(0, fresh - size)) / sealed
    return Growth(
        hot_bytes_a_day=hot,
        sealed_bytes_a_day=sealed,
        bytes_at_most=at_most,
        keep_observations_us=keep_us,
        max_bytes=max_bytes,
        size=size,
        free=free,
        days_until_full=days,
    )


def growth_said(found: Growth) -> str:
    """Return `found` as two lines for people."""
    kept = [f"{spell(found['keep_observations_us'])} kept"] if found["keep_observations_us"] else []
    kept += [spell_size(found["max_bytes"])] if found["max_bytes"] else []
    at_most = found["bytes_at_most"]
    ends = "it grows without end" if at_most is None else f"at most {size(at_most)}"
    ends += f" ({', '.join(kept)})" if kept else ""
    days = found["days_until_full"]
    verdict = "enough" if days is None else f"full in {_days(days)}"
    return (
        f"log: {size(found['hot_bytes_a_day'])} a day while hot, "
        f"{size(found['sealed_bytes_a_day'])} a day sealed; {ends}; "
        f"the disk has {size(found['free'])} free: {verdict}\n"
        f"while hot: {BYTES_HOW}"
    )


def _days(days: float) -> str:
    """Return a number of days, not one too many."""
    if days < 1:
        return "less than a day"
    whole = int(days)
    return "1 day" if whole == 1 else f"{whole:,} days"
