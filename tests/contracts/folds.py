"""Projections that fail, and damage, for the contracts of views."""

import pytest

from engine.core.events import Recorded
from engine.log import MemoryLog
from engine.log.connection import driver_connect
from engine.log.protocol import Log, ViewParked
from tests.engine.log.events import Seen, SeenFold


class Failing(SeenFold):
    """A projection that fails at some events, after it has changed the view."""

    def __init__(self, *fails_at: int, error: Exception | None = None, version: int = 1) -> None:
        super().__init__(version)
        self.fails_at = fails_at
        self.error = error or ZeroDivisionError("no masters\nat all")
        self.tried: list[int] = []

    def project(self, view: Seen, recorded: Recorded) -> None:
        super().project(view, recorded)
        if recorded.seq in self.fails_at:
            self.tried.append(recorded.seq)
            raise self.error


def parked(log: Log) -> ViewParked:
    with pytest.raises(ViewParked) as found:
        log.catch_up("seen")
    return found.value


def damage(log: Log, seq: int) -> None:
    """Let the event at `seq`, or the block that it is in, be unreadable."""
    if isinstance(log, MemoryLog):
        log._rows = [(*row[:5], b"\xc1", row[6]) if row[0] == seq else row for row in log._rows]
        log._blocks = [
            (*each[:5], b"x") if each[0] // 1_000 == seq // 1_000 else each for each in log._blocks
        ]
        return
    connection = driver_connect(log.path.as_uri())
    connection.execute("UPDATE events SET payload = x'c1' WHERE seq = ?", (seq,))
    connection.execute(
        "UPDATE blocks SET payloads = x'78' WHERE first = ?", (seq // 1_000 * 1_000 + 1,)
    )
    connection.commit()
    connection.close()
