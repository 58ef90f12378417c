"""What is followed of a log to judge it: a record of each master and group, nothing of the past."""

from typing import Final

from engine.core import events as ev
from engine.core.fleet import Health, Role
from engine.core.policy import GroupPolicy
from engine.core.state import GroupState, MasterState, Phase, State


class Followed:
    """One master, as the events tell of it."""

    __slots__ = (
        "acts", "boot", "fence", "good_us", "group", "healings", "heals_again_us", "health",
        "is_barred", "is_drained", "is_excluded", "is_out", "lag_us", "maintenance", "n", "name",
        "observers", "position", "role", "says",
    )  # fmt: skip

    def __init__(self, name: str, group: "FollowedGroup") -> None:
        self.name = name
        self.group = group
        self.health = Health.UNKNOWN
        self.role = Role.STANDBY
        self.good_us = 0  # the last good probe that was in order
        self.n = 0  # the newest number of the engine's own probes
        self.observers: dict[str, int] = {}  # the same of other observers
        self.acts = False  # it holds an activation, or an attempt at one
        self.fence = 0  # the epoch that it has to confirm; 0: none is open
        self.is_barred = False  # it is fenced, and was confirmed not to act
        self.says = ""  # its role, in the newest answer
        self.is_excluded = self.is_drained = False
        self.maintenance: list[tuple[int, int]] = []  # from, to [us]
        self.is_out = False  # it is ejected
        self.healings = 0  # attempts to heal it since it was well [count]
        self.heals_again_us = 0  # the next one comes no earlier
        self.boot = ""  # of the process that said how fresh its data is
        self.position = -1  # of its data; -1: it does not say
        self.lag_us = -1

    def is_in_order(self, n: int, observer: str) -> bool:
        """Return whether a probe of this number counts, and take note of it."""
        if not observer:
            newest, self.n = self.n, max(self.n, n)
            return n > newest
        newest = self.observers.get(observer, 0)
        self.observers[observer] = max(newest, n)
        return n > newest

    def answers(self, boot: str) -> None:
        """Take which process answers; another one may not have what the last one said it had."""
        if boot and self.boot and boot != self.boot:
            self.position = self.lag_us = -1
        self.boot = boot or self.boot

    def reports(self, event: ev.LoadReported) -> None:
        """Take how fresh its data is."""
        self.position = event.position if event.position >= 0 else self.position
        self.lag_us = event.lag_us if event.lag_us >= 0 else self.lag_us


class FollowedGroup:
    """One group, as the events tell of it."""

    __slots__ = (
        "accepted", "acting", "attempts", "counted_us", "done", "epoch", "failover", "force",
        "heir", "hook", "hook_result", "hooks", "id", "is_approved", "maintenance", "masters",
        "open", "owned", "phase", "policy", "queued", "refused", "spent", "started_us",
    )  # fmt: skip

    def __init__(self, name: str, policy: GroupPolicy) -> None:
        self.id = name
        self.policy = policy
        self.masters: dict[str, Followed] = {}
        self.acting: set[str] = set()  # who holds an activation, or an attempt at one
        self.epoch = 0  # the newest one drawn
        self.phase = Phase.IDLE
        self.failover: ev.FailoverStarted | None = None  # the open one
        self.started_us = 0  # when it was
        self.attempts = 0
        self.heir = ""
        self.spent: set[str] = set()
        self.hook = ""  # the program before a step that runs
        self.hook_result = ""  # how it ended, "" before that
        self.hooks: set[str] = set()  # those of this attempt that have let their step begin
        self.refused = ""  # the one that has not
        self.is_approved = False
        self.force = False  # the newest rollback takes a master that looks unfit
        self.counted_us: list[int] = []  # starts that count towards the limit
        self.maintenance: list[tuple[int, int]] = []
        self.open: dict[str, int] = {}  # messages that are not done: the seq of each key
        self.queued: dict[str, int] = {}  # those of them that nobody has
        self.owned: dict[str, dict[str, None]] = {}  # those that a master has
        self.done: set[str] = set()


class Book:
    """All that is followed."""

    def __init__(self) -> None:
        self.groups: Final[dict[str, FollowedGroup]] = {}
        self.masters: Final[dict[str, Followed]] = {}
        self.maintenance: list[tuple[int, int]] = []  # of the fleet

    def group_of(self, subject: str) -> FollowedGroup | None:
        """Return the group that a subject is, or belongs to."""
        master = self.masters.get(subject)
        return self.groups.get(subject) if master is None else master.group

    def begin(self, state: State) -> None:
        """Take up a log that begins with `state`."""
        self.groups.clear()
        self.masters.clear()
        self.maintenance = list(state.fleet.maintenance)
        for part in state.groups.values():
            group = FollowedGroup(part.id, state.policy_of(part))
            self.groups[part.id] = group
            _begin_group(group, part)
            for name, master in part.masters.items():
                self.masters[name] = group.masters[name] = _begun(name, group, master)

    def adopt(self, event: ev.PolicyAdopted) -> None:
        """Take the policy that holds from here on."""
        for name, policy in event.policy.groups.items():
            known = self.groups.get(name)
            if known is None:
                self.groups[name] = FollowedGroup(name, policy)
            else:
                known.policy = policy
        for name in [name for name in self.groups if name not in event.policy.groups]:
            del self.groups[name]

    def add(self, name: str, event: ev.MasterAdded) -> None:
        """Take a master that belongs to the fleet, or is declared anew."""
        if name not in self.masters and event.master.group in self.groups:
            group = self.groups[event.master.group]
            self.masters[name] = group.masters[name] = Followed(name, group)

    def remove(self, name: str) -> None:
        """Forget a master; one that is added later under its name is another one."""
        master = self.masters.pop(name, None)
        if master is not None:
            master.group.masters.pop(name, None)
            master.group.acting.discard(name)


def _begin_group(group: FollowedGroup, part: GroupState) -> None:
    group.epoch = part.epoch
    group.maintenance = list(part.maintenance)
    group.counted_us = list(part.counted_us)
    for seq, message in part.ledger.open.items():
        if message.master:
            group.owned.setdefault(message.master, {})[message.key] = None
        else:
            group.queued[message.key] = seq
    group.open = dict(part.ledger.by_key)
    group.done = set(part.ledger.done)
    if part.rollback is not None:
        group.force = part.rollback.force
    saga = part.saga
    if saga is not None:
        group.phase = saga.phase
        group.attempts, group.heir, group.spent = saga.attempt, saga.heir, set(saga.spent)
        group.is_approved, group.started_us = saga.is_approved, saga.started_us
        group.hook, group.hooks = saga.hook, set(saga.hooks)
        group.failover = ev.FailoverStarted(
            id=saga.id, why=saga.why, source=saga.source, to=saga.to, planned=saga.planned,
            waits=saga.waits, counts=saga.counts,
        )  # fmt: skip


def _begun(name: str, group: FollowedGroup, master: MasterState) -> Followed:
    found = Followed(name, group)
    found.health, found.role = master.health, master.role
    found.good_us = master.good_us
    found.observers = dict(master.observers)
    found.n = found.observers.pop("", 0)
    found.acts = master.role in (Role.ACTIVE, Role.PROMOTING, Role.DRAINING)
    if found.acts:
        group.acting.add(name)
    if master.fence is not None:
        found.is_barred = master.fence.is_confirmed
        found.fence = 0 if found.is_barred else master.fence.confirm_at
    found.says = master.reported_role
    found.is_excluded, found.is_drained = master.is_excluded, master.is_drained
    found.is_out = master.ejected is not None and master.ejected.is_out
    if master.recovery is not None:
        found.healings = master.recovery.n
        found.heals_again_us = master.recovery.again_at_us
    found.maintenance = list(master.maintenance)
    found.boot = master.boot
    if master.report is not None:
        found.position, found.lag_us = master.report.position, master.report.lag_us
    return found


def is_maintained(master: Followed, at_us: int, book: Book) -> bool:
    """Return whether somebody is at work on a master."""
    windows = (*master.maintenance, *master.group.maintenance, *book.maintenance)
    return any(from_us <= at_us < to_us for from_us, to_us in windows)


def rests(master: Followed, at_us: int, book: Book) -> bool:
    """Return whether somebody wants a master not to serve."""
    return master.is_excluded or master.is_drained or is_maintained(master, at_us, book)


def unfit(heir: Followed, at_us: int, book: Book, *, is_asked: bool, is_forced: bool) -> list[str]:
    """Return why it may not be an heir; who asks for it need not know that it is well."""
    probe = heir.group.policy.probe
    reasons = [
        reason
        for reason, holds in (
            ("fenced", heir.role is Role.FENCED),
            ("serving", heir.acts),
            ("excluded", heir.is_excluded),
            ("maintenance", is_maintained(heir, at_us, book)),
        )
        if holds
    ]
    if heir.health in (Health.FAILED, Health.RECOVERING) and not is_forced:
        reasons.append(heir.health.value)
    if not is_asked and heir.health is Health.UNKNOWN:
        reasons.append("unknown")
    if not is_asked and at_us - heir.good_us > 2 * probe.interval_us + probe.timeout_us:
        reasons.append(f"last good {at_us - heir.good_us} us ago")
    return reasons


def stale(heir: Followed, at_us: int, book: Book) -> str:
    """Return why the data of an heir is too old, beside those of others who are ready; "" if not.

    A master of which something is expected, and that says nothing, is as far behind as can be.
    """
    failover = heir.group.policy.failover
    if failover.allow_loss:
        return ""
    if failover.lag_us_max and heir.lag_us > failover.lag_us_max:
        return f"it lags by {heir.lag_us} us"
    if failover.behind_max < 0:
        return ""
    for other in heir.group.masters.values():
        behind = other.position - heir.position
        if behind <= failover.behind_max or other.name in heir.group.spent:
            continue
        if not unfit(other, at_us, book, is_asked=False, is_forced=False):
            return f"{other.name} is ready, and {behind} ahead"
    return ""
