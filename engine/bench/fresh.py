"""What has to be measured in a process of its own: a start, and the memory of a replay.

    python -m engine.bench.fresh start|floor|memory LOG

Prints one JSON object. Everything that an engine loads is loaded before anything is measured.
"""

import gc
import sys
from pathlib import Path
from typing import Final

import msgspec

import engine.embed as _engine  # noqa: F401  what a start has loaded
from engine import __version__
from engine.bench import raw
from engine.core.driver import Driver
from engine.core.replay import replay
from engine.log.library import sound_library
from engine.log.sqlite import open_log
from engine.log.states import state_at
from engine.log.uncollected import uncollected
from engine.runtime.clock import monotonic_us

_STATUS: Final = Path("/proc/self/status")
_PEAK: Final = "VmHWM:"  # [KiB]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    seq: int  # of the last event that was folded
    took_us: int
    grown_bytes: int | None = None  # of the peak of memory; None: this system does not tell


def start(path: Path) -> Found:
    """Return how long it takes until an engine has its state and its driver."""
    began_us = monotonic_us()
    with uncollected():  # as an engine does
        log = open_log(path, mode="write", create=True, release=__version__)
    with log:
        notes: list[str] = []
        state = state_at(log, say=notes.append)
        with uncollected():
            driver = Driver(state)
        took_us = monotonic_us() - began_us
        assert not notes
        return Found(seq=driver.working.seq, took_us=took_us)


def floor(path: Path) -> Found:
    """Return how long the driver's own cursor takes for the same snapshot and the same rows."""
    gc.freeze()  # so that no collection passes over what only an engine has loaded
    began_us = monotonic_us()
    seq = raw.restore(path)
    return Found(seq=seq, took_us=monotonic_us() - began_us)


def memory(path: Path) -> Found:
    """Return what a replay of the whole log adds to the peak of this process's memory."""
    with open_log(path) as log:
        began_us, before = monotonic_us(), peak_bytes()
        seq = replay(log.read()).seq
        took_us, after = monotonic_us() - began_us, peak_bytes()
    grown = None if before is None or after is None else after - before
    return Found(seq=seq, took_us=took_us, grown_bytes=grown)


def peak_bytes() -> int | None:
    """Return the most memory that this process has held; None if the system does not tell."""
    try:
        # Before `getrusage`, whose peak Linux takes over from the process that started this one.
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(_PEAK))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Measure what the arguments name."""
    what, path = sys.argv[1:]
    sound_library()
    found = {"start": start, "floor": floor, "memory": memory}[what](Path(path))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
