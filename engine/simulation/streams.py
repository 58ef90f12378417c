"""The data of masters that replicate: a stream of writes, its name, and how far a master has it.

A write is a number above 0; an epoch that was claimed is the same below 0; 0 is a test.
"""

from typing import Final, Literal

import msgspec

from engine.core.policy import MS

WRITE_BYTES: Final = 10  # by which a write moves the position


class Replication(msgspec.Struct, frozen=True, kw_only=True):
    """How the masters of a group replicate, and who writes to them."""

    write_every_us: int = 5 * MS  # [> 0]
    lag_us: int = MS  # until a replica has what its primary has; twice that at most [> 0]
    copy_us: int = 20 * MS  # what a full copy takes
    reconnect_us: int = 10 * MS  # before a replica that has lost its primary asks again
    silent_us: int = 100 * MS  # before it notices that nothing comes any more
    # What a process has that was started again: everything; its data, and not whose they are; none.
    keeps: Literal["all", "data", "nothing"] = "all"


class Data:
    """What one master has; it outlives its processes."""

    def __init__(self, name: str) -> None:
        """Begin empty, with a stream of its own."""
        self._name: Final = name
        self._streams = 0
        self.writes: list[int] = []
        self.epoch = 0  # the newest one that was claimed in it
        self._skipped = 0  # writes that its positions do not count
        self.begin()

    def begin(self) -> None:
        """Begin a stream that nobody else has."""
        self._streams += 1
        self.history = f"{self._name}.{self._streams}"
        self.earlier, self.earlier_end = "", -1

    def fork(self) -> None:
        """Begin a stream of its own where the one before ends, and remember that one."""
        before, end = self.history, self.position
        self.begin()
        self.earlier, self.earlier_end = before, end

    def rename(self) -> None:
        """Keep all writes, and forget whose they are."""
        self.begin()
        self._skipped = len(self.writes)

    def clear(self) -> None:
        """Lose everything."""
        self.begin()
        self.writes, self.epoch, self._skipped = [], 0, 0

    @property
    def position(self) -> int:
        """Return where its stream ends [bytes]."""
        return WRITE_BYTES * (len(self.writes) - self._skipped)

    def append(self, write: int) -> None:
        """Take a write."""
        self.writes.append(write)
        if write < 0:
            self.epoch = -write

    def shares(self, theirs: "Data") -> bool:
        """Return whether both know a stream that the other one knows."""
        names = {theirs.history, theirs.earlier} - {""}
        return self.history in names or self.earlier in names

    def goes_on(self, theirs: "Data") -> bool:
        """Return whether `theirs` begins with all that is here, as far as its name says that."""
        if self.history == theirs.history:
            return self.position <= theirs.position
        return self.history == theirs.earlier and self.position <= theirs.earlier_end

    def join(self, theirs: "Data") -> None:
        """Go on with the stream of `theirs`, which begins with all that is here."""
        if self.history != theirs.history:
            self.earlier, self.earlier_end = self.history, self.position
            self.history = theirs.history

    def copy(self, theirs: "Data") -> None:
        """Have what `theirs` is, and nothing else any more."""
        self.history, self.earlier, self.earlier_end = theirs.history, "", -1
        self.writes, self.epoch = list(theirs.writes), theirs.epoch
        self._skipped = theirs._skipped

    def take(self, theirs: "Data", upto: int) -> None:
        """Take the next writes of the same stream, up to that many in all."""
        for write in theirs.writes[len(self.writes) : upto]:
            self.append(write)
