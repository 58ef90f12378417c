"""The fleet of the demonstration: three masters and a sink, each a process of its own."""

import asyncio
import json
import os
import signal
import sys
import urllib.request
from typing import Final

from engine.core.errors import EngineError

START_S: Final = 20.0  # what a process may take until it listens [s]
END_S: Final = 5.0  # what it may take to end [s]


class Process:
    """One process of the fleet, which says on which port it listens."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, port: int) -> None:
        self.name: Final = name
        self.url: Final = f"http://127.0.0.1:{port}"
        self._process: Final = process

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
            # A group of its own: Ctrl-C in the terminal is for the demonstration alone.
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
            port = int(json.loads(line)["port"])
        except BaseException as err:
            await cls(name, process, 0).end()
            if not isinstance(err, TimeoutError | ValueError | KeyError):
                raise
            raise EngineError(f"{name} did not say within {START_S:g} s where it listens") from err
        return cls(name, process, port)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self._process.returncode is None:
            os.kill(self._process.pid, number)

    async def end(self) -> None:
        """End the process: by SIGTERM, or by SIGKILL if it takes too long."""
        if self._process.returncode is None:
            self.signal(signal.SIGCONT)
            self._process.terminate()
            try:
                async with asyncio.timeout(END_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


async def fetch(url: str) -> dict[str, object]:
    """Return the JSON document at `url`."""

    def get() -> bytes:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
            body: bytes = answer.read()
            return body

    document: dict[str, object] = json.loads(await asyncio.to_thread(get))
    return document
