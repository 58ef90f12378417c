"""Account: what went wrong, how long it took to be seen and mended, and how often."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.options import File, FilePlace, Json


def incidents(
    place: FilePlace = None,
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
    log: File = None,
    json: Json = False,
) -> None:
    """What went wrong: from the first symptom to the recovery.

    One row for each trouble of a master, and one for each failover that nobody had planned: when it
    began, when it was detected, when it was over, and where the time of a failover went. Below, the
    record of each master: failures with what was seen of them, those of the last 24 hours, the mean
    time between them, the shortest, mean and longest recovery.

    Example: tanist incidents tanist.db --subject cache-a
    """
    from engine.cli.accounting import incident_rows, incidents_at
    from projections.records import records

    target, _ = places.split((place,), log, most=0)
    with places.open_for_reading(target) as opened:
        view = incidents_at(opened, at)
    rows = [
        row
        for row in incident_rows(view)
        if not subject or {row["subject"], row["group"]} & set(subject)
    ]
    found = [
        record
        for record in records(view)
        if not subject or {record.master, record.group} & set(subject)
    ]
    if json:
        output.document({"rows": rows, "masters": found})
        return
    _show(rows)
    _show_records(found)


def _show(rows: list[dict[str, object]]) -> None:
    from engine.answers.words import lasting, spent

    def took(us: object) -> str:
        return lasting(us) if isinstance(us, int) else "-"

    cells = []
    for row in rows:
        times = row["phases"]
        assert isinstance(times, dict)
        cells.append(
            (
                row["id"],
                row["subject"],
                row["kind"],
                output.moment(row["started_at"]),
                took(row["detect_us"]),
                took(row["failover_us"]),
                took(row["recover_us"]) if row["recovered_at"] else row["ended"] or "lasts",
                spent(times) if row["subject"] == row["group"] else _seen(row["classes"]),
            )
        )
    columns = (
        *("id.", "subject", "kind", "began", "detected in.", "failed over in."),
        *("recovered in.", "phases, or what was seen"),
    )
    output.console().print(output.table(columns, cells))


def _seen(classes: object) -> str:
    assert isinstance(classes, dict)
    return ", ".join(f"{name} {count}" for name, count in classes.items())


def _show_records(found: Sequence[object]) -> None:
    from engine.answers.words import lasting
    from projections.records import Record

    def took(us: int | None) -> str:
        return "-" if us is None else lasting(us)

    cells = []
    for record in found:
        assert isinstance(record, Record)
        recovery = (record.recovery_us_min, record.recovery_us_mean, record.recovery_us_max)
        cells.append(
            (
                record.master,
                record.failures,
                record.failures_24h,
                record.degradations,
                _seen(record.classes),
                took(record.between_us),
                *map(took, recovery),
            )
        )
    columns = (
        *("master", "failures.", "24 h.", "degraded.", "what was seen", "mean time between."),
        *("recovery, shortest.", "mean.", "longest."),
    )
    output.console().print(output.table(columns, cells))
