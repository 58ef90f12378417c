"""Decisions: what the engine concluded, as the log holds it (the rules are in events.py)."""

from typing import TypeAlias

from engine.core.facts import Event, Figures, GroupControl, Verdict
from engine.core.fleet import Master
from engine.core.policy import Policy


class PolicyAdopted(Event, frozen=True, kw_only=True):
    """This policy is in force from here on."""

    policy: Policy
    digest: str


class MasterAdded(Event, frozen=True, kw_only=True):
    """The subject belongs to the fleet, or is declared anew."""

    master: Master
    by_command: bool = False  # no file owns it: one that does not name it leaves it there


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
    found: int  # what it answered under; `epoch`: it says that it does not act, and another does
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
    # failed, suspected, activation-lost, headless, first, switchover, forced, rollback, failback
    why: str
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
    """The subject confirmed the state `digest` and is promoted under `epoch`.

    `lacks`: so much of what another master has is lost with it, as the policy allows [bytes].
    """

    epoch: int
    digest: str
    lacks: int = 0


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
    failback_to: str = ""  # the master that gets its place back when it was well for long enough
    failback_us: int = 0  # and not before


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


class FollowChanged(Event, frozen=True, kw_only=True):
    """The subject follows `active`, as it was told under `epoch`; "": it follows nobody."""

    epoch: int  # of the activation, or of the attempt that it was detached for; 0: not as told
    active: str


class HookStarted(Event, frozen=True, kw_only=True):
    """A program of the operator is run around a step on the subject: `hook` says which."""

    hook: str  # before-fence, after-fence … after-switch
    failover: int
    epoch: int


class HookEnded(Event, frozen=True, kw_only=True):
    """That program has ended; a step waits for the one before it, nobody for the one after it."""

    hook: str
    failover: int
    epoch: int
    result: str
    reason: str = ""


class RecoveryStarted(Event, frozen=True, kw_only=True):
    """The failed subject is healed by a program, for the `n`-th time since it was well."""

    n: int
    attempts: int  # that there may be [count]
    again_at_us: int  # the next one comes no earlier
    evidence: tuple[int, ...] = ()


class DrainStarted(Event, frozen=True, kw_only=True):
    """The subject finishes what it has and gets nothing new."""

    reason: str


class DrainCancelled(Event, frozen=True, kw_only=True):
    """The subject serves on as before."""


class DrainEnded(Event, frozen=True, kw_only=True):
    """The subject has nothing left and stands by."""


class ObserversDisagree(Event, frozen=True, kw_only=True):
    """Some observers say that the subject has failed, and at least as many that it answers.

    There is no verdict while that is so: which of them is cut off cannot be told from here.
    """

    against: tuple[str, ...]  # who says that it has failed; "" is the engine itself
    well: tuple[str, ...]  # who has heard it since
    evidence: tuple[int, ...]
    figures: Figures = ()


class ObserversAgree(Event, frozen=True, kw_only=True):
    """The observers of the subject contradict one another no more."""

    evidence: tuple[int, ...]


class MasterEjected(Event, frozen=True, kw_only=True):
    """The subject gets no traffic for a while: its requests fail much more than those of others."""

    until_us: int
    times: int  # in a row [count]
    rule: str  # failures: a share of them; successes: beside the share of the others
    figures: Figures
    evidence: tuple[int, ...]


class MasterReadmitted(Event, frozen=True, kw_only=True):
    """The subject was ejected, and gets traffic again."""


class FlappingStarted(Event, frozen=True, kw_only=True):
    """The subject answers and fails by turns: it is not trusted until that ends."""

    percent_ppm: int  # of the last checks that differ from the one before, newer ones weigh more
    figures: Figures = ()


class FlappingEnded(Event, frozen=True, kw_only=True):
    """The subject is steady again."""

    percent_ppm: int
    figures: Figures = ()


class DoubtChanged(Event, frozen=True, kw_only=True):
    """The engine doubts itself, or does no more.

    Every master fails at once and none refuses: the observer may be cut off.
    """

    doubted: bool
    failing: int  # masters whose last probe failed, and was not refused [count]
    masters: int  # that it watches [count]


class AlertPending(Event, frozen=True, kw_only=True):
    """A condition began to hold, of which people hear if it lasts; about whatever has it."""

    kind: str
    figures: Figures = ()


class AlertRaised(Event, frozen=True, kw_only=True):
    """A condition has held since `since_us` for as long as its severity asks for."""

    kind: str
    severity: str  # warning, critical
    since_us: int
    figures: Figures = ()
    evidence: tuple[int, ...] = ()


class AlertCleared(Event, frozen=True, kw_only=True):
    """The condition is over; `alert` is the event that raised it first, 0 if none had."""

    kind: str
    alert: int
    lasted_us: int


class SwitchoverScheduled(Event, frozen=True, kw_only=True):
    """The subject (a group) changes its active master at `due_us`, if it is fit to do so then."""

    to: str  # "": the best
    due_us: int
    author: str


class ScheduleEnded(Event, frozen=True, kw_only=True):
    """The subject's scheduled switchover was begun, refused, cancelled or replaced."""

    scheduled: int  # seq of the SwitchoverScheduled
    how: str
    reasons: tuple[str, ...] = ()  # why it was refused when it was due


class DrainChanged(Event, frozen=True, kw_only=True):
    """The subject rests, or may serve and be chosen again."""

    drained: bool
    reason: str


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
    | FollowChanged
    | HookStarted
    | HookEnded
    | RecoveryStarted
    | ObserversDisagree
    | ObserversAgree
    | MasterEjected
    | MasterReadmitted
    | FlappingStarted
    | FlappingEnded
    | DoubtChanged
    | AlertPending
    | AlertRaised
    | AlertCleared
    | SwitchoverScheduled
    | ScheduleEnded
    | DrainChanged
)
