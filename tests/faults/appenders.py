"""The process that is killed while many append: an embedded engine that takes messages.

Messages through an engine are what users append under load: each goes through the driver, shares
its transaction with whatever waits, and is told durable to its own caller. Beside that the engine
stores views, delivers, and takes acknowledgements, as it always does; it seals and stores a
snapshot whenever KEEP_EVENTS more are there, more often than it would by itself.

One process imports everything, and forks one that runs the engine for each line that it reads:

    LOG ADDRESS ROUND APPENDERS KEEP_EVENTS

What it and those processes say are lines on its standard output, each written at once:

    pid PID               the engine's process was started
    open US               the engine is entered, after so long
    batch FIRST LAST      these seqs are given to the log now, in one transaction
    told SEQ KEY          the message KEY was told durable, at SEQ
    kept SEQ              a snapshot was stored, of SEQ or later
    ended CODE            the process has ended; nothing more of it follows
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from engine import __version__
from engine.core.events import Recorded
from engine.core.terms import Keyed
from engine.embed import Engine
from engine.log import states
from engine.log.append_keys import Appended
from engine.log.library import sound_library
from engine.log.protocol import NO_BODIES
from engine.log.sqlite import SqliteLog
from tests.faults.embedded import configuration
from tests.faults.fleet import GROUP

OPEN_MAX: Final = 2_000  # messages that are not done; more wait for the master [count]


def say(line: str) -> None:
    """Write a line past every buffer of this process: what comes after may be a kill."""
    os.write(1, f"{line}\n".encode())


def body_of(key: str) -> bytes:
    """Return the body of the message `key`."""
    return f"the message {key}, ".encode() * 3


class Saying(SqliteLog):
    """A log that says what it is given before it takes it."""

    def append(
        self,
        events: Sequence[Recorded],
        *,
        bodies: Mapping[bytes, bytes] = NO_BODIES,
        key: str = "",
        keyed: Sequence[Keyed] = (),
    ) -> Appended:
        if events:
            say(f"batch {events[0].seq} {events[-1].seq}")
        return super().append(events, bodies=bodies, key=key, keyed=keyed)


async def append(engine: Engine, changed: asyncio.Event, name: str) -> None:
    """Take messages one after the other, and say of each that it was told durable."""
    number = 0
    while True:
        while len(engine.state.groups[GROUP].ledger.open) >= OPEN_MAX:
            changed.clear()
            await changed.wait()
        number += 1
        key = f"{name}-{number}"
        receipt = await engine.accept(GROUP, body_of(key), key=key, lane=name.partition("-")[2])
        say(f"told {receipt.seq} {key}")


async def keep(engine: Engine, log: SqliteLog, changed: asyncio.Event, *, each_events: int) -> None:
    """Seal and store snapshots as the engine does, but so often that kills fall into it."""
    kept = engine.state.seq
    while True:
        while engine.state.seq < kept + each_events:
            changed.clear()
            await changed.wait()
        kept = engine.state.seq
        await asyncio.to_thread(log.seal, blocks_max=1_000)
        await asyncio.to_thread(lambda: states.keep(log, states.state_at(log)))
        say(f"kept {kept}")


async def run(path: Path, address: str, round_: str, appenders: int, keep_events: int) -> None:
    """Append until the process is killed, or ended by SIGTERM."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    began_us = time.monotonic_ns() // 1_000
    changed = asyncio.Event()
    log = Saying(path, mode="write", create=True, release=__version__)
    settings = replace(configuration({"master-1": address}), seal_after_us=0)
    async with Engine(settings, log=log) as engine:
        say(f"open {time.monotonic_ns() // 1_000 - began_us}")
        engine.listen(lambda _: changed.set())
        async with asyncio.TaskGroup() as group:
            group.create_task(keep(engine, log, changed, each_events=keep_events))
            for number in range(appenders):
                group.create_task(append(engine, changed, f"{round_}-{number}"))


def main() -> None:
    sound_library()  # loaded once, for all
    for line in sys.stdin.buffer:
        path, address, round_, appenders, keep_events = line.decode().split()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(asyncio.CancelledError):
                asyncio.run(run(Path(path), address, round_, int(appenders), int(keep_events)))
            os._exit(0)
        say(f"pid {child}")
        _, status = os.waitpid(child, 0)
        say(f"ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
