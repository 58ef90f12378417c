"""A file that is there whole or not at all: written beside its place, then renamed into it.

If writing fails, nothing is left. What a killed process left lies beside the place under a name of
its own, and the next who writes there removes it.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engine.core.errors import ConfigurationError, LogError, LogFull, LogLocked

_ENDING: Final = ".part"
_BESIDE: Final = ("", "-journal", "-wal", "-shm")  # what SQLite writes for one database


@contextlib.contextmanager
def arriving(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Give the path to write to; when the block has ended, that file is at `path`, and durable.

    Raises:
        ConfigurationError: Something is at `path` already, and `force` is false.
        LogLocked: It is a database that a program has open.
        LogFull: No space is left for it.
        LogError: It cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}{_ENDING}")
    try:
        _check_free(path, force=force)
        _clear(path)
        try:
            yield part
            _sync(part)
            _check_free(path, force=force)  # once more: writing may have taken long
            os.replace(part, path)
            _sync(path.parent)
        finally:
            _remove(part)
    except OSError as err:
        kind = LogFull if err.errno in {errno.ENOSPC, errno.EDQUOT} else LogError
        raise kind(f"{path} cannot be written: {err.strerror}") from err


def _check_free(path: Path, *, force: bool) -> None:
    if not path.parent.is_dir():
        raise LogError(f"{path}: there is no directory {path.parent}")
    if path.is_dir():
        raise LogError(f"{path} is a directory")
    if path.exists() and not force:
        raise ConfigurationError([f"{path} exists already: choose another name, or add --force"])
    for suffix in ("-journal", "-wal"):
        beside = Path(f"{path}{suffix}")
        if beside.exists():
            # SQLite would take it for a part of whatever bears the name.
            raise LogLocked(f"{beside} is there: a program has {path} open, or was killed over it")


def _clear(path: Path) -> None:
    """Remove what killed processes left."""
    for left in path.parent.glob(f"{path.name}.*{_ENDING}"):
        pid = left.name.removeprefix(f"{path.name}.").removesuffix(_ENDING)
        if pid.isascii() and pid.isdigit() and not _is_alive(int(pid)):
            _remove(left)


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":  # asking would be telling: there, 0 is a signal
        return pid != os.getpid()
    if pid == os.getpid():
        return False  # this one has not begun, so an earlier process had the number
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _remove(part: Path) -> None:
    for suffix in _BESIDE:
        with contextlib.suppress(OSError):
            os.unlink(f"{part}{suffix}")


def _sync(path: Path) -> None:
    """Return when the file or directory is on the disk."""
    is_directory = path.is_dir()
    if is_directory and sys.platform == "win32":
        return  # a directory cannot be opened there
    descriptor = os.open(path, os.O_RDONLY if is_directory else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
