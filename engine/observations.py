"""Files of recorded observations: what `import` feeds to the engine.

JSON Lines or CSV with a header, plain or gzip, from a path or from standard input ("-"). Only the
time, the master and the outcome are needed. Rules:

- The whole file is read and checked before anything is returned; one error names every bad line.
- A time is ISO 8601 with a zone; it is kept to the nearest microsecond.
- Lines may be out of order by `disorder_us_max`; they are sorted by time, among equals by line.
- A line that says exactly what an earlier one says, at the same time, is counted and skipped, also
  if it is far out of order: that is what a file appended to itself looks like.
"""

import codecs
import csv
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import IO, Annotated, Final, Literal, TypeAlias, cast

import msgspec

from engine.core.errors import ObservationsError
from engine.core.events import Evidence

DISORDER_US_MAX: Final = 300_000_000  # five minutes: observers that report in batches [us]
MISTAKES_MAX: Final = 20  # named one by one; the rest is counted
PROGRESS_EVERY: Final = 10_000  # lines between two reports of progress
GAPS_UNTIL_UNKNOWN: Final = 3  # silence for so many usual gaps makes a master unknown

Outcome: TypeAlias = Literal["ok", "degraded", "failed"]
Source: TypeAlias = str | Path | IO[bytes]


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One observation as the file has it."""

    at_us: int  # [us since the Unix epoch]
    master: str
    outcome: Outcome
    latency_us: int | None  # None if the file does not say
    failure: Evidence | None  # why it failed; None unless it did
    observer: str
    detail: str
    line: int  # in the file, from 1


class Observations(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file."""

    records: list[Record]  # by time
    duplicates: int  # lines skipped because an earlier one says the same [count]
    reordered: int  # lines that stood behind a later one [count]


_At = Annotated[datetime, msgspec.Meta(tz=True)]
_Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]  # some thirty years
_Name = Annotated[str, msgspec.Meta(min_length=1)]


class Columns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file calls the fields."""

    at: str = "at"
    master: str = "master"
    outcome: str = "outcome"
    latency_ms: str = "latency_ms"
    failure: str = "failure"
    observer: str = "observer"
    detail: str = "detail"


REQUIRED: Final = 3  # fields of `_Line` that a file must have, at its beginning


class _Line(msgspec.Struct, kw_only=True, gc=False):
    """One line, under the engine's names; `_line_type` renames the fields."""

    at: _At
    master: _Name
    outcome: str
    latency_ms: _Milliseconds | None = None
    failure: Evidence | None = None
    observer: str | None = None
    detail: str | None = None


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_OUTCOMES: Final[dict[str, Outcome]] = {
    "ok": "ok",
    "up": "ok",
    "degraded": "degraded",
    "failed": "failed",
    "down": "failed",
}


class _Mistakes:
    """What is wrong with a file: the first ones in words, all of them as a count."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []
        self.count = 0

    def add(self, line: int, what: str) -> None:
        """Note a mistake; line 0 is the file itself."""
        self.count += 1
        self.found.append((line, what))
        if len(self.found) >= 2 * MISTAKES_MAX:
            self._shorten()

    def error(self) -> ObservationsError:
        """Return the error that names them in the order of lines."""
        self._shorten()
        named = [f"line {line}: {what}" if line else what for line, what in self.found]
        if self.count > len(named):
            named.append(f"and {self.count - len(named)} more")
        return ObservationsError(named)

    def _shorten(self) -> None:
        self.found.sort()
        del self.found[MISTAKES_MAX:]


def read(
    source: Source,
    *,
    columns: Mapping[str, str] | None = None,
    known: Collection[str] | None = None,
    group: str | None = None,
    disorder_us_max: int = DISORDER_US_MAX,
    progress: Callable[[int], None] | None = None,
) -> Observations:
    """Return all observations of a file, checked and in the order of time.

    Args:
        source: A path, "-" for standard input, or a binary stream, which is not closed.
        columns: What the file calls the fields, by the engine's name; others keep their names.
        known: The masters there are; None if any may occur.
        group: The group that unknown masters join; None if none may.
        disorder_us_max: How far a line may stand behind the latest one before it [us, >= 0].
        progress: Called with the number of lines read so far, now and then and at the end.

    Raises:
        ObservationsError: The file cannot be read, or lines of it are bad; nothing is returned.
    """
    line_type = _line_type(columns or {})
    mistakes = _Mistakes()
    records: list[Record] = []
    latest_us, reordered, late = 0, 0, []
    names: dict[str, str] = {}
    strangers_may = known is None or group is not None
    try:
        with ExitStack() as stack:
            stream, is_csv = _open(source, stack)
            parsed = _csv if is_csv else _json_lines
            for number, line in parsed(stream, line_type, mistakes, progress or _nobody):
                record = _record(number, line, names, mistakes)
                if record is None:
                    continue
                if not strangers_may and record.master not in (known or ()):
                    mistakes.add(number, f"no master {record.master!r}; a group would let it join")
                if record.at_us < latest_us:
                    reordered += 1
                    if record.at_us < latest_us - disorder_us_max:
                        late.append((record, latest_us))
                else:
                    latest_us = record.at_us
                records.append(record)
    except (OSError, EOFError, zlib.error) as err:
        name = source if isinstance(source, str | Path) else "the stream"
        mistakes.add(0, f"{name}: {getattr(err, 'strerror', None) or err}")
    if reordered:
        records.sort(key=attrgetter("at_us", "line"))
    records, dropped = _without_duplicates(records)
    for record, before_us in late:
        if record.line not in dropped:
            behind_us, bound_us = before_us - record.at_us, disorder_us_max
            mistakes.add(record.line, f"{behind_us} us behind a line before; {bound_us} us may be")
    if mistakes.count:
        raise mistakes.error()
    return Observations(records=records, duplicates=len(dropped), reordered=reordered)


def default_unknown_after_us(records: Iterable[Record]) -> int:
    """Return how long a silence makes a master unknown, where nobody said: three usual gaps.

    The usual gap is the median gap of one master (the lower of two middle ones), for the master
    where it is largest, so that nobody is unknown by habit.

    Args:
        records: In the order of time, as `read` returns them.

    Returns:
        The silence [us]; 0 (never) if no master was observed at two different times.
    """
    last_us: dict[str, int] = {}
    gaps_us: dict[str, list[int]] = {}
    for record in records:
        before_us = last_us.get(record.master)
        if before_us is not None and before_us < record.at_us:
            gaps_us.setdefault(record.master, []).append(record.at_us - before_us)
        last_us[record.master] = record.at_us
    medians = (sorted(gaps)[(len(gaps) - 1) // 2] for gaps in gaps_us.values())
    return GAPS_UNTIL_UNKNOWN * max(medians, default=0)


def _line_type(columns: Mapping[str, str]) -> type[_Line]:
    """Return `_Line` with the file's names for the fields."""
    try:
        named = msgspec.convert(dict(columns), Columns)
    except msgspec.ValidationError as err:
        expected = ", ".join(Columns.__struct_fields__)
        raise ObservationsError([f"map: expected some of {expected}, found {err}"]) from err
    names = msgspec.structs.asdict(named)
    twice = sorted(name for name in set(names.values()) if list(names.values()).count(name) > 1)
    if twice:
        raise ObservationsError([f"map: {name!r} would be two fields" for name in twice])
    # Built anew, because a subclass cannot rename what it inherits.
    fields = [
        (field.name, field.type, msgspec.field(default=field.default))
        for field in msgspec.structs.fields(_Line)
    ]
    line_type = msgspec.defstruct("Line", fields, rename=names, kw_only=True, gc=False)
    return cast("type[_Line]", line_type)


def _record(number: int, line: _Line, names: dict[str, str], mistakes: _Mistakes) -> Record | None:
    """Return `line` as a record; None, with the mistake noted, if it makes no sense."""
    outcome = _OUTCOMES.get(line.outcome)
    if outcome is None:
        mistakes.add(number, f"expected outcome ok, degraded or failed, found {line.outcome!r}")
        return None
    at_us = (line.at - _EPOCH) // _MICROSECOND
    if at_us < 0:
        mistakes.add(number, f"expected a time after 1970, found {line.at.isoformat()}")
        return None
    master = names.setdefault(line.master, line.master)  # one string for each master, not a million
    # Exact: a float holds any latency of that size closer than half a microsecond.
    latency_us = None if line.latency_ms is None else round(line.latency_ms * 1_000)
    failure = (line.failure or Evidence.REPORTED) if outcome == "failed" else None
    observer = line.observer or ""
    return Record(
        at_us=at_us,
        master=master,
        outcome=outcome,
        latency_us=latency_us,
        failure=failure,
        observer=names.setdefault(observer, observer),
        detail=line.detail or "",
        line=number,
    )


def _without_duplicates(records: list[Record]) -> tuple[list[Record], set[int]]:
    """Return the sorted records without repeats, and the lines of the repeats."""
    dropped: set[int] = set()
    said: set[tuple[object, ...]] = set()
    for before, record in pairwise(records):
        if before.at_us != record.at_us:
            said.clear()
            continue
        said.add(msgspec.structs.astuple(before)[:-1])  # all but the line
        if msgspec.structs.astuple(record)[:-1] in said:
            dropped.add(record.line)
    if dropped:
        records = [record for record in records if record.line not in dropped]
    return records, dropped


# The formats.


def _nobody(_: int) -> None:
    """Take no notice of progress."""


def _open(source: Source, stack: ExitStack) -> tuple[io.BufferedReader, bool]:
    """Return the unpacked bytes of `source`, and whether they are CSV rather than JSON Lines."""
    name = ""
    if isinstance(source, Path) or (isinstance(source, str) and source != "-"):
        name = str(source).lower().removesuffix(".gz")
        stream = stack.enter_context(Path(source).open("rb"))  # noqa: SIM115
    else:
        raw = sys.stdin.buffer if isinstance(source, str) else source
        stream = io.BufferedReader(cast("io.RawIOBase", raw))
        stack.callback(stream.detach)  # or it would close a stream that is not ours
    if stream.peek(2).startswith(b"\x1f\x8b"):
        unpacked = gzip.GzipFile(fileobj=stream)
        stream = io.BufferedReader(cast("io.RawIOBase", unpacked))
    if stream.peek(3).startswith(codecs.BOM_UTF8):
        stream.read(3)
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return stream, False
    return stream, name.endswith(".csv") or not stream.peek(1).lstrip().startswith(b"{")


def _json_lines(
    stream: io.BufferedReader,
    line_type: type[_Line],
    mistakes: _Mistakes,
    progress: Callable[[int], None],
) -> Iterator[tuple[int, _Line]]:
    """Yield every line that is an object with the right fields, with its number."""
    decode = msgspec.json.Decoder(line_type).decode
    number = 0
    for number, text in enumerate(stream, 1):
        if number % PROGRESS_EVERY == 0:
            progress(number)
        try:
            line = decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            if not text.isspace():
                mistakes.add(number, str(err))
            continue
        yield number, line
    progress(number)


def _csv(
    stream: io.BufferedReader,
    line_type: type[_Line],
    mistakes: _Mistakes,
    progress: Callable[[int], None],
) -> Iterator[tuple[int, _Line]]:
    """Yield every row that has the right cells, with the number of its last line."""
    rows = csv.reader(_text(stream, mistakes), strict=True)
    at, *_ = names = [field.encode_name for field in msgspec.structs.fields(line_type)]
    header: list[str] = []
    places: list[tuple[str, int]] = []
    try:
        for row in rows:
            number = rows.line_num
            if number % PROGRESS_EVERY == 0:
                progress(number)
            if not row:
                continue
            if not header:
                header = row
                places = [(name, header.index(name)) for name in names if name in header]
                for name in names[:REQUIRED]:
                    if header.count(name) != 1:
                        mistakes.add(number, f"expected one column {name!r}, found {header}")
                        return
                continue
            if len(row) != len(header):
                mistakes.add(number, f"expected {len(header)} cells, found {len(row)}")
                continue
            cells = {name: row[place] for name, place in places if row[place]}
            # A number has no hyphen there, and the lax conversion would take one for a time.
            if row[header.index(at)][4:5] != "-":
                mistakes.add(number, f"expected a time, found {row[header.index(at)]!r}")
                continue
            try:
                line = msgspec.convert(cells, line_type, strict=False)
            except msgspec.ValidationError as err:
                mistakes.add(number, str(err))
                continue
            yield number, line
    except csv.Error as err:
        mistakes.add(rows.line_num, f"{err}")
    progress(rows.line_num)


def _text(stream: io.BufferedReader, mistakes: _Mistakes) -> Iterator[str]:
    """Yield the lines as text; one that is none is noted and passed over as a blank one."""
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode()
        except UnicodeDecodeError as err:
            mistakes.add(number, str(err))
            yield "\n"
