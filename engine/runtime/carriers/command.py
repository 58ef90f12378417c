"""Effects by a program of the operator, started once for each issue of an effect.

    exit 0  done        1  refused, and nothing has changed        else  nobody knows

What it has to do is in its environment (`environment`), and as one JSON object on its standard
input, which carries the state of a transfer. It has a limit in time: then it and all that it has
started are killed, and nobody knows what it did. Of what it prints the end is kept, for the log.
"""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Final

import msgspec

from engine.core.events import Result
from engine.runtime.carriers.asked import DETAIL_MAX, Asked, Carried, Member, line
from engine.runtime.carriers.http import body_of

CHUNK_BYTES: Final = 65_536
KEPT_BYTES: Final = 4_096  # of the output: its end
OUTPUT_BYTES_MAX: Final = 16_777_216  # of one that prints more nothing is read any more
OK, REFUSED = 0, 1  # exit codes
_JSON: Final = msgspec.json.Encoder()


def environment(asked: Asked) -> dict[str, str]:
    """Return what a program is told of an effect."""
    told = {
        "TANIST_STEP": asked.step,
        "TANIST_GROUP": asked.group,
        "TANIST_MASTER": asked.master,
        "TANIST_ADDRESS": asked.address,
        "TANIST_EPOCH": str(asked.epoch),
        "TANIST_FAILOVER": str(asked.failover),
        "TANIST_TIMEOUT_MS": str(asked.timeout_us // 1_000),
        "TANIST_DIGEST": asked.digest,
        "TANIST_ACTIVE": "" if asked.active is None else asked.active.id,
        "TANIST_ACTIVE_ADDRESS": "" if asked.active is None else asked.active.address,
        "TANIST_MEMBERS": " ".join(f"{member.id}={member.address}" for member in asked.members),
    }
    return {**os.environ, **told}


class CommandCarrier:
    """Runs a program for each effect."""

    def __init__(self, argv: Sequence[str]) -> None:
        """`argv` is the program and its arguments."""
        self._argv: Final = tuple(argv)

    def attach(self, group: str, members: tuple[Member, ...]) -> None:
        """Do nothing: a program is started when there is something to do."""

    async def carry(self, asked: Asked) -> Carried:
        """Run the program; it has until the effect's time is up."""
        text = _JSON.encode({**body_of(asked), "master": asked.master})
        ended = await run(self._argv, environment(asked), stdin=text, timeout_us=asked.timeout_us)
        return msgspec.structs.replace(
            ended, digest=asked.digest if ended.result is Result.OK else ""
        )

    async def close(self) -> None:
        """Do nothing: who runs a program is cancelled, and ends it then."""


async def run(
    argv: Sequence[str], environ: Mapping[str, str], *, stdin: bytes, timeout_us: int
) -> Carried:
    """Run a program to its end, or to that of its time [us]; all that it started ends with it then.

    A program that ends in time may leave others running, as one that starts a server does.
    """
    with contextlib.ExitStack() as stack:
        given = stack.enter_context(_file_of(stdin))
        output = _Output()
        stack.callback(output.close)
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=dict(environ),
                stdin=given,
                stdout=output.write_end,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as err:
            reason = (err.strerror if isinstance(err, OSError) else "") or str(err)
            return Carried(result=Result.FAILED, detail=line(f"{argv[0]}: {reason}"))
        output.begin()
        is_over = False
        try:
            async with asyncio.timeout(timeout_us / 1e6):
                await process.wait()
        except TimeoutError:
            is_over = True
        finally:
            if process.returncode is None:
                _kill(process)
                await process.wait()
        said = output.text()
    if output.is_too_much:
        return _ended(Result.UNKNOWN, f"it printed more than {OUTPUT_BYTES_MAX} bytes", said)
    if is_over:
        return _ended(Result.UNKNOWN, f"killed after {timeout_us // 1_000} ms", said)
    code = process.returncode
    assert code is not None
    if code in (OK, REFUSED):
        return _ended(Result.OK if code == OK else Result.REFUSED, "", said)
    how = f"exit {code}" if code > 0 else f"ended by {_signal(-code)}"
    return _ended(Result.UNKNOWN, how, said)


def _ended(result: Result, how: str, said: str) -> Carried:
    said = line(said, most=DETAIL_MAX - (len(how) + 2 if how else 0))
    return Carried(result=result, detail=": ".join(filter(None, (how, said))))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of real time has no name
        return f"signal {number}"


def _kill(process: asyncio.subprocess.Process) -> None:
    """End the program and all that it has started in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _file_of(text: bytes) -> IO[bytes]:
    """Return a file with `text`: unlike a pipe it waits for nobody who does not read it."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 the caller closes it
    file.write(text)
    file.seek(0)
    return file


class _Output:
    """What a program prints, of which the end is kept, however much it is."""

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._kept = bytearray()
        self._count = 0
        self.is_too_much = False

    def begin(self) -> None:
        """Read what comes from now on; the program has its own copy of the end it writes to."""
        os.close(self.write_end)
        self.write_end = -1
        asyncio.get_running_loop().add_reader(self._read_end, self._read)

    def _read(self) -> bool:
        """Take one piece; return whether there may be more at once."""
        try:
            chunk = os.read(self._read_end, CHUNK_BYTES)
        except BlockingIOError:
            return False
        self._kept += chunk
        self._count += len(chunk)
        del self._kept[:-KEPT_BYTES]
        self.is_too_much = self._count > OUTPUT_BYTES_MAX
        if not chunk or self.is_too_much:
            self._stop()  # a program that goes on printing is ended by its system
            return False
        return True

    def _stop(self) -> None:
        if self._read_end >= 0:
            asyncio.get_running_loop().remove_reader(self._read_end)
            os.close(self._read_end)
            self._read_end = -1

    def text(self) -> str:
        """Return the end of all that was written by now, and read no more.

        Others that the program left running may hold its output open; nobody waits for them.
        """
        while self._read_end >= 0 and self._read():
            pass
        self._stop()
        return bytes(self._kept).decode(errors="replace")

    def close(self) -> None:
        """Let go what is open still."""
        self._stop()
        if self.write_end >= 0:
            os.close(self.write_end)
