"""The demonstration: a real fleet loses its active master, and no message with it.

Three masters, a sink that no fault strikes, the engine, a steady load, and a fault (faults.py): the
active master is killed, hangs, is slow, or flaps.
What was lost or done twice is counted at the sink.
"""

import asyncio
import contextlib
import json as json_module
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from engine.config import Configuration
from engine.core.errors import ConfigurationError, EngineError
from engine.core.fleet import Master
from engine.core.policy import Policy, content_digest, preset
from engine.core.state import active_of
from engine.demo.faults import AFTER, SAYS, striking, watchful
from engine.demo.fleet import Process, fetch
from engine.demo.halting import unless_halted
from engine.demo.load import Load
from engine.demo.story import Story
from engine.embed import Engine
from engine.log.place import log_path
from engine.service.running import served

GROUP: Final = "demo"
LOG: Final = "tanist.db"
SINK: Final = "sink.db"
RATE: Final = 100  # messages a second
WARM_S: Final = 10.0  # what the fleet may take until somebody is active [s]
SETTLE_S: Final = 20.0  # what the last messages may take to be done [s]
SECONDS_MIN: Final = 6.0
FRAME_S: Final = 0.25
INTERRUPTED: Final = 130  # as shells have it for what Ctrl-C ended


def _configuration(
    masters: list[Process], preset_name: str, log: Path, fault: str
) -> Configuration:
    policy = Policy(groups={GROUP: watchful(preset(preset_name), fault)})
    declared = tuple(
        Master(id=process.name, group=GROUP, address=process.url, priority=place)
        for place, process in enumerate(masters, start=1)
    )
    return Configuration(
        policy=policy,
        masters=declared,
        log=str(log),
        listen="127.0.0.1:0",
        flush_us=5_000,
        digest=content_digest(policy, declared),
        source="the demonstration",
    )


class _Screen:
    """What people see while it runs."""

    def __init__(self, engine: Engine, load: Load, *, note: str) -> None:
        self._engine, self._load = engine, load
        self._loop = asyncio.get_running_loop()
        self.note = note
        self.ends_s: float | None = None  # when the load stops, by the loop's clock; None: not yet

    def table(self) -> Table:
        """Return the state of the fleet as a table."""
        group = self._engine.state.groups[GROUP]
        table = Table(title=self.note, title_justify="left")
        for heading in ("master", "health", "role", "epoch", "has"):
            table.add_column(heading)
        for name, master in group.masters.items():
            has = sum(message.master == name for message in group.ledger.open.values())
            epoch = master.fence.confirm_at if master.fence else master.epoch
            role = "fenced, must confirm" if master.fence else master.role.value
            table.add_row(name, master.health.value, role, str(epoch or ""), str(has or ""))
        open_ = len(group.ledger.open)
        left = ""
        if self.ends_s is not None:
            left = f"{max(0, round(self.ends_s - self._loop.time()))} s left · "
        table.caption = (
            f"{left}sent {self._load.sent} · accepted {len(self._load.accepted)} · "
            f"done {len(self._load.done)} · open {open_} · events {self._engine.state.seq}"
        )
        return table


async def _until_active(engine: Engine) -> str:
    try:
        async with asyncio.timeout(WARM_S):
            async for _ in engine.follow(0):
                group = engine.state.groups.get(GROUP)
                active = active_of(group) if group is not None else ""
                if active and group is not None and group.saga is None:
                    return active
    except TimeoutError as err:
        raise EngineError(f"nobody was active within {WARM_S:g} s") from err
    raise AssertionError("following a log has no end")


async def _until_done(engine: Engine) -> None:
    """Wait until no message is open; give up after SETTLE_S, and let the sink say what is lost."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S):
            after = max(0, engine.state.seq - 1)
            async for _ in engine.follow(after):
                if not engine.state.groups[GROUP].ledger.open:
                    return


async def _play(
    engine: Engine,
    load: Load,
    story: Story,
    masters: list[Process],
    screen: _Screen,
    *,
    seconds: float,
    fault: str,
) -> None:
    """Strike the active master after a third of the time; let it be after two."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    screen.ends_s = began + seconds
    victim = await _until_active(engine)

    async def until(fraction: float) -> None:
        await asyncio.sleep(max(0.0, began + seconds * fraction - loop.time()))

    async with _sending(load):
        await until(0.33)
        victim = active_of(engine.state.groups[GROUP]) or victim
        process = next(process for process in masters if process.name == victim)
        story.strike(engine.clock.at_us(), f"{victim}, the active master, {SAYS[fault]}")
        screen.note = f"{victim} {SAYS[fault]}"
        async with striking(fault, process):
            await until(0.66)
        screen.note = f"{victim} {AFTER[fault]}"
        await until(1.0)
    screen.note = "the last messages"
    await _until_done(engine)


@contextlib.asynccontextmanager
async def _sending(load: Load) -> AsyncIterator[None]:
    """Let the load run; on leaving it has sent its last message, or was given up."""
    sending = asyncio.create_task(load.run())
    try:
        yield
        load.stop()
        await sending
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _draw(screen: _Screen, console: Console) -> None:
    with Live(screen.table(), console=console, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(FRAME_S)
            live.update(screen.table(), refresh=True)


async def _started(stack: contextlib.AsyncExitStack, name: str, *arguments: str) -> Process:
    """Start a process that ends with `stack`."""
    process = await Process.start(name, *arguments)
    stack.push_async_callback(process.end)
    return process


def _end_on_signals() -> None:
    """End the demonstration in order, with all its processes, when it is interrupted.

    Once: whoever is impatient must not leave processes behind.
    """
    loop, whole = asyncio.get_running_loop(), asyncio.current_task()
    asked: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        if not asked and whole is not None:
            whole.cancel()
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, end, number)


async def _run(
    *, seconds: float, fault: str, show: bool, preset_name: str, directory: Path
) -> dict[str, object]:
    _end_on_signals()
    console = Console(stderr=True)
    log, applied = directory / LOG, directory / SINK
    async with contextlib.AsyncExitStack() as stack:
        sink = await _started(
            stack,
            "sink",
            "engine.samples.sink",
            "--port",
            "0",
            "--file",
            str(applied),
        )
        arguments = ("engine.samples.master", "--port", "0", "--sink", sink.url)
        starting = [
            _started(stack, name, *arguments, "--name", name, "--group", GROUP)
            for name in ("master-1", "master-2", "master-3")
        ]
        masters = []
        for found in await asyncio.gather(*starting, return_exceptions=True):
            if isinstance(found, BaseException):
                raise found
            masters.append(found)
        engine = Engine(_configuration(masters, preset_name, log, fault), author="demo")
        story = Story()
        async with engine:
            if engine.refused:
                raise ConfigurationError(engine.refused)
            load = Load(engine, GROUP, rate=RATE)
            engine.listen(load.published)
            engine.listen(lambda events: story.published(events, engine.clock.at_us()))
            async with served(engine, log_path(str(log)), "127.0.0.1:0") as url:
                said = f"engine: {url}   log: {log}"
                console.print(said, highlight=False, soft_wrap=True)
                screen = _Screen(engine, load, note="all is well")
                play = _play(engine, load, story, masters, screen, seconds=seconds, fault=fault)
                drawing = asyncio.create_task(_draw(screen, console)) if show else None
                try:
                    await unless_halted(engine, play)
                finally:
                    if drawing is not None:
                        drawing.cancel()
                        await asyncio.gather(drawing, return_exceptions=True)
            redelivered = engine.state.groups[GROUP].ledger.requeued
        report = await fetch(f"{sink.url}/report?keys=1")
    return _report(engine, load, story, report, fault=fault, log=log, redelivered=redelivered)


def _report(
    engine: Engine,
    load: Load,
    story: Story,
    sink: dict[str, object],
    *,
    fault: str,
    log: Path,
    redelivered: int,
) -> dict[str, object]:
    applied = sink["keys_by_group"]
    assert isinstance(applied, dict)
    lost = load.accepted - set(applied.get(GROUP, ()))
    return {
        "fault": fault,
        "detect_ms": _ms(story.detect_us),
        "failover_ms": _ms(story.failover_us),
        "sent": load.sent,
        "accepted": len(load.accepted),
        "applied": sink["applied"],
        "lost": len(lost),
        "applied_twice": sink["applied_twice"],
        "redelivered": redelivered,
        "refused_stale": sink["refused_stale"],
        "late_acks_refused": story.refused_late,
        "worst_ms": _ms(load.worst_us),
        "events": engine.state.seq,
        "digest": engine.digest(),
        "log": str(log),
        "story": [{"ms": _ms(after_us), "what": what} for after_us, what in story.lines],
        "failed_seq": story.found.seq if story.found else None,
        "concluded": dict(sorted(story.concluded.items())),
    }


def _ms(us: int | None) -> float | None:
    return None if us is None else round(us / 1000, 3)


def _print(report: dict[str, object], story: list[dict[str, object]]) -> None:
    console = Console(highlight=False)
    console.print("\n[bold]What happened[/bold]")
    for line in story:
        console.print(f"  {line['ms']:>10} ms  {line['what']}", soft_wrap=True)
    over = (
        "nothing failed over"
        if report["failover_ms"] is None
        else f"failed over in [bold]{report['failover_ms']} ms[/bold]"
    )
    concluded = report["concluded"]
    assert isinstance(concluded, dict)
    said = ", ".join(f"{name} {count}" for name, count in concluded.items())
    console.print(
        f"\nconcluded: {said or 'nothing'}\n"
        f"detected in [bold]{report['detect_ms']} ms[/bold], {over}; "
        f"{report['accepted']} messages accepted, {report['applied']} applied, "
        f"[bold]{report['lost']} lost, {report['applied_twice']} applied twice[/bold] "
        f"({report['redelivered']} sent again, {report['refused_stale']} stale ones refused "
        f"at the sink); the slowest took {report['worst_ms']} ms",
        soft_wrap=not console.is_terminal,
    )
    log, tanist = report["log"], os.environ.get("TANIST_COMMAND", "tanist")
    console.print("\n[bold]Look again[/bold]")
    for command, what in (
        (f"{tanist} replay {log}", f"the same state: {str(report['digest'])[:12]}…"),
        (f"{tanist} why {log}", "why this master, and none of the others"),
        (
            f"{tanist} events {log} --since {report['failed_seq']}",
            "what was decided since the failure",
        ),
        (f"{tanist} uptime {log}", "time in every state"),
        (f"{tanist} verify {log}", "that nothing was changed afterwards"),
    ):
        console.print(f"  {command}    [dim]# {what}[/dim]", soft_wrap=True)


def _place(directory: str | None) -> Path:
    """Return the directory of a new demonstration.

    Its masters are new ones, and what was applied is counted from nothing: it cannot go on with
    the log or the sink of another.
    """
    place = Path(directory) if directory else Path(tempfile.mkdtemp(prefix="tanist-demo-"))
    for name in (LOG, SINK):
        if os.path.lexists(place / name):
            said = "of an earlier demonstration, and is not replaced: name another directory"
            raise ConfigurationError((f"{place / name} is {said}",))
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ConfigurationError((f"{place}: {err.strerror}",)) from err
    return place


def demo(
    *, seconds: float | None, fault: str, json: bool, preset: str, directory: str | None
) -> int:
    """Run the demonstration and return the exit code.

    It is 1 if anything was lost or done twice, or if the fault was not noticed.

    Interrupted, it ends its processes and returns 130.

    Args:
        seconds: How long the load runs [s]; None: 20.
        fault: "kill", "hang", "slow" or "flap".
        json: Print one JSON document and nothing else on standard output.
        preset: The policy's preset.
        directory: Where the log goes; None: a new temporary directory.

    Raises:
        ConfigurationError: `directory` is that of an earlier demonstration, or cannot be used.
        EngineError: A process of the fleet did not start, or nobody became active.
        LogError: The log cannot be written.
    """
    length_s = max(SECONDS_MIN, 20.0 if seconds is None else seconds)
    place = _place(directory)
    sys.setswitchinterval(0.0005)
    try:
        report = asyncio.run(
            _run(
                seconds=length_s,
                fault=fault,
                show=not json and sys.stderr.isatty(),
                preset_name=preset,
                directory=place,
            )
        )
    except (asyncio.CancelledError, KeyboardInterrupt):
        said = "the demonstration was interrupted, and its processes are ended"
        sys.stderr.write(f"tanist: {said}; what it logged is in {place}\n")
        return INTERRUPTED
    if json:
        sys.stdout.write(json_module.dumps(report) + "\n")
    else:
        story = report["story"]
        assert isinstance(story, list)
        _print(report, story)
    is_well = not report["lost"] and not report["applied_twice"]
    # A slow master serves on: that it was noticed is all there is to show.
    wanted = "detect_ms" if fault == "slow" else "failover_ms"
    return 0 if is_well and report[wanted] is not None else 1
