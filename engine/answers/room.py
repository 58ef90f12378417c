"""How large a log is, and in how many days its disk will be full if it grows on as it did."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engine.core.events import Figures
from engine.core.gauges import PPM
from engine.core.policy import DAY
from engine.log.protocol import Log

SOON_DAYS: Final = 3  # a disk that is full sooner is worth a word (the policies of alerts)


def room(
    log: Log, path: Path, *, keep_us: int = 0, size_max: int = 0, grows: bool = True
) -> dict[str, object]:
    """Return the size of the log at `path` and what is free there [bytes], ready for JSON.

    `days_until_full` is what is free over the growth of an average day so far. Null: the log does
    not grow, has come to its bounds or will find room for them, or is not a day old yet.

    Args:
        log: The log.
        path: Where it is.
        keep_us: How old an observation becomes [us]; 0: however old.
        size_max: What the log may take [bytes]; 0: any size.
        grows: Whether an engine writes it.

    Raises:
        LogError: The log cannot be read.
        OSError: The file system cannot be asked.
    """
    size, disk = log.size().file, shutil.disk_usage(path.parent)
    free = disk.free
    days = None
    first = next(log.rows(chunk=1), None) if grows else None
    if first is not None:
        age_us = log.head.at_us - first[1]
        is_bounded = 0 < keep_us <= age_us or 0 < size_max <= size + free
        if age_us >= DAY and not is_bounded:
            days = round(free * age_us / (size * DAY), 1)
    return {"size": size, "free": free, "total": disk.total, "days_until_full": days}


def figures_of_room(found: Mapping[str, Any] | None, *, size_max: int) -> Figures | None:
    """Return the figures that alerts of the disk rest on; None: the log is in no file.

    Args:
        found: What `room` says.
        size_max: What the log may take [bytes]; 0: any size.
    """
    if found is None or not found["total"]:
        return None
    days = found["days_until_full"]
    return (
        ("used_ppm", PPM - found["free"] * PPM // found["total"]),
        ("free", found["free"]),
        ("lacking", max(0, size_max - found["size"]) if size_max else -1),
        ("left_us", -1 if days is None else int(days * DAY)),
    )
