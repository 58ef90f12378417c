"""Servers that are reloaded while they serve: their workers are replaced, their clients cut off."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from engine.core import events as ev
from engine.core.fleet import Mode
from engine.core.policy import MS, GroupPolicy, preset
from tests.engine.runtime.peers import free_port
from tests.engine.runtime.redises import PROGRAM as REDIS
from tests.engine.runtime.redises import redis_server
from tests.faults.watching import GROUP, GUARD_S, Watched, nginx, nginx_program, watching

INTERVAL_US: Final = 100 * MS

Reload = Callable[[], Awaitable[None]]

# One program for both: a function of WSGI and one of ASGI.
_APP: Final = """
import os


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    body = str(os.getpid()).encode()
    head = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})
"""


def _workers(parent: int) -> set[int]:
    """Return the processes that do the parent's work."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(word) for word in listed if not _is_helper(int(word))}


def _is_helper(process: int) -> bool:
    try:
        return b"resource_tracker" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return True  # it has gone


async def _gone(processes: set[int]) -> None:
    """Wait until every one of `processes` has ended."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        waiting = []
        for process in processes:
            try:
                handle = os.pidfd_open(process)
            except ProcessLookupError:
                continue
            stack.callback(os.close, handle)
            done = asyncio.Event()
            loop.add_reader(handle, done.set)
            stack.callback(loop.remove_reader, handle)
            waiting.append(done.wait())
        async with asyncio.timeout(GUARD_S):
            await asyncio.gather(*waiting)


@contextlib.contextmanager
def _serving(root: Path, port: int, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    (root / "served_app.py").write_text(_APP)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with (root / f"server-{port}.log").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=root, env=environment, stdout=said, stderr=said
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(GUARD_S)


@contextlib.asynccontextmanager
async def _hung_up(
    root: Path, log: Path, group: GroupPolicy, *words: str
) -> AsyncIterator[tuple[Watched, Reload]]:
    """Watch a server whose workers are replaced when it gets SIGHUP."""
    port = free_port()
    arguments = [word.format(port=port) for word in words]
    with _serving(root, port, *arguments) as process:
        await _listens(port)
        async with watching({"web": f"http://127.0.0.1:{port}"}, log, group=group) as watched:

            async def reload() -> None:
                old = _workers(process.pid)
                assert old
                process.send_signal(signal.SIGHUP)
                await _gone(old)

            yield watched, reload


async def _listens(port: int) -> None:
    async with asyncio.timeout(GUARD_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def _answering(port: int) -> int:
    """Return the process that answers just now over a new connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return int((await reader.read()).rpartition(b"\r\n\r\n")[2])
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def of_recycled_uvicorn(
    root: Path, log: Path, name: str
) -> AsyncIterator[tuple[Watched, Reload]]:
    """Watch uvicorn, one of whose workers ends, as after its last request, and is made anew."""
    port = free_port()
    words = ("uvicorn", "--port", str(port), "--workers", "2", "--timeout-keep-alive", "60")
    with _serving(root, port, *words, "served_app:asgi") as process:
        await _listens(port)
        group = policy(name, "http")
        async with watching({"web": f"http://127.0.0.1:{port}"}, log, group=group) as watched:
            known: list[int] = []

            async def learn() -> None:
                while len(known) < 2:
                    one = await _answering(port)
                    if one not in known:
                        known.append(one)

            async def recycle() -> None:
                async with asyncio.timeout(GUARD_S):
                    await learn()
                    # The older one: after the first time it is who the held connection went to.
                    old = known.pop(0)
                    os.kill(old, signal.SIGTERM)
                    await _gone({old})
                    await learn()  # its successor is there once it answers

            yield watched, recycle
            assert process.poll() is None


def policy(name: str, kind: str) -> GroupPolicy:
    """Return the policy of a preset, with a probe of `kind` and nothing sent to anybody.

    It probes ten times a second at least, so that each reload meets some of its probes.
    """
    base = preset(name, mode=Mode.ACTIVE_ACTIVE)
    interval_us = min(base.probe.interval_us, INTERVAL_US)
    probe = msgspec.structs.replace(base.probe, kind=kind, interval_us=interval_us)
    return msgspec.structs.replace(base, probe=probe)


Watching = contextlib.AbstractAsyncContextManager[tuple[Watched, Reload]]
Subject = Callable[[Path, Path, str], Watching]


@contextlib.asynccontextmanager
async def of_nginx(root: Path, log: Path, name: str) -> AsyncIterator[tuple[Watched, Reload]]:
    """Watch nginx, which starts new workers and lets the old ones end."""
    settings = "keepalive_timeout 60s; keepalive_requests 1000000;"
    with nginx(root, port=free_port(), settings=settings) as web:
        async with watching({"web": web.address}, log, group=policy(name, "http")) as watched:
            yield watched, web.reload


def of_gunicorn(root: Path, log: Path, name: str) -> Watching:
    """Watch gunicorn, whose workers hold connections open in threads."""
    words = ("gunicorn", "-b", "127.0.0.1:{port}", "-w", "2", "-k", "gthread", "--threads", "2")
    more = ("--keep-alive", "60", "--graceful-timeout", "5", "served_app:wsgi")
    return _hung_up(root, log, policy(name, "http"), *words, *more)


def of_uvicorn(root: Path, log: Path, name: str) -> Watching:
    """Watch uvicorn, whose workers are replaced one after the other."""
    words = ("uvicorn", "--port", "{port}", "--workers", "2", "--timeout-keep-alive", "60")
    return _hung_up(root, log, policy(name, "http"), *words, "served_app:asgi")


@contextlib.asynccontextmanager
async def of_redis(root: Path, log: Path, name: str) -> AsyncIterator[tuple[Watched, Reload]]:
    """Watch Redis, whose clients are all cut off."""
    with redis_server(root) as server:
        async with watching({"web": server.address}, log, group=policy(name, "redis")) as watched:

            async def kill() -> None:
                await server.say("CLIENT", "KILL", "TYPE", "normal")

            yield watched, kill


SUBJECTS: Final[dict[str, Subject]] = {
    "nginx reload": of_nginx,
    "gunicorn HUP": of_gunicorn,
    "uvicorn HUP": of_uvicorn,
    "uvicorn recycle": of_recycled_uvicorn,
    "redis CLIENT KILL": of_redis,
}


def lacking(subject: str) -> str:
    """Return what this machine lacks for a subject; "" if it has it."""
    program = subject.split()[0]
    is_there = {
        "nginx": nginx_program() is not None,
        "redis": REDIS is not None,
    }.get(program, find_spec(program) is not None)
    return "" if is_there else f"{program} is not installed"


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """What a number of reloads led to."""

    reloads: int
    probes: int  # good ones
    closed: int  # ends of the held connection
    failed: int  # probes
    detections: int
    worst_us: int  # the slowest good answer


async def reloaded(
    subject: str, root: Path, *, times: int, name: str, progress: Callable[[int], None]
) -> Count:
    """Return what `times` reloads led to; after each the server has answered two probes."""
    async with SUBJECTS[subject](root, root / "tanist.db", name) as (watched, reload):
        for number in range(times):
            await reload()
            # A held connection that ends after one answer again and again is not held any more.
            place = len(watched.log)
            for _ in range(2):
                place = await watched.next(ev.ProbeOk, after=place) + 1
            progress(number + 1)
        good = [each.event for each in watched.log if isinstance(each.event, ev.ProbeOk)]
        return Count(
            reloads=times,
            probes=len(good),
            closed=watched.count(ev.ConnectionClosed),
            failed=watched.count(ev.ProbeFailed),
            detections=watched.count(ev.MasterFailed),
            worst_us=max(event.latency_us for event in good),
        )


__all__ = ["GROUP", "SUBJECTS", "Count", "lacking", "reloaded"]
