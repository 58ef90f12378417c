"""What a file is, told from its first bytes and nothing else.

SQLite may write to a file that it opens, even one that is not ours, so it opens none before this.
Source of the offsets: SQLite, "Database File Format", section 1.3.
"""

import enum
import os
import stat
import struct
from pathlib import Path
from typing import Final

from engine.core.errors import LogCorrupted, LogError, LogForeign, LogTooNew

# user_version; a release reads and writes the format that it finds.
# 1: every event is a row. 2: sealed blocks and snapshots as well.
FORMAT: Final = 2
APPLICATION_ID: Final = 0x54414E49  # "TANI"

_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_PAGE_SIZE_MAX: Final = 65_536  # stored as 1, because 16 bits cannot hold it


class Found(enum.Enum):
    """What lies at a path."""

    ABSENT = "absent"
    EMPTY = "empty"  # also a log whose creation was cut short
    LOG = "log"


def damaged(path: Path, found: str) -> LogCorrupted:
    """Return the error for a file that is damaged where no event can be named: its seq is 0."""
    error = LogCorrupted(0, found)
    error.args = (f"{path}: {found}",)
    return error


def check_identity(path: Path, *, application_id: int, version: int) -> None:
    """Return if the two numbers are those of a log that this release knows.

    Raises:
        LogForeign: It is some other database.
        LogTooNew: A newer release wrote it.
    """
    if application_id != APPLICATION_ID:
        raise LogForeign(f"{path} is an SQLite database, but not a log of Tanist")
    if version > FORMAT:
        raise LogTooNew(
            f"{path} has format {version} of a newer release; this one knows {FORMAT}. "
            "Nothing was changed"
        )
    if version < 1:
        raise damaged(path, f"expected a format from 1 on, found {version}")


def examine(path: Path) -> Found:
    """Return what lies at `path`, without changing anything there.

    Raises:
        LogForeign: It is not a log of Tanist.
        LogTooNew: A newer release wrote it.
        LogCorrupted: It is shorter than it says.
        LogError: It cannot be read.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise LogForeign(f"{path} is not a file")
        with open(path, "rb") as file:
            head = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return Found.ABSENT
    except OSError as err:
        raise LogError(f"{path} cannot be read: {err.strerror}") from err
    # A creation that was killed may have left pages, but not yet the first.
    if not head or (not any(head) and _is_pending(path)):
        return Found.EMPTY
    if not head.startswith(_MAGIC[: len(head)]):
        raise LogForeign(f"{path} is not a log of Tanist, nor any SQLite database")
    if len(head) < _HEADER_BYTES:
        raise damaged(path, f"truncated to {len(head)} bytes")
    (page_size,) = struct.unpack_from(">H", head, 16)
    changes, pages = struct.unpack_from(">II", head, 24)
    (version,) = struct.unpack_from(">I", head, 60)
    (application_id,) = struct.unpack_from(">I", head, 68)
    (valid_for,) = struct.unpack_from(">I", head, 92)
    if pages == 1 and application_id == version == 0:
        return Found.EMPTY  # a creation that was cut short: one page holds no table of anybody
    check_identity(path, application_id=application_id, version=version)
    expected = pages * (_PAGE_SIZE_MAX if page_size == 1 else page_size)
    # What a journal or a write-ahead log still holds may be missing in the file itself.
    if changes == valid_for and status.st_size < expected and not _is_pending(path):
        raise damaged(path, f"truncated: expected {expected} bytes, found {status.st_size}")
    return Found.LOG


def _is_pending(path: Path) -> bool:
    for suffix in ("-wal", "-journal"):
        beside = Path(f"{path}{suffix}")
        if beside.exists() and beside.stat().st_size > 0:
            return True
    return False
