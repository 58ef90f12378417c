"""What the log adds up to: a fleet part, and a part for each group.

A fold owns its state and updates it in place; nobody else holds a reference to it, and a snapshot
is a copy. All values are integers, strings and containers of them, so that the digest is the same
on every machine. What has its default is left out of the bytes, so that a new field moves no digest
of a log that does not use it; which defaults there may be is said in policy.py. What is only a
cache lies in `Cache`, outside the digest.

An event belongs to exactly one part: `decide` for a group reads that group's part and the fleet
part, and nothing else. The version of a part moves with what is decided or asked for in it, and not
with what only passes: probes, messages, outcomes, timers. So whoever has looked at a part can say
which one it was, and it is still that one unless something has happened to it.
"""

import enum
import hashlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from engine.core.beside import Hook, Recovery
from engine.core.dues import Dues, Stirred
from engine.core.events import GroupControl
from engine.core.fleet import ACTIVE, ACTIVE_STANDBY, DRAINING, Health, Master, Role
from engine.core.policy import GroupPolicy, Policy
from engine.core.seen import Derived, Ejected, Eye, Flaps, Gaps, Report

# Why a failover is open, where a person wants it: brakes bind automatic choices only.
# A failback looks at them before it begins.
ASKED: Final = ("switchover", "forced", "rollback", "failback")
REFUSED_HARD: Final = 2  # connections refused in a row that leave no doubt
FOLD_VERSION: Final = 12  # a change that changes the digest of an old log gets a new one


class Phase(enum.Enum):
    """Where the failover of a group stands; a group without one is idle."""

    IDLE = "idle"
    SELECTING = "selecting"
    FENCING = "fencing"
    TRANSFERRING = "transferring"
    PROMOTING = "promoting"
    VERIFYING = "verifying"
    COMPENSATING = "compensating"
    COMPLETED = "completed"


class Fence(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What keeps a master out; owed to it until it confirms `confirm_at`."""

    confirm_at: int  # the epoch that it has to confirm
    revokes: int
    is_confirmed: bool = False  # it cannot act: it answered, was restarted, or was released
    is_restarted: bool = False  # its boot id changed since
    failover: int = 0  # the id that the effect's key carries


class MasterState(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """All that is known of one master."""

    declared: Master
    health: Health = Health.UNKNOWN
    health_since_us: int = 0
    health_seq: int = 0  # the decision that made it so
    role: Role = Role.STANDBY
    epoch: int = 0  # of its activation, or of the attempt at one; 0: none
    # What probes said.
    observers: dict[str, int] = msgspec.field(default_factory=dict)  # last n of each
    heard_us: int = 0  # the last result of any kind; 0: never
    good_us: int = 0  # the last good one
    good: int = 0  # good ones in a row
    good_seq: int = 0  # the newest good one
    poor: int = 0  # degraded ones in a row
    poor_at: int = 0  # what `good` was at the newest degraded one
    failures: list[int] = msgspec.field(default_factory=list)  # seqs of failed ones in a row
    refused: int = 0  # refused ones in a row
    question: int = 0  # seq of a closed connection that nothing has answered yet; 0: none
    gone_seq: int = 0  # the refusal that answered a closed connection
    is_hard: bool = False  # the evidence against it leaves no doubt
    is_doubted: bool = False  # it failed, and has not proved itself since
    failed_us: int = 0  # when it did so first since it was last trusted
    failed_seq: int = 0  # the decision that said so
    boot: str = ""
    reported_epoch: int | None = None
    reported_role: str = ""
    is_unjudged: bool = False  # its next answer may have been sent before its activation
    # It was fenced while it served or reported itself active: that it still does so is nothing new.
    is_claim_known: bool = False
    excused_seq: int = 0  # the answer that was not judged for that reason
    lost_seq: int = 0  # the ActivationLost that has not been acted on; 0: none
    # What was decided or declared.
    fence: Fence | None = None
    is_excluded: bool = False
    left_at_us: int = 0  # when it was last left by a failover; ranks it last
    maintenance: list[tuple[int, int]] = msgspec.field(default_factory=list)  # from, to [us]
    promote_owed: bool = False  # it serves, and has not been told its epoch
    is_drained: bool = False  # it rests: nothing new, and not chosen
    by_command: bool = False  # it was added by a command, and no file owns it
    active_us: int = 0  # when it began to serve, under the activation that it has
    is_adopted: bool = False  # it serves because it said so, and was told nothing since
    report: Report | None = None  # what it said of itself; None: nothing
    ejected: Ejected | None = None  # None: it never was
    follows: str = ""  # the active that it was told to follow; "": nobody, or it was not told
    follow_epoch: int = 0  # the epoch it was told so under; 0: it was not told
    follow_us: int = 0
    recovery: Recovery | None = None  # None: it was well since it was last tried to be healed
    failing_us: int = 0  # when the first of `failures` was seen; 0: there are none
    eyes: dict[str, Eye] = msgspec.field(default_factory=dict)  # other observers, by name
    disagree_seq: int = 0  # the decision that observers contradict; 0: they do not
    gaps: Gaps | None = None  # between good answers, where phi is asked for
    flaps: Flaps | None = None  # None: no check of it ever failed
    blips: int = 0  # times it failed checks and answered before there was a verdict [count]
    blip_max: int = 0  # failed checks of the longest of them [count]
    verdicts: int = 0  # that it had failed, ever [count]
    restarts: int = 0  # seen by its boot id, ever [count]
    restart_seq: int = 0  # the answer that showed the last one
    derived: dict[str, Derived] = msgspec.field(
        default_factory=dict
    )  # figures, by what they are of
    # Since when the evidence against it leaves no doubt, where a lease counts from it; 0: it does.
    gone_us: int = 0


class Alert(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A condition that people have to hear of, once it has held for long enough."""

    kind: str
    subject: str  # a master, the group or the fleet
    since_us: int  # when it began to hold
    id: int = 0  # seq of the event that raised it first; 0: it is only pending
    severity: str = ""  # warning, critical; "": it is only pending
    acked: str = ""  # who silenced it, at this severity; "": nobody
    figures: tuple[tuple[str, int], ...] = ()


class Message(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """An accepted message that is not done."""

    key: str
    lane: str
    digest: bytes
    size: int
    master: str = ""  # assigned to; "": in the queue
    epoch: int = 0


class Ledger(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The messages of one group: accepted, assigned, done."""

    open: dict[int, Message] = msgspec.field(default_factory=dict)  # by seq, in accept order
    queue: list[int] = msgspec.field(default_factory=list)  # seqs that nobody has, ascending
    lanes: dict[str, list[int]] = msgspec.field(default_factory=dict)  # open seqs of each lane
    by_key: dict[str, int] = msgspec.field(default_factory=dict)  # open keys
    assigned: dict[str, int] = msgspec.field(default_factory=dict)  # to each master [count]
    done: dict[str, tuple[int, bytes]] = msgspec.field(default_factory=dict)
    # finished keys, the oldest first: which one it was to finish, and its body's digest
    accepted: int = 0  # all of them, ever [count]
    finished: int = 0
    requeued: int = 0


class Saga(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The open failover of a group."""

    id: int
    seq: int  # of its FailoverStarted
    phase: Phase
    why: str
    source: str
    to: str
    planned: bool
    waits: str
    counts: bool
    started_us: int
    since_us: int  # when it entered `phase`
    attempt: int = 0
    heir: str = ""
    epoch: int = 0
    is_approved: bool = False
    preflight: str = ""  # the result of looking at the target first; "": not yet known
    preflight_detail: str = ""
    transfer_digest: str = ""
    lacks: int = 0  # what the heir does not have, and the policy lets go [bytes]
    seeks_data: bool = False  # an heir was refused for what it lacks: who has more comes first
    spent: list[str] = msgspec.field(default_factory=list)  # heirs that failed in this failover
    phases: list[tuple[str, int]] = msgspec.field(default_factory=list)
    hook: str = ""  # what the next step waits for; "": no program
    hooks: list[str] = msgspec.field(default_factory=list)  # done before steps of this attempt


class Scheduled(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A switchover that a person wants later."""

    seq: int
    to: str
    due_us: int
    author: str


class Rollback(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A rollback that was accepted and has not ended."""

    seq: int  # of its RollbackAccepted
    digest: str  # of the control that it goes back to
    target: str  # the master that shall serve
    force: bool = False  # a target that looks unfit is tried all the same
    switching: int = 0  # the failover that it started; 0: none yet


class GroupState(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The part of one group."""

    id: str
    version: int = 0  # what was decided or asked for in this part [count]
    masters: dict[str, MasterState] = msgspec.field(default_factory=dict)
    epoch: int = 0  # the newest one drawn
    # Control.
    assigned: str = ""
    strategy: str = ""
    # Failovers.
    saga: Saga | None = None
    rollback: Rollback | None = None
    failovers: int = 0  # completed, ever [count]
    counted_us: list[int] = msgspec.field(default_factory=list)  # starts that count to the limit
    hold_until_us: int = 0
    retry_at_us: int = 0
    retry_us: int = 0  # the last back-off of a headless group
    proposed_seq: int = 0  # the verdict that was already proposed upon
    switch_epoch: int = 0  # the activation whose switch is done
    pause_until_us: int = 0  # -1: until resumed; 0: not paused
    pause_reason: str = ""
    maintenance: list[tuple[int, int]] = msgspec.field(default_factory=list)  # from, to [us]
    windows_us: int = 0  # what began or ended by then was acted upon [us]
    # Work.
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    kept: dict[str, bytes] = msgspec.field(default_factory=dict)  # state blobs: key, digest
    hooks: list[Hook] = msgspec.field(default_factory=list)  # after steps, and not ended
    # What people have to hear of, by kind and subject.
    alerts: dict[str, Alert] = msgspec.field(default_factory=dict)
    scheduled: Scheduled | None = None
    failback_to: str = ""  # who gets its place back when it was well for long enough; "": nobody
    failback_us: int = 0  # and not before
    leaver: str = (
        ""  # who served and was fenced outside of a failover; "": somebody took over since
    )
    derived: dict[str, Derived] = msgspec.field(default_factory=dict)  # figures of the group
    failed_id: int = 0  # an automatic failover that failed, and after which nobody has switched


class FleetState(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The part that all groups read."""

    version: int = 0  # what was decided or asked for in this part [count]
    policy: Policy = msgspec.field(default_factory=lambda: Policy(groups={}))
    policy_seq: int = 0
    policy_digest: str = ""  # of the policy in force
    file_digest: str = ""  # of the last file that was offered
    release: str = ""
    started_us: int = 0  # the last start or resumption of an engine
    begun_us: int = 0  # the last start of one: from here on all times are of one clock
    pause_until_us: int = 0  # -1: until resumed; 0: not paused
    pause_reason: str = ""
    maintenance: list[tuple[int, int]] = msgspec.field(default_factory=list)  # from, to [us]
    checkpoints: dict[str, int] = msgspec.field(default_factory=dict)
    file_pause: str | None = None  # what the file that pauses says; None: there is none
    # Failovers that count to the limit of the fleet: when they began or were opened [us], and ids.
    counted: list[tuple[int, int]] = msgspec.field(default_factory=list)
    doubt_seq: int = 0  # the decision that the engine doubts itself; 0: it does not
    alerts: dict[str, Alert] = msgspec.field(default_factory=dict)  # by kind and subject
    space: tuple[int, int] | None = None  # left of what is kept for a full disk [bytes]; None: all
    stalled_us: int = 0  # when the engine itself last said that it had stood still
    stall_us: int = 0  # for how long
    stepped_us: int = 0  # when the wall clock was last set
    step_us: int = 0  # by how much
    trusted_seq: int = 0  # when the engine ceased to doubt itself last
    derived: dict[str, Derived] = msgspec.field(
        default_factory=dict
    )  # figures, by what they are of


class Calm(set[str]):
    """The masters of a group whose good probes call for no decision."""

    __slots__ = ("is_settled",)

    def __init__(self) -> None:
        super().__init__()
        # All that there was to do for the group was done after whatever happened in it: so who is
        # at peace by its own state is calm, though none of its probes was looked at since.
        self.is_settled = False

    def clear(self) -> None:
        """Let nobody be calm before it was looked at what there is to do."""
        self.is_settled = False
        if self:
            super().clear()


class Place(msgspec.Struct, eq=False, gc=False):
    """Where an event about a master belongs; a cache."""

    group: GroupState
    master: MasterState
    calm: Calm
    is_steady: bool = False  # an answer like the last one moves nothing but counters
    is_plain: bool = False  # and the policy asks nothing more of it
    is_awaited: bool = True  # its next answer may be what its group waits for, whatever it says


class Cache:
    """What can be derived at any time; it is in no digest and in no comparison.

    `stir` is called for each part whose deadlines or effects may have moved, `stir_all` where what
    all groups read has changed.
    """

    __slots__ = (
        "calm", "dues", "failing", "holds", "holds_at", "idle", "places", "sound", "unasked",
    )  # fmt: skip

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}  # by master
        self.calm: dict[str, Calm] = {}  # by group
        self.failing: set[str] = set()  # masters whose last probe failed and was not refused
        self.sound: set[str] = set()  # all others
        self.idle: set[int] = set()  # failovers that are open and have not begun
        self.dues: Final = Dues()
        self.unasked: Final = Stirred()  # parts that were not asked what they owe by now
        # The conditions that were found to hold of a part, at a seq and a time (alerts.py).
        self.holds_at = (-1, 0)
        self.holds: Final[dict[str, dict[str, Any]]] = {}

    def note_failing(self, name: str, *, fails: bool) -> None:
        """Note whether the last probe of a master failed and was not refused."""
        to, of = (self.failing, self.sound) if fails else (self.sound, self.failing)
        to.add(name)
        of.discard(name)

    def stir(self, part: str) -> None:
        """Forget when a deadline of `part` is due, and what it owes."""
        self.dues.stir(part)
        self.unasked.parts.add(part)

    def stir_all(self) -> None:
        """Forget when any deadline is due, and what is owed."""
        self.dues.stir_all()
        self.unasked.are_all = True


class State:
    """The fold over the log: the two kinds of parts, the position, and the caches."""

    __slots__ = ("at_us", "cache", "fleet", "groups", "seq")

    def __init__(self) -> None:
        self.seq = 0
        self.at_us = 0
        self.fleet = FleetState()
        self.groups: dict[str, GroupState] = {}
        self.cache = Cache()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and dump(self) == dump(other)

    __hash__ = None  # type: ignore[assignment]

    def group_of(self, subject: str) -> GroupState | None:
        """Return the part that `subject` (a master or a group) belongs to."""
        place = self.cache.places.get(subject)
        return self.groups.get(subject) if place is None else place.group

    def policy_of(self, group: GroupState) -> GroupPolicy:
        """Return the policy of `group`; a group exists only while the policy has it."""
        return self.fleet.policy.groups[group.id]


class _Dumped(msgspec.Struct, kw_only=True):
    """The state as stored: positions and parts, no caches."""

    seq: int
    at_us: int
    fleet: FleetState
    groups: dict[str, GroupState]


_CANONICAL: Final = msgspec.msgpack.Encoder(order="sorted")
_RESTORE: Final = msgspec.msgpack.Decoder(_Dumped, strict=False)  # the keys of some maps are text
_COPY: Final = msgspec.msgpack.Decoder(_Dumped)


def dump(state: State) -> bytes:
    """Return the canonical bytes of `state`: msgpack, keys sorted, integers only, no caches."""
    stored = _Dumped(seq=state.seq, at_us=state.at_us, fleet=state.fleet, groups=state.groups)
    # The encoder sorts only keys that are strings, so the seqs of open messages are made some.
    plain = msgspec.to_builtins(stored, builtin_types=(bytes,), str_keys=True)
    return _CANONICAL.encode(plain)


def restore(data: bytes) -> State:
    """Return the state that `dump` gave `data` for.

    Raises:
        msgspec.DecodeError: The bytes are not a state of this version.
    """
    state = _taken(_RESTORE.decode(data))
    for group in state.groups.values():
        # The order of these two is an order in time, which sorted keys do not keep.
        ledger = group.ledger
        ledger.open = dict(sorted(ledger.open.items()))
        ledger.done = dict(sorted(ledger.done.items(), key=lambda item: item[1]))
    return state


def assembled(*, seq: int, at_us: int, fleet: FleetState, groups: dict[str, GroupState]) -> State:
    """Return the state of these parts, which it owns from here on."""
    return _taken(_Dumped(seq=seq, at_us=at_us, fleet=fleet, groups=groups))


def copy(state: State) -> State:
    """Return an independent copy of `state`; half the time of `restore` and `dump`."""
    stored = _Dumped(seq=state.seq, at_us=state.at_us, fleet=state.fleet, groups=state.groups)
    return _taken(_COPY.decode(msgspec.msgpack.encode(stored)))


def _taken(stored: _Dumped) -> State:
    state = State()
    state.seq, state.at_us = stored.seq, stored.at_us
    state.fleet, state.groups = stored.fleet, stored.groups
    reindex(state)
    return state


def digest(state: State) -> str:
    """Return the SHA-256 of the canonical bytes of `state`, in hex."""
    return hashlib.sha256(dump(state)).hexdigest()


def reindex(state: State) -> None:
    """Derive the caches again."""
    cache = state.cache = Cache()
    places, failing, sound = cache.places, cache.failing, cache.sound
    for group in state.groups.values():
        calm = cache.calm[group.id] = Calm()
        if group.saga is not None and not group.saga.attempt:
            cache.idle.add(group.saga.id)
        for name, master in group.masters.items():
            places[name] = Place(group, master, calm)
            (failing if fails_softly(master) else sound).add(name)


def index(state: State, group: GroupState, name: str) -> None:
    """Derive the place of one master again."""
    calm = state.cache.calm[group.id]
    master = group.masters[name]
    state.cache.places[name] = Place(group, master, calm)
    state.cache.note_failing(name, fails=fails_softly(master))


def fails_softly(master: MasterState) -> bool:
    """Return whether the engine's own last probe of `master` failed and was not refused."""
    return bool(master.failures) and not master.refused


def leaves_no_doubt(master: MasterState) -> bool:
    """Return whether the evidence against a failed master is hard."""
    return master.is_hard or master.refused >= REFUSED_HARD


def control_of(group: GroupState) -> GroupControl:
    """Return the control state of `group`: what a rollback goes back to."""
    return GroupControl(
        group=group.id,
        assigned=group.assigned,
        strategy=group.strategy,
        weights=tuple(
            sorted((name, master.declared.weight) for name, master in group.masters.items())
        ),
    )


def control_digest(control: GroupControl) -> str:
    """Return the SHA-256 of the canonical bytes of `control`, in hex."""
    return hashlib.sha256(_CANONICAL.encode(control)).hexdigest()


def next_epoch(group: GroupState) -> int:
    """Return the epoch to draw next: above every one drawn, and every one that a master reports.

    A master may report a newer one than the log knows of if the log is an older copy.
    """
    return max(group.epoch, newest_reported(group)) + 1


def newest_reported(group: GroupState, *, but: str = "") -> int:
    """Return the newest epoch that a master of `group` reports, `but` left out; 0 if none does."""
    return max(
        (master.reported_epoch or 0 for name, master in group.masters.items() if name != but),
        default=0,
    )


def is_active_standby(state: State, group: GroupState) -> bool:
    """Return whether one master of `group` serves and the others stand by."""
    return state.policy_of(group).mode is ACTIVE_STANDBY


def active_of(group: GroupState) -> str:
    """Return the master that holds the activation of an active-standby group; "" if none."""
    last = group.masters.get(group.assigned)  # nearly always the one
    if last is not None and (last.role is ACTIVE or last.role is DRAINING):
        return group.assigned
    for name, master in group.masters.items():
        if master.role is ACTIVE or master.role is DRAINING:
            return name
    return ""


def awaited_fences(group: GroupState) -> list[str]:
    """Return the masters whose fences an open failover of `group` waits for."""
    if group.saga is None or group.saga.phase is not Phase.FENCING:
        return []
    return [
        name
        for name, master in group.masters.items()
        if master.fence is not None and not master.fence.is_confirmed
    ]


def forget_follow(master: MasterState) -> None:
    """Whatever `master` was told to follow, it does so no more."""
    master.follows, master.follow_epoch, master.follow_us = "", 0, 0


def windows(state: State, group: GroupState, master: MasterState) -> Iterator[tuple[int, int]]:
    """Return the maintenance that holds for `master`: its own, its group's and the fleet's [us]."""
    yield from master.maintenance
    yield from group.maintenance
    yield from state.fleet.maintenance


def is_maintained(state: State, group: GroupState, master: MasterState, at_us: int) -> bool:
    """Return whether somebody is at work on `master`."""
    if not (master.maintenance or group.maintenance or state.fleet.maintenance):
        return False  # so it is nearly always, and of each master it is asked often
    return any(from_us <= at_us < to_us for from_us, to_us in windows(state, group, master))


def paused_until(state: State, group: GroupState, at_us: int) -> int:
    """Return until when new failovers of `group` are paused [us]; 0: they are not; -1: no end."""
    if state.fleet.file_pause is not None:
        return -1
    fleet, own = state.fleet.pause_until_us, group.pause_until_us
    if not (fleet or own):
        return 0
    ends = [end for end in (fleet, own) if end == -1 or end > at_us]
    if not ends:
        return 0
    return -1 if -1 in ends else max(ends)
