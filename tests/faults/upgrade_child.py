"""The process that is killed while it upgrades a log: right before or right after the n-th call.

Arguments: the log, n, and "before" or "after". Without n it prints each call, a line for each.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.log.upgrading import upgrade
from tests.faults.test_log_calls import Faults


class Killer(Faults):
    """Kills its process at one call into the database."""

    def __init__(self, at: int, *, is_after: bool) -> None:
        super().__init__(fails_at=0, code=0)
        self._at = at
        self._is_after = is_after

    def call(self, statement: str, perform: Callable[[], Any]) -> Any:
        self.calls += 1
        if self._at == 0:
            sys.stdout.write(f"{statement.splitlines()[0] or 'CREATE'}\n")
        elif self.calls == self._at:
            if self._is_after:
                perform()
            os.kill(os.getpid(), signal.SIGKILL)
        return perform()


def main() -> None:
    path, *rest = sys.argv[1:]
    killer = Killer(int(rest[0]) if rest else 0, is_after=rest[1:] == ["after"])
    upgrade(Path(path), progress=lambda _done, _total: None, connect=killer.connect)


if __name__ == "__main__":
    main()
