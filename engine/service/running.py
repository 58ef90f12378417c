"""The engine as a service: until SIGTERM, with its HTTP interface and the files beside its log.

It says on standard error what it decides, a line for each verdict and each step of a failover.
"""

import asyncio
import contextlib
import errno
import gc
import json
import os
import re
import secrets
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

from engine.config import Configuration
from engine.core.errors import ConfigurationError, LogError
from engine.embed import Engine
from engine.log.place import log_path
from engine.runtime.failpoints import Failpoint, kill_at, nothing
from engine.service.access import Access, Caller, callers
from engine.service.app import application
from engine.service.halts import Halts
from engine.service.listening import listening, raise_limit, server_of
from engine.service.teller import Teller
from engine.service.voice import Voice, overheard

T = TypeVar("T")

TOKEN_BYTES_MAX: Final = 4_096  # no token is as long: a header would not carry it [bytes]


def failpoint_of_environment() -> Failpoint:
    """Return the failpoint that $TANIST_FAILPOINT arms, for tests of crashes."""
    armed = os.environ.get("TANIST_FAILPOINT", "")
    try:
        return kill_at(armed) if armed else nothing
    except ValueError as err:
        raise ConfigurationError((f"TANIST_FAILPOINT: {err}",)) from err


def token_beside(log: Path) -> str:
    """Return the token that commands need; the first start writes it, readable by its owner.

    Raises:
        ConfigurationError: What lies in its place is no token, or cannot be read or written.
    """
    path = log.parent / "tanist.token"
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            found = file.read(TOKEN_BYTES_MAX) if stat.S_ISREG(os.fstat(handle).st_mode) else None
            token = _token_in(found, path)
            if not token:  # new, or a start before this one was cut short: empty would match nobody
                token = secrets.token_urlsafe(32)
                file.write(f"{token}\n".encode())
    except OSError as err:
        raise ConfigurationError((f"{path}: the token: {err.strerror}",)) from err
    return token


def _token_in(found: bytes | None, path: Path) -> str:
    """Return the token that the file has, "" if it is empty.

    It goes into a header, so what else a file may hold must not come that far.
    """
    text = "\n" if found is None else found.decode("ascii", errors="replace").strip()
    if re.fullmatch(r"[!-~]*", text) is None or len(text) >= TOKEN_BYTES_MAX:
        said = "expected a file of one line with the token"
        raise ConfigurationError((f"{path}: {said}; without it the next start writes one",))
    return text


def _announce(log: Path, url: str) -> Path:
    """Write beside the log who runs it, and return where."""
    place = log.with_name(log.name + ".engine.json")
    whole = place.with_name(place.name + ".new")  # nobody may read half of it
    try:
        whole.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
        whole.replace(place)
    except OSError as err:
        with contextlib.suppress(OSError):
            whole.unlink()
        raise ConfigurationError((f"{place}: the engine's address: {err.strerror}",)) from err
    return place


def _with_room(engine: Engine, write: Callable[[], T]) -> T:
    """Return what `write` does; on a full disk, in the place of what is kept for the log."""
    while True:
        try:
            return write()
        except ConfigurationError as err:
            cause = err.__cause__
            is_full = isinstance(cause, OSError) and cause.errno == errno.ENOSPC
            if not is_full or not engine.make_room():
                raise


@contextlib.asynccontextmanager
async def served(
    engine: Engine, log: Path, listen: str, *, named: Iterable[Caller] = ()
) -> AsyncIterator[str]:
    """Serve the HTTP interface of `engine`; yield its URL. The CLI finds it beside the log.

    `named` are those who have tokens of their own.

    Raises:
        ConfigurationError: It cannot listen there, or the files beside the log cannot be written.
    """
    sock = listening(listen)
    host, port = sock.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        token = _with_room(engine, lambda: token_beside(log))
        place = _with_room(engine, lambda: _announce(log, url))
    except BaseException:
        sock.close()
        raise
    server = server_of(application(engine, access=Access(token, named), host=host))
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield url
    finally:
        engine.leave()
        server.should_exit = True
        await task
        with contextlib.suppress(OSError):  # somebody else has put something in its place
            place.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def _watched(halts: Halts) -> AsyncIterator[None]:
    """Say when the engine stands still and when it goes on, until the end of the block."""
    watching = asyncio.create_task(halts.watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _standard_error() -> int | None:
    """Return the file descriptor of standard error; None if there is none."""
    try:
        return None if sys.stderr is None else sys.stderr.fileno()
    except OSError:  # somebody reads it within this process
        return None


def _end_on_signals(ended: asyncio.Event) -> None:
    """Set `ended` on the signals that ask for an orderly end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    # The terminal is gone. Under nohup it is ignored, and stays so.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, ended.set)


async def _first(*events: asyncio.Event) -> None:
    """Return when the first of `events` is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def serve(configuration: Configuration, *, log: str | None, listen: str | None) -> int:
    """Run the engine until SIGTERM, SIGINT or SIGHUP; return the exit code.

    Raises:
        ConfigurationError: It cannot listen, or the configuration is refused as a whole.
        LogError: The log cannot be used; or another engine took it over meanwhile.
    """
    target = log or configuration.log
    named = callers(configuration.auth, source=configuration.source)
    ended = asyncio.Event()
    _end_on_signals(ended)
    # A decision must not wait for another thread's turn longer than it has to.
    sys.setswitchinterval(0.0005)
    raise_limit()
    voice = Voice(_standard_error())
    engine = Engine(configuration, log=target, failpoint=failpoint_of_environment())
    with contextlib.closing(voice), overheard(voice):
        async with engine:
            if engine.refused:
                raise ConfigurationError(engine.refused)
            # Modules and the state that was taken up are no garbage; to look at them again and
            # again would take tens of milliseconds each time, in which nothing is detected.
            gc.freeze()
            for note in engine.notes:
                voice.say(f"tanist: {note}")
            place = listen or configuration.listen
            async with served(engine, log_path(target), place, named=named) as url:
                groups = ", ".join(
                    f"{name} ({policy.automation.value})"
                    for name, policy in engine.policy.groups.items()
                )
                voice.say(f"tanist: watching {groups}; log {target}; {url}")
                if engine.disk_full:
                    voice.say(f"tanist: {engine.disk_full}")
                teller, halts = Teller(lambda: engine.state, voice.say), Halts(engine, voice.say)
                engine.listen(teller.published)
                async with _watched(halts):
                    await _first(ended, engine.ended)
                if engine.ended.is_set():
                    raise LogError(f"ended: {engine.failure}; masters are left as they are")
                halts.say_ending()
        teller.close()
        halts.say_end()
    return 0
