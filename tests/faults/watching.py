"""An engine that watches one server and moves nothing, and servers to be watched."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from engine.config import Configuration
from engine.core import events as ev
from engine.core.events import AnyEvent, Recorded
from engine.core.fleet import Master, Mode
from engine.core.policy import GroupPolicy, Policy, content_digest, preset
from engine.embed import Engine

GROUP: Final = "watched"
GUARD_S: Final = 30  # for what comes at once on an idle machine [s]


class Watched:
    """The log of an engine, as it grows."""

    def __init__(self, engine: Engine) -> None:
        self.engine: Final = engine
        self.log: Final[list[Recorded]] = []
        self.durable_us: Final[list[int]] = []  # when each event of `log` became known
        self._more = asyncio.Event()
        engine.listen(self._published)

    def _published(self, events: tuple[Recorded, ...]) -> None:
        self.log.extend(events)
        self.durable_us.extend([self.engine.clock.at_us()] * len(events))
        self._more.set()

    async def next(self, kind: type[AnyEvent], *, after: int, subject: str = "") -> int:
        """Return the place in `log` of the first event of `kind`, from the place `after` on."""
        async with asyncio.timeout(GUARD_S):
            place = after
            while True:
                while place < len(self.log):
                    found = self.log[place]
                    if type(found.event) is kind and subject in ("", found.subject):
                        return place
                    place += 1
                self._more.clear()
                await self._more.wait()

    def at(self, seq: int) -> AnyEvent:
        """Return the event that has `seq`."""
        recorded = self.log[seq - self.log[0].seq]
        assert recorded.seq == seq
        return recorded.event

    def count(self, kind: type[AnyEvent]) -> int:
        """Return how many events of `kind` there are."""
        return sum(type(recorded.event) is kind for recorded in self.log)


@contextlib.asynccontextmanager
async def watching(
    addresses: dict[str, str], log: Path, *, group: GroupPolicy | None = None
) -> AsyncIterator[Watched]:
    """Watch servers, by default under the bench preset, until the end of the block."""
    policy = Policy(groups={GROUP: group or preset("bench", mode=Mode.ACTIVE_ACTIVE)})
    masters = tuple(
        Master(id=name, group=GROUP, address=address) for name, address in addresses.items()
    )
    configuration = Configuration(
        policy=policy,
        masters=masters,
        log=str(log),
        listen="",
        flush_us=0,
        digest=content_digest(policy, masters),
        source="a test",
    )
    async with Engine(configuration) as engine:
        watched = Watched(engine)
        for name in addresses:
            await watched.next(ev.MasterHealthy, after=0, subject=name)
        yield watched


_NGINX: Final = """
daemon off;
worker_processes 2;
pid {root}/nginx.pid;
error_log {root}/error.log notice;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {root}; proxy_temp_path {root}; fastcgi_temp_path {root};
  uwsgi_temp_path {root}; scgi_temp_path {root};
  server {{
    listen 127.0.0.1:{port}{listen};
    {settings}
    location = /health {{ return 200 "ok"; }}
  }}
}}
"""


class Nginx:
    """A running nginx."""

    def __init__(self, process: "subprocess.Popen[bytes]", address: str) -> None:
        self.address: Final = address
        self._process: Final = process

    def _workers(self) -> list[int]:
        pid = self._process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    async def reload(self) -> None:
        """Reload, and wait until every old worker has gone."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            gone = []
            for worker in self._workers():
                descriptor = os.pidfd_open(worker)
                stack.callback(os.close, descriptor)
                done = loop.create_future()
                loop.add_reader(descriptor, _settle, done)
                stack.callback(loop.remove_reader, descriptor)
                gone.append(done)
            assert gone
            self._process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(GUARD_S):
                await asyncio.gather(*gone)


def _settle(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)


def nginx_program() -> str | None:
    """Return where nginx is; None if it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@contextlib.contextmanager
def nginx(root: Path, *, port: int, settings: str, listen: str = "") -> Iterator[Nginx]:
    """Run nginx with `settings` in its server, until the end of the block."""
    program = nginx_program()
    assert program is not None
    config = root / "nginx.conf"
    config.write_text(_NGINX.format(root=root, port=port, settings=settings, listen=listen))
    with subprocess.Popen([program, "-p", str(root), "-c", str(config)]) as process:
        try:
            yield Nginx(process, f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
