"""Sizes as people write them: "0", "512KiB", "1.5MiB", "64MiB", "10GiB"; inside, whole bytes."""

import re
from fractions import Fraction
from typing import Final

UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}  # [bytes]
SIZE_BYTES_MAX: Final = 1 << 50  # more than any file system of one machine

# Sixteen digits reach beyond the largest size in bytes; more would be a slip.
_WRITTEN: Final = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,9})?)(B|KiB|MiB|GiB|TiB)", re.ASCII)


def in_bytes(text: str) -> int | None:
    """Return the size that `text` says [bytes, 0..SIZE_BYTES_MAX], None if it says none.

    Example:
        >>> in_bytes("64MiB"), in_bytes("1.5KiB"), in_bytes("0"), in_bytes("64 MB")
        (67108864, 1536, 0, None)
    """
    if text == "0":
        return 0
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return None
    exact = Fraction(found[1]) * UNITS[found[2]]
    if exact.denominator != 1 or exact > SIZE_BYTES_MAX:
        return None
    return int(exact)


def spell_size(size: int) -> str:
    """Return `size` [bytes] as `in_bytes` reads it, in the largest unit without a fraction.

    Example:
        >>> spell_size(64 << 20), spell_size(1536 << 10), spell_size(1000), spell_size(0)
        ('64MiB', '1536KiB', '1000B', '0')
    """
    for unit, scale in reversed(UNITS.items()):
        if size and size % scale == 0:
            return f"{size // scale}{unit}"
    return "0"
