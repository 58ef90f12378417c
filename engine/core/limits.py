"""What a policy takes without a word of how busy a master says it is."""

from engine.core.events import LoadReported
from engine.core.policy import Degraded
from engine.core.seen import Report


def loads(degraded: Degraded) -> tuple[tuple[str, int], ...]:
    """Return the largest value of each figure of a load; -1: any."""
    return (
        ("cpu_ppm", degraded.cpu_ppm or -1),
        ("memory_ppm", degraded.memory_ppm or -1),
        ("queue", degraded.queue or -1),
        ("errors_ppm", degraded.errors_ppm or -1),
    )


def over(
    degraded: Degraded, said: Report | LoadReported, known: Report | None = None
) -> list[tuple[str, int, int]]:
    """Return what is beyond a limit: its name, its value, the limit.

    What `said` does not say is as it is in `known`.
    """
    found = []
    for name, most in loads(degraded):
        value = getattr(said, name)
        if value < 0 and known is not None:
            value = getattr(known, name)
        if -1 < most < value:
            found.append((name, value, most))
    return found


def speaks(report: LoadReported) -> bool:
    """Return whether a report says anything of how busy the master is."""
    return max(report.cpu_ppm, report.memory_ppm, report.queue, report.active) >= 0


def speaks_of_limits(degraded: Degraded, report: LoadReported) -> bool:
    """Return whether a report says anything that there is a limit for."""
    return any(most >= 0 and getattr(report, name) >= 0 for name, most in loads(degraded))
