"""The command as users have it: its words in, its two streams and its exit code out.

`process` is what users have, a process of its own. `tanist` gives the same words to the same `run`
within the test's process, which is some ten times faster; `test_processes.py` holds the two against
each other.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from engine.cli.main import run
from engine.log import open_log
from engine.log.memory import MemoryLog

Done: TypeAlias = "subprocess.CompletedProcess[str]"

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "engine.cli.main")
OURS = ("TANIST_LOG", "TANIST_URL", "TANIST_TOKEN", "TANIST_TRACEBACK")


def environment(**more: str) -> Mapping[str, str]:
    """Return the environment, without what would steer the command from outside the test."""
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **more}


def process(*words: str, cwd: Path, stdin: str = "", env: Mapping[str, str] | None = None) -> Done:
    """Run the command to its end, as a process of its own."""
    return subprocess.run(
        [*COMMAND, *words],
        cwd=cwd,
        input=stdin,
        env=env or environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def tanist(*words: str, cwd: Path, env: Mapping[str, str] | None = None) -> Done:
    """Run the command to its end, within this process."""
    out, err = io.StringIO(), io.StringIO()
    before = dict(os.environ)
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            os.environ.clear()
            os.environ.update(env or environment())
            code = run(words)
        finally:
            os.environ.clear()
            os.environ.update(before)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def answer(*words: str, cwd: Path, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the one JSON document that the command prints."""
    done = tanist(*words, "--json", cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def complaint(done: Done, code: int) -> str:
    """Return the one line that a failed command says, after checking that it is all it says."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("tanist: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("tanist: ").rstrip("\n")


def stored(log: MemoryLog, path: Path) -> Path:
    """Return `path`, where the events of `log` are now."""
    with open_log(path, mode="write", create=True) as file:
        file.append(list(log.read()))
    return path


def kinds(path: Path, *, after: int = 0) -> list[str]:
    """Return the kinds of the events of the log at `path`."""
    with open_log(path) as log:
        return [type(recorded.event).__name__ for recorded in log.read(after)]


def observations(path: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    """Return `path`, where these observations (at, master, outcome) are now."""
    lines = [
        json.dumps({"at": at, "master": master, "outcome": outcome}) for at, master, outcome in rows
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def minute(second: int, master: str = "a", outcome: str = "ok") -> tuple[str, str, str]:
    """Return an observation of the first minute of 2026."""
    return f"2026-01-01T00:00:{second:02d}Z", master, outcome
