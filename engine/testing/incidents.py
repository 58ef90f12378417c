"""Incident files as tests: what has to hold if the same were seen again.

`friday.incident` is two tests: *whole* (its chain, its fold and its state are what it says) and
*decided as recorded* (this release decides as the one that recorded it). With a file `friday.toml`
beside it, each expectation is a further test, under the policy that it names:

    policy = "../tanist.toml"    # left out: the policy that was in force then
    [expect]
    failovers = 0                # exactly so many
    detections = 1
    false_failovers = 0
    detect_within = "500ms"      # each detection, from the first sign
    down_at_most = "1s"          # each group

What a log cannot answer (probe.interval and the like) stays as it was recorded.
"""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from engine.answers.hypotheses import Question, ask, rehearsal, stretch
from engine.answers.words import lasting
from engine.config import load
from engine.config.durations import microseconds
from engine.core import state as st
from engine.core.errors import EngineError
from engine.core.evolve import evolve
from engine.log import open_log
from engine.log.excerpt import check_end, excerpt_of
from engine.log.protocol import Log
from engine.log.verify import verify
from engine.whatif.again import Result

COUNTS: Final = ("failovers", "detections", "false_failovers", "false_detections", "proposals")
DETECT: Final = "detect_within"
DOWN: Final = "down_at_most"
_KNOWN: Final = (*COUNTS, DETECT, DOWN)
_SHOWN_MAX: Final = 10


class Unmet(Exception):
    """What was expected of an incident is not so; the text says what was found."""


class Expectations:
    """What the file beside an incident says."""

    def __init__(self, path: Path) -> None:
        """Read `path`, which need not exist.

        Raises:
            Unmet: It cannot be read, or says something that nobody knows.
        """
        self.policy: Path | None = None
        self.expected: dict[str, int] = {}
        if not path.exists():
            return
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
            raise Unmet(f"{path}: {err}") from err
        policy, expect = found.pop("policy", None), found.pop("expect", {})
        if found or not isinstance(expect, dict) or not isinstance(policy, str | None):
            odd = ", ".join(found) or "another type"
            raise Unmet(f"{path}: expected policy = FILE and a table [expect], found {odd}")
        self.policy = None if policy is None else path.parent / policy
        for name, value in expect.items():
            self.expected[name] = _value(path, name, value)


def _value(path: Path, name: str, value: Any) -> int:
    if name in COUNTS and type(value) is int and value >= 0:
        return value
    if name in (DETECT, DOWN):
        us = microseconds(value) if isinstance(value, str) else None
        if us is not None:
            return us
    wanted = "a count" if name in COUNTS else 'a duration, as in "500ms"'
    if name not in _KNOWN:
        raise Unmet(f"{path}: expect.{name}: expected one of {', '.join(_KNOWN)}")
    raise Unmet(f"{path}: expect.{name}: expected {wanted}, found {value!r}")


def outcome(log: Log, policy: Path | None) -> Result:
    """Return what would come of the incident under the policy of a file; None: under its own."""
    asked = Question(label="as recorded")
    if policy is not None:
        asked = rehearsal(log, load(policy, masters_needed=False).policy, label=str(policy))
    return ask(log, asked, stretch(log))


def unmet(found: Result, name: str, expected: int) -> str:
    """Return what is not as expected, in a sentence; "" if it is."""
    side = found.whatif
    if name == DETECT:
        if side.detect_us_max <= expected:
            return ""
        return f"expected detection within {lasting(expected)}, took {lasting(side.detect_us_max)}"
    if name == DOWN:
        worst = max(side.down_us.items(), key=lambda item: item[1], default=("", 0))
        if worst[1] <= expected:
            return ""
        return f"expected at most {lasting(expected)} down, {worst[0]} was {lasting(worst[1])}"
    count = getattr(side, name)
    return "" if count == expected else f"expected {expected} {name}, found {count}"


class IncidentFile(pytest.File):
    """One incident file."""

    def collect(self) -> Iterator[pytest.Item]:
        """Return its tests."""
        yield Whole.from_parent(self, name="whole")
        yield AsRecorded.from_parent(self, name="decided as recorded")
        beside = self.path.with_suffix(".toml")
        try:
            said = Expectations(beside)
        except Unmet as err:
            raise self.CollectError(str(err)) from err
        for name, expected in said.expected.items():
            item = Expected.from_parent(self, name=name)
            item.expected, item.policy = expected, said.policy
            yield item


class _Item(pytest.Item):
    """A test of an incident file: it fails with a sentence and no traceback."""

    def runtest(self) -> None:
        """Run it."""
        try:
            with open_log(str(self.path)) as log:
                self.check(log)
        except EngineError as err:
            raise Unmet(str(err)) from err

    def check(self, log: Log) -> None:
        """Hold `log` against what is expected.

        Raises:
            Unmet: It is not so.
        """
        raise NotImplementedError

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what is said of a failure."""
        if isinstance(excinfo.value, Unmet):
            return f"{self.path.name}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return what it is called."""
        return self.path, None, f"{self.path.stem}: {self.name}"


class Whole(_Item):
    """Its chain, its fold and its state are what it says of itself."""

    def check(self, log: Log) -> None:
        """Fold it once."""
        state = st.State()

        found = verify(log, fold=lambda recorded: evolve(state, recorded))
        _raise(found.problems)
        excerpt = excerpt_of(log)
        if excerpt is not None:
            check_end(excerpt, state)


class AsRecorded(_Item):
    """This release decides as the one that recorded it."""

    def check(self, log: Log) -> None:
        """Decide it again."""
        found = outcome(log, None)
        if found.diverged_at is not None:
            raise Unmet(f"this release decides otherwise, from event {found.diverged_at} on")


class Expected(_Item):
    """What the file beside it expects."""

    expected: int
    policy: Path | None

    def check(self, log: Log) -> None:
        """Decide it again under the policy that is asked about."""
        said = unmet(outcome(log, self.policy), self.name, self.expected)
        if said:
            policy = "its own policy" if self.policy is None else f"the policy of {self.policy}"
            raise Unmet(f"{said}, under {policy}")


def _raise(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise Unmet("; ".join(found[:_SHOWN_MAX]))
