"""Events and answers as they leave for other programs, one at a time."""

import csv
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TextIO, TypeAlias

import msgspec

from engine.cli import output, places
from engine.cli.output import Report
from engine.cli.streaming import Filter, Row, of_log
from engine.log.whole import arriving

Format: TypeAlias = Literal["jsonl", "csv"]

COLUMNS: Final = ("seq", "at", "kind", "subject", "cause", "data")
REPORT_EVENTS: Final = 10_000


def write(target: str, form: Format, *, since: str | None, until: str | None) -> None:
    """Write the events of that range to standard output."""
    _write(_rows(target, since, until), form, sys.stdout)


def export_to(
    path: Path,
    target: str,
    form: Format,
    *,
    since: str | None,
    until: str | None,
    force: bool,
    report: Report,
) -> int:
    """Write them to a file, and return how many they are."""
    with places.open_for_reading(target) as log:
        head = log.head.seq
    count = 0

    def counted(rows: Iterable[Row]) -> Iterator[Row]:
        nonlocal count
        for row in rows:
            count += 1
            if count % REPORT_EVENTS == 0:
                report(int(str(row["seq"])), head)
            yield row

    with (
        arriving(path.absolute(), force=force) as part,
        open(part, "x", encoding="utf-8", newline="") as file,
    ):
        _write(counted(_rows(target, since, until)), form, file)
    return count


def _rows(target: str, since: str | None, until: str | None) -> Iterator[Row]:
    wanted = Filter(kinds=(), subjects=())
    return of_log(target, wanted, since=since, until=until, follow=False)


def _write(rows: Iterable[Row], form: Format, file: TextIO) -> None:
    encode = msgspec.json.Encoder().encode
    if form == "jsonl":
        file.writelines(encode(row).decode() + "\n" for row in rows)
        return
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        *columns, data = (row[name] for name in COLUMNS)
        writer.writerow([*columns, encode(data).decode()])


def write_answer(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows as one JSON list of objects, each as it is read."""
    names = _distinct(columns)
    encode = msgspec.json.Encoder().encode
    before = "["
    for row in rows:
        found = dict(zip(names, map(_plain, row), strict=True))
        sys.stdout.write(f"{before}\n  {encode(found).decode()}")
        before = ","
    sys.stdout.write("[]\n" if before == "[" else "\n]\n")


def show_answer(columns: Sequence[str], rows: Iterator[Sequence[object]], *, rows_max: int) -> None:
    """Print rows as a table, and say so if there are more than `rows_max`."""
    taken = list(itertools.islice(rows, rows_max))
    shown = (["-" if cell is None else _plain(cell) for cell in row] for row in taken)
    output.console().print(output.table(columns, shown))
    if next(rows, None) is not None:
        output.note(f"only the first {rows_max:,} rows were shown: --json has all of them")


def _distinct(columns: Sequence[str]) -> list[str]:
    """Return names that differ: a repeated one gets its number."""
    seen: dict[str, int] = {}
    names = []
    for name in columns:
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return names


def _plain(cell: object) -> object:
    return cell.hex() if isinstance(cell, bytes) else cell
