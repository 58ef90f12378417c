"""Real processes: masters and a sink that outlive the engine, and the engine that is killed.

Whoever waits here waits for a line, an answer or an end; a deadline is only a guard, so that a test
which waits for what never comes says so instead of standing still.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, Self, TypeAlias

Json: TypeAlias = dict[str, object]

GUARD_S: Final = 30  # for what comes within a second or two on an idle machine [s]
GROUP: Final = "main"
NAMES: Final = ("master-1", "master-2", "master-3")


class Silent(AssertionError):
    """What was waited for did not come."""


class Process:
    """A process that says JSON lines on its standard output, and hears some on its input."""

    def __init__(self, module: str, *arguments: str, environment: dict[str, str] | None = None):
        self.name: Final = f"{module} {' '.join(arguments)}"
        self._popen: Final = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )
        assert self._popen.stdout is not None
        self._output: Final = self._popen.stdout.fileno()
        self._selector: Final = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self._buffer = b""

    def tell(self, **command: object) -> None:
        """Give it a command."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(command).encode() + b"\n")
        self._popen.stdin.flush()

    def line(self, within_s: float = GUARD_S) -> Json | None:
        """Return the next line; None at the end of the output.

        Raises:
            Silent: It said nothing for `within_s`.
        """
        while b"\n" not in self._buffer:
            if not self._selector.select(max(0, within_s)):
                raise Silent(f"{self.name} did not say what was waited for")
            data = os.read(self._output, 65_536)
            if not data:
                return None
            self._buffer += data
        first, _, self._buffer = self._buffer.partition(b"\n")
        said: Json = json.loads(first)
        return said

    def lines(self) -> Iterator[Json]:
        """Return the lines to come, to the end of the output; all of them within `GUARD_S`."""
        until_s = time.monotonic() + GUARD_S
        while (said := self.line(until_s - time.monotonic())) is not None:
            yield said

    def strike(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._popen.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End the process by a signal, unless it has ended; return its code."""
        if self._popen.poll() is None:
            self._popen.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Return the code of the process once it has ended; its pipes are closed then."""
        try:
            code = self._popen.wait(GUARD_S)
        except subprocess.TimeoutExpired as err:
            raise Silent(f"{self.name} did not end within {GUARD_S} s") from err
        assert self._popen.stdout is not None
        assert self._popen.stdin is not None
        self._selector.close()
        self._popen.stdout.close()
        with suppress(BrokenPipeError):  # a command that nobody read any more
            self._popen.stdin.close()
        return code


def port_of(process: Process) -> int:
    """Return where a sample listens, as its first line says."""
    hello = process.line()
    assert hello is not None, f"{process.name} ended before it listened"
    port = hello["port"]
    assert isinstance(port, int)
    return port


def get(url: str) -> Json:
    """Return the JSON document at `url`."""
    with urllib.request.urlopen(url, timeout=GUARD_S) as answer:
        said: Json = json.loads(answer.read())
    return said


class Fleet:
    """Three sample masters and a sink."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._stack: Final = stack
        self._record: Final = directory / "steps.jsonl"
        self._record.touch()
        sink = self._start("engine.samples.sink", "--file", str(directory / "sink.db"))
        self._sink: Final = f"http://127.0.0.1:{port_of(sink)}"
        # All are started before the first is waited for.
        self._masters: Final = {name: self._start_master(name, port=0) for name in NAMES}
        ports = {name: port_of(process) for name, process in self._masters.items()}
        self._ports: Final = ports
        self.addresses: Final = {name: f"http://127.0.0.1:{ports[name]}" for name in NAMES}

    def _start(self, module: str, *arguments: str) -> Process:
        process = Process(module, *arguments)
        self._stack.callback(process.end)
        return process

    def _start_master(self, name: str, *, port: int) -> Process:
        arguments = ("--name", name, "--group", GROUP, "--port", str(port), "--sink", self._sink)
        return self._start("tests.faults.telling", "--record", str(self._record), *arguments)

    def kill(self, name: str) -> None:
        """End a master by SIGKILL, and wait until it is gone."""
        self._masters[name].end()

    def start_again(self, name: str) -> None:
        """Start a master that was killed, where it was; it knows nothing of what was."""
        process = self._masters[name] = self._start_master(name, port=self._ports[name])
        assert port_of(process) == self._ports[name]

    def health(self) -> dict[str, Json]:
        """Return what each master says of itself."""
        return {name: get(f"{address}/health") for name, address in self.addresses.items()}

    def report(self) -> Json:
        """Return what the sink counted, with all keys that it applied."""
        return get(f"{self._sink}/report?keys=1")

    def steps(self) -> list[Json]:
        """Return the steps that took effect at the masters, each time that they did."""
        return [json.loads(line) for line in self._record.read_text().splitlines()]


@contextmanager
def fleet(directory: Path) -> Iterator[Fleet]:
    """Run three masters and a sink until the end of the block."""
    with ExitStack() as stack:
        yield Fleet(directory, stack)


class EngineProcess:
    """A process that embeds an engine: see `tests.faults.embedded`."""

    def __init__(
        self, log: Path, addresses: dict[str, str], *, accepted: set[str], failpoint: str = ""
    ) -> None:
        """Start it; keys that it accepts are added to `accepted` as they are read."""
        self.accepted: Final = accepted
        self._process: Final = Process(
            "tests.faults.embedded",
            *("--log", str(log), "--masters", json.dumps(addresses)),
            environment={"TANIST_FAILPOINT": failpoint},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.end()

    def tell(self, **command: object) -> None:
        """Give the engine a command."""
        self._process.tell(**command)

    def _hear(self) -> Iterable[Json]:
        for said in self._process.lines():
            key = said.get("accepted")
            if key is not None:
                self.accepted.add(str(key))
            yield said

    def until(self, is_it: Callable[[Json], bool]) -> Json:
        """Return the first line to come of which `is_it` is true."""
        heard = []
        for said in self._hear():
            if is_it(said):
                return said
            heard.append(said)
        raise Silent(f"the engine ended with {self._process.wait()}; last words: {heard[-3:]}")

    def said(self, word: str) -> Json:
        """Return the first line to come that says `word`."""
        return self.until(lambda said: said.get("said") == word)

    def ask(self, **command: object) -> Json:
        """Give a command and return the line that answers it, which says the command's word."""
        self.tell(**command)
        return self.said(str(command["do"]))

    def accept_more(self, count: int) -> None:
        """Wait until the engine has accepted `count` messages more."""
        left = count

        def is_it(said: Json) -> bool:
            nonlocal left
            left -= "accepted" in said
            return left == 0

        self.until(is_it)

    def dies(self) -> None:
        """Read to the end; assert that the process was killed."""
        heard = list(self._hear())
        code = self._process.wait()
        assert code == -signal.SIGKILL, (code, heard[-3:])

    def ends(self) -> Json:
        """Let the engine end as it should; return its last line."""
        last = self.ask(do="end")
        assert self._process.wait() == 0
        return last
