"""The kinds of value that a configuration holds; each raises `Unfit` for what it cannot take."""

import difflib
import enum
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, TypeVar
from urllib.parse import urlsplit

from engine.config.durations import DURATION_US_MAX, microseconds, spell
from engine.config.sizes import SIZE_BYTES_MAX, in_bytes, spell_size
from engine.config.tables import Unfit
from engine.core.policy import FleetPolicy

E = TypeVar("E", bound=enum.Enum)

NAME_CHARS_MAX: Final = 64
TEXT_CHARS_MAX: Final = 4_096
PPM: Final = 1_000_000  # parts per million in one
MICRODEGREES: Final = 1_000_000  # in one degree
PORT_MAX: Final = 65_535

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*", re.ASCII)
_PATH: Final = re.compile(r"/[\x21-\x7e]*", re.ASCII)
_LIMIT: Final = re.compile(r"([0-9]{1,6})/([0-9.a-z]+)", re.ASCII)
_FLEET_LIMIT: Final = re.compile(
    r"(?:(?P<count>[0-9]{1,6})|(?P<percent>[0-9]{1,3})%"
    r"|max\((?P<least>[0-9]{1,6}), ?(?P<share>[0-9]{1,3})%\))/(?P<window>[0-9.a-z]+)",
    re.ASCII,
)
_LISTEN: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", re.ASCII)


def text(value: object) -> str:
    """Return a string that says something."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise Unfit("a string", 'write it in quotes, as in "text"')
    return value


def any_text(value: object) -> str:
    """Return a string of whatever characters, ends of lines among them."""
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARS_MAX:
        raise Unfit(
            f"a string of 1 to {TEXT_CHARS_MAX} characters",
            'write it in quotes, as in "PING\\r\\n"',
        )
    return value


def words(most: int) -> Callable[[object], tuple[str, ...]]:
    """Return the kind of a program with its arguments, `most` words at most."""

    def kind(value: object) -> tuple[str, ...]:
        found = value if isinstance(value, list) and len(value) <= most else []
        are_words = all(isinstance(word, str) and "\0" not in word for word in found)
        if not found or not are_words or not found[0].strip():
            raise Unfit(
                f"a list of 1 to {most} strings: a program and its arguments",
                'no shell is between: write as in ["/usr/local/bin/look", "--quick"]',
            )
        return tuple(found)

    return kind


def flag(value: object) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise Unfit("true or false", "write true or false without quotes")
    return value


def name(value: object) -> str:
    """Return the id of a group or a master."""
    if not isinstance(value, str) or not _NAME.fullmatch(value) or len(value) > NAME_CHARS_MAX:
        raise Unfit(
            f"a name of at most {NAME_CHARS_MAX} characters that starts with a letter",
            'write letters, digits, - _ and . only, as in "cache-a"',
        )
    return value


def duration(*, least_us: int = 0, most_us: int = DURATION_US_MAX) -> Callable[[object], int]:
    """Return the kind of a duration within these bounds [us]."""
    remedy = 'write a string with a unit: us, ms, s, m, h or d, as in "500ms" or "1.5s"'
    return _quantity("a duration", remedy, microseconds, spell, least=least_us, most=most_us)


def duration_or_never(*, least_us: int) -> Callable[[object], int]:
    """Return the kind of a duration, or "never" [us; 0 for never]."""
    return _or("never", 0, duration(least_us=least_us))


def duration_or_any(*, least_us: int) -> Callable[[object], int]:
    """Return the kind of a largest duration, or "any" [us; 0 for any]."""
    return _or("any", 0, duration(least_us=least_us))


def count_or_any(*, most: int) -> Callable[[object], int]:
    """Return the kind of a largest number, 0 at least, or "any" [-1 for any]."""
    return _or("any", -1, count(least=0, most=most))


def _or(word: str, means: int, finite: Callable[[object], int]) -> Callable[[object], int]:
    def kind(value: object) -> int:
        try:
            return means if value == word else finite(value)
        except Unfit as unfit:
            raise Unfit(f'{unfit.expected} or "{word}"', unfit.remedy) from None

    return kind


def size(*, least: int = 0, most: int = SIZE_BYTES_MAX) -> Callable[[object], int]:
    """Return the kind of a size within these bounds [bytes]."""
    remedy = 'write a string with a unit: B, KiB, MiB, GiB or TiB, as in "64MiB", or "0"'
    return _quantity("a size", remedy, in_bytes, spell_size, least=least, most=most)


def _quantity(
    name: str,
    remedy: str,
    read: Callable[[str], int | None],
    spell: Callable[[int], str],
    *,
    least: int,
    most: int,
) -> Callable[[object], int]:
    def kind(value: object) -> int:
        zero = isinstance(value, int) and not isinstance(value, bool) and value == 0
        found = 0 if zero else read(value) if isinstance(value, str) else None
        if found is None:
            raise Unfit(name, remedy)
        if not least <= found <= most:
            near = spell(min(max(found, least), most))
            raise Unfit(
                f"{name} from {spell(least)} to {spell(most)}",
                f'the nearest that would do is "{near}"',
            )
        return found

    return kind


def count(*, least: int, most: int) -> Callable[[object], int]:
    """Return the kind of a whole number within these bounds [count]."""

    def kind(value: object) -> int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not isinstance(value, int) or not least <= value <= most:
            near = min(max(value, least), most) if isinstance(value, int) and whole else least
            raise Unfit(f"a whole number from {least} to {most}", f"{near} would do")
        return value

    return kind


def choice(taken: Sequence[str], *, later: Sequence[str] = ()) -> Callable[[object], str]:
    """Return the kind of one word of `taken`; those of `later` get an answer of their own."""
    words = " or ".join(f'"{word}"' for word in taken)

    def kind(value: object) -> str:
        if isinstance(value, str) and value in taken:
            return value
        if isinstance(value, str) and value in later:
            raise Unfit(words, f"this release takes {words} only")
        near = difflib.get_close_matches(value, taken, n=1) if isinstance(value, str) else []
        raise Unfit(words, f'did you mean "{near[0]}"?' if near else f'write "{taken[0]}"')

    return kind


def member(of: type[E], *, later: Sequence[str] = ()) -> Callable[[object], E]:
    """Return the kind of one member of `of`, written as its value."""
    word = choice([each.value for each in of], later=later)
    return lambda value: of(word(value))


def limit(value: object) -> tuple[int, int]:
    """Return how many failovers in which window [count; us]; 0 for "none"."""
    if value == "none":
        return 0, 0
    found = _LIMIT.fullmatch(value) if isinstance(value, str) else None
    window_us = microseconds(found[2]) if found else None
    if not found or not window_us or int(found[1]) < 1:
        raise Unfit(
            'a count and a window, or "none"',
            'write as in "2/1h": two failovers within an hour',
        )
    return int(found[1]), window_us


def failback(value: object) -> tuple[str, int]:
    """Return "manual", "never", or "auto" and for how long a master has to be well before [us]."""
    if value in ("manual", "never"):
        return str(value), 0
    stable_us = microseconds(value) if isinstance(value, str) else None
    if not stable_us:
        raise Unfit(
            '"manual", "never" or a duration',
            'write how long who was left has to be well to get its place back, as in "30m"',
        )
    return "auto", stable_us


def fleet_limit(value: object) -> FleetPolicy | None:
    """Return what brakes the failovers of all groups together; None for "none"."""
    if value == "none":
        return None
    found = _FLEET_LIMIT.fullmatch(value) if isinstance(value, str) else None
    window_us = microseconds(found["window"]) if found else None
    count = int(found["count"] or found["least"] or 0) if found else 0
    percent = int(found["percent"] or found["share"] or 0) if found else 0
    if not window_us or not (count or percent) or percent > 100:
        raise Unfit(
            'a count or a share of the groups and a window, or "none"',
            'write as in "3/10m", "25%/10m" or "max(2, 25%)/10m": the larger of two failovers '
            "and one for every four groups, within ten minutes",
        )
    share_ppm = percent * (PPM // 100)
    return FleetPolicy(limit=count, share_ppm=share_ppm, window_us=window_us)


def spell_fleet_limit(fleet: FleetPolicy | None) -> str:
    """Return what `fleet_limit` reads as `fleet`.

    Example:
        >>> spell_fleet_limit(FleetPolicy(limit=2, share_ppm=250_000, window_us=600_000_000))
        'max(2, 25%)/10m'
    """
    if fleet is None:
        return "none"
    share = f"{fleet.share_ppm // (PPM // 100)}%"
    most = share if not fleet.limit else f"{fleet.limit}"
    if fleet.limit and fleet.share_ppm:
        most = f"max({fleet.limit}, {share})"
    return f"{most}/{spell(fleet.window_us)}"


def percent(value: object) -> int:
    """Return a percentage above 0 and below 100, with four decimals at most [ppm]."""
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    exact = Decimal(str(value)) * (PPM // 100) if numeric else Decimal("nan")
    # An objective of all of the time leaves no budget that anything could be held against.
    if not exact.is_finite() or exact != int(exact) or not 0 < exact < PPM:
        raise Unfit(
            "a percentage above 0 and below 100 with at most four decimals",
            "write a number without quotes, as in 99.95",
        )
    return int(exact)


def percent_or_never(value: object) -> int:
    """Return a percentage above 0 and below 100, or "never" [ppm; 0 for never]."""
    return _or("never", 0, percent)(value)


def count_or_never(*, most: int) -> Callable[[object], int]:
    """Return the kind of a number that is a limit, 1 at least, or "never" [0 for never]."""
    return _or("never", 0, count(least=1, most=most))


def thousandths(*, most: int) -> Callable[[object], int]:
    """Return the kind of a number above 0, with three decimals at most [1/1000]."""

    def kind(value: object) -> int:
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        exact = Decimal(str(value)) * 1_000 if numeric else Decimal("nan")
        if not exact.is_finite() or exact != int(exact) or not 0 < exact <= most * 1_000:
            raise Unfit(
                f"a number above 0, {most} at most, with at most three decimals",
                "write a number without quotes, as in 8 or 5.5",
            )
        return int(exact)

    return kind


def location(value: object) -> tuple[int, int]:
    """Return a latitude and a longitude, written in degrees [microdegrees]."""
    if isinstance(value, list) and len(value) == 2:
        latitude, longitude = (_microdegrees(part) for part in value)
        if latitude is not None and longitude is not None:
            within = abs(latitude) <= 90 * MICRODEGREES and abs(longitude) <= 180 * MICRODEGREES
            if within:
                return latitude, longitude
    raise Unfit(
        "a latitude from -90 to 90 and a longitude from -180 to 180 in degrees",
        "write as in [51.5, -0.13]",
    )


def _microdegrees(value: object) -> int | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    exact = Decimal(str(value)) * MICRODEGREES
    return round(exact) if exact.is_finite() else None


_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)


def address(value: object, *, schemes: Sequence[str] = ("http",)) -> str:
    """Return the URL of a master, which names scheme, host and port and nothing else.

    Args:
        value: What is written.
        schemes: What the probe speaks; (): any, for it asks somebody else.
    """
    remedy = f'write as in "{schemes[0] if schemes else "http"}://127.0.0.1:7001"'
    if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise Unfit("an URL with host and port", remedy)
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Unfit("an URL with host and a port from 1 to 65535", remedy) from None
    if schemes and parts.scheme not in schemes:
        raise Unfit(f"an {schemes[0]}:// URL", _other_scheme(parts.scheme))
    if not host or not port or not _SCHEME.fullmatch(parts.scheme):
        raise Unfit("an URL with host and a port from 1 to 65535", remedy)
    if "@" in parts.netloc:
        raise Unfit(
            "an URL with host and port only",
            'an address is in the log for all to read: write probe.password = { env = "NAME" }',
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise Unfit(
            "an URL with host and port only", "the path that is probed is set by probe.path"
        )
    return f"{parts.scheme}://{parts.netloc}"


# Which addresses each kind of probe asks; none: it asks no address itself.
PROBED_SCHEMES: Final[dict[str, tuple[str, ...]]] = {
    "http": ("http",),
    "https": ("https",),
    "tcp": ("tcp",),
    "redis": ("redis", "rediss"),
    "command": (),
    "push": (),
    "python": (),
}


def _other_scheme(scheme: str) -> str:
    """Return what would do where the probe does not speak `scheme`."""
    for kind, schemes in PROBED_SCHEMES.items():
        if scheme in schemes:
            return f'{scheme}:// is asked by probe.kind = "{kind}"'
    return "set probe.kind to what the master speaks: " + ", ".join(PROBED_SCHEMES)


def url_path(value: object) -> str:
    """Return the path of an URL."""
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise Unfit("a path that starts with /", 'write as in "/health"')
    return value


def listen(value: object) -> str:
    """Return where the service listens, HOST:PORT; port 0 takes any that is free."""
    found = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if not found or int(found[2]) > PORT_MAX:
        raise Unfit("HOST:PORT with a port from 0 to 65535", 'write as in "127.0.0.1:8600"')
    return found[0]


def log_place(value: object) -> str:
    """Return the place of the log: a path, or an URL of SQLite as SQLAlchemy writes them."""
    place = text(value)
    scheme, separator, _ = place.partition("://")
    if separator and scheme.partition("+")[0] != "sqlite":
        raise Unfit(
            "a path or an sqlite:// URL", 'this release keeps its log in SQLite, as in "tanist.db"'
        )
    return place
