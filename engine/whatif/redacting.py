"""A part of a log without what it tells of its owners, and with the same decisions.

Names become m1, g1, o1 and so on, addresses, keys and bodies others, and what people and programs
have written is left out. Names of masters and groups keep their order, since a tie is broken by it.
Only what came from outside is changed, and the state that the part begins with; everything else is
decided anew from that. So the result is a log of its own, and it is checked that it decides as the
old one did: the same kinds, about the same subjects, at the same places.
"""

import enum
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import CommandRefused
from engine.core.events import FLEET, Recorded
from engine.core.evolve import evolve
from engine.core.leading import place
from engine.core.replay import decide_again
from engine.core.state import State
from engine.core.transfer import kept_digest
from engine.whatif.given import is_input

REDACTED: Final = "redacted"
_OWN_OBSERVERS: Final = ("", "traffic")  # the engine's own eyes


class Sort(enum.Enum):
    """What a field holds, and so what becomes of it."""

    MASTER = "m"
    GROUP = "g"
    OBSERVER = "o"
    AUTHOR = "a"
    KEY = "k"
    LANE = "lane"
    BOOT = "boot"
    REGION = "region"
    CHECKPOINT = "checkpoint"
    SUBJECT = "subject"  # a master, a group or the fleet
    ALERT = "alert"  # a kind and a subject
    ADDRESS = "address"
    BODY = "body"  # the digest of one
    TEXT = "text"  # what somebody wrote
    SECRET = "secret"  # noqa: S105 - a setting that says how something is reached
    PLACE = "place"  # where on the earth
    SPOKEN = "spoken"  # a word of ours, a figure or a digest that is computed anew: stays


# Every field of a struct that can hold text, bytes or a place, by name; a test holds it complete.
FIELDS: Final[dict[str, Sort]] = {
    **dict.fromkeys(("active", "heir", "master", "masters", "source"), Sort.MASTER),
    **dict.fromkeys(("failback_to", "leaver", "spent", "target", "to"), Sort.MASTER),
    **dict.fromkeys(("assigned", "weights", "unseen"), Sort.MASTER),
    **dict.fromkeys(("group", "groups"), Sort.GROUP),
    **dict.fromkeys(("against", "eyes", "observer", "observers", "well"), Sort.OBSERVER),
    **dict.fromkeys(("acked", "author"), Sort.AUTHOR),
    **dict.fromkeys(("key", "by_key", "done", "kept", "keeps"), Sort.KEY),
    **dict.fromkeys(("lane", "lanes"), Sort.LANE),
    **dict.fromkeys(("boot",), Sort.BOOT),
    **dict.fromkeys(("alerts",), Sort.ALERT),
    **dict.fromkeys(("subject",), Sort.SUBJECT),
    **dict.fromkeys(("region",), Sort.REGION),
    **dict.fromkeys(("checkpoints",), Sort.CHECKPOINT),
    **dict.fromkeys(("address", "follows"), Sort.ADDRESS),
    **dict.fromkeys(("location",), Sort.PLACE),
    **dict.fromkeys(("detail", "reason", "reasons", "pause_reason", "preflight_detail"), Sort.TEXT),
    **dict.fromkeys(("file_pause",), Sort.TEXT),
    **dict.fromkeys(("ca", "command", "env", "expect"), Sort.SECRET),
    **dict.fromkeys(("file", "path", "send", "user"), Sort.SECRET),
    **dict.fromkeys(
        (
            *(f"{when}_{step}" for when in ("before", "after") for step in (
                "fence", "transfer", "promote", "verify", "switch",
            )),
        ),
        Sort.SECRET,
    ),
    **dict.fromkeys(
        (
            "chain", "clients", "derived", "digest", "digests", "effects", "failback", "figures",
            "file_digest", "hot", "hook", "hooks", "how", "kind", "phases", "policy_digest",
            "preflight", "preset",
            "release", "reported_role", "result", "role", "rule", "scope", "severity", "state",
            "stayed",
            "step", "strategy", "transfer_digest", "waits", "what", "why",
        ),
        Sort.SPOKEN,
    ),
}  # fmt: skip
# Where a name means something else than elsewhere.
OWN: Final[dict[tuple[str, str], Sort]] = {
    ("Master", "id"): Sort.MASTER,
    ("GroupState", "id"): Sort.GROUP,
    ("MasterState", "follows"): Sort.MASTER,
    ("CheckpointMarked", "name"): Sort.CHECKPOINT,
    ("MessageAccepted", "digest"): Sort.BODY,
    ("Message", "digest"): Sort.BODY,
    ("BodiesRemoved", "digests"): Sort.BODY,
}


def sort_of(struct: str, field: str) -> Sort | None:
    """Return what a field holds; None: nobody has said so."""
    return OWN.get((struct, field), FIELDS.get(field))


class Names:
    """The new name of everything, the same wherever it stands."""

    def __init__(self, masters: Iterable[str], groups: Iterable[str]) -> None:
        self._given: Final[dict[tuple[Sort, str], str]] = {}
        for sort, names in ((Sort.MASTER, set(masters)), (Sort.GROUP, set(groups))):
            width = len(str(len(names)))
            for number, name in enumerate(sorted(names), start=1):
                self._given[sort, name] = f"{sort.value}{number:0{width}}"

    def subject(self, name: str) -> str:
        """Return the name of what an event is about."""
        if name == FLEET:
            return name
        return self._given.get((Sort.MASTER, name)) or self.of(Sort.GROUP, name)

    def of(self, sort: Sort, name: str) -> str:
        """Return the new name of `name`; "" stays."""
        if not name or (sort is Sort.OBSERVER and name in _OWN_OBSERVERS):
            return name
        if sort is Sort.LANE and (Sort.GROUP, name) in self._given:
            return self._given[Sort.GROUP, name]  # the lane of who named none
        scheme = ""
        if sort is Sort.ADDRESS:  # masters say theirs without the scheme
            before, separator, _ = name.rpartition("://")
            scheme, name = before + separator, place(name)
        known = self._given.get((sort, name))
        if known is None:
            number = 1 + sum(1 for each, _ in self._given if each is sort)
            known = self._given[sort, name] = _named(sort, number)
        return scheme + known

    def body(self, digest: bytes) -> bytes:
        """Return a digest in the place of that of a body, from which no body can be guessed."""
        return hashlib.sha256(self.of(Sort.BODY, digest.hex()).encode()).digest()


def _named(sort: Sort, number: int) -> str:
    if sort is Sort.ADDRESS:
        return f"host{number}.invalid:{number % 65_535 + 1}"
    return f"{sort.value}{number}"


class Redactor:
    """Makes others of what came from outside, and of a state."""

    def __init__(self, names: Names) -> None:
        self.names: Final = names

    def value(self, value: Any, sort: Sort) -> Any:
        """Return what stands in the place of `value`, whatever it is made of."""
        match value:
            case msgspec.Struct():
                return self.struct(value)
            case dict():
                return {self._key(key, sort): self._item(item, sort) for key, item in value.items()}
            case tuple() if sort is Sort.PLACE:
                return None
            case tuple() | list():
                return type(value)(self.value(item, sort) for item in value)
            case str():
                return self._text(value, sort)
            case bytes() if sort in (Sort.BODY, Sort.KEY):
                return self.names.body(value)
            case _:
                return value

    def _key(self, key: Any, sort: Sort) -> Any:
        return self._text(key, sort) if isinstance(key, str) else key

    def _item(self, item: Any, sort: Sort) -> Any:
        # Under a key stands a digest, a seq, or a part of the state that says what it holds.
        return item if isinstance(item, str) else self.value(item, sort)

    def _text(self, text: str, sort: Sort) -> str:
        match sort:
            case Sort.SPOKEN:
                return text
            case Sort.TEXT | Sort.SECRET:
                return REDACTED if text else text
            case Sort.SUBJECT:
                return self.names.subject(text)
            case Sort.ALERT:
                kind, _, subject = text.partition(" ")
                return f"{kind} {self.names.subject(subject)}"
            case _:
                return self.names.of(sort, text)

    def struct(self, value: msgspec.Struct) -> Any:
        """Return the same struct with other contents."""
        name = type(value).__name__
        changed = {}
        for field in value.__struct_fields__:
            sort = sort_of(name, field) or Sort.SPOKEN
            changed[field] = self.value(getattr(value, field), sort)
        return type(value)(**changed)

    def state(self, state: State) -> State:
        """Return the same state under other names; `state` is left as it is."""
        copied = st.copy(state)
        fleet = self.struct(copied.fleet)
        groups = {
            self.names.of(Sort.GROUP, name): self.struct(group)
            for name, group in copied.groups.items()
        }
        return st.assembled(seq=state.seq, at_us=state.at_us, fleet=fleet, groups=groups)

    def input(self, recorded: Recorded, before: State) -> Recorded:
        """Return an observation under other names; `before` is the old state that it met."""
        event = self.struct(recorded.event)
        if isinstance(event, ev.Outcome) and event.digest:
            group = before.group_of(recorded.subject)
            saga = None if group is None else group.saga
            # What the receiver has confirmed is of keys that have other names now.
            is_same = saga is not None and saga.transfer_digest == event.digest
            digest = kept_digest(self.value(group.kept, Sort.KEY)) if is_same and group else "0"
            event = msgspec.structs.replace(event, digest=digest)
        if isinstance(event, ev.RollbackRequested):
            digest = st.control_digest(event.control)
            event = msgspec.structs.replace(event, digest=digest)
        if isinstance(event, ev.FleetRollbackRequested):
            digests = tuple(st.control_digest(control) for control in event.controls)
            event = msgspec.structs.replace(event, digests=digests)
        subject = self.names.subject(recorded.subject)
        return Recorded(recorded.seq, recorded.at_us, subject, recorded.cause, event)


def redacted(base: State, events: Iterable[Recorded]) -> tuple[State, list[Recorded], State]:
    """Return the state to begin with, the events and the state at the end, all under other names.

    Args:
        base: The state that the events follow; it is used up.
        events: A part of a log, whole.

    Raises:
        CommandRefused: This release would not decide as the log says, so that the part would tell
            another story.
    """
    old = list(events)
    names = Names(*_known(base, old))
    redactor = Redactor(names)
    first = redactor.state(base)
    beginning = Recorded(
        base.seq,
        base.at_us,
        FLEET,
        0,
        ev.LogBased(state=st.dump(first), seq=base.seq, chain=bytes(32)),
    )
    again = decide_again(_inputs(redactor, base, beginning, old))
    made = list(itertools.islice(again, 1, len(old) + 1))
    for theirs, ours in zip(old, made, strict=False):
        if _outline(theirs, names) != _outline(ours, None):
            raise _differs(theirs)
    if len(made) < len(old):
        raise _differs(old[len(made)])
    end = st.copy(first)
    for recorded in made:
        evolve(end, recorded)
    return first, made, end


def _inputs(
    redactor: Redactor, before: State, beginning: Recorded, events: Iterable[Recorded]
) -> Iterator[Recorded]:
    yield beginning
    for recorded in events:
        if is_input(recorded):
            yield redactor.input(recorded, before)
        else:
            # Of these only the kind and the time are looked at.
            yield recorded
        evolve(before, recorded)


def _known(base: State, events: Iterable[Recorded]) -> tuple[set[str], set[str]]:
    masters, groups = set(base.cache.places), set(base.groups)
    for recorded in events:
        for master in _declared(recorded.event):
            masters.add(master.id)
            groups.add(master.group)
        policy = getattr(recorded.event, "policy", None)
        if policy is not None:
            groups.update(policy.groups)
    return masters, groups


def _declared(event: ev.AnyEvent) -> tuple[Any, ...]:
    one = getattr(event, "master", None)
    return (
        *getattr(event, "masters", ()),
        *(() if one is None or isinstance(one, str) else (one,)),
    )


def _outline(recorded: Recorded, names: Names | None) -> tuple[object, ...]:
    subject = recorded.subject if names is None else names.subject(recorded.subject)
    return recorded.seq, recorded.at_us, type(recorded.event), subject, recorded.cause


def _differs(recorded: Recorded) -> CommandRefused:
    kind = type(recorded.event).__name__
    return CommandRefused(
        (
            f"event {recorded.seq} ({kind}) would be decided otherwise by this release, so what is "
            "redacted would tell another story: leave out --redact, or ask `tanist whatif` why",
        )
    )
