"""Whether two decisions are the same: that of the log, and that which would have been."""

from typing import Final

from engine.core.events import Recorded

# On what a decision rests, and not what follows from it: two that differ in nothing else are alike.
_GROUNDS: Final = frozenset(
    ("figures", "evidence", "table", "policy", "phases", "hold_until_us", "retry_at_us")
)


def equal(theirs: Recorded, ours: Recorded) -> bool:
    """Return whether two events are the same in everything."""
    return theirs == ours


def alike(theirs: Recorded, ours: Recorded) -> bool:
    """Return whether two events say the same, whatever figures they rest on."""
    if theirs == ours:
        return True
    if (theirs.subject, theirs.at_us) != (ours.subject, ours.at_us):
        return False
    event = theirs.event
    return type(event) is type(ours.event) and all(
        name in _GROUNDS or getattr(event, name) == getattr(ours.event, name)
        for name in event.__struct_fields__
    )
