"""Questions to the projections, asked of a log: of the stored view and what follows it.

Without a stored view, sealed blocks are folded by their columns. The answers are the same.
"""

from typing import Final

import msgspec

from engine.answers.folds import stale_until, state_at
from engine.answers.positions import resolve
from engine.answers.times import iso, microseconds
from engine.core.errors import ConfigurationError, LogError
from engine.log.protocol import Log, Projection, V, ViewParked
from projections.audit import AUDIT, rows
from projections.base import fold
from projections.incidents import INCIDENTS, Incidents
from projections.incidents import Row as Incident
from projections.incidents import rows as incidents
from projections.uptime import (
    UPTIME,
    By,
    DegradedAs,
    MaintenanceAs,
    Row,
    UnknownAs,
    answer,
    window,
)

SHOWN_MAX: Final = 10  # incidents that are named in place of one that there is not


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The answer about one window."""

    from_us: int
    to_us: int
    rows: list[Row]

    def document(self) -> dict[str, object]:
        """Return what `uptime --json` prints."""
        return {"from": iso(self.from_us), "to": iso(self.to_us), "rows": self.rows}


def uptime_at(
    log: Log,
    *,
    by: By,
    from_: str | None,
    to: str | None,
    unknown: UnknownAs,
    degraded: DegradedAs,
    maintenance: MaintenanceAs,
) -> Account:
    """Return the time in every state within a window of the log.

    Up to the last event the log itself says when silence made a master unknown. A window that ends
    later is answered as of its end: what would have gone stale is derived, and not stored. What was
    declared after the window (maintenance) counts in it.

    Raises:
        ConfigurationError: The window ends before it begins, or a time is none.
    """
    from_us = _time("--from", from_)
    to_us = _time("--to", to)
    view = _view(log, UPTIME)
    if to_us is not None and to_us > view.last_us:
        view = fold(UPTIME, stale_until(state_at(log, view.position), to_us), view)
    begin_us, end_us = window(view, from_us=from_us, to_us=to_us)
    found = answer(
        view,
        by=by,
        from_us=begin_us,
        to_us=end_us,
        unknown=unknown,
        degraded=degraded,
        maintenance=maintenance,
    )
    return Account(from_us=begin_us, to_us=end_us, rows=found)


def audit_rows(log: Log) -> list[dict[str, object]]:
    """Return every command and failover in log order, each with its time."""
    return [{**row, "at": iso(int(str(row["at_us"])))} for row in rows(_view(log, AUDIT))]


def _view(log: Log, projection: Projection[V]) -> V:
    """Return the view of the whole log.

    Raises:
        LogError: The log cannot be read, or the projection cannot apply an event.
    """
    try:
        return log.view(projection)[0]
    except ViewParked as err:
        # Nothing was parked by a question: where the log is damaged, that is all there is to say.
        if isinstance(err.__cause__, LogError):
            raise err.__cause__ from None
        raise


def _time(option: str, text: str | None) -> int | None:
    try:
        return None if text is None else microseconds(text)
    except ConfigurationError as err:
        raise ConfigurationError([f"{option}: {err}"]) from err


def incidents_at(log: Log, position: str | None = None) -> Incidents:
    """Return the incidents of a log, as of a position or of its end.

    Raises:
        LogError: The log cannot be read, or the projection cannot apply an event.
    """
    if position is None:
        return _view(log, INCIDENTS)
    return log.as_of(INCIDENTS, resolve(log, position))


def incident_at(log: Log, number: int) -> Incident:
    """Return one incident of a log.

    Raises:
        ConfigurationError: There is no such incident.
    """
    found = incidents(incidents_at(log))
    row = next((row for row in found if row.id == number), None)
    if row is None:
        there = ", ".join(str(row.id) for row in found[-SHOWN_MAX:]) or "none"
        raise ConfigurationError([f"no incident {number} in the log (the last ones: {there})"])
    return row


def incident_rows(view: Incidents) -> list[dict[str, object]]:
    """Return every incident with its times, as `incidents --json` prints it."""
    return [
        {
            **msgspec.structs.asdict(row),
            "started_at": iso(row.started_us),
            "detected_at": iso(row.detected_us),
            "recovered_at": None if row.recovered_us is None else iso(row.recovered_us),
        }
        for row in incidents(view)
    ]
