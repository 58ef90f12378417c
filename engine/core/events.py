"""What happened: the closed set of facts that the log may hold.

An observation is a fact from outside, a decision is what the engine concluded; names are past
tense. `seq`, `at_us`, `subject` and `cause` are columns of the row (`Recorded`); the payload is
a msgpack array of the event's own fields. So a stored event is never changed: a new field goes
to the end with a default, a new meaning gets a new class and a new code, no code is used twice.

`at_rest`: the command was given to a stopped log, so that nothing but itself is acted upon.

Subjects: what is about one master has the master's id, what is about a group the group's id, the
rest `FLEET`. Seqs in `evidence` point to earlier events.
"""

import enum
from typing import Final, TypeAlias, get_args

import msgspec

from engine.core.errors import LogCorrupted, LogTooNew
from engine.core.fleet import Master
from engine.core.policy import Policy

FLEET: Final = "fleet"  # the subject of what concerns all groups
Figures: TypeAlias = tuple[tuple[str, int], ...]


class Evidence(enum.Enum):
    """What exactly was seen when a probe or a connection did not do what it should."""

    CLOSED = "closed"  # a question, not a death: a reload or a keep-alive time-out does this too
    RESET = "reset"  # likewise
    REFUSED = "refused"  # nobody listens
    UNREACHABLE = "unreachable"
    DNS = "dns"
    TLS = "tls"
    OVERDUE = "overdue"  # no answer within the time-out
    PROTOCOL = "protocol"  # an answer that makes no sense
    STATUS = "status"  # an answer that says no
    RESTARTED = "restarted"  # another boot id than before
    SLOW = "slow"
    RESOURCE = "resource"  # processor, memory, queue
    SILENT = "silent"  # a metric that stopped
    DEPENDENCY = "dependency"  # what it depends on fails
    REPORTED = "reported"  # an imported record says so


class Result(enum.Enum):
    """How an effect ended."""

    OK = "ok"
    REFUSED = "refused"  # the receiver said no, with its reason
    FAILED = "failed"  # nothing was sent
    UNKNOWN = "unknown"  # sent, and no clear answer: it may have taken effect
    ASSUMED = "assumed"  # no effect is ever sent here (import, dry run)


class Verdict(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One row of a candidate table: fit, with its rank, or passed over, by which rule."""

    master: str
    fit: bool
    rank: int  # 1 is the heir; 0 if passed over
    rule: str
    figures: Figures = ()


class GroupControl(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The control state of one group: what a rollback goes back to."""

    group: str
    assigned: str  # the master of an active-standby group; "" if there was none
    strategy: str
    weights: tuple[tuple[str, int], ...]  # base weights by master, sorted by id


class Event(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    array_like=True,
    gc=False,
    forbid_unknown_fields=True,
):
    """How every event is stored; it has no field of its own.

    Every subclass states `kw_only` again, because msgspec does not inherit it, and `frozen`,
    because mypy does not.
    """


# Observations.


class EngineStarted(Event, frozen=True, kw_only=True):
    """An engine took up the log; before that it had last acted at `stopped_at_us`."""

    release: str
    stopped_at_us: int


class EngineResumed(Event, frozen=True, kw_only=True):
    """The engine itself stood still for `stall_us`."""

    stall_us: int
    stopped_at_us: int


class ConfigurationLoaded(Event, frozen=True, kw_only=True):
    """A configuration was offered; its content is here if its digest was not the last seen."""

    digest: str
    policy: Policy | None = None
    masters: tuple[Master, ...] = ()


class ProbeOk(Event, frozen=True, kw_only=True):
    """The subject answered.

    `n` counts the observer's probes of this master; `epoch` is the one the master says it acts
    under, None if it says nothing.
    """

    n: int
    latency_us: int
    boot: str = ""
    epoch: int | None = None
    role: str = ""
    observer: str = ""


class ProbeDegraded(Event, frozen=True, kw_only=True):
    """The subject answered, and said or showed that it is not well."""

    n: int
    latency_us: int
    reason: str
    boot: str = ""
    epoch: int | None = None
    role: str = ""
    observer: str = ""


class ProbeFailed(Event, frozen=True, kw_only=True):
    """A probe of the subject failed; `late_us` is how late the observer itself was meanwhile."""

    n: int
    evidence: Evidence
    late_us: int = 0
    waited_us: int = 0
    detail: str = ""
    observer: str = ""


class ConnectionClosed(Event, frozen=True, kw_only=True):
    """The connection held open to the subject ended: closed or reset. A question, not a death."""

    evidence: Evidence
    observer: str = ""


class MessageAccepted(Event, frozen=True, kw_only=True):
    """The subject (a group) took a message; its seq is the message's place in the queue."""

    key: str
    lane: str
    size: int  # of the body [bytes]
    digest: bytes  # SHA-256 of the body


class MessageAcked(Event, frozen=True, kw_only=True):
    """The subject (a master) says that it has done `key` under `epoch`.

    `keeps` are the state blobs that it asks to be kept with it: key, size, digest as in StateKept.
    """

    key: str
    epoch: int
    keeps: tuple[tuple[str, int, bytes], ...] = ()


class Outcome(Event, frozen=True, kw_only=True):
    """How an effect on the subject (a master) ended.

    Its key is (failover, step, subject, epoch).
    """

    step: str
    failover: int  # 0: owed outside a failover
    epoch: int
    result: Result
    digest: str = ""  # of the state that the receiver confirmed
    detail: str = ""
    elapsed_us: int = 0


class Paused(Event, frozen=True, kw_only=True):
    """No new failover of the subject (a group or the fleet) until then; 0: until resumed."""

    until_us: int
    reason: str
    author: str
    at_rest: bool = False


class Resumed(Event, frozen=True, kw_only=True):
    """The pause of the subject was ended."""

    author: str
    at_rest: bool = False


class Approved(Event, frozen=True, kw_only=True):
    """A person lets the subject's waiting failover go."""

    author: str
    at_rest: bool = False


class Released(Event, frozen=True, kw_only=True):
    """A person lifts what brakes the subject: `scope` is hold-down, limit, fence or any.

    The fence of a master is lifted for its group: the person vouches that it cannot act. Any: the
    fence of a master, both brakes of a group.
    """

    scope: str
    author: str
    at_rest: bool = False


class SwitchoverAsked(Event, frozen=True, kw_only=True):
    """A planned change of the subject's active master was asked for; `to` may be empty."""

    to: str
    author: str
    at_rest: bool = False


class FailoverAsked(Event, frozen=True, kw_only=True):
    """A forced failover of the subject was asked for; `to` may be empty."""

    to: str
    author: str
    at_rest: bool = False


class StrategyAsked(Event, frozen=True, kw_only=True):
    """Another balancing strategy was asked for."""

    strategy: str
    author: str
    at_rest: bool = False


class ExclusionAsked(Event, frozen=True, kw_only=True):
    """The subject shall never be chosen (or may be again)."""

    excluded: bool
    reason: str
    author: str
    at_rest: bool = False


class MaintenanceDeclared(Event, frozen=True, kw_only=True):
    """The subject is, will be or was under maintenance."""

    from_us: int
    to_us: int
    reason: str
    author: str
    at_rest: bool = False


class RollbackRequested(Event, frozen=True, kw_only=True):
    """The subject (a group) shall go back to `control`, what the log gave at `position`."""

    position: int
    control: GroupControl
    digest: str
    author: str
    force: bool = False
    at_rest: bool = False


class CheckpointMarked(Event, frozen=True, kw_only=True):
    """This place in the log has a name from here on."""

    name: str
    author: str
    at_rest: bool = False


class DeadlinePassed(Event, frozen=True, kw_only=True):
    """A deadline of the subject passed; it is stamped with the time it was due."""

    what: str


class LogBased(Event, frozen=True, kw_only=True):
    """The log begins here: what came before adds up to `state`, its chain to `chain`.

    It stands at the seq of the last event that it replaces.
    """

    state: bytes
    seq: int
    chain: bytes


# Decisions.


class PolicyAdopted(Event, frozen=True, kw_only=True):
    """This policy is in force from here on."""

    policy: Policy
    digest: str


class MasterAdded(Event, frozen=True, kw_only=True):
    """The subject belongs to the fleet, or is declared anew."""

    master: Master


class MasterRemoved(Event, frozen=True, kw_only=True):
    """The subject no longer belongs to the fleet."""

    group: str


class MasterHealthy(Event, frozen=True, kw_only=True):
    """The subject is well."""

    evidence: tuple[int, ...]
    rule: str
    figures: Figures = ()


class MasterDegraded(Event, frozen=True, kw_only=True):
    """The subject serves, but not well."""

    evidence: tuple[int, ...]
    rule: str
    figures: Figures = ()


class MasterFailed(Event, frozen=True, kw_only=True):
    """The subject has failed; `hard` evidence leaves no doubt that its process is gone."""

    evidence: tuple[int, ...]
    hard: bool
    rule: str
    figures: Figures = ()


class MasterRecovering(Event, frozen=True, kw_only=True):
    """The subject answers again and has to prove itself."""

    evidence: tuple[int, ...]
    rule: str
    figures: Figures = ()


class MasterUnknown(Event, frozen=True, kw_only=True):
    """Nothing was heard of the subject for too long to know."""

    rule: str
    figures: Figures = ()


class Activated(Event, frozen=True, kw_only=True):
    """The subject serves under `epoch`, without a failover."""

    epoch: int
    rule: str


class ActivationLost(Event, frozen=True, kw_only=True):
    """The subject, active under `epoch`, answered as if it knew nothing of it."""

    epoch: int
    found: int
    evidence: tuple[int, ...]


class FailoverProposed(Event, frozen=True, kw_only=True):
    """What an engine that acts would do now."""

    why: str
    source: str
    heir: str
    table: tuple[Verdict, ...]
    evidence: tuple[int, ...] = ()


class FailoverStarted(Event, frozen=True, kw_only=True):
    """The subject (a group) changes its active master."""

    id: int
    why: str  # failed, activation-lost, headless, first, switchover, forced, rollback
    source: str  # "" if nobody was active
    to: str  # the master that was asked for; "" if the best is taken
    planned: bool  # the source is drained and the target looked at first
    waits: str  # preflight, approval, hold-down, limit; "" if it goes on at once
    counts: bool  # towards the limit of the group
    evidence: tuple[int, ...] = ()


class ApprovalGiven(Event, frozen=True, kw_only=True):
    """The waiting failover may go on."""


class AttemptStarted(Event, frozen=True, kw_only=True):
    """The failover tries `heir` under `epoch`; the table says why it and none of the others."""

    n: int
    heir: str
    epoch: int
    table: tuple[Verdict, ...]


class MasterFenced(Event, frozen=True, kw_only=True):
    """The subject may not act any more; what it had is in the queue again.

    It stays out until it confirms the epoch `confirm_at`.
    """

    revokes: int  # the epoch of the activation that ends here; 0: it had none
    confirm_at: int
    requeued: int  # messages that went back to the front of the queue [count]
    first: int  # the first and the last of them [seq]; 0: none
    last: int
    digest: str  # SHA-256 of their seqs
    reason: str


class FenceConfirmed(Event, frozen=True, kw_only=True):
    """The subject cannot act under an older epoch: it answered, was restarted, or was released."""

    epoch: int
    how: str


class MasterRejoined(Event, frozen=True, kw_only=True):
    """The fenced subject confirmed `epoch` and stands by."""

    epoch: int


class TransferStarted(Event, frozen=True, kw_only=True):
    """The group's kept state goes to the subject: all blobs or none."""

    digest: str
    count: int


class PromotionStarted(Event, frozen=True, kw_only=True):
    """The subject confirmed the state `digest` and is promoted under `epoch`."""

    epoch: int
    digest: str


class VerificationStarted(Event, frozen=True, kw_only=True):
    """The subject was promoted and has to do real work."""


class Switched(Event, frozen=True, kw_only=True):
    """The subject is the group's active master under `epoch`."""

    epoch: int


class SwitchDone(Event, frozen=True, kw_only=True):
    """All traffic goes to the subject."""

    epoch: int


class MessagesAssigned(Event, frozen=True, kw_only=True):
    """All queued messages up to `upto` are the subject's, under `epoch`."""

    epoch: int
    upto: int


class StateKept(Event, frozen=True, kw_only=True):
    """The subject (a group) keeps this blob for its masters; a later one of `key` replaces it.

    It was asked for with an acknowledgement that counted, so none comes while a failover moves
    what is kept.
    """

    key: str
    size: int  # [bytes]; -1: the key is dropped
    digest: bytes


class MessageDone(Event, frozen=True, kw_only=True):
    """The message is done: the master it was assigned to acknowledged it under its epoch."""

    key: str


class AttemptFailed(Event, frozen=True, kw_only=True):
    """The subject could not take over; `maybe_active`: it may act all the same."""

    reason: str
    maybe_active: bool


class Compensated(Event, frozen=True, kw_only=True):
    """What the failed attempt left is undone or fenced."""


class FailoverEnded(Event, frozen=True, kw_only=True):
    """The subject's failover is over: completed or abandoned."""

    id: int
    result: str
    reason: str
    phases: Figures  # the time of each phase [us]
    hold_until_us: int
    retry_at_us: int


class StrategyChanged(Event, frozen=True, kw_only=True):
    """The subject balances by this strategy."""

    strategy: str


class ExclusionChanged(Event, frozen=True, kw_only=True):
    """The subject may not be chosen, or may again."""

    excluded: bool
    reason: str


class Refused(Event, frozen=True, kw_only=True):
    """A command was refused, with every reason."""

    what: str
    reasons: tuple[str, ...]


class RollbackAccepted(Event, frozen=True, kw_only=True):
    """The subject's control is `after` from here on, but for its master, which is switched."""

    before: GroupControl
    after: GroupControl
    digest: str
    position: int
    force: bool = False


class RollbackEnded(Event, frozen=True, kw_only=True):
    """The rollback is over: complete or incomplete; `digest` is that of the control now."""

    result: str
    digest: str


class DrainStarted(Event, frozen=True, kw_only=True):
    """The subject finishes what it has and gets nothing new."""

    reason: str


class DrainCancelled(Event, frozen=True, kw_only=True):
    """The subject serves on as before."""


class DrainEnded(Event, frozen=True, kw_only=True):
    """The subject has nothing left and stands by."""


Observation: TypeAlias = (
    EngineStarted
    | EngineResumed
    | ConfigurationLoaded
    | ProbeOk
    | ProbeDegraded
    | ProbeFailed
    | ConnectionClosed
    | MessageAccepted
    | MessageAcked
    | Outcome
    | Paused
    | Resumed
    | Approved
    | Released
    | SwitchoverAsked
    | FailoverAsked
    | StrategyAsked
    | ExclusionAsked
    | MaintenanceDeclared
    | RollbackRequested
    | CheckpointMarked
    | DeadlinePassed
    | LogBased
)
Decision: TypeAlias = (
    PolicyAdopted
    | MasterAdded
    | MasterRemoved
    | MasterHealthy
    | MasterDegraded
    | MasterFailed
    | MasterRecovering
    | MasterUnknown
    | Activated
    | ActivationLost
    | FailoverProposed
    | FailoverStarted
    | ApprovalGiven
    | AttemptStarted
    | MasterFenced
    | FenceConfirmed
    | MasterRejoined
    | TransferStarted
    | PromotionStarted
    | VerificationStarted
    | Switched
    | SwitchDone
    | MessagesAssigned
    | StateKept
    | MessageDone
    | AttemptFailed
    | Compensated
    | FailoverEnded
    | StrategyChanged
    | ExclusionChanged
    | Refused
    | RollbackAccepted
    | RollbackEnded
    | DrainStarted
    | DrainCancelled
    | DrainEnded
)
AnyEvent: TypeAlias = Observation | Decision


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event with its place in the log.

    Its fields may be given by position, a third faster, which only the loops that read a log do.
    """

    seq: int  # 1 for the first, no gaps
    at_us: int  # engine time; a deadline's is when it was due [us since the Unix epoch]
    subject: str  # the master, the group or the fleet that it is about
    cause: int  # seq of the direct trigger; 0 if it came from outside
    event: AnyEvent


# Frozen: add lines, never change or reuse a code. tests/engine/core/test_events.py holds them too.
KINDS: Final[dict[int, type[AnyEvent]]] = {
    1: EngineStarted,
    2: EngineResumed,
    3: ConfigurationLoaded,
    4: ProbeOk,
    5: ProbeDegraded,
    6: ProbeFailed,
    7: ConnectionClosed,
    8: MessageAccepted,
    9: MessageAcked,
    11: Outcome,
    12: Paused,
    13: Resumed,
    14: Approved,
    15: Released,
    16: SwitchoverAsked,
    17: FailoverAsked,
    18: StrategyAsked,
    19: ExclusionAsked,
    20: MaintenanceDeclared,
    21: RollbackRequested,
    22: CheckpointMarked,
    23: DeadlinePassed,
    24: LogBased,
    101: PolicyAdopted,
    102: MasterAdded,
    103: MasterRemoved,
    104: MasterHealthy,
    105: MasterDegraded,
    106: MasterFailed,
    107: MasterRecovering,
    108: MasterUnknown,
    109: Activated,
    110: ActivationLost,
    111: FailoverProposed,
    112: FailoverStarted,
    113: ApprovalGiven,
    114: AttemptStarted,
    115: MasterFenced,
    116: FenceConfirmed,
    117: MasterRejoined,
    118: TransferStarted,
    119: PromotionStarted,
    120: VerificationStarted,
    121: Switched,
    122: SwitchDone,
    123: MessagesAssigned,
    124: MessageDone,
    125: AttemptFailed,
    126: Compensated,
    127: FailoverEnded,
    128: StrategyChanged,
    129: ExclusionChanged,
    130: Refused,
    131: RollbackAccepted,
    132: RollbackEnded,
    133: DrainStarted,
    134: DrainCancelled,
    135: DrainEnded,
    136: StateKept,
}
OBSERVATIONS: Final[frozenset[type]] = frozenset(get_args(Observation))
_CODES: Final[dict[type, int]] = {event_type: code for code, event_type in KINDS.items()}
_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic")
_DECODERS: Final = {code: msgspec.msgpack.Decoder(kind) for code, kind in KINDS.items()}


def encode(event: AnyEvent) -> tuple[int, bytes]:
    """Return the columns `kind` and `payload` of `event`."""
    return _CODES[type(event)], _ENCODER.encode(event)


def decode(kind: int, payload: bytes, *, seq: int) -> AnyEvent:
    """Return the event of a row.

    Raises:
        LogTooNew: This release does not know `kind`.
        LogCorrupted: The payload is not one of `kind`, or holds more fields than it has.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise LogTooNew(f"event {seq}: expected a known kind, found {kind}")
    try:
        return decoder.decode(payload)
    except msgspec.DecodeError as err:
        raise LogCorrupted(seq, str(err)) from err


def jsonable(recorded: Recorded) -> dict[str, object]:
    """Return what `events --json` shows of an event, but for its time: names for codes."""
    fields = recorded.event.__struct_fields__
    return {
        "seq": recorded.seq,
        "kind": type(recorded.event).__name__,
        "subject": recorded.subject,
        "cause": recorded.cause,
        "data": {
            name: msgspec.to_builtins(_readable(getattr(recorded.event, name))) for name in fields
        },
    }


def _readable(value: object) -> object:
    """Return `value` with structs stored as arrays opened to maps, and bytes as hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, msgspec.Struct):
        return {name: _readable(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        pairs = bool(value) and all(
            isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
            for item in value
        )
        return dict(value) if pairs else [_readable(item) for item in value]
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    return value
