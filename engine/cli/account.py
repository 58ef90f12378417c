"""Account: the time in every state, and who asked for what."""

from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.options import Json, LogOption, Place
from engine.core.errors import ConfigurationError
from engine.core.policy import HOUR, SECOND

BUCKETS: Final = ("up", "degraded", "down", "maintenance", "unknown")


def uptime(
    place: Place = None,
    /,
    *,
    by: Annotated[
        Literal["master", "group", "fleet"], Parameter(help="What the rows are about.")
    ] = "master",
    from_: Annotated[
        str | None,
        Parameter(
            name="--from", help="The beginning, a time with its zone; left out: the first event."
        ),
    ] = None,
    to: Annotated[
        str | None,
        Parameter(
            help="The end; left out: the last event. Silence until then counts as it would have."
        ),
    ] = None,
    unknown: Annotated[
        Literal["exclude", "hold", "up", "down"],
        Parameter(help="What unknown time counts as; hold: as the state before it."),
    ] = "exclude",
    degraded: Annotated[
        Literal["up", "down"], Parameter(help="What degraded time counts as.")
    ] = "up",
    maintenance: Annotated[
        Literal["exclude", "up", "down"], Parameter(help="What time under maintenance counts as.")
    ] = "exclude",
    log: LogOption = None,
    json: Json = False,
) -> None:
    """The time in every state, and the availability.

    The buckets add up to the elapsed time, exactly. What counts as available is a question, asked
    here, and not part of the recording: the same past can be judged again.

    Example: tanist uptime --by group --from 2026-01-01T00:00:00Z --unknown down
    """
    from engine.cli.statuses import asked

    target, _ = places.split((place,), log, most=0)
    for option, text in (("--from", from_), ("--to", to)):
        _check_time(option, text)
    window = {"from": from_, "to": to}
    counted = {"unknown": unknown, "degraded": degraded, "maintenance": maintenance}
    found = asked(target, "uptime", by=by, **window, **counted)
    if json:
        output.document(found)
    else:
        _show(found, by)


def _check_time(option: str, text: str | None) -> None:
    from engine.answers.times import microseconds

    try:
        if text is not None:
            microseconds(text)
    except ConfigurationError as err:
        raise ConfigurationError([f"{option}: {err}"]) from err


def _show(found: dict[str, Any], by: str) -> None:
    from engine.answers.times import microseconds

    scale_us, unit = _scale(microseconds(found["to"]) - microseconds(found["from"]))
    cells = [
        (
            row["subject"],
            *(f"{row[f'{bucket}_us'] / scale_us:.3f}" for bucket in BUCKETS),
            "-" if row["availability"] is None else f"{100 * row['availability']:.4f} %",
        )
        for row in found["rows"]
    ]
    columns = (by, *(f"{bucket} {unit}." for bucket in BUCKETS), "available.")
    title = f"{output.moment(found['from'])} to {output.moment(found['to'])}"
    output.console().print(output.table(columns, cells, title=title))


def _scale(elapsed_us: int) -> tuple[int, str]:
    """Return the unit that a table of such a window is read in [us], and its name."""
    return (HOUR, "h") if elapsed_us > 2 * HOUR else (SECOND, "s")


def audit(place: Place = None, /, *, log: LogOption = None, json: Json = False) -> None:
    """Who asked for what, when, and what came of it.

    Every command with its author and its outcome, and every failover from its start to its end.

    Example: tanist audit tanist.db
    """
    from engine.cli.statuses import asked

    target, _ = places.split((place,), log, most=0)
    found = asked(target, "audit")
    if json:
        output.document(found)
        return
    cells = [
        (
            row["seq"],
            output.moment(row["at"]),
            row["kind"],
            row["subject"],
            row["author"] or "-",
            row["outcome"],
            "; ".join(row["reasons"]),
        )
        for row in found["rows"]
    ]
    columns = ("seq.", "at", "what", "subject", "by", "outcome", "why")
    output.console().print(output.table(columns, cells))
