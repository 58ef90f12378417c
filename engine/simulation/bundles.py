"""A run as one file: what it was drawn from, what happened, and what was judged of it.

A bundle holds the schedule, so it can be run again by a release that draws otherwise; and the log,
so that who has no release at all can read it. The verdict is true (every law held), false, or
unknown: the run itself came to no end, because of a bug of the engine or of the simulator.
"""

import base64
import os
import subprocess
import zlib
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

import msgspec

from engine.core.errors import ConfigurationError
from engine.core.events import Recorded, decode, encode
from engine.core.state import digest
from engine.simulation.checkers import LAWS, Law, violations
from engine.simulation.runs import Run, Violation
from engine.simulation.schedule import Schedule
from engine.simulation.shrinking import simplify
from engine.simulation.world import run

FORMAT: Final = 1
Verdict = Literal["true", "unknown", "false"]
_Row = tuple[int, int, int, str, int, bytes]  # seq, at_us, kind, subject, cause, payload
_ROWS: Final = msgspec.msgpack.Decoder(list[_Row])


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """One run, to be kept, sent and run again."""

    format: int = FORMAT
    seed: int | None  # None: nobody drew it
    commit: str  # of this code; "" if that is not known
    release: str
    schedule: Schedule  # the policy is in its setting
    shrunk: Schedule | None  # a smaller one that breaks the same law
    verdict: Verdict
    violations: tuple[Violation, ...]
    error: str  # why the verdict is unknown; "" if it is not
    digest: str  # of the state at the end; "" if the verdict is unknown
    log: str  # its rows as msgpack, zlib and base 64


def made(
    schedule: Schedule,
    *,
    seed: int | None = None,
    laws: tuple[Law, ...] = LAWS,
    shrinks: bool = True,
) -> Bundle:
    """Run `schedule`, judge it, shrink it if it breaks a law, and return all of it."""
    result, broken, error = _judged(schedule, laws)
    shrunk = None
    if shrinks and (broken or error):
        law = broken[0].law if broken else ""
        shrunk = simplify(schedule, lambda smaller: _breaks(smaller, laws, law))
    verdict: Verdict = "unknown" if result is None else "false" if broken else "true"
    return Bundle(
        seed=seed,
        commit=_commit(),
        release=_release(),
        schedule=schedule,
        shrunk=shrunk,
        verdict=verdict,
        violations=tuple(broken),
        error=error,
        digest="" if result is None else digest(result.state),
        log=_packed([] if result is None else result.log),
    )


def _judged(schedule: Schedule, laws: tuple[Law, ...]) -> tuple[Run | None, list[Violation], str]:
    try:
        result = run(schedule)
        return result, violations(result, laws=laws), ""
    except Exception as err:  # a bug of ours, which is what a bundle is for
        return None, [], f"{type(err).__name__}: {err}".rstrip(": ")


def _breaks(schedule: Schedule, laws: tuple[Law, ...], law: str) -> bool:
    result, broken, _ = _judged(schedule, laws)
    return result is None if not law else any(one.law == law for one in broken)


def _packed(log: list[Recorded]) -> str:
    rows = [
        (one.seq, one.at_us, kind, one.subject, one.cause, payload)
        for one in log
        for kind, payload in (encode(one.event),)
    ]
    return base64.b64encode(zlib.compress(msgspec.msgpack.encode(rows))).decode()


def log_of(bundle: Bundle) -> list[Recorded]:
    """Return the log that a bundle holds."""
    rows = _ROWS.decode(zlib.decompress(base64.b64decode(bundle.log)))
    return [
        Recorded(
            seq=seq, at_us=at_us, subject=subject, cause=cause,
            event=decode(kind, payload, seq=seq),
        )
        for seq, at_us, kind, subject, cause, payload in rows
    ]  # fmt: skip


def write(bundle: Bundle, path: Path) -> None:
    """Write a bundle to a file."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(bundle), indent=1) + b"\n")


def read(path: Path) -> Bundle:
    """Return the bundle of a file.

    Raises:
        ConfigurationError: It is none, or one of a newer release.
    """
    try:
        bundle = msgspec.json.decode(path.read_bytes(), type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise ConfigurationError([f"{path}: expected a bundle of a simulation: {err}"]) from err
    if bundle.format > FORMAT:
        raise ConfigurationError([f"{path}: expected format {FORMAT}, found {bundle.format}"])
    return bundle


def _commit() -> str:
    """Return the commit of this code, if it is a checkout."""
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(here), "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True, text=True, check=False, timeout=10,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _release() -> str:
    try:
        return metadata.version("tanist")
    except metadata.PackageNotFoundError:
        return "not installed"
