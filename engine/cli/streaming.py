"""Events as a stream: of a log or of a running engine, filtered, and followed if asked."""

import time
from collections.abc import Iterator
from typing import Final

from engine.answers.positions import last_until, resolve
from engine.answers.search import decoded
from engine.answers.telling import PLAIN
from engine.answers.times import iso, microseconds
from engine.cli import output, places, remote
from engine.cli.nearest import nearest
from engine.config.durations import microseconds as duration
from engine.core.errors import ConfigurationError
from engine.core.events import KINDS, READ_AS, codes_of, jsonable
from engine.log.protocol import Log
from engine.log.protocol import Row as StoredRow
from engine.log.schema import PASSING
from engine.log.tailing import spans

POLL_S: Final = 0.2  # between two looks at a log that is followed

EXAMPLES: Final = "MasterFailed, FailoverStarted, Refused"
PLAIN_NAMES: Final = frozenset(kind.__name__ for kind in PLAIN)
_NAMES: Final = {code: kind.__name__ for code, kind in READ_AS.items()}  # as it is read

Row = dict[str, object]


class Filter:
    """Which events are wanted; by kind and subject, nothing named: all, or all that is news."""

    def __init__(
        self, *, kinds: tuple[str, ...], subjects: tuple[str, ...], is_brief: bool = False
    ) -> None:
        """Take the names of kinds as they stand in the log.

        Args:
            kinds: The kinds that are wanted; none: all of them.
            subjects: The masters, groups or the fleet; none: all of them.
            is_brief: Where no kind is named, PLAIN ones are not wanted, and counted.

        Raises:
            ConfigurationError: There is no such kind.
        """
        names = {kind.__name__: kind for kind in KINDS.values()}
        unknown = [name for name in kinds if name not in names]
        if unknown:
            near = nearest(unknown[0], names)
            hint = f"did you mean {' or '.join(near)}?" if near else f"for example {EXAMPLES}"
            raise ConfigurationError(
                [f"--kind: expected a kind of the log, found {unknown[0]!r}; {hint}"]
            )
        self._kinds: Final = frozenset(kinds)
        self._subjects: Final = frozenset(subjects)
        self._is_brief: Final = is_brief and not kinds
        self.codes: Final = codes_of(names[name] for name in kinds)  # none: all kinds
        self.left_out = 0  # because they are plain [count]

    def has(self, kind: str, subject: str) -> bool:
        """Return whether an event of this kind and subject is wanted."""
        if self._subjects and subject not in self._subjects:
            return False
        if self._is_brief and kind in PLAIN_NAMES:
            self.left_out += 1
            return False
        return not self._kinds or kind in self._kinds


def of_log(
    target: str, wanted: Filter, *, since: str | None, until: str | None, follow: bool
) -> Iterator[Row]:
    """Yield the wanted events of a log, as `events --json` prints them."""
    with places.open_for_reading(target) as log:
        after = 0 if since is None else _before(log, since)
        end = None if until is None else _position(log, until)
        for low, high in spans(log, after, until=end, wait=_rest if follow else _no_more):
            for row in _rows(log, wanted, low, high):
                if wanted.has(_NAMES.get(row[2], ""), row[3]):
                    yield _row(jsonable(decoded(row)), iso(row[1]))


def _rest() -> bool:
    """Let what there is be seen, and pause before the next look."""
    output.flush()
    time.sleep(POLL_S)
    return True


def _no_more() -> bool:
    return False


def _rows(log: Log, wanted: Filter, after: int, upto: int) -> Iterator[StoredRow]:
    """Return the rows that may be wanted; the log finds most kinds without reading the others."""
    codes = wanted.codes
    if not codes or not codes.isdisjoint(PASSING):
        return log.rows(after, upto)
    seqs = log.seqs_of(codes, after, upto)
    return (row for seq in seqs for row in log.rows(seq - 1, seq, chunk=1))


def of_engine(
    target: str, wanted: Filter, *, since: str | None, until: str | None, follow: bool
) -> Iterator[Row]:
    """Yield the wanted events of a running engine; it is asked by seq only."""
    positions = []
    for name, text in (("--since", since), ("--until", until)):
        if text is not None and not text.isdigit():
            raise ConfigurationError(
                [f"{name}: an engine is asked by seq, found {text!r}: name its log with --log"]
            )
        positions.append(None if text is None else int(text))
    token = places.token(target)
    after, end = (positions[0] or 1) - 1, positions[1]
    while True:
        found = remote.events(target.rstrip("/"), token=token, after=after)
        for row in found:
            after = int(str(row["seq"]))
            if end is not None and after > end:
                return
            if wanted.has(str(row["kind"]), str(row["subject"])):
                yield _row(row, str(row["at"]))
        if not found:
            if not follow:
                return
            _rest()


def _before(log: Log, since: str) -> int:
    """Return the seq after which the events from the position `since` on begin."""
    back_us = duration(since)
    if back_us is not None:
        return last_until(log, log.head.at_us - back_us - 1)
    is_time = not (since.isascii() and since.isdigit()) and not since[:1].isalpha()
    if is_time:
        return last_until(log, microseconds(since) - 1)
    return max(0, resolve(log, since) - 1)


def _position(log: Log, until: str) -> int:
    back_us = duration(until)
    return resolve(log, until) if back_us is None else last_until(log, log.head.at_us - back_us)


def _row(found: Row, at: str) -> Row:
    return {
        "seq": found["seq"],
        "at": at,
        "kind": found["kind"],
        "subject": found["subject"],
        "cause": found["cause"],
        "data": found["data"],
    }
