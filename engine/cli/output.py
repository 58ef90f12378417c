"""How answers leave: JSON or tables on standard output, progress and messages on standard error."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from engine.answers.words import harmless

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Report = Callable[[int, int], None]  # done so far and in all [count]


def document(value: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")


def line(value: object) -> None:
    """Print one line of JSON Lines."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def text(value: str) -> None:
    """Print plain text as it is."""
    sys.stdout.write(value if value.endswith("\n") else value + "\n")


def flush() -> None:
    """Let who reads a pipe have what was printed so far."""
    sys.stdout.flush()


def note(value: str) -> None:
    """Say something that is not the answer."""
    sys.stderr.write(f"tanist: {value}\n")


def console() -> "Console":
    """Return where tables go; what is no terminal gets as much width as the longest line needs."""
    from rich.console import Console

    class Ours(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # `run` knows what that means; rich would end with exit 1

    found = Ours(highlight=False, soft_wrap=not sys.stdout.isatty())
    if not found.is_terminal:
        found.width = 240
    return found


def table(columns: Iterable[str], rows: Iterable[Iterable[object]], *, title: str = "") -> "Table":
    """Return a table; columns whose name ends in a dot are numbers and stand to the right.

    A cell is shown as it is: brackets in a name are no markup. What has a colour is a `Text`.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        made.add_column(name.rstrip("."), justify="right" if name.endswith(".") else "left")
    for row in rows:
        made.add_row(
            *(cell if isinstance(cell, Text) else Text(harmless(str(cell))) for cell in row)
        )
    return made


def moment(at: object) -> str:
    """Return an ISO time as people read it in a table: to the millisecond; "-" for none."""
    return f"{str(at)[:23].replace('T', ' ')}Z" if at else "-"


def until(block: Mapping[str, object]) -> str:
    """Return when a pause ends, and why it is."""
    ends = f"until {moment(block['until'])}" if block["until"] else "until told otherwise"
    return f"{ends}: {block['reason']}"


@contextmanager
def progress(what: str) -> Iterator[Report]:
    """Give a function that reports progress: a bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        yield report


def _nothing(_done: int, _total: int) -> None:
    """Take no notice."""
