"""Real Redis servers, as processes."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from engine.runtime.connection import Connection, NoConnection, Place, dial
from engine.runtime.resp import Parser, Refusal, Replies, Value, command
from tests.engine.runtime.peers import free_port

GUARD_S: Final = 20
PROGRAM: Final = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")


class RedisServer:
    """A running server."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, password: str) -> None:
        self.process: Final = process
        self.port: Final = port
        self.address: Final = f"redis://127.0.0.1:{port}"
        self._password: Final = password

    async def say(self, *words: str) -> Value:
        """Return the reply to one command, over a connection of its own."""
        login = command("AUTH", self._password) if self._password else b""
        replied: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()
        parser = Parser(first=2 if login else 1, later=1)

        def answered(_: object, replies: Replies) -> None:
            replied.set_result(replies)

        def ended(*_: object) -> None:
            if not replied.done():
                replied.set_exception(ConnectionResetError("the server ended the connection"))

        dialled = await dial(
            Place(self.address),
            lambda: Connection(on_answer=answered, on_end=ended, parser=parser),
        )
        assert not isinstance(dialled, NoConnection), dialled
        dialled.send(login + command(*words))
        try:
            async with asyncio.timeout(GUARD_S):
                value = (await replied).values[-1]
        finally:
            dialled.drop()
            await asyncio.sleep(0)
        assert not isinstance(value, Refusal), value
        return value

    async def until_it_has(self, key: str, value: bytes) -> None:
        """Wait until a key has a value, which comes from its primary."""
        async with asyncio.timeout(GUARD_S):
            while await self.say("GET", key) != value:
                pass

    async def until(self, section: str, line: str) -> None:
        """Wait until INFO has a line, which the server says when it is so."""
        async with asyncio.timeout(GUARD_S):
            while True:
                said = await self.say("INFO", section)
                assert isinstance(said, bytes)
                if line.encode() in said.split(b"\r\n"):
                    return


@contextlib.contextmanager
def redis_server(root: Path, *arguments: str, password: str = "") -> Iterator[RedisServer]:
    """Run a server that saves nothing, until the end of the block."""
    assert PROGRAM is not None
    port = free_port()
    words = [PROGRAM, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(root)]
    words += ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
    if password:
        words += ["--requirepass", password, "--masterauth", password]
    with subprocess.Popen([*words, *arguments], stdout=subprocess.PIPE, env=_plain()) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if b"Ready to accept connections" in line:
                    break
            yield RedisServer(process, port, password)
        finally:
            process.kill()


def _plain() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C"}
