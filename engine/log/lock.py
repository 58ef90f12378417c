"""One writer process for each log: an OS lock on a file of its own, beside the log.

It is a file of its own because opening and closing the database file drops the locks that SQLite
holds on it. It stays when the lock is released: who removed it could remove one that another
process has just locked. The lock itself ends with the process, however that ends.
"""

import os
import sys
from pathlib import Path
from typing import Final

from engine.core.errors import LogError, LogFull, LogLocked

_PID_BYTES_MAX: Final = 20
_LOCKED_BYTE: Final = 1 << 20  # on Windows a locked byte cannot be read, so it lies behind the pid

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _is_taken(descriptor: int) -> bool:
        return True  # a look at it would be a lock as well, and last

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        # flock, not lockf: it belongs to this opening, so it also keeps out a second writer in
        # this process, and reading the pid elsewhere does not drop it.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _is_taken(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def is_free(path: Path) -> bool:
    """Return whether surely nobody writes the log at `path`: its lock is there to be had.

    For a moment nobody else can have it, so this is asked only where there should be a writer.
    """
    try:
        with open(f"{path}.lock", "rb") as file:
            return not _is_taken(file.fileno())
    except OSError:
        return False


def identity(path: Path | str) -> tuple[int, int] | None:
    """Return which file lies at `path`: its device and number; None if none does."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class WriterLock:
    """The right to write the log at `path`, until `release`."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            LogLocked: Another process has it; the message names its pid.
            LogError: The lock file cannot be used.
        """
        lock = Path(f"{path}.lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as err:
            raise LogError(f"{lock} cannot be opened: {err.strerror}") from err
        self._file: Final = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            _try_lock(descriptor)
        except OSError as err:
            pid = self._file.read(_PID_BYTES_MAX).decode(errors="replace").strip()
            self._file.close()
            raise LogLocked(f"{path} is being written by process {pid or 'unknown'}") from err
        try:
            # Over what is there, which takes no space on a full disk.
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.truncate(descriptor, os.write(descriptor, f"{os.getpid()}\n".encode()))
        except OSError as err:
            self._file.close()
            raise LogFull(f"{lock} cannot be written: {err.strerror}") from err

    def release(self) -> None:
        """Let another process write; a second call does nothing."""
        self._file.close()
