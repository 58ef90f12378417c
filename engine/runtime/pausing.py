"""The file that pauses an engine: `tanist.pause` beside its log, for as long as it is there.

It needs nothing of the engine but that it turns: no interface, no space on the disk. So it is
looked for at each heartbeat, and before whatever might begin a failover. The state of the log knows
of it as soon as that can be recorded; it is obeyed before.

What it says is the reason, for whoever finds the engine paused; its first line is read.
"""

import os
from pathlib import Path
from typing import Final

from engine.core import events as ev
from engine.core.state import State
from engine.log.place import log_path

NAME: Final = "tanist.pause"
AUTHOR: Final = "file"
REASON_BYTES_MAX: Final = 200
NO_REASON: Final = f"there is a file {NAME}"


class PauseFile:
    """Looks for the file in the folders of one log."""

    def __init__(self, *folders: Path) -> None:
        """Look in `folders`; without any there is no such file."""
        self.paths: Final = tuple(dict.fromkeys(folder / NAME for folder in folders))
        self._said: str | None = None
        self._seen: tuple[int, ...] = ()  # which file `_said` is from

    @classmethod
    def beside(cls, log: str) -> "PauseFile":
        """Return the one beside a log: where the file is, and where the name is that was given.

        Raises:
            LogError: It names no file.
        """
        real = log_path(log)
        given = real if "://" in log else Path(os.path.abspath(log))
        return cls(given.parent, real.parent)

    def look(self) -> str | None:
        """Return what the file says; None if there is none.

        A folder that cannot be asked is taken to be as it was.
        """
        for path in self.paths:
            try:
                found = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                return self._said
            seen = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
            if self._said is None or seen != self._seen:
                self._said, self._seen = _reason(path), seen
            return self._said
        self._said = None
        return None

    def news(self, state: State) -> ev.Paused | ev.Resumed | None:
        """Return what has to be recorded now: that the file came or went."""
        said, known = self.look(), state.fleet.file_pause
        if (said is None) == (known is None):
            return None
        if said is None:
            return ev.Resumed(author=AUTHOR, by_file=True)
        return ev.Paused(until_us=0, reason=said, author=AUTHOR, by_file=True)


def _reason(path: Path) -> str:
    """Return the first line of the file; that it is there is enough, whatever it is."""
    try:
        # A pipe that nobody writes to must not be waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return NO_REASON
    try:
        data = os.read(handle, REASON_BYTES_MAX)
    except OSError:  # a folder of that name
        return NO_REASON
    finally:
        os.close(handle)
    said = data.decode("utf-8", errors="replace").partition("\n")[0].strip()
    return said or NO_REASON
