"""Events as a stream: of a log or of a running engine, filtered, and followed if asked."""

import time
from collections.abc import Iterator
from typing import Final

from engine.answers.positions import last_until, resolve
from engine.answers.search import decoded
from engine.answers.times import iso, microseconds
from engine.cli import output, places, remote
from engine.core.errors import ConfigurationError
from engine.core.events import KINDS, jsonable
from engine.log.protocol import Log

POLL_S: Final = 0.2  # between two looks at a log that is followed

Row = dict[str, object]


class Filter:
    """Which events are wanted; by kind and subject, nothing named: all."""

    def __init__(self, *, kinds: tuple[str, ...], subjects: tuple[str, ...]) -> None:
        """Take the names of kinds as they stand in the log.

        Raises:
            ConfigurationError: There is no such kind.
        """
        names = {kind.__name__: code for code, kind in KINDS.items()}
        unknown = [name for name in kinds if name not in names]
        if unknown:
            raise ConfigurationError(
                [f"--kind: expected one of {', '.join(sorted(names))}, found {unknown[0]!r}"]
            )
        self.names: Final = frozenset(kinds)
        self.codes: Final = frozenset(names[name] for name in kinds)
        self.subjects: Final = frozenset(subjects)

    def has(self, kind: int, subject: str) -> bool:
        """Return whether an event with this code and subject is wanted."""
        return (not self.codes or kind in self.codes) and (
            not self.subjects or subject in self.subjects
        )


def of_log(
    target: str, wanted: Filter, *, since: str | None, until: str | None, follow: bool
) -> Iterator[Row]:
    """Yield the wanted events of a log, as `events --json` prints them."""
    with places.open_for_reading(target) as log:
        after = 0 if since is None else _before(log, since)
        end = None if until is None else resolve(log, until)
        while True:
            head = log.head.seq
            upto = head if end is None else min(end, head)
            for row in log.rows(after, upto):
                if wanted.has(row[2], row[3]):
                    yield _row(jsonable(decoded(row)), iso(row[1]))
            after = max(after, upto)
            if not follow or (end is not None and after >= end):
                return
            output.flush()
            time.sleep(POLL_S)


def of_engine(
    target: str, wanted: Filter, *, since: str | None, until: str | None, follow: bool
) -> Iterator[Row]:
    """Yield the wanted events of a running engine; it is asked by seq only."""
    positions = []
    for name, text in (("--since", since), ("--until", until)):
        if text is not None and not text.isdigit():
            raise ConfigurationError([f"{name}: an engine is asked by seq, found {text!r}"])
        positions.append(None if text is None else int(text))
    after, end = (positions[0] or 1) - 1, positions[1]
    while True:
        found = remote.events(target, after=after)
        for row in found:
            after = int(str(row["seq"]))
            if end is not None and after > end:
                return
            is_kind = not wanted.names or row["kind"] in wanted.names
            if is_kind and (not wanted.subjects or row["subject"] in wanted.subjects):
                yield _row(row, str(row["at"]))
        if not found:
            if not follow:
                return
            output.flush()
            time.sleep(POLL_S)


def _before(log: Log, since: str) -> int:
    """Return the seq after which the events from the position `since` on begin."""
    is_time = not (since.isascii() and since.isdigit()) and not since[:1].isalpha()
    if is_time:
        return last_until(log, microseconds(since) - 1)
    return max(0, resolve(log, since) - 1)


def _row(found: Row, at: str) -> Row:
    return {
        "seq": found["seq"],
        "at": at,
        "kind": found["kind"],
        "subject": found["subject"],
        "cause": found["cause"],
        "data": found["data"],
    }
