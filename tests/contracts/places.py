"""Where logs are kept: what a contract is run on."""

from collections.abc import Callable, Iterator
from pathlib import Path

from engine.log import MemoryLog, open_log
from engine.log.protocol import Log


class Place:
    """Where a log is: opened anew, it is what another process would find."""

    def __init__(self, reopen: Callable[[Log | None], Log]) -> None:
        self._reopen = reopen
        self.log = reopen(None)

    def reopened(self) -> Log:
        self.log.close()
        self.log = self._reopen(self.log)
        return self.log

    def now_and_reopened(self) -> Iterator[Log]:
        yield self.log
        yield self.reopened()


def in_memory(_: Path) -> Place:
    return Place(lambda log: log.copy() if isinstance(log, MemoryLog) else MemoryLog())


def in_sqlite(directory: Path) -> Place:
    path = directory / "log.db"
    return Place(lambda _: open_log(path, mode="write", create=True, release="1"))
