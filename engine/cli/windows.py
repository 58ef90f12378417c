"""Maintenance as the log has it: every window, also past ones; and how one is written."""

from typing import Any

from engine.answers.search import events_of
from engine.answers.times import iso
from engine.cli import output, places
from engine.cli.tending import moment_of
from engine.config.durations import microseconds
from engine.core import events as ev
from engine.log.protocol import Log
from engine.runtime.clock import Clock


def span(begins: str, ends: str | None) -> tuple[int, int]:
    """Return a window [us]; without an end it is empty, which takes another one back.

    Raises:
        ConfigurationError: A time is none.
    """
    from_us = Clock(last_at_us=0).at_us() if begins == "now" else moment_of("--from", begins)
    if ends is None:
        return from_us, from_us
    lasts_us = microseconds(ends)
    return from_us, from_us + lasts_us if lasts_us else moment_of("--to", ends)


def declared(log: Log, subject: str | None) -> list[dict[str, Any]]:
    """Return every window that stands, the earliest first; a later one replaced its like."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for recorded in events_of(log, (ev.MaintenanceDeclared,)):
        event = recorded.event
        assert isinstance(event, ev.MaintenanceDeclared)
        if subject not in (None, recorded.subject):
            continue
        found.pop((recorded.subject, event.from_us), None)
        if event.from_us < event.to_us:
            found[recorded.subject, event.from_us] = {
                "seq": recorded.seq,
                "subject": recorded.subject,
                "from": iso(event.from_us),
                "to": iso(event.to_us),
                "reason": event.reason,
                "author": event.author,
            }
    return sorted(found.values(), key=lambda row: (row["from"], row["subject"]))


def show(target: str, subject: str | None, *, json: bool) -> None:
    """Print the windows of a log."""
    with places.open_for_reading(target) as log:
        rows = declared(log, subject)
    if json:
        output.document({"maintenance": rows})
        return
    if not rows:
        output.text("no maintenance is declared")
        return
    cells = [
        (
            row["seq"],
            row["subject"],
            output.moment(row["from"]),
            output.moment(row["to"]),
            row["author"],
            row["reason"],
        )
        for row in rows
    ]
    columns = ("seq.", "subject", "from", "to", "by", "reason")
    output.console().print(output.table(columns, cells))
