"""What the service says on standard error, which may be slow, closed or gone.

A terminal that was stopped, a journal that is full, a pipe that nobody reads: none of them may hold
up a failover. So lines go through a queue to a thread; what does not fit is counted and said later.
What the libraries have to say (a task that failed, a socket that cannot be had) goes the same way.
"""

import contextlib
import logging
import os
import queue
import select
import threading
from collections.abc import Iterator
from typing import Final

LINES_MAX: Final = 1_000  # held while nobody reads them [count]
CLOSE_S: Final = 1.0  # what the last lines may take to leave [s]


class Voice:
    """Says lines, in order, and never waits for who reads them."""

    def __init__(self, handle: int | None) -> None:
        """Say lines on the file descriptor `handle`; None: to nobody."""
        self._handle: Final = handle
        self._lines: Final[queue.Queue[str | None]] = queue.Queue(LINES_MAX)
        self._left_out = 0
        self._thread: Final = threading.Thread(target=self._write, name="voice", daemon=True)
        if handle is not None:
            self._thread.start()

    def say(self, line: str) -> None:
        """Say a line, if there is room for it."""
        if self._handle is None:
            return
        try:
            if self._left_out:
                said = f"tanist: {self._left_out} lines were left out: nobody read them in time"
                self._lines.put_nowait(said)
                self._left_out = 0
            self._lines.put_nowait(line)
        except queue.Full:
            self._left_out += 1

    def close(self) -> None:
        """Let what was said leave, for as long as CLOSE_S."""
        if self._handle is None:
            return
        try:
            self._lines.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            self._put(f"{line}\n".encode(errors="replace"))

    def _put(self, data: bytes) -> None:
        assert self._handle is not None
        while data:
            try:
                data = data[os.write(self._handle, data) :]
            except BlockingIOError:  # a terminal that somebody else made non-blocking
                select.select((), (self._handle,), ())
            except OSError:
                return  # nobody is there, or the disk behind it is full: the next one may fit


class _Overheard(logging.Handler):
    """Says what is logged."""

    def __init__(self, voice: Voice) -> None:
        super().__init__(logging.WARNING)
        self._voice: Final = voice

    def emit(self, record: logging.LogRecord) -> None:
        """Say a record, and where an exception came from."""
        self._voice.say(f"tanist: {self.format(record)}")


@contextlib.contextmanager
def overheard(voice: Voice) -> Iterator[None]:
    """Let `voice` say what is logged in this process, until the end of the block.

    Whatever has no handler would be written to standard error at once, by whoever says it.
    """
    handler = _Overheard(voice)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
