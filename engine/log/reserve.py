"""Space that is kept for a log, for the day when its disk is full.

It is a file beside the log, `LOG.reserve`, whose bytes are really allocated. When the disk is full
it is made smaller step by step, and what it gave up lets failures, decisions and commands commit.

Rules.
- It never takes more than a quarter of the space that is there.
- It gives up one step at a time, so whoever fills the disk gets one step at most along with us.
- It gives up nothing while as much is free as it could give: then it is not space that is short.
- It stays when the engine ends, so that one can start on a full disk too; its first line says what
  it was when it was whole.

On a file system that compresses or that never writes in place, a file keeps no space for another.
"""

import errno
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from engine.core.errors import LogFull

T = TypeVar("T")

STEPS: Final = 16  # that it is given up in, each within these bounds
STEP_BYTES_MIN: Final = 1 << 20  # holds a large transaction, and what a checkpoint adds to the log
STEP_BYTES_MAX: Final = 8 << 20
SHARE: Final = 4  # it may take this part of what is free
PORTION_BYTES: Final = 4 << 20  # written in one call of `fill`, where nothing allocates at once
WRITE_BYTES: Final = 1 << 20
HEAD_BYTES: Final = 4_096  # the first line, and no part of what is kept

_NOT_HERE: Final = frozenset((errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP))
_HEAD: Final = re.compile(rb"[^\n]*: ([0-9]{1,19}) bytes when whole\n")
_SAYS: Final = (
    "kept by Tanist, so that its log can be written on a full disk: {} bytes when whole\n"
)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept."""

    left: int  # now [bytes]
    whole: int  # while there is space [bytes]; 0: nothing was ever kept
    wanted: int  # as configured [bytes]

    @property
    def is_short(self) -> bool:
        """Return whether some of it was given up and is not back."""
        return self.left < self.whole


class Reserve:
    """What is kept beside the log at `path`; threads may share it.

    Only who holds the writer lock of the log may change it.
    """

    def __init__(self, path: Path, *, wanted: int) -> None:
        """Look what is there, and change nothing; `wanted` is what shall be kept [bytes]."""
        self.path: Final = Path(f"{path}.reserve")
        self._wanted: Final = wanted
        self._changing: Final = threading.Lock()
        self._is_sound = False  # allocated by this process: a copy of the file may be hollow
        left, whole = self._found(0)
        # Where more was configured once, it is no shortage to have less of it.
        self.figures = Figures(left=left, whole=min(whole, max(left, wanted)), wanted=wanted)

    def _found(self, known: int) -> tuple[int, int]:
        """Return what the file holds, and what it did when it was whole [bytes].

        That a process has no files left, or a disk does not answer, says nothing of the file: it is
        taken to hold what is `known` of it.
        """
        try:
            with self.path.open("rb") as file:
                head = _HEAD.match(file.read(HEAD_BYTES))
                left = max(0, file.seek(0, os.SEEK_END) - HEAD_BYTES)
        except FileNotFoundError:
            return 0, 0
        except OSError:
            return known, known
        return left, max(left, int(head[1])) if head else left

    def _free(self) -> int:
        """Return what an ordinary process may still write there [bytes]; 0 if nobody knows."""
        try:
            return shutil.disk_usage(self.path.parent).free
        except OSError:
            return 0

    # On a full disk.

    def relieve(self, action: Callable[[], T], *, settle: Callable[[int], None] | None = None) -> T:
        """Return what `action` does; while it finds the disk full, give up a step and try again.

        `settle` makes the best of the space that is there: at first of what little there is (0),
        then of each step that was given up [bytes].

        Raises:
            LogFull: As `action` does, and there is nothing left that could help.
        """
        is_settled = settle is None
        while True:
            given = 0
            try:
                return action()
            except LogFull as err:
                if is_settled:
                    given = self.give_up()
                    if not given:
                        if self.figures.whole and not self.figures.left:
                            raise LogFull(f"{err}; the reserve is spent") from err
                        raise
            is_settled = True
            if settle is not None:
                settle(given)

    def give_up(self) -> int:
        """Give a step up; return how much that is [bytes]: 0 if nothing can be, or would help."""
        with self._changing:
            whole = self.figures.whole
            left = min(self._found(self.figures.left)[0], whole)
            self.figures = msgspec.structs.replace(self.figures, left=left)
            if self._free() >= max(whole, STEP_BYTES_MIN):
                return 0
            step = min(left, max(whole // STEPS, STEP_BYTES_MIN), STEP_BYTES_MAX)
            try:
                if step:
                    with self.path.open("r+b", buffering=0) as file:
                        file.truncate(HEAD_BYTES + left - step)
                        os.fsync(file.fileno())  # before that, it may be that nobody can have it
            except OSError:
                return 0
            self.figures = msgspec.structs.replace(self.figures, left=left - step)
            return step

    # While there is space.

    def fill(self) -> bool:
        """Keep what shall be kept, if there is plenty of space; return whether that changed.

        Plenty is so much that a quarter of it is half of what was kept before, at least.
        """
        with self._changing:
            before, whole = self.figures, self.figures.whole
            left, _ = self._found(before.left)
            self.figures = msgspec.structs.replace(before, left=min(left, whole))
            target = min(self._wanted, (left + self._free()) // SHARE)
            if left < whole and target < min(whole, self._wanted) // 2:
                return False
            target = min(self._wanted, max(left, target))
            if target != left or left < whole or not self._is_sound:
                self._keep(left, target)
            return self.figures != before

    def _keep(self, left: int, target: int) -> None:
        """Make the file hold `target` bytes, or a portion more than the `left` that it has."""
        try:
            if not target:
                self.path.unlink(missing_ok=True)
                kept = 0
            else:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
                with os.fdopen(descriptor, "r+b", buffering=0) as file:
                    kept = _allocate(file, HEAD_BYTES + left, HEAD_BYTES + target) - HEAD_BYTES
                    if kept >= target:
                        file.seek(0)
                        file.write(_SAYS.format(target).encode())
                    os.fsync(file.fileno())
        except OSError:  # it is full after all
            left, _ = self._found(self.figures.left)
            self.figures = msgspec.structs.replace(self.figures, left=left)
            return
        whole = self.figures.whole if kept < target else target
        self._is_sound = kept >= target
        self.figures = Figures(left=kept, whole=whole, wanted=self._wanted)


def _allocate(file: FileIO, before: int, size: int) -> int:
    """Return how large `file` is now: `size`, or a portion more than `before` [bytes].

    Raises:
        OSError: It does not fit; the file is as it was.
    """
    try:
        if size >= before and not _allocate_at_once(file, size):
            size = min(size, before + PORTION_BYTES)
            file.seek(before)
            for at in range(before, size, WRITE_BYTES):
                file.write(bytes(min(WRITE_BYTES, size - at)))
        file.truncate(size)
    except OSError:
        file.truncate(before)
        raise
    return size


def _allocate_at_once(file: FileIO, size: int) -> bool:
    """Return whether the file system could do that, also where the file has holes."""
    if sys.platform == "win32" or not hasattr(os, "posix_fallocate"):
        return False
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as err:
        if err.errno in _NOT_HERE:
            return False
        raise
    return True
