"""Events as a stream: of a log or of a running engine, filtered, and followed if asked."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from engine.answers.positions import bounds
from engine.answers.search import decoded
from engine.answers.telling import PLAIN
from engine.answers.times import iso
from engine.cli import output, places, remote
from engine.cli.nearest import nearest
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
        after, end = _window(lambda text: bounds(log, text), since, until)
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
    """Yield the wanted events of a running engine."""
    url, token = target.rstrip("/"), places.token(target)

    def asked(text: str) -> tuple[int, int]:
        found = remote.ask(url, "position", {"at": text}, token=token)
        return found["first"], found["last"]

    after, end = _window(asked, since, until)
    while True:
        found = remote.events(url, token=token, after=after)
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


def _window(
    where: Callable[[str], tuple[int, int]], since: str | None, until: str | None
) -> tuple[int, int | None]:
    """Return the seq after which events are wanted, and the last one; None: there is no end."""
    found = []
    for option, text in (("--since", since), ("--until", until)):
        try:
            found.append(None if text is None else where(text))
        except ConfigurationError as err:
            raise ConfigurationError([f"{option}: {said}" for said in err.mistakes]) from err
    begin, end = found
    return 0 if begin is None else begin[0] - 1, None if end is None else end[1]


def _row(found: Row, at: str) -> Row:
    return {
        "seq": found["seq"],
        "at": at,
        "kind": found["kind"],
        "subject": found["subject"],
        "cause": found["cause"],
        "data": found["data"],
    }
