"""Reading tables strictly: every value has a kind, no key is passed over, all mistakes are kept.

A mistake is one line: `file:LINE: dotted.key: expected …, found …; what would do`. A kind turns a
value into what is kept, or raises `Unfit` with what it expected and what would do. A reader that
met a mistake goes on with the default, so that one run names everything.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from engine.config.places import Path

T = TypeVar("T")
Rows = Sequence[Mapping[str, object]]

FOUND_CHARS_MAX: Final = 60  # of a value in a message [count]
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_NOTHING: Final[Mapping[str, object]] = {}


class Unfit(Exception):
    """A value that its key cannot take; caught where it is read, never outside this package."""

    def __init__(self, expected: str, remedy: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.remedy = remedy


def shown(value: object) -> str:
    """Return `value` as its file may have spelt it, on one line and not too long."""
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, Mapping):
        text = "a table"
    elif isinstance(value, list):
        nested = any(isinstance(item, dict | list) for item in value)
        text = "an array of arrays or tables" if nested else f"[{', '.join(map(shown, value))}]"
    else:
        text = str(value)
    return text if len(text) <= FOUND_CHARS_MAX else f"{text[: FOUND_CHARS_MAX - 1]}…"


def dotted(path: Path) -> str:
    """Return a path as messages name it.

    Example:
        >>> dotted(("groups", "cache", "masters", 1, "id"))
        'groups.cache.masters[1].id'
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # A key in quotes may hold anything, and a message is one line.
            spelt = part if _BARE.fullmatch(part) else json.dumps(part)
            text += f".{spelt}" if text else spelt
    return text


class Reading:
    """One reading of one source: where its keys stand, and the mistakes met so far."""

    def __init__(self, source: str, lines: Mapping[Path, int] | None = None) -> None:
        self.source = source
        self._lines = lines  # None: the source has no lines, as an argument has none
        self._mistakes: list[tuple[int, int, str]] = []

    def line(self, path: Path) -> int:
        """Return where `path` stands, or else the nearest table around it [count, >= 1]."""
        for length in range(len(path), 0, -1):
            if self._lines and path[:length] in self._lines:
                return self._lines[path[:length]]
        return 1

    def mistake(self, path: Path, *, expected: str, found: str, remedy: str) -> None:
        """Keep a mistake at `path`."""
        line = self.line(path)
        place = self.source if self._lines is None else f"{self.source}:{line}"
        text = f"{place}: {dotted(path)}: expected {expected}, found {found}; {remedy}"
        self._mistakes.append((line, len(self._mistakes), text))

    @property
    def count(self) -> int:
        """How many mistakes were met so far [count]."""
        return len(self._mistakes)

    @property
    def mistakes(self) -> tuple[str, ...]:
        """Every mistake so far, from the first line to the last."""
        return tuple(text for _, _, text in sorted(self._mistakes))


class Table:
    """One table being read; `finish` names the keys that nobody asked for."""

    def __init__(
        self,
        reading: Reading,
        path: Path,
        values: Mapping[str, object],
        *,
        later: Sequence[str] = (),
    ) -> None:
        self.reading = reading
        self.path = path
        self._values = values
        self._later = later  # keys that the design has and this release has not
        self._known: list[str] = []

    def has(self, key: str) -> bool:
        """Return whether the source says anything about `key`."""
        return key in self._values

    def take(self, key: str, kind: Callable[[object], T], default: T) -> T:
        """Return the value of `key`, or `default` if it is not there or is a mistake."""
        self._known.append(key)
        if key not in self._values:
            return default
        value = self._values[key]
        try:
            return kind(value)
        except Unfit as unfit:
            self.mistake(key, expected=unfit.expected, found=shown(value), remedy=unfit.remedy)
            return default

    def need(self, key: str, kind: Callable[[object], T], default: T, *, example: str) -> T:
        """Return the value of `key`; that it is not there is a mistake."""
        if key not in self._values:
            try:
                kind(None)
            except Unfit as unfit:
                self.mistake(
                    key, expected=unfit.expected, found="nothing", remedy=f"write {key} = {example}"
                )
        return self.take(key, kind, default)

    def table(self, key: str, *, later: Sequence[str] = ()) -> "Table":
        """Return the table `key`, an empty one if it is not there or is a mistake."""
        values: Mapping[str, object] = self.take(key, _mapping, _NOTHING)
        return Table(self.reading, (*self.path, key), values, later=later)

    def tables(self, key: str, *, later: Sequence[str] = ()) -> list["Table"]:
        """Return the tables of the array `key`, none if it is not there or is a mistake."""
        rows: Rows = self.take(key, _rows, ())
        path = (*self.path, key)
        return [
            Table(self.reading, (*path, index), row, later=later) for index, row in enumerate(rows)
        ]

    def each(self) -> list[str]:
        """Return every key, all of them known: the names of a table of named things."""
        self._known.extend(self._values)
        return list(self._values)

    def mistake(self, key: str, *, expected: str, found: str, remedy: str) -> None:
        """Keep a mistake at `key`."""
        self.reading.mistake((*self.path, key), expected=expected, found=found, remedy=remedy)

    def finish(self) -> None:
        """Name every key that was not asked for."""
        names = ", ".join(self._known)
        for key, value in self._values.items():
            if key in self._known:
                continue
            if key in self._later:
                remedy = "this release does not have it yet: remove it"
            else:
                near = difflib.get_close_matches(key, self._known, n=1, cutoff=0.6)
                remedy = f"did you mean {near[0]}?" if near else "remove it"
            found = f"the unknown key {shown(key)} ({shown(value)})"
            self.mistake(key, expected=f"one of {names}", found=found, remedy=remedy)


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Unfit("a table", "write { key = value, … }")
    return value


def _rows(value: object) -> Rows:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise Unfit("an array of tables", "write each under a header in double brackets")
    return value
