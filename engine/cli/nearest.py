"""What somebody may have meant by a word that is none."""

import difflib
from collections.abc import Iterable
from typing import Final

COUNT: Final = 3
LIKENESS_MIN: Final = 0.6


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return at most COUNT of `known` that are written much like `word`, the likest first.

    Example:
        >>> nearest("mastrfailed", ["MasterFailed", "MasterFenced", "Switched"])
        ['MasterFailed', 'MasterFenced']
    """
    names = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), names, n=COUNT, cutoff=LIKENESS_MIN)
    return [names[name] for name in found]
