"""Tanist: an event-sourced failover and load-balancing engine.

Names are loaded when they are first used, so that the pure core can be imported without asyncio
and without a database.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.config import load as load
    from engine.embed import Engine as Engine

__version__ = "0.1.0"
__all__ = ["Engine", "load"]
_HOME = {"Engine": "engine.embed", "load": "engine.config"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
