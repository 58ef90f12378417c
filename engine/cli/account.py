"""Account: the time in every state, and who asked for what."""

from typing import Annotated, Literal

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.options import File, FilePlace, Json
from engine.core.policy import HOUR, SECOND


def uptime(
    place: FilePlace = None,
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
    log: File = None,
    json: Json = False,
) -> None:
    """The time in every state, and the availability.

    The buckets add up to the elapsed time, exactly. What counts as available is a question, asked
    here, and not part of the recording: the same past can be judged again.

    Example: tanist uptime --by group --from 2026-01-01T00:00:00Z --unknown down
    """
    from engine.answers.times import iso
    from engine.cli.accounting import uptime_at

    target, _ = places.split((place,), log, most=0)
    with places.open_for_reading(target) as opened:
        found = uptime_at(
            opened,
            by=by,
            from_=from_,
            to=to,
            unknown=unknown,
            degraded=degraded,
            maintenance=maintenance,
        )
    if json:
        output.document(found.document())
        return
    scale_us, unit = _scale(found.to_us - found.from_us)
    spent = [
        (
            row.subject,
            *(
                f"{part_us / scale_us:.3f}"
                for part_us in (
                    row.up_us,
                    row.degraded_us,
                    row.down_us,
                    row.maintenance_us,
                    row.unknown_us,
                )
            ),
            "-" if row.availability is None else f"{100 * row.availability:.4f} %",
        )
        for row in found.rows
    ]
    buckets = ("up", "degraded", "down", "maintenance", "unknown")
    columns = (by, *(f"{bucket} {unit}." for bucket in buckets), "available.")
    title = f"{output.moment(iso(found.from_us))} to {output.moment(iso(found.to_us))}"
    output.console().print(output.table(columns, spent, title=title))


def _scale(elapsed_us: int) -> tuple[int, str]:
    """Return the unit that a table of such a window is read in [us], and its name."""
    return (HOUR, "h") if elapsed_us > 2 * HOUR else (SECOND, "s")


def audit(place: FilePlace = None, /, *, log: File = None, json: Json = False) -> None:
    """Who asked for what, when, and what came of it.

    Every command with its author and its outcome, and every failover from its start to its end.

    Example: tanist audit tanist.db
    """
    from engine.cli.accounting import audit_rows

    target, _ = places.split((place,), log, most=0)
    with places.open_for_reading(target) as opened:
        rows = audit_rows(opened)
    if json:
        output.document({"rows": rows})
        return
    cells = [
        (
            row["seq"],
            output.moment(row["at"]),
            row["kind"],
            row["subject"],
            row["author"] or "-",
            row["outcome"],
            "; ".join(str(reason) for reason in row["reasons"]),  # type: ignore[attr-defined]
        )
        for row in rows
    ]
    columns = ("seq.", "at", "what", "subject", "by", "outcome", "why")
    output.console().print(output.table(columns, cells))
