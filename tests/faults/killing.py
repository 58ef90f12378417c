"""Kills an engine at random moments, again and again on one log, and holds the log against it.

What is held after each kill, on the log as the kill left it: every message that was told durable is
there with its content; no transaction is there by half; no seq is missing; everything that was read
after earlier kills is still the same (by the chain); and the snapshots give the fold of the events.
"""

import hashlib
import itertools
import os
import random
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal, Self

import msgspec

from engine.core import state as st
from engine.core.errors import LogError
from engine.core.events import MessageAccepted, Recorded
from engine.core.evolve import evolve
from engine.core.state import State
from engine.log import SqliteLog, open_log, states
from engine.log.chain import ChainFold
from engine.log.codec import decode_rows
from engine.log.protocol import CHUNK_EVENTS, Row
from engine.log.verify import verify
from tests.faults.appenders import body_of
from tests.faults.fleet import GUARD_S, Process, Silent, port_of

ROOT: Final = Path(__file__).parents[2]
STARTING_SHARE: Final = 0.1  # of the kills strike while the engine is being entered
STARTING_S_MAX: Final = 0.05  # how long after the start those come [s]
AFTER_S_MAX: Final = 0.01  # how long after a told append the others come [s]


class Round(msgspec.Struct, kw_only=True):
    """What a process said before it ended."""

    pid: int
    start_us: int = 0  # 0: it ended before the engine was entered
    code: int | None = None  # None: it has not ended
    kept: int = 0  # snapshots that it stored [count]
    told: dict[int, str] = msgspec.field(default_factory=dict)  # key by seq
    batches: list[tuple[int, int]] = msgspec.field(default_factory=list)  # first and last seq

    def hear(self, words: list[str]) -> None:
        """Take a line of the process."""
        match words:
            case ["open", us]:
                self.start_us = int(us)
            case ["batch", first, last]:
                self.batches.append((int(first), int(last)))
            case ["told", seq, key]:
                self.told[int(seq)] = key
            case ["kept", _]:
                self.kept += 1
            case ["ended", code]:
                self.code = int(code)
            case _:
                raise AssertionError(words)


class Engines:
    """The process that starts the engines, and what they say."""

    def __init__(self, *, appenders: int, keep_events: int) -> None:
        """Each engine has that many callers at the same time, and so many events a snapshot."""
        self._arguments: Final = f"{appenders} {keep_events}"
        # A pipe could fill, for nobody reads it meanwhile.
        self._errors: Final = tempfile.TemporaryFile()  # noqa: SIM115
        self._popen: Final = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.appenders"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
        )
        assert self._popen.stdout is not None
        self._output: Final = self._popen.stdout.fileno()
        self._selector: Final = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self._buffer = b""
        # The master has no sink: it acknowledges what it is sent. It outlives every engine.
        self._master: Final = Process("engine.samples.master", "--name", "master-1")
        self._address: Final = f"http://127.0.0.1:{port_of(self._master)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        self._popen.kill()
        self._popen.communicate()
        self._master.end()
        self._errors.close()

    def complaints(self) -> str:
        """Return what the engines wrote to standard error so far: nothing, if all is well."""
        self._errors.seek(0)
        return self._errors.read().decode()

    def start(self, path: Path, name: str) -> Round:
        """Start an engine whose keys begin with `name`."""
        assert self._popen.stdin is not None
        line = f"{path} {self._address} {name} {self._arguments}\n"
        self._popen.stdin.write(line.encode())
        self._popen.stdin.flush()
        for words in self._lines(GUARD_S):
            return Round(pid=int(words[1]))
        raise Silent("the process that starts engines did not start one")

    def until(self, heard: Round, is_it: Callable[[Round], bool]) -> None:
        """Hear what is said until `is_it`, or until the process has ended."""
        if is_it(heard):
            return
        for words in self._lines(GUARD_S):
            heard.hear(words)
            if heard.code is not None or is_it(heard):
                return
        raise Silent(f"an engine told {len(heard.told)} appends, and did not go on for long")

    def listen(self, heard: Round, for_s: float) -> None:
        """Hear what is said within this time."""
        for words in self._lines(for_s):
            heard.hear(words)

    def end(self, heard: Round, number: signal.Signals) -> None:
        """Send the process a signal, and hear the rest of what it said."""
        if heard.code is None:  # else it ended by itself, and its id may be another's by now
            os.kill(heard.pid, number)
            self.until(heard, lambda _: False)

    def _lines(self, within_s: float) -> Iterator[list[str]]:
        """Return the lines that come within this time, split into words."""
        until_s = time.monotonic() + within_s
        while True:
            while b"\n" in self._buffer:
                line, _, self._buffer = self._buffer.partition(b"\n")
                yield line.decode().split()
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not self._selector.select(left_s):
                return
            data = os.read(self._output, 4_096)
            if not data:
                return
            self._buffer += data


class Kills(msgspec.Struct, kw_only=True):
    """What was found over all kills."""

    kills: int = 0
    while_starting: int = 0
    told: int = 0  # appends that were told durable [count]
    lost: int = 0  # of those [count]
    half_batches: int = 0
    batches: int = 0  # of several events, all of which are there [count]
    events: int = 0
    sealed_blocks: int = 0
    snapshots: int = 0
    start_ms_max: float = 0.0
    problems: list[str] = msgspec.field(default_factory=list)


class Killing:
    """Kills upon one log, with what has to be in it."""

    def __init__(self, path: Path, *, seed: int, told_max: int, kept_each: int = 0) -> None:
        """Kill a process when it has told at most `told_max` [count].

        Of `kept_each` kills one comes after a snapshot was stored; 0: as it happens.
        """
        self._kept_each: Final = kept_each
        self.found: Final = Kills()
        self._path: Final = path
        self._chance: Final = random.Random(seed)
        self._told_max: Final = told_max
        self._told: Final[dict[int, str]] = {}
        self._accepted: Final[dict[int, tuple[str, bytes]]] = {}  # key and digest, by seq
        self._chain: Final = ChainFold()
        self._state = State()

    def strike(self, engines: Engines) -> None:
        """Start an engine, kill it, and hold what it left."""
        chance, found = self._chance, self.found
        is_starting = chance.random() < STARTING_SHARE
        told = 0 if is_starting else chance.randint(1, self._told_max)
        # How far an engine gets is up to the machine: now and then it is waited for.
        kept = int(not is_starting and bool(self._kept_each) and found.kills % self._kept_each == 0)
        after_s = chance.uniform(0, STARTING_S_MAX if is_starting else AFTER_S_MAX)
        heard = engines.start(self._path, f"{found.kills}")
        engines.until(heard, lambda heard: len(heard.told) >= told and heard.kept >= kept)
        engines.listen(heard, after_s)
        engines.end(heard, signal.SIGKILL)
        found.kills += 1
        found.while_starting += heard.start_us == 0
        found.start_ms_max = max(found.start_ms_max, heard.start_us / 1_000)
        if heard.code != -signal.SIGKILL or engines.complaints():
            self._wrong(f"the process ended with {heard.code}: {engines.complaints()}")
        # A reader finds the log as the kill left it, or the next writer does.
        mode: Literal["read", "write"] = "read" if found.kills % 2 else "write"
        if heard.batches or self._path.exists():
            try:
                with open_log(self._path, mode=mode) as log:
                    self._hold(log, heard)
            except LogError as err:
                self._wrong(str(err))

    def _wrong(self, problem: str) -> None:
        self.found.problems.append(f"kill {self.found.kills}: {problem}")

    def _hold(self, log: SqliteLog, heard: Round) -> None:
        """Hold what is new against what was said, and what is old against what it was."""
        found = self.found
        for rows in _chunks(log, self._chain.seq):
            self._chain.feed(rows)
            for recorded in decode_rows([row[:6] for row in rows]):
                self._take(recorded)
        head = log.head.seq
        if head != self._chain.seq:
            self._wrong(f"the log ends at {head}, but {self._chain.seq} was read")
        if log.chain_head() != self._chain.head:
            self._wrong("what was read after earlier kills is not the same any more (chain)")
        if st.digest(states.state_at(log)) != st.digest(self._state):
            self._wrong("the snapshots do not give the fold of the events")
        self._told.update(heard.told)
        found.told = len(self._told)
        self._hold_told(log, heard.told)
        for first, last in heard.batches:
            is_half = first <= head < last
            found.half_batches += is_half
            found.batches += first < last <= head
            if is_half:
                self._wrong(f"of the transaction {first} to {last} there is only up to {head}")
        found.events, found.sealed_blocks = head, len(log.seals())
        found.snapshots = len(log.snapshots.seqs())

    def _take(self, recorded: Recorded) -> None:
        evolve(self._state, recorded)
        if isinstance(recorded.event, MessageAccepted):
            self._accepted[recorded.seq] = recorded.event.key, recorded.event.digest

    def _hold_told(self, log: SqliteLog, told: dict[int, str]) -> None:
        for seq, key in told.items():
            body = body_of(key)
            digest = hashlib.sha256(body).digest()
            if self._accepted.get(seq) != (key, digest) or log.body(digest) != body:
                self.found.lost += 1
                self._wrong(f"{key} was told durable at {seq}, and is not there")

    def verify(self) -> None:
        """Hold the whole log, from its first byte on, and everything that was ever told."""
        with open_log(self._path) as log:
            verified = verify(log)
            if not verified.ok or verified.head != self._chain.head.hex():
                self._wrong(f"verify: {verified}")
            self._accepted.clear()
            for recorded in log.read():
                if isinstance(recorded.event, MessageAccepted):
                    self._accepted[recorded.seq] = recorded.event.key, recorded.event.digest
            self._hold_told(log, self._told)


def _chunks(log: SqliteLog, after: int) -> Iterator[list[Row]]:
    rows = log.rows(after)
    while chunk := list(itertools.islice(rows, CHUNK_EVENTS)):
        yield chunk
