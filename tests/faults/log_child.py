"""The process that the tests of crashes kill: it appends, and says what it was told is durable.

Arguments: the log, and optionally a failpoint and how often it is passed before this process kills
itself there. Every line it writes is a seq that it was told is durable.
"""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from engine.log import Writer, open_log
from tests.engine.log.events import SeenFold, message, probe

PENDING_MAX = 8


def killer(failpoint: str, passes: int) -> Callable[[str], None]:
    left = passes

    def hook(passed: str) -> None:
        nonlocal left
        left -= passed == failpoint
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def main() -> None:
    path, *rest = sys.argv[1:]
    log = open_log(path, mode="write", create=True)
    log.attach(SeenFold())
    hook = killer(rest[0], int(rest[1])) if rest else None
    writer, seq = Writer(log, hook=hook), log.head.seq
    pending: deque[tuple[int, Future[None]]] = deque()
    while True:
        seq += 1
        if seq % 5 == 0:
            event, bodies = message(seq, b"body %d" % seq)
            pending.append((seq, writer.submit([event], bodies)))
        else:
            pending.append((seq, writer.submit([probe(seq)])))
        if len(pending) >= PENDING_MAX:
            told, future = pending.popleft()
            future.result()
            sys.stdout.write(f"{told}\n")
            sys.stdout.flush()
            if told % 7 == 0:
                log.catch_up("seen", limit_events=50)


if __name__ == "__main__":
    main()
