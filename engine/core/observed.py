"""Observations: facts from outside, as the log holds them (the rules are in events.py).

`at_rest`: the command was given to a stopped log, so that nothing but itself is acted upon.
"""

from typing import TypeAlias

from engine.core.facts import Calls, Event, Evidence, Figures, GroupControl, Result
from engine.core.fleet import Master
from engine.core.policy import Policy


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
    author: str = ""  # who offered it to a running engine; "": its own file, at its start
    at_rest: bool = False


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
    # What an heir lacks of the data that another master has, where the policy lets that go [bytes].
    lacks: int = 0


class Paused(Event, frozen=True, kw_only=True):
    """No new failover of the subject (a group or the fleet) until then; 0: until resumed.

    `by_file`: a file beside the log says so, for as long as it is there.
    """

    until_us: int
    reason: str
    author: str
    at_rest: bool = False
    by_file: bool = False


class Resumed(Event, frozen=True, kw_only=True):
    """The pause of the subject was ended; `by_file`: the file that said so is gone."""

    author: str
    at_rest: bool = False
    by_file: bool = False


class Approved(Event, frozen=True, kw_only=True):
    """A person lets the subject's waiting failover go."""

    author: str
    at_rest: bool = False


class Released(Event, frozen=True, kw_only=True):
    """A person lifts what brakes the subject: `scope` is hold-down, limit, fence or any.

    The fence of a master is lifted for its group: the person vouches that it cannot act. Any: the
    fence of a master, both brakes of a group, the limit of the fleet.
    """

    scope: str
    author: str
    at_rest: bool = False


class SwitchoverAsked(Event, frozen=True, kw_only=True):
    """A planned change of the subject's active master was asked for; `to` may be empty."""

    to: str
    author: str
    at_rest: bool = False
    due_us: int = 0  # when it shall begin; 0: now


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


class AlertAcked(Event, frozen=True, kw_only=True):
    """A person has seen the alert: it is silenced, and nothing else follows.

    `alert` is the event that raised it first; the subject is the group or the fleet that has it.
    """

    alert: int
    author: str
    at_rest: bool = False


class ScheduleCancelled(Event, frozen=True, kw_only=True):
    """The switchover that the subject (a group) has scheduled shall not be."""

    author: str
    at_rest: bool = False


class UndoAsked(Event, frozen=True, kw_only=True):
    """The subject (a group) shall go back to `to`, which the failover left for `heir`."""

    failover: int
    to: str  # "": nobody was active before
    heir: str
    author: str
    at_rest: bool = False


class ResetAsked(Event, frozen=True, kw_only=True):
    """What was counted of the subject (a master, or a group and its masters) is forgotten."""

    author: str
    at_rest: bool = False


class DrainAsked(Event, frozen=True, kw_only=True):
    """The subject shall finish what it has and rest, or may serve again."""

    drained: bool
    reason: str
    author: str
    at_rest: bool = False


class MasterAddAsked(Event, frozen=True, kw_only=True):
    """A master shall belong to a group; the subject is the fleet, for it has no name there yet."""

    master: Master
    author: str
    at_rest: bool = False


class MasterRemoveAsked(Event, frozen=True, kw_only=True):
    """The subject shall no longer belong to the fleet."""

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


class FleetRollbackRequested(Event, frozen=True, kw_only=True):
    """Several groups shall go back at once to what the log gave at `position`, or none."""

    position: int
    controls: tuple[GroupControl, ...]
    digests: tuple[str, ...]  # of the controls, in their order
    author: str
    policy: Policy | None = None  # that of then; None: the policy in force stays
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


class ObservationsDropped(Event, frozen=True, kw_only=True):
    """What was only observed, up to the event `until`, is not kept any longer.

    What was decided stays, with all that it rested on. The log is folded from `state` on, which is
    truth, as that of `LogBased` is.
    """

    after: int  # what goes comes after this seq; what was before had gone already
    until: int  # seq that a sealed block ends with
    unseen: tuple[str, ...]  # masters of which nothing was observed up to `after`
    dropped: int  # by this and by every earlier one [count]
    chain: bytes  # of the log up to `until`, as it was
    stayed: bytes  # digest of what stayed, up to `until`
    state: bytes  # the fold of the events up to `until`, zlib
    why: str
    author: str = ""  # who asked for it; "": the engine, by its configuration
    at_rest: bool = False


class SpaceShort(Event, frozen=True, kw_only=True):
    """The disk is full: of the space that was kept for the log, `left` is there now.

    From here on until `SpaceReturned`, good probes that change nothing are not recorded.
    """

    left: int  # [bytes]
    reserve: int  # what is kept while there is space [bytes]


class SpaceReturned(Event, frozen=True, kw_only=True):
    """There is space again, and so much of it is kept for the log: every probe is recorded."""

    reserve: int  # [bytes]


class BodiesRemoved(Event, frozen=True, kw_only=True):
    """The bodies of these digests are not kept any longer: no open message and no state needs them.

    They go with the append of this event. What is accepted after it is there again.
    """

    digests: tuple[bytes, ...]  # SHA-256, as the events have them that named the bodies
    why: str
    author: str = ""  # who asked for it; "": the engine, by its configuration
    at_rest: bool = False


class LoadReported(Event, frozen=True, kw_only=True):
    """What the subject says of itself besides its health; -1: it does not say.

    What is not said anew is as it was. `observer` is who passed it on.
    """

    cpu_ppm: int = -1  # of all its processors [parts per million]
    memory_ppm: int = -1  # of what it may take [parts per million]
    queue: int = -1  # waiting [count]
    active: int = -1  # under way [count]
    errors_ppm: int = -1  # of what it was asked [parts per million]
    position: int = -1  # of its replication, in the unit of its kind; bytes for Redis
    lag_us: int = -1  # how far it says it is behind [us]
    lease_us: int = -1  # that it keeps by itself, without which it stops writing [us]; 0: none
    follows: str = ""  # whom it replicates: "host:port"
    observer: str = ""


class CallsCounted(Event, frozen=True, kw_only=True):
    """What the requests that went through the engine met at the masters of the subject's group.

    It is here only for a window in which some of them failed.
    """

    window_us: int
    calls: tuple[Calls, ...]  # of those that had any, by name


class ClockStepped(Event, frozen=True, kw_only=True):
    """The wall clock of the observer was set: no rule reads it, for engine time does not move."""

    offset_us: int  # the wall clock is ahead of engine time by this now [us]; negative: behind
    step_us: int  # by how much it was set since this was last said [us]


class FiguresDerived(Event, frozen=True, kw_only=True):
    """What the engine itself has counted about the subject in the last minute, beside its rules.

    `what` says where the figures come from: traffic, latency, disk, views or budget. They are here
    while they are out of the ordinary, or an alert rests on them.
    """

    what: str
    figures: Figures


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
    | ObservationsDropped
    | SpaceShort
    | SpaceReturned
    | BodiesRemoved
    | LoadReported
    | ClockStepped
    | CallsCounted
    | FiguresDerived
    | AlertAcked
    | ScheduleCancelled
    | UndoAsked
    | ResetAsked
    | DrainAsked
    | MasterAddAsked
    | MasterRemoveAsked
    | FleetRollbackRequested
)
