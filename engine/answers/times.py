"""Engine time as people write it: ISO 8601 in UTC, exactly to the microsecond."""

from datetime import UTC, datetime, timedelta
from typing import Final

from engine.core.errors import ConfigurationError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def iso(at_us: int) -> str:
    """Return an engine time [us since the Unix epoch] in ISO 8601, with six decimals and a Z.

    Example:
        >>> iso(1_600_000_000_000_001)
        '2020-09-13T12:26:40.000001Z'
    """
    moment = EPOCH + timedelta(microseconds=at_us)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def microseconds(text: str) -> int:
    """Return what `text` says [us since the Unix epoch]; decimals beyond the sixth are cut off.

    Example:
        >>> microseconds("2020-09-13T14:26:40+02:00")
        1600000000000000

    Raises:
        ConfigurationError: It is no ISO 8601 time, has no zone, or is before 1970.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment < EPOCH:
        raise ConfigurationError(
            [f"expected a time as 2026-01-31T12:00:00Z, with its zone, found {text!r}"]
        )
    return (moment - EPOCH) // _MICROSECOND
