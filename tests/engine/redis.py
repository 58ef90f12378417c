"""Real Redis servers as processes: a primary and its replicas, and servers that stand alone."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from engine.runtime.http1 import Nonsense
from engine.runtime.resp import Parser, Refusal, Value, command

GUARD_S: Final = 30.0
PROGRAM: Final = shutil.which("redis-server")

needs_redis = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")


class RedisProcess:
    """A redis-server, on a port of its own, that saves nothing."""

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        port: int = 0,
        file: Path | None = None,
        is_sentinel: bool = True,
    ) -> None:
        """Start it; it is ready when this returns. With a `file` that says all, as a sentinel's."""
        self._file: Final = file
        self._mode: Final = ("--sentinel",) if is_sentinel else ()
        self.port: Final = port or free_port()
        self.directory: Final = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._arguments: Final = arguments
        self._start()

    def _start(self, *more: str) -> None:
        assert PROGRAM is not None
        if self._file is not None:
            command = [PROGRAM, str(self._file), *self._mode]
        else:
            command = [
                PROGRAM,
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)),
                *("--save", "", "--appendonly", "no", "--daemonize", "no"),
                *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
                *self._arguments,
                *more,
            ]
        self._popen = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self._answers)

    def _answers(self) -> bool:
        """Return whether it takes commands; one that asks for a password does."""
        with contextlib.suppress(OSError), self.client() as client:
            said = client.ask("PING")
            return not isinstance(said, Refusal) or said.text.startswith("NOAUTH")
        return False

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def client(self) -> Iterator["Client"]:
        """Connect as a client, until the end of the block."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=GUARD_S) as sock:
            yield Client(sock)

    def ask(self, *words: str) -> Value:
        """Return the reply to one command."""
        with self.client() as client:
            return client.ask(*words)

    def info(self, section: str = "replication") -> dict[str, str]:
        """Return the fields of a section of INFO."""
        said = self.ask("INFO", section)
        assert isinstance(said, bytes)
        pairs = (each.partition(":") for each in said.decode().splitlines())
        return {name: value for name, colon, value in pairs if colon}

    def setting(self, name: str) -> str:
        """Return a setting."""
        said = self.ask("CONFIG", "GET", name)
        assert isinstance(said, list)
        assert isinstance(said[1], bytes)
        return said[1].decode()

    def strike(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def kill(self) -> None:
        """End it by SIGKILL and wait until it is gone."""
        self._popen.kill()
        self._popen.wait(GUARD_S)

    def start_again(self, *more: str) -> None:
        """Start it once more, as it was configured and with `more`; it knows nothing of before."""
        self._start(*more)

    def end(self) -> None:
        if self._popen.poll() is None:
            self._popen.kill()  # also one that is stopped
        self._popen.wait(GUARD_S)


class Client:
    """A client that blocks."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._parser = Parser(first=1, later=1)

    def ask(self, *words: str) -> Value:
        """Return the reply to one command; a connection that ends is an OSError."""
        self._sock.sendall(command(*words))
        while True:
            data = self._sock.recv(65_536)
            if not data:
                raise ConnectionResetError("closed")
            try:
                reply = self._parser.feed(data)
            except Nonsense as err:
                raise AssertionError(str(err)) from err
            if reply is not None:
                return reply.values[0]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


@contextlib.contextmanager
def redis_servers(
    directory: Path, names: Sequence[str], *arguments: str, replicas: bool = True
) -> Iterator[dict[str, RedisProcess]]:
    """Run servers until the end of the block: the first is the primary of all others, if told."""
    with contextlib.ExitStack() as stack:
        servers: dict[str, RedisProcess] = {}
        for name in names:
            server = servers[name] = RedisProcess(directory / name, *arguments)
            stack.callback(server.end)
        first, *others = servers.values()
        if replicas:
            for other in others:
                other.ask("REPLICAOF", "127.0.0.1", str(first.port))
            for other in others:
                until(lambda other=other: other.info()["master_link_status"] == "up")
        yield servers


def until(is_it: Callable[[], bool]) -> None:
    """Look until something is so; who waits for what never comes is told."""
    until_s = time.monotonic() + GUARD_S
    while not is_it():
        assert time.monotonic() < until_s, "what was waited for did not come"
        time.sleep(0.002)
