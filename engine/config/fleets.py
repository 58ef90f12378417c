"""What a file says of the fleet as a whole: what brakes it, and when people have to hear of it."""

from collections.abc import Callable
from typing import Final

import msgspec

from engine.config import kinds
from engine.config.durations import spell
from engine.config.tables import Table
from engine.core.policy import ALERTS, PRESETS, SECOND, AlertPolicy, FleetPolicy

COUNT_MAX: Final = 1_000_000_000  # of what waits, and of requests in a minute [count]
TIMES_MAX: Final = 1_000  # as long as usual

_LEVELS: Final = ("warning", "critical")
_PAIRS: Final = ("no_heir", "queue", "cpu", "memory", "errors", "disk")
_DAMPED: Final = kinds.duration_or_never(least_us=SECOND)
_SPAN: Final = kinds.duration(least_us=SECOND)
_COUNT: Final = kinds.count_or_never(most=COUNT_MAX)
_LEAST: Final = kinds.count(least=1, most=COUNT_MAX)
_PERCENT: Final = kinds.percent_or_never
# Of each key the setting, and what it may be.
_KEYS: Final[dict[str, tuple[str, Callable[[object], int]]]] = {
    "no_heir_warning": ("no_heir_warning_us", _DAMPED),
    "no_heir_critical": ("no_heir_critical_us", _DAMPED),
    "recovery": ("recovery_us", _DAMPED),
    "paused": ("paused_us", _DAMPED),
    "late": ("late_us", _SPAN),
    "queue_warning": ("queue_warning", _COUNT),
    "queue_critical": ("queue_critical", _COUNT),
    "queue_for": ("queue_us", _SPAN),
    "cpu_warning": ("cpu_warning_ppm", _PERCENT),
    "cpu_critical": ("cpu_critical_ppm", _PERCENT),
    "memory_warning": ("memory_warning_ppm", _PERCENT),
    "memory_critical": ("memory_critical_ppm", _PERCENT),
    "busy_for": ("busy_us", _SPAN),
    "errors_warning": ("errors_warning_ppm", _PERCENT),
    "errors_critical": ("errors_critical_ppm", _PERCENT),
    "errors_calls": ("errors_calls", _LEAST),
    "errors_for": ("errors_us", _SPAN),
    "share": ("share_ppm", _PERCENT),
    "share_calls": ("share_calls", _LEAST),
    "latency_times": ("latency_times", kinds.count_or_never(most=TIMES_MAX)),
    "latency_for": ("latency_us", _SPAN),
    "disk_warning": ("disk_warning_ppm", _PERCENT),
    "disk_critical": ("disk_critical_ppm", _PERCENT),
    "disk_left": ("disk_left_us", _DAMPED),
    "behind": ("behind_us", _DAMPED),
    "burn_failures": ("burn_failures", _COUNT),
    "objective": ("objective", kinds.flag),
}


def read_fleet(table: Table, *, preset_name: str) -> FleetPolicy | None:
    """Return what the table `fleet` says; what it says nothing about is as the preset has it."""
    limit = table.take("limit", kinds.fleet_limit, PRESETS[preset_name].fleet)
    table.finish()
    return limit


def read_alerts(table: Table) -> AlertPolicy:
    """Return what the table `alerts` says; "never" silences a condition."""
    failovers, window_us = table.take(
        "failovers", kinds.limit, (ALERTS.failovers, ALERTS.failovers_window_us)
    )
    before = table.reading.count
    found = msgspec.structs.replace(
        ALERTS,
        failovers=failovers,
        failovers_window_us=window_us or ALERTS.failovers_window_us,
        **{
            field: table.take(key, kind, getattr(ALERTS, field))
            for key, (field, kind) in _KEYS.items()
        },
    )
    if table.reading.count == before:
        for key in _PAIRS:
            _refuse_upside_down(table, key, found)
    table.finish()
    return found


def _refuse_upside_down(table: Table, key: str, found: AlertPolicy) -> None:
    """Say so if something is critical before there is a warning of it."""
    warning, critical = (getattr(found, _KEYS[f"{key}_{level}"][0]) for level in _LEVELS)
    if not 0 < critical < warning:
        return
    spelt = spell if key == "no_heir" else str if key == "queue" else _percent
    table.mistake(
        f"{key}_critical",
        expected=f"at least {spelt(warning)}, as {key}_warning has it",
        found=spelt(critical),
        remedy=f"a warning comes first: raise this one, or lower {key}_warning",
    )


def _percent(ppm: int) -> str:
    return f"{ppm / 10_000:g}"
