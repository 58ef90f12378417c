"""How large a log is, and how much room its file system has left."""

import os
import shutil
from pathlib import Path
from typing import Final

import msgspec

# The log itself, and what SQLite writes ahead of it.
_ENDINGS: Final = ("", "-wal")


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken and what is left [bytes]."""

    size: int  # 0: there is no log yet
    free: int  # for this user


def room_of(path: Path) -> Room:
    """Return the size of the log at `path`, and what is free where it lies or would lie.

    Raises:
        OSError: The file system cannot be asked.
    """
    place = path.parent
    while not place.is_dir() and place != place.parent:
        place = place.parent
    return Room(
        size=sum(_size(Path(f"{path}{ending}")) for ending in _ENDINGS),
        free=shutil.disk_usage(place).free,
    )


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
