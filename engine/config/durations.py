"""Durations as people write them: "10ms", "1.5s", "10m", "2h", "7d"; inside, whole microseconds."""

import re
from fractions import Fraction
from typing import Final

from engine.core.policy import DAY, HOUR, MINUTE, MS, SECOND

UNITS: Final = {"us": 1, "ms": MS, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}  # [us]
DURATION_US_MAX: Final = 3_650 * DAY  # ten years: far below what 64 bits hold

# Twelve digits reach beyond the largest duration in any unit but one; more would be a slip.
_WRITTEN: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(us|ms|s|m|h|d)", re.ASCII)


def microseconds(text: str) -> int | None:
    """Return the duration that `text` says [us, 0..ten years], None if it says none.

    Example:
        >>> microseconds("1.5s"), microseconds("0s"), microseconds("5 minutes")
        (1500000, 0, None)
    """
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return None
    exact = Fraction(found[1]) * UNITS[found[2]]
    if exact.denominator != 1 or exact > DURATION_US_MAX:
        return None
    return int(exact)


def spell(duration_us: int) -> str:
    """Return `duration_us` as `microseconds` reads it, in the unit that is shortest to read.

    Example:
        >>> spell(3_500_000), spell(7_200_000_000), spell(50_000), spell(0)
        ('3.5s', '2h', '50ms', '0s')
    """
    for unit in ("d", "h", "m"):
        if duration_us and duration_us % UNITS[unit] == 0:
            return f"{duration_us // UNITS[unit]}{unit}"
    for unit in ("s", "ms"):
        scale = UNITS[unit]
        if duration_us % MS and unit == "s":
            continue  # 1.234567s is harder to read than 1234.567ms
        if duration_us >= scale or duration_us == 0:
            whole, rest = divmod(duration_us, scale)
            decimals = f".{rest:0{len(str(scale)) - 1}d}".rstrip("0").rstrip(".") if rest else ""
            return f"{whole}{decimals}{unit}"
    return f"{duration_us}us"
