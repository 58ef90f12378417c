"""Questions to the projections, asked of a log: of the stored view and what follows it.

Without a stored view, sealed blocks are folded by their columns. The answers are the same. ACCOUNTS
has those that are asked by a name and parameters that are texts, as the questions of
engine.answers.asked are, from the command line and over HTTP.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, get_args

import msgspec

from engine.answers.folds import stale_until, state_at
from engine.answers.positions import resolve
from engine.answers.times import iso, microseconds
from engine.core.errors import ConfigurationError, LogError
from engine.log.protocol import Log, Projection, V, ViewParked
from projections.audit import AUDIT, rows
from projections.base import fold
from projections.budgets import Spending
from projections.incidents import INCIDENTS, Incidents
from projections.incidents import Row as Incident
from projections.incidents import rows as incidents
from projections.records import records
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

Document: TypeAlias = dict[str, Any]
Params: TypeAlias = Mapping[str, str]
T = TypeVar("T", bound=str)


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The answer about one window."""

    from_us: int
    to_us: int
    rows: list[Row]

    def document(self) -> Document:
        """Return what `uptime --json` prints."""
        rows = msgspec.to_builtins(self.rows)
        return {"from": iso(self.from_us), "to": iso(self.to_us), "rows": rows}


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
    from_us = _time("from", from_)
    to_us = _time("to", to)
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


def spending_in(log: Log) -> Callable[[int], Spending]:
    """Return what gives the budgets that groups had spent up to a seq of `log`, to be gone on with.

    Calling it raises LogError: The log cannot be read there.
    """
    return lambda seq: Spending(log.as_of(UPTIME, seq))


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


def _time(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else microseconds(text)
    except ConfigurationError as err:
        raise ConfigurationError([f"{name}: {err}"]) from err


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


def incident_rows(view: Incidents) -> list[Document]:
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


def _of_uptime(log: Log, params: Params) -> Document:
    """Return the time in every state: `by`, `from`, `to`, and what counts as what."""
    _known(params, ("by", "from", "to", "unknown", "degraded", "maintenance"))
    by: By = _one_of(params, "by", get_args(By), "master")
    unknown: UnknownAs = _one_of(params, "unknown", get_args(UnknownAs), "exclude")
    degraded: DegradedAs = _one_of(params, "degraded", get_args(DegradedAs), "up")
    maintenance: MaintenanceAs = _one_of(params, "maintenance", get_args(MaintenanceAs), "exclude")
    found = uptime_at(
        log,
        by=by,
        from_=params.get("from"),
        to=params.get("to"),
        unknown=unknown,
        degraded=degraded,
        maintenance=maintenance,
    )
    return found.document()


def _of_incidents(log: Log, params: Params) -> Document:
    """Return what went wrong as of `at`, and the record of each master; of a `subject` or all."""
    _known(params, ("at", "subject"))
    view = incidents_at(log, params.get("at"))
    rows, masters = incident_rows(view), msgspec.to_builtins(records(view))
    if "subject" in params:
        wanted = set(params["subject"].split(","))
        rows = [row for row in rows if wanted & {row["subject"], row["group"]}]
        masters = [one for one in masters if wanted & {one["master"], one["group"]}]
    return {"rows": rows, "masters": masters}


def _of_audit(log: Log, params: Params) -> Document:
    _known(params, ())
    return {"rows": audit_rows(log)}


ACCOUNTS: Final[dict[str, Callable[[Log, Params], Document]]] = {
    "uptime": _of_uptime,
    "incidents": _of_incidents,
    "audit": _of_audit,
}


def _known(params: Params, names: tuple[str, ...]) -> None:
    """Refuse what is no parameter: a slip in its name would give a figure that looks right."""
    unknown = sorted(set(params) - set(names))
    if unknown:
        those = ", ".join(names) or "none"
        raise ConfigurationError([f"{unknown[0]}: expected a parameter of {those}"])


def _one_of(params: Params, name: str, values: tuple[T, ...], default: T) -> T:
    given = params.get(name, default)
    found = next((value for value in values if value == given), None)
    if found is None:
        raise ConfigurationError([f"{name}: expected one of {', '.join(values)}, found {given!r}"])
    return found
