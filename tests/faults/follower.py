"""The process that follows a log from its beginning while another one writes it.

It is given the log, and ends when its standard input does, after everything that is durable by
then. Its one line says how many events it yielded, and the chain over them, which it formed itself
from the events as they were decoded.
"""

import json
import sys
import threading
from pathlib import Path
from typing import Final

from engine.core.events import Recorded
from engine.log import Head, open_log
from engine.log.chain import ChainFold
from engine.log.codec import encode_rows
from engine.log.tailing import PAUSE_S, tail

CHUNK_EVENTS: Final = 500  # encoded at a time


class Chained:
    """The chain over events that come one by one."""

    def __init__(self) -> None:
        self._head = Head()
        self._crc = 0
        self._chain: Final = ChainFold()
        self._waiting: Final[list[Recorded]] = []

    def take(self, recorded: Recorded) -> None:
        """Add the next event; raise LogConflict at the latest with the next ones if it is not."""
        self._waiting.append(recorded)
        if len(self._waiting) == CHUNK_EVENTS:
            self._feed()

    def _feed(self) -> None:
        rows = encode_rows(self._waiting, head=self._head, crc=self._crc)
        self._chain.feed(rows)
        self._head, self._crc = Head(seq=rows[-1][0], at_us=rows[-1][1]), rows[-1][6]
        self._waiting.clear()

    def head(self) -> str:
        """Return the digest of all events that were taken, in hex."""
        if self._waiting:
            self._feed()
        return self._chain.head.hex()


def follow(path: Path, ending: threading.Event) -> dict[str, object]:
    """Follow the log until `ending`; return what was found."""
    chained, position, gaps, repeats, waits = Chained(), 0, 0, 0, 0

    def wait() -> bool:
        nonlocal waits
        waits += 1
        return not ending.wait(PAUSE_S)

    with open_log(path) as log:
        for recorded in tail(log, wait=wait):
            gaps += recorded.seq > position + 1
            repeats += recorded.seq <= position
            position = recorded.seq
            chained.take(recorded)
    return {
        "events": position,
        "gaps": gaps,
        "repeats": repeats,
        "waits": waits,  # how often it had caught up, and paused
        "chain": chained.head(),
    }


def main() -> None:
    ending = threading.Event()

    def hear() -> None:
        sys.stdin.read()
        ending.set()

    threading.Thread(target=hear, daemon=True).start()
    sys.stdout.write(json.dumps(follow(Path(sys.argv[1]), ending)) + "\n")


if __name__ == "__main__":
    main()
