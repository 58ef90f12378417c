"""A program that is run with a limit in time and in what it may say, and ended with its children.

It has a group of processes of its own, which is killed as a whole when its time is up, when it says
too much, when whoever waits for it gives up, and when it has ended and left children behind.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

OUTPUT_BYTES_MAX: Final = 65_536  # of standard output and of standard error
DRAIN_S: Final = 0.2  # after its end, for what it said last, should a child hold its pipes open
REAP_S: Final = 1.0  # for the end of what was killed; a process may be stuck in the system


class Exited(msgspec.Struct, frozen=True, kw_only=True):
    """It ended; `code` is below zero if a signal ended it."""

    code: int
    output: bytes
    errors: bytes


class TooLong(msgspec.Struct, frozen=True, kw_only=True):
    """Its time was up, and it was killed."""

    output: bytes
    errors: bytes


class TooMuch(msgspec.Struct, frozen=True, kw_only=True):
    """It said more than OUTPUT_BYTES_MAX, and was killed; this is how that began."""

    output: bytes
    errors: bytes


class NotStarted(msgspec.Struct, frozen=True, kw_only=True):
    """This machine could not start it."""

    detail: str


Ran: TypeAlias = Exited | TooLong | TooMuch | NotStarted


class _Talk(asyncio.SubprocessProtocol):
    """Hears what the program says, and when it ends."""

    def __init__(self) -> None:
        self.heard: Final = {1: bytearray(), 2: bytearray()}
        self.is_too_much = False
        self.is_over = asyncio.Event()  # it ended, or is not worth waiting for
        self.is_ended = asyncio.Event()
        self.is_drained = asyncio.Event()
        self._open = 2  # pipes

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if self.is_too_much:
            return
        heard = self.heard[fd]
        heard += data
        if len(heard) > OUTPUT_BYTES_MAX:
            del heard[OUTPUT_BYTES_MAX:]
            self.is_too_much = True
            self.is_over.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open -= 1
        if not self._open:
            self.is_drained.set()

    def process_exited(self) -> None:
        self.is_over.set()
        self.is_ended.set()


async def run(words: Sequence[str], *, environment: Mapping[str, str], timeout_us: int) -> Ran:
    """Return how a program ended, little later than `timeout_us` from now.

    Args:
        words: The program and its arguments; no shell is between.
        environment: What it finds on top of the environment of this process.
        timeout_us: What it may take [us, > 0].
    """
    try:
        transport, talk = await asyncio.get_running_loop().subprocess_exec(
            _Talk,
            *words,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    except (OSError, ValueError) as err:  # the latter: a word with a zero byte
        return NotStarted(detail=str(err))
    is_in_time = True
    try:
        async with asyncio.timeout(timeout_us / 1_000_000):
            await talk.is_over.wait()
    except TimeoutError:
        is_in_time = False
    finally:
        _kill(transport.get_pid())
        await _come(talk.is_ended, REAP_S)
        if is_in_time and not talk.is_too_much:
            await _come(talk.is_drained, DRAIN_S)
        code = transport.get_returncode()
        transport.close()
    output, errors = bytes(talk.heard[1]), bytes(talk.heard[2])
    if talk.is_too_much:
        return TooMuch(output=output, errors=errors)
    if not is_in_time:
        return TooLong(output=output, errors=errors)
    assert code is not None
    return Exited(code=code, output=output, errors=errors)


async def _come(event: asyncio.Event, limit_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()


def _kill(pid: int) -> None:
    """Kill the group of processes that `pid` began; it may have gone, and left no child."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def last_line(said: bytes) -> str:
    """Return the last line of an output that says something."""
    lines = said.decode("utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
