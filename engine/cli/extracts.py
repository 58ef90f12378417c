"""Keep: events taken out of a log, as a file or as the answer to a question in SQL."""

from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.options import File, FilePlace, Json
from engine.core.errors import ConfigurationError

ROWS_MAX: Final = 1_000  # of a table, which has to be in memory to be set; JSON has no limit


def export(
    place: FilePlace = None,
    /,
    *,
    format_: Annotated[
        Literal["jsonl", "csv"],
        Parameter(name="--format", help="JSON Lines, as of `events --json`, or CSV."),
    ] = "jsonl",
    since: Annotated[
        str | None,
        Parameter(
            help="The first position: a seq, a time with its zone, a checkpoint, or how long "
            "before the end of the log, as in 10m."
        ),
    ] = None,
    until: Annotated[
        str | None, Parameter(help="The last position, named in the same ways.")
    ] = None,
    out: Annotated[
        Path | None, Parameter(help="Where they go; left out: to standard output.")
    ] = None,
    force: Annotated[
        bool, Parameter(negative="", show_default=False, help="Replace what is there.")
    ] = False,
    log: File = None,
    json: Json = False,
) -> None:
    """Write the events as JSON Lines or CSV, for other programs.

    The columns of CSV are seq, at, kind, subject, cause and data, the last one as JSON. Events are
    written as they are read, so a log of any length takes little memory. A file given with --out is
    there whole or not at all, and --json says what it holds.

    Example: tanist export tanist.db --format csv --since 24h --out events.csv
    """
    from engine.cli.exporting import export_to, write

    target, _ = places.split((place,), log, most=0)
    if out is None:
        if json or force:
            name = "--json" if json else "--force"
            raise ConfigurationError([f"{name} is about a file: name it with --out"])
        write(target, format_, since=since, until=until)
        return
    with output.progress("events") as report:
        events = export_to(
            out, target, format_, since=since, until=until, force=force, report=report
        )
    if json:
        output.document({"file": str(out), "format": format_, "events": events})
    else:
        output.text(f"{out}: {events} events")


def sql(
    query: Annotated[str, Parameter(help="One SELECT; what would change something is refused.")],
    place: FilePlace = None,
    /,
    *,
    log: File = None,
    json: Json = False,
) -> None:
    """Ask the log in SQL; nothing is changed, and an engine may write meanwhile.

    The events are in the view `log`, sealed or not: seq, time, kind, subject, cause, payload (JSON)
    and at_us (microseconds since 1970). What is in a payload is found with SQLite's ->> operator.
    JSON is a list of objects and has every row; a table ends after a thousand.

    Example: tanist sql "SELECT kind, count(*) FROM log GROUP BY kind" tanist.db

    Failed probes of a day, by what was seen: `SELECT subject, payload ->> 'evidence', count(*) FROM
    log WHERE kind = 'ProbeFailed' AND time LIKE '2026-01-31%' GROUP BY 1, 2`
    """
    from engine.cli.exporting import show_answer, write_answer
    from engine.log.query import Questions

    target, _ = places.split((place,), log, most=0)
    with places.open_for_reading(target) as opened:
        questions = Questions(opened)
        try:
            columns, rows = questions.ask(query)
            if json:
                write_answer(columns, rows)
            else:
                show_answer(columns, rows, rows_max=ROWS_MAX)
        finally:
            questions.close()
