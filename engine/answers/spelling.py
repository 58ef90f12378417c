"""Settings as a configuration spells them, so that what is read can be written there."""

from collections.abc import Mapping
from typing import Final

from engine.answers.words import harmless
from engine.config.durations import spell

PPM_PERCENT: Final = 10_000
_SPANS: Final = ("_us", "_us_max", "_us_min")
# What no duration or no share at all is called; elsewhere it is what it says.
_NOTHING: Final = {
    "probe.slow_us": "never",
    "probe.unknown_after_us": "never",
    "failover.lag_us_max": "any",
}
_NEVER: Final = ("alerts.", "degraded.")
# A limit and its window are one value.
_WINDOWS: Final = {
    "failover.limit": "failover.limit_window_us",
    "alerts.failovers": "alerts.failovers_window_us",
}
# Said by another setting, or nothing where it is zero.
_PARTS: Final = frozenset({*_WINDOWS.values(), "failover.failback_us"})
_ABSENT: Final = frozenset({"fence.lease_us"})


def written(path: str, value: object) -> str:
    """Return the value of the setting at `path` as a configuration has it, without quotes.

    Example:
        >>> written("probe.timeout_us", 500_000), written("probe.slow_us", 0)
        ('500ms', 'never')
        >>> written("probe.flap_high_ppm", 300_000), written("failover.behind_max", -1)
        ('30', 'any')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, int):
        return harmless(str(value))
    if path.endswith("_ppm"):
        return f"{value / PPM_PERCENT:g}" if value else "never"
    if path.endswith(_SPANS):
        never = "never" if path.startswith(_NEVER) else ""
        return spell(value) if value else _NOTHING.get(path, never) or "0s"
    return "any" if path == "failover.behind_max" and value < 0 else str(value)


def shown(settings: Mapping[str, object]) -> dict[str, str]:
    """Return those of `settings`, by path, that say something, as a configuration has them.

    Example:
        >>> shown({"failover.limit": 3, "failover.limit_window_us": 600_000_000})
        {'failover.limit': '3/10m'}
    """
    found = {}
    for path, value in settings.items():
        if value in (None, "", (), []) or path in _PARTS or (path in _ABSENT and not value):
            continue
        found[path] = written(path, value)
        window = settings.get(_WINDOWS.get(path, ""))
        if window is not None:
            found[path] = f"{value}/{written(_WINDOWS[path], window)}" if value else "none"
        elif path == "failover.failback" and settings.get("failover.failback_us"):
            found[path] = written("failover.failback_us", settings["failover.failback_us"])
    return found
