"""Removing the bodies that one key names, because somebody asks for it.

What is needed is never removed: the body of an open message would be lost work, current state what
a failover hands on. So both are refused, and so is a body that something needed has in common.
"""

import time
from collections import defaultdict
from typing import Final

import msgspec

from engine.core import events as ev
from engine.core import messages
from engine.core.errors import CommandRefused
from engine.core.events import BodiesRemoved, codes_of
from engine.core.state import State
from engine.log.protocol import Log

_REMOVED: Final = codes_of((BodiesRemoved,))
_TRIES: Final = 20  # to empty the files; a reader may keep it from being done, seldom for long
_PAUSE_S: Final = 0.05


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the log says of one key."""

    messages: dict[str, list[bytes]]  # digests of the messages that had it, by group
    states: dict[str, list[bytes]]  # digests of all state that it ever named, likewise
    stored: frozenset[bytes]  # those whose bodies are there
    removed: dict[bytes, int]  # where the others were removed last [seq]


def find(log: Log, key: str, *, group: str = "") -> Found:
    """Return what the log says of `key`, in `group` or in all; every event is read.

    Raises:
        LogError: The log cannot be read.
    """
    in_messages: dict[str, list[bytes]] = defaultdict(list)
    in_states: dict[str, list[bytes]] = defaultdict(list)
    for recorded in log.read():
        match recorded.event:
            case ev.MessageAccepted(key=named, digest=digest) if named == key:
                in_messages[recorded.subject].append(digest)
            case ev.StateKept(key=named, digest=digest, size=size) if named == key and size >= 0:
                in_states[recorded.subject].append(digest)
            case _:
                pass
    for found in (in_messages, in_states):
        for other in [name for name in found if group not in ("", name)]:
            del found[other]
    all_found = {
        digest
        for found in (in_messages, in_states)
        for digests in found.values()
        for digest in digests
    }
    stored = frozenset(log.removable(all_found, upto=log.head.seq))
    return Found(
        messages=dict(in_messages),
        states=dict(in_states),
        stored=stored,
        removed=_removed(log, all_found - stored),
    )


def _removed(log: Log, digests: set[bytes]) -> dict[bytes, int]:
    """Return where each of `digests` was removed last, as far as it was [seq]."""
    found: dict[bytes, int] = {}
    if digests:
        for seq in log.seqs_of(_REMOVED, newest_first=True):
            (recorded,) = log.read(seq - 1, seq)
            assert isinstance(recorded.event, BodiesRemoved)
            for digest in digests.intersection(recorded.event.digests):
                found.setdefault(digest, seq)
            if len(found) == len(digests):
                break
    return found


def removal(
    state: State,
    found: Found,
    key: str,
    *,
    group: str,
    why: str,
    author: str,
    at_rest: bool = False,
) -> BodiesRemoved:
    """Return the event that removes what `key` names; `state` is the one that it is appended to.

    A key that messages had is theirs; else it is that of state. `group` is "" for any.

    Raises:
        CommandRefused: Nothing may be removed; the reason says why.
    """
    reason = _refused(state, found, key, group)
    if reason:
        raise CommandRefused((reason,))
    (named,) = (found.messages or found.states).values()
    digests = tuple(sorted(found.stored.intersection(named)))
    said = f"purge of {key}: {why}" if why else f"purge of {key}"
    return BodiesRemoved(digests=digests, why=said, author=author, at_rest=at_rest)


def _refused(state: State, found: Found, key: str, group: str) -> str:
    """Return why nothing is removed; "" if it is."""
    if group and group not in state.groups:
        return f"no group {group!r}: expected one of {', '.join(sorted(state.groups)) or 'none'}"
    named = found.messages or found.states
    if not named:
        return f"no message and no state {key!r}" + (f" of {group}" if group else "")
    if len(named) > 1:
        return f"{key!r} is of {', '.join(sorted(named))}: name the group"
    ((owner, digests),) = named.items()
    part = state.groups.get(owner)
    if part is not None and key in part.ledger.by_key:
        return f"message {key!r} of {owner} is open: it would be lost"
    if part is not None and not found.messages and key in part.kept:
        return f"state {key!r} of {owner} is current: a failover hands it on"
    there = found.stored.intersection(digests)
    if not there:
        seqs = [found.removed[digest] for digest in digests if digest in found.removed]
        if seqs:
            return f"the body of {key!r} was removed already, at event {max(seqs)}"
        return f"the log holds no body of {key!r}: see what tanist verify says"
    if there & messages.needed(state):
        return f"the body of {key!r} is also that of an open message or of current state"
    return ""


def erased(log: Log, *, tries: int = _TRIES) -> bool:
    """Return whether nothing of what was asked to go is left in the files, after some tries."""
    for _ in range(tries):
        if log.erase():
            return True
        time.sleep(_PAUSE_S)
    return False
