"""What happened: the closed set of facts that the log may hold.

An observation is a fact from outside, a decision is what the engine concluded; names are past
tense. `seq`, `at_us`, `subject` and `cause` are columns of the row (`Recorded`); the payload is
a msgpack array of the event's own fields. So a stored event is never changed: a new field goes
to the end with a default, a new meaning gets a new class and a new code, no code is used twice.
What has an old code is read as an event of today (`RETIRED`; the rules are in upcasting.py).

The kinds are in observed.py and decided.py; here are their codes, and how they are stored and read.
Everything else imports events from here.

Subjects: what is about one master has the master's id, what is about a group the group's id, the
rest `FLEET`. Seqs in `evidence` point to earlier events.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias, get_args

import msgspec

from engine.core.decided import (
    Activated,
    ActivationLost,
    AlertCleared,
    AlertPending,
    AlertRaised,
    ApprovalGiven,
    AttemptFailed,
    AttemptStarted,
    Compensated,
    Decision,
    DoubtChanged,
    DrainCancelled,
    DrainChanged,
    DrainEnded,
    DrainStarted,
    ExclusionChanged,
    FailoverEnded,
    FailoverProposed,
    FailoverStarted,
    FenceConfirmed,
    FlappingEnded,
    FlappingStarted,
    FollowChanged,
    HookEnded,
    HookStarted,
    MasterAdded,
    MasterDegraded,
    MasterEjected,
    MasterFailed,
    MasterFenced,
    MasterHealthy,
    MasterReadmitted,
    MasterRecovering,
    MasterRejoined,
    MasterRemoved,
    MasterUnknown,
    MessageDone,
    MessagesAssigned,
    ObserversAgree,
    ObserversDisagree,
    PolicyAdopted,
    PromotionStarted,
    RecoveryStarted,
    Refused,
    RollbackAccepted,
    RollbackEnded,
    ScheduleEnded,
    StateKept,
    StrategyChanged,
    SwitchDone,
    Switched,
    SwitchoverScheduled,
    TransferStarted,
    VerificationStarted,
)
from engine.core.errors import LogCorrupted, LogTooNew
from engine.core.facts import FLEET as FLEET
from engine.core.facts import TRAFFIC as TRAFFIC
from engine.core.facts import Event
from engine.core.facts import Evidence as Evidence
from engine.core.facts import Figures as Figures
from engine.core.facts import GroupControl as GroupControl
from engine.core.facts import Result as Result
from engine.core.facts import Verdict as Verdict
from engine.core.observed import (
    AlertAcked,
    Approved,
    BodiesRemoved,
    CallsCounted,
    CheckpointMarked,
    ClockStepped,
    ConfigurationLoaded,
    ConnectionClosed,
    DeadlinePassed,
    DrainAsked,
    EngineResumed,
    EngineStarted,
    ExclusionAsked,
    FailoverAsked,
    FiguresDerived,
    FleetRollbackRequested,
    LoadReported,
    LogBased,
    MaintenanceDeclared,
    MasterAddAsked,
    MasterRemoveAsked,
    MessageAccepted,
    MessageAcked,
    Observation,
    ObservationsDropped,
    Outcome,
    Paused,
    ProbeDegraded,
    ProbeFailed,
    ProbeOk,
    Released,
    ResetAsked,
    Resumed,
    RollbackRequested,
    ScheduleCancelled,
    SpaceReturned,
    SpaceShort,
    StrategyAsked,
    SwitchoverAsked,
    UndoAsked,
)
from engine.core.plain import readable
from engine.core.upcasting import Retired, decoders, list_decoders

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
    25: ObservationsDropped,
    26: SpaceShort,
    27: SpaceReturned,
    28: BodiesRemoved,
    29: LoadReported,
    30: ClockStepped,
    31: FiguresDerived,
    32: CallsCounted,
    37: AlertAcked,
    38: ResetAsked,
    39: ScheduleCancelled,
    40: UndoAsked,
    41: DrainAsked,
    42: MasterAddAsked,
    43: MasterRemoveAsked,
    44: FleetRollbackRequested,
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
    137: ObserversDisagree,
    138: ObserversAgree,
    139: FlappingStarted,
    140: FlappingEnded,
    141: DoubtChanged,
    142: FollowChanged,
    143: HookStarted,
    144: HookEnded,
    145: RecoveryStarted,
    146: AlertPending,
    147: AlertRaised,
    148: AlertCleared,
    149: SwitchoverScheduled,
    150: ScheduleEnded,
    151: DrainChanged,
    152: MasterEjected,
    153: MasterReadmitted,
}
OBSERVATIONS: Final[frozenset[type]] = frozenset(get_args(Observation))


class StateKeptAt10(Event, frozen=True, kw_only=True):
    """StateKept under its first code, that of an observation: given as such, or decided upon.

    Logs of before 0.1.0 have it.
    """

    key: str
    size: int
    digest: bytes


# Frozen, as KINDS is: what was written once is read for ever.
RETIRED: Final[dict[int, Retired[Any, AnyEvent]]] = {
    10: Retired(
        name="StateKept",
        old=StateKeptAt10,
        kind=StateKept,
        upcast=lambda old: StateKept(key=old.key, size=old.size, digest=old.digest),
    ),
}
# What an event of each code is read as.
READ_AS: Final[dict[int, type[AnyEvent]]] = {
    **KINDS,
    **{code: before.kind for code, before in RETIRED.items()},
}
# By code; what has to be quick takes these, and names the event that cannot be read by `decode`.
DECODERS: Final = decoders(KINDS, RETIRED)
LIST_DECODERS: Final = list_decoders(KINDS, RETIRED)
_CODES: Final[dict[type, int]] = {event_type: code for code, event_type in KINDS.items()}
_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic")


def codes_of(kinds: Iterable[type[AnyEvent]]) -> frozenset[int]:
    """Return every code under which an event that is read as one of `kinds` may be stored."""
    wanted = frozenset(kinds)
    return frozenset(code for code, kind in READ_AS.items() if kind in wanted)


def encode(event: AnyEvent) -> tuple[int, bytes]:
    """Return the columns `kind` and `payload` of `event`."""
    return _CODES[type(event)], _ENCODER.encode(event)


def decode(kind: int, payload: bytes, *, seq: int) -> AnyEvent:
    """Return the event of a row: that of today, whatever release has stored it.

    Raises:
        LogTooNew: This release does not know `kind`.
        LogCorrupted: The payload is not one of `kind`, or holds more fields than it has.
    """
    decoder = DECODERS.get(kind)
    if decoder is None:
        raise LogTooNew(f"event {seq}: expected a known kind, found {kind}")
    try:
        return decoder(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
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
            name: msgspec.to_builtins(readable(getattr(recorded.event, name))) for name in fields
        },
    }
