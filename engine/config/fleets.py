"""What a file says of the fleet as a whole: what brakes it, and when people have to hear of it."""

from engine.config import kinds
from engine.config.durations import spell
from engine.config.tables import Table
from engine.core.policy import ALERTS, PRESETS, SECOND, AlertPolicy, FleetPolicy


def read_fleet(table: Table, *, preset_name: str) -> FleetPolicy | None:
    """Return what the table `fleet` says; what it says nothing about is as the preset has it."""
    limit = table.take("limit", kinds.fleet_limit, PRESETS[preset_name].fleet)
    table.finish()
    return limit


def read_alerts(table: Table) -> AlertPolicy:
    """Return what the table `alerts` says; "never" silences a condition."""
    damped = kinds.duration_or_never(least_us=SECOND)
    failovers, window_us = table.take(
        "failovers", kinds.limit, (ALERTS.failovers, ALERTS.failovers_window_us)
    )
    before = table.reading.count
    found = AlertPolicy(
        no_heir_warning_us=table.take("no_heir_warning", damped, ALERTS.no_heir_warning_us),
        no_heir_critical_us=table.take("no_heir_critical", damped, ALERTS.no_heir_critical_us),
        failovers=failovers,
        failovers_window_us=window_us or ALERTS.failovers_window_us,
        recovery_us=table.take("recovery", damped, ALERTS.recovery_us),
        paused_us=table.take("paused", damped, ALERTS.paused_us),
        late_us=table.take("late", kinds.duration(least_us=SECOND), ALERTS.late_us),
    )
    is_upside_down = 0 < found.no_heir_critical_us < found.no_heir_warning_us
    if table.reading.count == before and is_upside_down:
        table.mistake(
            "no_heir_critical",
            expected=f"at least {spell(found.no_heir_warning_us)}, as long as no_heir_warning",
            found=spell(found.no_heir_critical_us),
            remedy="a warning comes first: raise this one, or lower no_heir_warning",
        )
    table.finish()
    return found
