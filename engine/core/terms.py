"""What a command is given under: a key, so that it is done once, and what it expects to find.

No rule depends on either. What is expected is looked at when the command enters the core, before it
is decided upon; a key lies beside the log's events, and is stored in the transaction that has them.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from engine.core.errors import CommandRefused
from engine.core.events import FLEET, AnyEvent, encode
from engine.core.state import State

KEY_CHARACTERS_MAX: Final = 255


class Keyed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was appended under a key, and where it is."""

    key: str
    content: bytes  # SHA-256 of what was asked for, or of the events
    first: int  # seqs of its first and its last event
    last: int


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What one command is given under."""

    key: str = ""  # "": it is done each time it is given
    content: bytes = b""  # what it asks for: under one key always the same
    expected_head: int | None = None  # seq of the last event that the engine has taken
    expected_versions: Mapping[str, int] | None = None  # of parts: by group, and `FLEET`

    @property
    def is_expecting(self) -> bool:
        """Return whether there is something to look at."""
        return self.expected_head is not None or bool(self.expected_versions)


NO_TERMS: Final = Terms()


def content_of(said: Iterable[tuple[AnyEvent, str]]) -> bytes:
    """Return a SHA-256 of events and their subjects, wherever and whenever they are in a log."""
    parts = [(*encode(event), subject) for event, subject in said]
    return hashlib.sha256(msgspec.msgpack.encode(parts)).digest()


def check_key(key: str) -> None:
    """Refuse a key that no log can hold.

    Raises:
        CommandRefused: It is too long, or no text.
    """
    if len(key) > KEY_CHARACTERS_MAX:
        at_most = f"expected at most {KEY_CHARACTERS_MAX} characters"
        raise CommandRefused((f"the key: {at_most}, found {len(key)}",))
    try:
        key.encode()
    except UnicodeEncodeError as err:
        raise CommandRefused(("the key: expected a text, found half of a surrogate pair",)) from err


def unmet(state: State, terms: Terms) -> tuple[str, ...]:
    """Return everything that is not as `terms` expect it, as expected and found."""
    reasons = []
    if terms.expected_head not in (None, state.seq):
        reasons.append(f"expected event {terms.expected_head} to be the last, found {state.seq}")
    for name, expected in sorted((terms.expected_versions or {}).items()):
        part = state.fleet if name == FLEET else state.groups.get(name)
        if part is None:
            reasons.append(f"expected version {expected} of {name}, found no such group")
        elif part.version != expected:
            reasons.append(f"expected version {expected} of {name}, found {part.version}")
    return tuple(reasons)
