"""Which SQLite reads and writes the log.

Before 3.51.3 (fixed also in 3.50.7 and 3.44.6) SQLite can corrupt a write-ahead log that is reset
while another connection checkpoints, and many system Pythons carry an older one. So the one that
pysqlite3 brings is taken where it is installed, else the standard library's if it is sound.
A file is never opened with two copies in one process.
"""

import functools
import importlib
from types import ModuleType
from typing import Final

import msgspec

from engine.core.errors import LogError

_MODULES: Final = ("pysqlite3.dbapi2", "sqlite3")
_SOUND_FROM: Final = (3, 51, 3)
_SOUND_BRANCHES: Final = ((3, 50, 7), (3, 44, 6))


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """One SQLite and the driver that brought it."""

    module: ModuleType
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"SQLite {'.'.join(map(str, self.version))} ({self.module.__name__})"


def is_sound(version: tuple[int, int, int]) -> bool:
    """Return whether this SQLite cannot corrupt a log by a checkpoint."""
    return version >= _SOUND_FROM or any(
        fixed <= version < (fixed[0], fixed[1] + 1, 0) for fixed in _SOUND_BRANCHES
    )


@functools.cache
def sound_library() -> Library:
    """Return the SQLite that this process uses.

    Raises:
        LogError: None is sound; the message says what to install.
    """
    found = []
    for name in _MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        library = Library(module=module, version=module.sqlite_version_info)
        if is_sound(library.version):
            return library
        found.append(str(library))
    raise LogError(
        f"expected SQLite 3.51.3 or later, found {', '.join(found) or 'none'}, which can corrupt "
        "a log: install the package pysqlite3, or a Python with a newer SQLite"
    )
