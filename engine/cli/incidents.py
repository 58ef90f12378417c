"""Account: what went wrong, how long it took to be seen and mended, and how often."""

from typing import Annotated, Any

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.options import Json, LogOption, Place


def incidents(
    place: Place = None,
    /,
    *,
    at: Annotated[
        str | None,
        Parameter(help="A position: a seq, a time with its zone or the name of a checkpoint."),
    ] = None,
    subject: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="Only those of this master or group; repeatable.",
        ),
    ] = (),
    log: LogOption = None,
    json: Json = False,
) -> None:
    """What went wrong: from the first symptom to the recovery.

    One row for each trouble of a master, and one for each failover that nobody had planned: when it
    began, when it was detected, when it was over, and where the time of a failover went. Below, the
    record of each master: failures with what was seen of them, those of the last 24 hours, the mean
    time between them, the shortest, mean and longest recovery.

    Example: tanist incidents tanist.db --subject cache-a
    """
    from engine.cli.statuses import asked

    target, _ = places.split((place,), log, most=0)
    found = asked(target, "incidents", at=at, subject=",".join(subject) or None)
    if json:
        output.document(found)
        return
    _show(found["rows"])
    _show_records(found["masters"])


def _show(rows: list[dict[str, Any]]) -> None:
    from engine.answers.words import lasting, spent

    def took(us: int | None) -> str:
        return "-" if us is None else lasting(us)

    cells = [
        (
            row["id"],
            row["subject"],
            row["kind"],
            output.moment(row["started_at"]),
            took(row["detect_us"]),
            took(row["failover_us"]),
            took(row["recover_us"]) if row["recovered_at"] else row["ended"] or "lasts",
            spent(row["phases"]) if row["subject"] == row["group"] else _seen(row["classes"]),
        )
        for row in rows
    ]
    columns = (
        *("id.", "subject", "kind", "began", "detected in.", "failed over in."),
        *("recovered in.", "phases, or what was seen"),
    )
    output.console().print(output.table(columns, cells))


def _seen(classes: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in classes.items())


def _show_records(found: list[dict[str, Any]]) -> None:
    from engine.answers.words import lasting

    def took(us: int | None) -> str:
        return "-" if us is None else lasting(us)

    cells = [
        (
            one["master"],
            one["failures"],
            one["failures_24h"],
            one["degradations"],
            _seen(one["classes"]),
            took(one["between_us"]),
            *(took(one[f"recovery_us_{which}"]) for which in ("min", "mean", "max")),
        )
        for one in found
    ]
    columns = (
        *("master", "failures.", "24 h.", "degraded.", "what was seen", "mean time between."),
        *("recovery, shortest.", "mean.", "longest."),
    )
    output.console().print(output.table(columns, cells))
