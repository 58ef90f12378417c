"""The fleet of the demonstration: three masters and a sink, each a process of its own."""

import asyncio
import collections
import contextlib
import json
import os
import signal
import sys
import urllib.request
from typing import Final

from engine.answers.words import harmless
from engine.core.errors import EngineError

START_S: Final = 20.0  # what a process may take until it listens [s]
END_S: Final = 5.0  # what it may take to end [s]
LINES_MAX: Final = 20  # of its standard error that are held [count]
LINE_BYTES_MAX: Final = 65_536


class Process:
    """One process of the fleet, which says on which port it listens.

    What it says on standard error is held here: it belongs on nobody's screen, and its last line
    is the reason if it does not start.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name: Final = name
        self.url = ""
        self._process: Final = process
        self._said: Final[collections.deque[str]] = collections.deque(maxlen=LINES_MAX)
        self._hearing: Final = asyncio.create_task(self._hear())

    @classmethod
    async def start(cls, name: str, *arguments: str) -> "Process":
        """Start `python -m ARGUMENTS` and wait until it listens.

        If this is cancelled, the process is ended first.

        Raises:
            EngineError: It ended, or said nothing, before it listened.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # A group of its own: Ctrl-C in the terminal is for the demonstration alone.
            start_new_session=True,
        )
        started = cls(name, process)
        try:
            started.url = f"http://127.0.0.1:{await started._port()}"
        except BaseException as err:
            is_late = isinstance(err, TimeoutError)
            await started.end()
            if not isinstance(err, TimeoutError | ValueError | KeyError):
                raise
            how = f"did not listen within {START_S:g} s" if is_late else "ended before it listened"
            said = f": {started._said[-1]}" if started._said else ""
            raise EngineError(f"{name} {how}{said}") from err
        return started

    async def _port(self) -> int:
        assert self._process.stdout is not None
        async with asyncio.timeout(START_S):
            line = await self._process.stdout.readline()
        return int(json.loads(line)["port"])

    async def _hear(self) -> None:
        """Keep the last lines of standard error: a pipe that nobody reads holds its writer up."""
        assert self._process.stderr is not None
        rest = b""
        while data := await self._process.stderr.read(LINE_BYTES_MAX):
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-LINE_BYTES_MAX:]
            self._keep(lines)
        self._keep([rest])

    def _keep(self, lines: list[bytes]) -> None:
        said = (harmless(line.decode(errors="replace").strip()) for line in lines)
        self._said.extend(line for line in said if line)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self._process.returncode is None:
            # Not by `send_signal`, which would take its exit code away from the event loop.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def end(self) -> None:
        """End the process: by SIGTERM, or by SIGKILL if it takes too long."""
        if self._process.returncode is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(END_S):
                    await self._process.wait()
            except TimeoutError:
                self.signal(signal.SIGKILL)
                await self._process.wait()
        await asyncio.wait((self._hearing,), timeout=END_S)
        self._hearing.cancel()


async def fetch(url: str) -> dict[str, object]:
    """Return the JSON document at `url`."""

    def get() -> bytes:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
            body: bytes = answer.read()
            return body

    document: dict[str, object] = json.loads(await asyncio.to_thread(get))
    return document
