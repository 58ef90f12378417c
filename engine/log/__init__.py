"""The log: the one truth that everything else is folded from.

Names are loaded when they are first used, so that the protocol can be imported without a database.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.log.append_keys import Appended as Appended
    from engine.log.memory import MemoryLog as MemoryLog
    from engine.log.protocol import Head as Head
    from engine.log.protocol import Log as Log
    from engine.log.sqlite import SqliteLog as SqliteLog
    from engine.log.sqlite import open_log as open_log
    from engine.log.writer import Writer as Writer

__all__ = ["Appended", "Head", "Log", "MemoryLog", "SqliteLog", "Writer", "open_log"]
_HOME = {
    "Appended": "engine.log.append_keys",
    "Head": "engine.log.protocol",
    "Log": "engine.log.protocol",
    "MemoryLog": "engine.log.memory",
    "SqliteLog": "engine.log.sqlite",
    "Writer": "engine.log.writer",
    "open_log": "engine.log.sqlite",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'engine.log' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
