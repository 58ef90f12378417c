"""How verdicts are come to: the adaptive detector, flapping, what is degraded, other observers."""

from typing import Final, TypedDict

import msgspec

from engine.config import kinds
from engine.config.durations import spell
from engine.config.tables import Table
from engine.core.policy import (
    ALONE,
    DAY,
    LIMITLESS,
    MS,
    Degraded,
    Observers,
    Phi,
    Probe,
)

DETECTORS: Final = ("consecutive", "phi")
THRESHOLD_MILLI: Final = 8_000
THRESHOLD_MAX: Final = 300  # of phi
WARM_UP: Final = 20  # intervals [count]
WARM_UP_MAX: Final = 10_000
CONFIRMATIONS_MAX: Final = 100
COUNT_MAX: Final = 1_000_000_000  # of a queue [count]
REPORTS_MAX: Final = 1_000
OBSERVERS_MAX: Final = 100

_SPAN: Final = kinds.duration(least_us=MS, most_us=DAY)


class Watching(TypedDict):
    """The settings of a probe that verdicts are come to by."""

    phi: Phi | None
    flap_high_ppm: int
    flap_low_ppm: int
    slow_us: int


def read_watching(table: Table, base: Probe, timeout_us: int) -> Watching:
    """Return what the table of a probe says of verdicts.

    Args:
        table: The table `probe`.
        base: What holds where it says nothing.
        timeout_us: The time-out of the probe, the default of the least deviation [us].
    """
    before = table.reading.count
    kind = table.take("detector", kinds.choice(DETECTORS), DETECTORS[base.phi is not None])
    phi = _phi(table, base.phi, timeout_us) if kind == "phi" else None
    if phi is None:
        _refuse_phi(table)
    high = table.take("flap_high", kinds.percent_or_never, base.flap_high_ppm)
    low = table.take("flap_low", kinds.percent_or_never, base.flap_low_ppm)
    if high and not low < high and table.reading.count == before:
        table.mistake(
            "flap_low" if table.has("flap_low") else "flap_high",
            expected="flap_low below flap_high",
            found=f"{low / 10_000:g} and {high / 10_000:g}",
            remedy="write as in flap_high = 30 and flap_low = 20",
        )
    slow = table.take("slow", kinds.duration_or_never(least_us=1), base.slow_us)
    return Watching(phi=phi, flap_high_ppm=high, flap_low_ppm=low if high else 0, slow_us=slow)


def _refuse_phi(table: Table) -> None:
    for key in ("phi", "suspicion"):
        table.table(key)
        if table.has(key):
            table.mistake(
                key,
                expected=f'no {key} where detector = "consecutive"',
                found=f"the key {key}",
                remedy='remove it, or write detector = "phi"',
            )


def _phi(table: Table, base: Phi | None, timeout_us: int) -> Phi:
    known = base or Phi(
        threshold_milli=THRESHOLD_MILLI, deviation_us_min=timeout_us, warm_up=WARM_UP
    )
    phi, suspicion = table.table("phi"), table.table("suspicion")
    before = table.reading.count
    found = msgspec.structs.replace(
        known,
        threshold_milli=phi.take(
            "threshold", kinds.thousandths(most=THRESHOLD_MAX), known.threshold_milli
        ),
        deviation_us_min=phi.take("deviation", _SPAN, known.deviation_us_min),
        warm_up=phi.take("warm_up", kinds.count(least=1, most=WARM_UP_MAX), known.warm_up),
        suspicion_us_min=suspicion.take("least", kinds.duration(), known.suspicion_us_min),
        suspicion_us_max=suspicion.take("most", kinds.duration(), known.suspicion_us_max),
        confirmations=suspicion.take(
            "confirmations", kinds.count(least=1, most=CONFIRMATIONS_MAX), known.confirmations
        ),
    )
    if found.suspicion_us_min > found.suspicion_us_max and table.reading.count == before:
        suspicion.mistake(
            "least",
            expected="at most what is written as most",
            found=f"{spell(found.suspicion_us_min)} and {spell(found.suspicion_us_max)}",
            remedy='write as in suspicion = { least = "2s", most = "30s" }',
        )
    phi.finish()
    suspicion.finish()
    return found


def read_observers(table: Table, base: Observers | None, probe: Probe) -> Observers | None:
    """Return how many observers have to agree; None: the engine is believed alone."""
    known = base or ALONE
    before = table.reading.count
    found = Observers(
        quorum=table.take("quorum", kinds.count(least=1, most=OBSERVERS_MAX), known.quorum),
        vote_ttl_us=table.take("vote_ttl", _SPAN, known.vote_ttl_us),
    )
    needed_us = probe.interval_us + probe.timeout_us
    if found.quorum > 1 and found.vote_ttl_us < needed_us and table.reading.count == before:
        table.mistake(
            "vote_ttl",
            expected=f"at least {spell(needed_us)}, one interval and one time-out",
            found=spell(found.vote_ttl_us),
            remedy=f'votes would never meet: write vote_ttl = "{spell(2 * needed_us)}"',
        )
    table.finish()
    return base if found == known else found


def read_degraded(table: Table, base: Degraded | None) -> Degraded | None:
    """Return from where on a master is degraded; None: there are no limits."""
    known = base or LIMITLESS
    most = kinds.count_or_never(most=COUNT_MAX)
    found = Degraded(
        cpu_ppm=table.take("cpu", kinds.percent_or_never, known.cpu_ppm),
        memory_ppm=table.take("memory", kinds.percent_or_never, known.memory_ppm),
        queue=table.take("queue", most, known.queue),
        errors_ppm=table.take("errors", kinds.percent_or_never, known.errors_ppm),
        reports=table.take("reports", kinds.count(least=1, most=REPORTS_MAX), known.reports),
        silent_after_us=table.take(
            "silent_after", kinds.duration_or_never(least_us=MS), known.silent_after_us
        ),
    )
    table.finish()
    return base if found == known else found
