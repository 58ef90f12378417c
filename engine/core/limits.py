"""What a policy takes without a word of how busy a master says it is: limits of its load."""

from engine.core.events import LoadReported
from engine.core.policy import AlertPolicy, Degraded
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


def alerted(policy: AlertPolicy | None) -> tuple[tuple[str, int], ...]:
    """Return the largest value of each figure of a load that nobody is told of; -1: any."""
    if policy is None:
        return ()
    return (
        ("cpu_ppm", policy.cpu_warning_ppm - 1),  # so much is too much
        ("cpu_ppm", policy.cpu_critical_ppm - 1),
        ("memory_ppm", policy.memory_warning_ppm - 1),
        ("memory_ppm", policy.memory_critical_ppm - 1),
        ("queue", policy.queue_warning or -1),
        ("queue", policy.queue_critical or -1),
    )


def note_hot(report: Report, policy: AlertPolicy | None, at_us: int) -> None:
    """Note since when a share is so large that it is critical if it lasts, of a new report."""
    for name, critical_ppm in (
        ("cpu_ppm", 0 if policy is None else policy.cpu_critical_ppm),
        ("memory_ppm", 0 if policy is None else policy.memory_critical_ppm),
    ):
        if 0 < critical_ppm <= getattr(report, name):
            report.hot.setdefault(name, at_us)
        else:
            report.hot.pop(name, None)
