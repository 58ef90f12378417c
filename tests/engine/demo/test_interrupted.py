"""The demonstration, interrupted for real: it leaves no process behind, and says so in one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

DEMO = (sys.executable, "-m", "engine.cli.main", "demo", "--seconds", "30", "--directory")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="only Linux lists the children of a process"
)


def children(pid: int) -> list[int]:
    """Return the processes that `pid` has started and not waited for."""
    tasks = Path(f"/proc/{pid}/task")
    return [
        int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()
    ]


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def demonstration(directory: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*DEMO, str(directory)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A test that runs in the background of a shell would hand on that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def interrupted(
    running: "subprocess.Popen[str]", stderr: IO[str], *numbers: signal.Signals
) -> list[str]:
    """Interrupt it; return what it said, after checking that nothing of it is left."""
    started = children(running.pid)
    assert started
    for number in numbers:
        running.send_signal(number)
    said = stderr.read().splitlines()  # up to the end of the last process that holds it
    assert running.wait() == 130
    assert not [pid for pid in started if is_there(pid)]
    return said


@pytest.mark.parametrize("number", SIGNALS)
def test_while_it_runs_an_interruption_ends_all_of_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    with demonstration(tmp_path) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("engine: ")
        (line,) = interrupted(running, running.stderr, number)
    assert line.startswith("tanist: the demonstration was interrupted, and its processes are ended")
    assert str(tmp_path) in line


@pytest.mark.parametrize("count", [1, 2, 4])
def test_while_its_processes_start_an_interruption_ends_those_that_did(
    count: int, tmp_path: Path
) -> None:
    with demonstration(tmp_path) as running:
        assert running.stderr is not None
        while len(children(running.pid)) < count:
            assert running.poll() is None
        interrupted(running, running.stderr, signal.SIGINT)


def test_who_is_impatient_leaves_nothing_behind_either(tmp_path: Path) -> None:
    with demonstration(tmp_path) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("engine: ")
        interrupted(running, running.stderr, *[signal.SIGINT] * 3, signal.SIGTERM)
