"""What a condition is that people have to hear of, and for how long it holds before they do."""

from typing import Final, TypeAlias

import msgspec

from engine.core.events import Figures

# A severity, and for how long a condition has to hold to have it [us].
Levels: TypeAlias = tuple[tuple[str, int], ...]

WARNING: Final[Levels] = (("warning", 0),)
CRITICAL: Final[Levels] = (("critical", 0),)


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What people have to hear of if it holds for long enough."""

    kind: str
    subject: str
    levels: Levels
    figures: Figures = ()
    evidence: tuple[int, ...] = ()
    ends_us: int = 0  # when it is over by time alone [us]; 0: no time ends it
    # When the minute ended that it was seen to hold in [us]: for how long it holds goes in whole
    # minutes then, and nothing is due between two of them. 0: it is known to hold now.
    seen_us: int = 0

    @property
    def key(self) -> str:
        """Return its name in its part."""
        return f"{self.kind} {self.subject}"
