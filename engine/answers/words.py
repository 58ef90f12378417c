"""Times, durations and figures as people read them; documents of JSON keep whole microseconds.

A figure whose name ends in `_us` is a duration, but for the few that name a moment.
"""

from collections.abc import Mapping
from typing import Final

from engine.answers.times import iso
from engine.core.policy import DAY, HOUR, MINUTE, MS, SECOND

# And what ends in one of the last two.
_MOMENTS: Final = ("due_us", "failback_us", "from_us", "to_us", "until_us", "at_us")
_LONG_US: Final = 3_650 * DAY  # no duration is as long; an alert says since when, others how long
_COARSE: Final = ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min"), (MINUTE, "min", SECOND, "s"))


def harmless(value: str) -> str:
    """Return `value` on one line, without what a terminal would take for commands.

    What a master, a file or another person said must not move anybody's cursor.
    """
    return "".join(char if char.isprintable() else "?" for char in value)


def moment(at_us: int) -> str:
    """Return an engine time [us since the Unix epoch] to the millisecond, in UTC.

    Example:
        >>> moment(1_600_000_000_123_456)
        '2020-09-13 12:26:40.123Z'
    """
    return f"{iso(at_us)[:23].replace('T', ' ')}Z"


def lasting(duration_us: int) -> str:
    """Return a duration [us] with two or three digits that count.

    Example:
        >>> [lasting(us) for us in (850, 9_123, 3_200_000, 125_000_000, 97_200_000_000)]
        ['850 us', '9.1 ms', '3.2 s', '2 min 5 s', '1 d 3 h']
    """
    if duration_us < 0:
        return f"-{lasting(-duration_us)}"
    if duration_us < MS:
        return f"{duration_us} us" if duration_us else "0 s"
    for unit_us, name, end_us in ((MS, "ms", SECOND), (SECOND, "s", MINUTE)):
        shown = f"{duration_us / unit_us:.1f}"
        if float(shown) >= 100:
            shown = f"{duration_us / unit_us:.0f}"
        if float(shown) * unit_us < end_us:
            return f"{shown.removesuffix('.0')} {name}"
    for unit_us, name, part_us, part in _COARSE:
        parts = (duration_us + part_us // 2) // part_us
        if parts * part_us >= unit_us:
            whole, rest = divmod(parts, unit_us // part_us)
            return f"{whole} {name} {rest} {part}" if rest else f"{whole} {name}"
    return f"{round(duration_us / SECOND)} s"


def counted(count: int, what: str) -> str:
    """Return a number of things, of which `what` is one.

    Example:
        >>> counted(1, "message"), counted(2_000, "message"), counted(0, "crash of the engine")
        ('1 message', '2,000 messages', '0 crashes of the engine')
    """
    if count == 1:
        return f"1 {what}"
    thing, space, rest = what.partition(" ")
    plural = f"{thing}{'es' if thing.endswith(('s', 'sh', 'ch', 'x')) else 's'}"
    return f"{count:,} {plural}{space}{rest}"


def parts(count: int, whole: int | None = None) -> str:
    """Return a number of bytes in MiB, and of how many if `whole` is given.

    Example:
        >>> parts(12 << 20, 64 << 20), parts(3 << 19, 4 << 20), parts(64 << 20)
        ('12 of 64 MiB', '1.5 of 4 MiB', '64 MiB')
    """
    shown = [
        f"{size / (1 << 20):.1f}".removesuffix(".0") for size in (count, whole) if size is not None
    ]
    return f"{' of '.join(shown)} MiB"


def figure(name: str, value: object) -> str:
    """Return one figure as `name value`, its value in a unit if it is a time.

    Example:
        >>> figure("good_age_us", 10_007), figure("fall", 3), figure("until_us", 0)
        ('good_age 10 ms', 'fall 3', 'until -')
        >>> figure("since_us", 1_769_860_800_000_000), figure("since_us", 10_007)
        ('since 2026-01-31 12:00:00.000Z', 'since 10 ms')
    """
    if not name.endswith("_us") or type(value) is not int:
        return f"{name} {_plain(value)}"
    bare = name.removesuffix("_us")
    is_since = name == "since_us" and value > _LONG_US
    if is_since or name in _MOMENTS or name.endswith(("_at_us", "_until_us")):
        return f"{bare} {moment(value) if value > 0 else '-'}"
    return f"{bare} {lasting(value)}"


def figures(found: Mapping[str, object]) -> str:
    """Return figures as `name value, name value`."""
    return ", ".join(figure(name, value) for name, value in found.items())


def spent(phases: Mapping[str, int]) -> str:
    """Return the times of the phases of a failover [us] as `name value, name value`."""
    return ", ".join(f"{name} {lasting(value_us)}" for name, value_us in phases.items())


def _plain(value: object) -> str:
    """Return a value as text; what holds others, with theirs in units too."""
    if isinstance(value, Mapping):
        said = {name: part for name, part in value.items() if part not in ("", None)}
        return f"({figures(said)})"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    return str(value)
