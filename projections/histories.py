"""The transitions of each master, each group and the fleet: what uptime is answered from.

The view keeps every subject's transitions, so that any window can be answered later under any
policy of accounting (uptime.py does that). Rules:

- State time starts at the decision. *Recovering* is down. Before its first observation, and after
  its removal, a subject is *absent*.
- A group is as well as the best master that serves it (activated or switched to, and not fenced,
  lost or drained since). While nobody serves it is down, or unknown if nothing is known of any
  master. One rule holds for both modes: in an active-standby group one master serves.
- The fleet is as well as its worst group; next to a group that is not up for certain, one that
  nothing is known of makes it unknown. Groups without masters are not part of it.
- Maintenance is kept as it was declared. A refused declaration does not count.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from engine.core.events import (
    READ_AS,
    Activated,
    ActivationLost,
    AnyEvent,
    ConnectionClosed,
    DrainEnded,
    MaintenanceDeclared,
    MasterAdded,
    MasterDegraded,
    MasterFailed,
    MasterFenced,
    MasterHealthy,
    MasterRecovering,
    MasterRemoved,
    MasterUnknown,
    ProbeDegraded,
    ProbeFailed,
    ProbeOk,
    Recorded,
    Refused,
    Switched,
)
from projections.base import Columns, Fold, decoded, places_of
from projections.tracks import Bucket, Track, move, now


class MasterTime(msgspec.Struct, kw_only=True):
    """One master: where it belongs, whether it serves, and its transitions."""

    group: str = ""
    is_member: bool = False
    serves: bool = False
    track: Track = msgspec.field(default_factory=list)


class GroupTime(msgspec.Struct, kw_only=True):
    """One group: how many of its masters are in each bucket, and its transitions."""

    members: dict[Bucket, int] = msgspec.field(default_factory=dict)
    serving: dict[Bucket, int] = msgspec.field(default_factory=dict)
    track: Track = msgspec.field(default_factory=list)


class Declared(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A maintenance window, as declared by the event `seq`."""

    seq: int
    subject: str
    from_us: int
    to_us: int


class Uptime(msgspec.Struct, kw_only=True):
    """The view; its fold owns it."""

    position: int = 0
    first_us: int = 0  # time of the first event
    last_us: int = 0  # of the last one
    masters: dict[str, MasterTime] = msgspec.field(default_factory=dict)
    groups: dict[str, GroupTime] = msgspec.field(default_factory=dict)
    fleet: Track = msgspec.field(default_factory=list)
    maintenance: list[Declared] = msgspec.field(default_factory=list)


_HEALTH: Final[dict[type[AnyEvent], Bucket]] = {
    MasterHealthy: Bucket.UP,
    MasterDegraded: Bucket.DEGRADED,
    MasterFailed: Bucket.DOWN,
    MasterRecovering: Bucket.DOWN,
    MasterUnknown: Bucket.UNKNOWN,
}
_KNOWN: Final = (Bucket.UP, Bucket.DEGRADED, Bucket.DOWN)


def _count(view: Uptime, master: MasterTime, by: int) -> None:
    """Take `master` into the counts of its group, or out of them."""
    group, bucket = view.groups[master.group], now(master.track)
    group.members[bucket] = group.members.get(bucket, 0) + by
    if master.serves:
        group.serving[bucket] = group.serving.get(bucket, 0) + by


def _group_bucket(group: GroupTime) -> Bucket:
    for bucket in (Bucket.UP, Bucket.DEGRADED, Bucket.UNKNOWN):
        if group.serving.get(bucket):
            return bucket
    if any(group.members.get(bucket) for bucket in _KNOWN):
        return Bucket.DOWN
    return Bucket.UNKNOWN if group.members.get(Bucket.UNKNOWN) else Bucket.ABSENT


def _fleet_bucket(view: Uptime) -> Bucket:
    found = {now(group.track) for group in view.groups.values() if any(group.members.values())}
    if Bucket.DOWN in found:
        return Bucket.DOWN
    if found <= {Bucket.ABSENT}:
        return Bucket.ABSENT
    if found & {Bucket.UNKNOWN, Bucket.ABSENT}:
        return Bucket.UNKNOWN
    return Bucket.DEGRADED if Bucket.DEGRADED in found else Bucket.UP


def _settle(view: Uptime, name: str, at_us: int) -> None:
    """Derive the group and the fleet again after a master of the group has changed."""
    group = view.groups[name]
    move(group.track, at_us, _group_bucket(group))
    move(view.fleet, at_us, _fleet_bucket(view))


def _master(view: Uptime, name: str) -> MasterTime:
    """Return the master; a log whose beginning was cut off need not have declared it."""
    return view.masters.setdefault(name, MasterTime())


def _observed(view: Uptime, name: str, at_us: int) -> None:
    if now(_master(view, name).track) is Bucket.ABSENT:
        _change(view, name, at_us, bucket=Bucket.UNKNOWN)


def _change(
    view: Uptime,
    name: str,
    at_us: int,
    *,
    bucket: Bucket | None = None,
    serves: bool | None = None,
) -> None:
    master = _master(view, name)
    if master.is_member:
        _count(view, master, -1)
    if bucket is not None:
        move(master.track, at_us, bucket)
    if serves is not None:
        master.serves = serves
    if master.is_member:
        _count(view, master, 1)
        _settle(view, master.group, at_us)


def _removed(view: Uptime, name: str, at_us: int) -> None:
    _change(view, name, at_us, bucket=Bucket.ABSENT, serves=False)
    master = view.masters[name]
    if master.is_member:
        _count(view, master, -1)
        master.is_member = False
        _settle(view, master.group, at_us)


def _added(view: Uptime, recorded: Recorded) -> None:
    assert isinstance(recorded.event, MasterAdded)
    master = _master(view, recorded.subject)
    if not master.is_member:
        master.group, master.is_member = recorded.event.master.group, True
        view.groups.setdefault(master.group, GroupTime())
        _count(view, master, 1)
        _settle(view, master.group, recorded.at_us)


def _declared(view: Uptime, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, MaintenanceDeclared)
    view.maintenance.append(
        Declared(
            seq=recorded.seq, subject=recorded.subject, from_us=event.from_us, to_us=event.to_us
        )
    )


def _refused(view: Uptime, recorded: Recorded) -> None:
    view.maintenance = [found for found in view.maintenance if found.seq != recorded.cause]


_OBSERVED: Final = (ProbeOk, ProbeDegraded, ProbeFailed, ConnectionClosed)
# What columns say is all that these are asked for: the subject and the time [us].
_BY_COLUMNS: Final[dict[type[AnyEvent], Callable[[Uptime, str, int], None]]] = {
    **dict.fromkeys(_OBSERVED, _observed),
    **{kind: partial(_change, bucket=bucket) for kind, bucket in _HEALTH.items()},
    **dict.fromkeys((Activated, Switched), partial(_change, serves=True)),
    **dict.fromkeys((ActivationLost, MasterFenced, DrainEnded), partial(_change, serves=False)),
    MasterRemoved: _removed,
}
_BY_EVENT: Final[dict[type[AnyEvent], Callable[[Uptime, Recorded], None]]] = {
    MasterAdded: _added,
    MaintenanceDeclared: _declared,
    Refused: _refused,
}
_DECIDED: Final = (_BY_COLUMNS.keys() | _BY_EVENT.keys()) - set(_OBSERVED)


def _apply(view: Uptime, recorded: Recorded) -> None:
    kind, at_us = type(recorded.event), recorded.at_us
    if not view.position:
        view.first_us = view.last_us = at_us
    view.last_us = max(view.last_us, at_us)
    by_columns = _BY_COLUMNS.get(kind)
    if by_columns is not None:
        by_columns(view, recorded.subject, at_us)
    elif kind in _BY_EVENT:
        _BY_EVENT[kind](view, recorded)


def _apply_block(view: Uptime, block: Columns) -> None:
    """Apply a block by its columns; maintenance, additions and refusals are decoded."""
    if not view.position:
        view.first_us = view.last_us = block.times[0] if block.times else block.last_at_us
    view.last_us = max(view.last_us, block.last_at_us)
    places = places_of(block, _DECIDED)
    # Only the first observation of a master that is absent changes anything, and within the block
    # only a removal makes one absent.
    removed = {block.subjects[place] for place in places_of(block, (MasterRemoved,))}
    absent = {name for name in block.names if name in removed or _is_absent(view, name)}
    if absent:
        observed = places_of(block, _OBSERVED)
        places += [place for place in observed if block.subjects[place] in absent]
        places.sort()
    events = iter(decoded(block, places_of(block, _BY_EVENT)))
    for place in places:
        kind = READ_AS[block.codes[block.kinds[place]]]
        if kind in _BY_COLUMNS:
            _BY_COLUMNS[kind](view, block.subjects[place], block.times[place])
        else:
            _BY_EVENT[kind](view, next(events))


def _is_absent(view: Uptime, name: str) -> bool:
    master = view.masters.get(name)
    return master is None or now(master.track) is Bucket.ABSENT


UPTIME: Final = Fold(name="uptime", version=1, view=Uptime, apply=_apply, apply_block=_apply_block)
