"""The process that the tests of removals kill: bodies come and go, and each append is said.

Arguments: the log, a failpoint, and how often it is passed before this process kills itself there.
Each line it writes is the seq of the last event that it was told is durable.
"""

import sys

from engine.log import open_log
from tests.contracts.test_bodies import removed
from tests.engine.log.events import message
from tests.faults.log_child import killer


def body(seq: int) -> bytes:
    """Return a body that comes at `seq`; some come again after they went."""
    return b"body %d " % (seq % 30) * 20


def main() -> None:
    path, failpoint, passes = sys.argv[1:]
    with open_log(path, mode="write", create=True) as log:
        log.hook = killer(failpoint, int(passes))
        while True:
            seq = log.head.seq + 1
            if seq % 4:
                event, bodies = message(seq, body(seq))
                log.append([event], bodies=bodies)
            else:
                author = "ann" if seq % 8 else ""
                log.append([removed(seq, body(seq - 1), body(seq - 2), author=author)])
            sys.stdout.write(f"{seq}\n")
            sys.stdout.flush()
            if seq % 12 == 0:
                log.erase()


if __name__ == "__main__":
    main()
