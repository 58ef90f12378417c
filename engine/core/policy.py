"""Every number a decision depends on: frozen, with its unit in its name.

The presets are those of `tanist check --help`: bench, lan, zone, region. Durations are integers in
microseconds, ratios parts per million. A policy is stored in the log as a whole; a new setting gets
a default that keeps what older logs meant, and is left out of the bytes while it has that. What is
left out is told by identity, so such a default is None, a truth value, a small number, an empty
string or container, or a member of an enumeration.
"""

import enum
import hashlib
from typing import Final

import msgspec

from engine.core import suspicion
from engine.core.fleet import Master, Mode

MS: Final = 1_000  # [us]
SECOND: Final = 1_000_000  # [us]
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
GIB: Final = 1 << 30  # [bytes]


class Automation(enum.Enum):
    """How far the engine goes by itself."""

    OBSERVE = "observe"  # logs what it would do
    CONFIRM = "confirm"  # prepares, and waits for an approval
    AUTO = "auto"  # acts


class FenceKind(enum.Enum):
    """What keeps a master that was left from doing harm."""

    GATE = "gate"  # all acknowledgements pass an epoch check, so the committed epoch is the fence
    CONFIRMED = "confirmed"  # the master said so, or its boot id changed
    LEASE = "lease"  # or its lease has run out, for which it stops writing by itself


class Secret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a secret is, never what it is: a variable of the environment, or a file."""

    env: str = ""
    file: str = ""

    def __str__(self) -> str:
        return f"${self.env}" if self.env else self.file


class Phi(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the adaptive detector doubts: by what is usual for this master (see suspicion.py)."""

    threshold_milli: int  # it has failed at this phi: one false alarm in 10 ** phi [1/1000]
    deviation_us_min: int  # intervals are never taken for steadier than this [us, > 0]
    warm_up: int  # intervals seen before phi is believed [count, >= 1]
    suspicion_us_min: int = 0  # a first vote waits this long where all confirm it [us]
    suspicion_us_max: int = 0  # and this long where nobody does [us]; 0: no vote waits
    confirmations: int = 3  # of other observers that shorten it to the least [count, >= 1]


class Probe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a master is watched, and when what was seen becomes a verdict."""

    kind: str  # http, https, tcp, redis, command, push or python
    path: str  # of the URL that is asked, by http and https
    interval_us: int  # from the start of one probe to the start of the next [us, > 0]
    timeout_us: int  # an answer later than this is overdue [us, > 0]
    recheck_us: int  # the interval after a failed probe [us, > 0]
    rise: int  # good answers in a row until healthy again [count, >= 1]
    fall: int  # failed probes in a row until failed [count, >= 1]
    hold_open: bool  # keep one connection open: its end is the earliest sign
    late_us_max: int  # a time-out seen while the observer was later than this does not count [us]
    unknown_after_us: int  # silence until unknown [us]; 0: never
    verify: bool = True  # under TLS the certificate has to be good for the host
    ca: str = ""  # a file of the certificates that are trusted; "": those of the machine
    send: str = ""  # over tcp, once the connection is open
    expect: str = ""  # what has to come over tcp; "": that it opens is enough
    user: str = ""  # whom to log in as, at redis
    password: Secret | None = None  # of that user, or of the default one
    command: tuple[str, ...] = ()  # a program and its arguments
    phi: Phi | None = None  # the adaptive detector; None: consecutive failures only
    flap_high_ppm: int = 0  # of changed results, from which a master flaps [ppm]; 0: none ever does
    flap_low_ppm: int = 0  # and up to which it is steady again [ppm]
    slow_us: int = 0  # an answer that took longer is a poor one [us]; 0: none is


class Observers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many observers have to agree that a master has failed."""

    quorum: int  # the engine itself included [count, >= 1]
    vote_ttl_us: int  # what another observer said holds for this long by arrival [us]


class Degraded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """From where on a master serves, but not well, by what it says of itself; 0: no limit."""

    cpu_ppm: int = 0  # more than this of its processors [parts per million]
    memory_ppm: int = 0  # of its memory [parts per million]
    queue: int = 0  # waiting [count]
    errors_ppm: int = 0  # of what it was asked [parts per million]
    reports: int = 3  # in a row beyond a limit, and within all of them to be well [count, >= 1]
    silent_after_us: int = 0  # since it last spoke of its load [us]; 0: silence says nothing


class Fence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a master that is left is kept from acting."""

    kind: FenceKind
    clients: str  # "direct": they hold the master's own address; "route": they ask the engine
    lease_us: int = 0  # LEASE: a master that nobody renews has stopped by then [us]


class Failover(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a failover starts, how long it may take, and what brakes it."""

    deadline_us: int  # of the whole failover [us]
    step_timeout_us: int  # of one step [us]
    attempts_max: int  # candidates tried in one failover [count, >= 1]
    delay_crash_us: int  # between failed and selecting on hard evidence [us]
    delay_staleness_us: int  # the same on soft evidence [us]
    hold_down_us: int  # after a completed failover, soft evidence waits this long [us]
    limit: int  # failovers of the group within `limit_window_us` [count]; 0: none
    limit_window_us: int
    grace_us: int  # after a start, evidence is awaited this long [us]
    failback: str  # "auto": after `failback_us`; "manual", "never": only when a person asks for it
    lag_us_max: int = 0  # an heir that says it is further behind is passed over [us]; 0: any
    behind_max: int = -1  # the same, behind the newest position known, in its unit; -1: any
    allow_loss: bool = False  # both only rank: what was acknowledged may be lost
    failback_us: int = 0  # who was left has to be well for so long to get its place back [us]


class Messages(msgspec.Struct, frozen=True, kw_only=True):
    """How messages are delivered."""

    deliver_timeout_us: int  # unacknowledged for this long: sent again [us]
    remember_max: int = 100_000  # keys of finished messages kept to refuse a repeat [count]
    open_max: int = 100_000  # accepted and not done; what comes beyond is refused [count]


class FleetPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What brakes the failovers of all groups together."""

    limit: int  # failovers of all groups within `window_us` [count]
    share_ppm: int  # the same as a share of the groups, where that is more [parts per million]
    window_us: int

    def most(self, groups: int) -> int:
        """Return how many failovers go on by themselves in a fleet of so many groups; 0: any.

        Example:
            >>> quarter = FleetPolicy(limit=2, share_ppm=250_000, window_us=HOUR)
            >>> [quarter.most(groups) for groups in (1, 11, 12)]
            [2, 2, 3]
        """
        return max(self.limit, groups * self.share_ppm // 1_000_000)


class AlertPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When people have to hear of a condition: how long it may last before [us]; 0: never."""

    no_heir_warning_us: int  # nobody could take over
    no_heir_critical_us: int
    failovers: int  # of a group within `failovers_window_us` [count]; 0: any
    failovers_window_us: int
    recovery_us: int  # a failover is open
    paused_us: int  # paused, or observing although there are effects
    late_us: int  # how long it is said that the engine itself stood still
    # Limits of figures; 0: none.
    queue_warning: int = 0  # more messages wait, or requests at a master, for `queue_us` [count]
    queue_critical: int = 0  # more of them, at once [count]
    queue_us: int = 0
    cpu_warning_ppm: int = 0  # so much of its processors a master has used for `busy_us` [ppm]
    cpu_critical_ppm: int = 0
    memory_warning_ppm: int = 0  # the same of its memory [ppm]
    memory_critical_ppm: int = 0
    busy_us: int = 0
    errors_warning_ppm: int = 0  # so many of its requests failed for `errors_us` [ppm]
    errors_critical_ppm: int = 0
    errors_calls: int = 0  # of fewer requests in a minute nothing is said [count]
    errors_us: int = 0
    share_ppm: int = 0  # a master of several gets more of the requests of a minute [ppm]
    share_calls: int = 0  # of fewer requests in a minute nothing is said [count]
    latency_times: int = 0  # answers take so many times as long as usual for `latency_us` [count]
    latency_us: int = 0
    disk_warning_ppm: int = 0  # so much of the disk of the log is used [ppm]
    disk_critical_ppm: int = 0
    disk_left_us: int = 0  # at the growth so far, it is full sooner than this [us]
    behind_us: int = 0  # a stored view is further behind the log [us]
    burn_failures: int = 0  # a budget burns, and its group was down so often [count]; 0: never
    objective: bool = False  # a group misses its objective


class Ejection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a master gets no traffic for a while, for what its requests met beside others."""

    first_us: int  # for how long; the k-th time in a row k times as long [us]
    most_us: int  # and never longer [us]
    share_ppm: int  # of five masters and more, so many may be out, and one at least [ppm]
    failed_ppm: int  # so many of its requests failed [ppm]


class Balance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How traffic is shared among the masters that serve."""

    slow_start_us: int  # one that begins to serve gets its whole share only after this [us]; 0: now
    ejection: Ejection | None = None  # None: nobody is ejected
    # While fewer of its masters may serve, those that failed on soft evidence serve on [ppm].
    panic_ppm: int = 0


class Slo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was promised to users."""

    objective_ppm: int  # [parts per million]
    window_us: int


class Reach(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How masters are told, where the kind of their effects asks for more than an address."""

    command: tuple[str, ...] = ()  # "command": the program and its arguments
    user: str = ""  # "redis": whom to log in as; "" with no password: as the probe does
    password: Secret | None = None  # of that user, or of the default one


class Hooks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Programs around the steps of a failover: each is a program and its arguments, (): none.

    The step waits for the one before it, and does not happen if that fails. Nobody waits for the
    one after it.
    """

    before_fence: tuple[str, ...] = ()
    after_fence: tuple[str, ...] = ()
    before_transfer: tuple[str, ...] = ()
    after_transfer: tuple[str, ...] = ()
    before_promote: tuple[str, ...] = ()
    after_promote: tuple[str, ...] = ()
    before_verify: tuple[str, ...] = ()
    after_verify: tuple[str, ...] = ()
    before_switch: tuple[str, ...] = ()
    after_switch: tuple[str, ...] = ()
    timeout_us: int = 0  # of each [us]; 0: that of a step


class Recover(msgspec.Struct, frozen=True, kw_only=True):
    """How a failed master is healed: by a program, tried a few times."""

    command: tuple[str, ...]  # the program and its arguments
    attempts: int  # until it was healthy again [count, >= 1]
    backoff_us: int  # between the first attempt and the second; doubles [us]
    timeout_us: int  # of one attempt [us]


class GroupPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The policy of one group."""

    mode: Mode
    preset: str
    automation: Automation
    strategy: str  # "round-robin" or "priority"
    detect_within_us: int  # the promise that the sums are held against [us]
    effects: str  # how masters are told: http, command, redis, python; "none": nothing ever is
    probe: Probe
    fence: Fence
    failover: Failover
    messages: Messages
    slo: Slo
    reach: Reach | None = None  # None: the address is enough
    hooks: Hooks | None = None
    recover: Recover | None = None  # None: failed masters are not healed
    balance: Balance | None = None  # None: who begins to serve gets its whole share at once

    def hook(self, name: str) -> tuple[str, ...]:
        """Return the program of a hook by its name, as in "before-fence"; (): there is none."""
        if self.hooks is None:
            return ()
        found: tuple[str, ...] = getattr(self.hooks, name.replace("-", "_"))
        return found

    observers: Observers | None = None  # None: `ALONE`
    degraded: Degraded | None = None  # None: no limits


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Every number a decision depends on, for all groups."""

    groups: dict[str, GroupPolicy]
    fleet: FleetPolicy | None = None  # None: nothing brakes the fleet
    alerts: AlertPolicy | None = None  # None: nobody is told anything


class Sums(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a group's settings add up to [us]; see `sums`."""

    detect_us: int
    slack_us: int
    blip_us: int
    restore_crash_us: int
    restore_staleness_us: int


ALONE: Final = Observers(quorum=1, vote_ttl_us=5 * SECOND)
LIMITLESS: Final = Degraded()
ALERTS: Final = AlertPolicy(
    no_heir_warning_us=2 * MINUTE,
    no_heir_critical_us=15 * MINUTE,
    failovers=3,
    failovers_window_us=30 * MINUTE,
    recovery_us=5 * MINUTE,
    paused_us=DAY,
    late_us=MINUTE,
    queue_warning=1_000,
    queue_critical=5_000,
    queue_us=MINUTE,
    cpu_warning_ppm=850_000,
    cpu_critical_ppm=950_000,
    memory_warning_ppm=900_000,
    memory_critical_ppm=970_000,
    busy_us=5 * MINUTE,
    errors_warning_ppm=50_000,
    errors_critical_ppm=200_000,
    errors_calls=20,
    errors_us=MINUTE,
    share_ppm=800_000,
    share_calls=100,
    latency_times=3,
    latency_us=2 * MINUTE,
    disk_warning_ppm=800_000,
    disk_critical_ppm=900_000,
    disk_left_us=3 * DAY,
    behind_us=5 * SECOND,
    burn_failures=3,
    objective=True,
)
STRATEGIES: Final = ("priority", "round-robin")


DRIFT_PARTS: Final = 10  # clocks that run apart cost a tenth of a lease


def renews_lease(policy: GroupPolicy) -> bool:
    """Return whether the replicas of a master renew the lease that is its fence."""
    return policy.fence.kind is FenceKind.LEASE and policy.effects == "redis"


def lease_wait_us(policy: GroupPolicy) -> int:
    """Return how long a lease is waited for after it was renewed the last time [us]; 0: none is."""
    lease_us = policy.fence.lease_us
    return lease_us + lease_us // DRIFT_PARTS


def fresh_us(policy: GroupPolicy) -> int:
    """Return for how long an answer is fresh [us]: everybody was asked again by then."""
    return 2 * policy.probe.interval_us + policy.probe.timeout_us


def sums(policy: GroupPolicy) -> Sums:
    """Return the worst detection, the longest blip ignored and the worst restoration.

        detect  = interval + (fall - 1) * max(recheck, timeout) + timeout
        blip    = (fall - 1) * max(recheck, timeout) + timeout
        restore = detect + slack + delay + deadline (+ the lease, where that is the fence)

    One probe is in flight for each master, and a re-check is scheduled from the start of the probe
    before. `slack_us` is what the observer itself may be late by: an overdue answer seen later than
    that does not count. Phi may fail a master before `fall` does, so the blip is no longer than its
    least silence less the time-out; a suspicion that nobody confirms comes on top of detection, and
    one that all confirm is the least blip. On soft evidence within a hold-down, what is left of it
    comes on top of `restore_staleness_us`.
    """
    probe, failover = policy.probe, policy.failover
    blip_us = (probe.fall - 1) * max(probe.recheck_us, probe.timeout_us) + probe.timeout_us
    detect_us = probe.interval_us + blip_us
    phi = probe.phi
    if phi is not None:
        silence_us = suspicion.silence_us(
            phi.threshold_milli, mean_us=probe.interval_us, deviation_us=phi.deviation_us_min
        )
        blip_us = max(
            min(blip_us, max(0, silence_us - probe.timeout_us)),
            phi.suspicion_us_min if phi.suspicion_us_max else 0,
        )
    if phi is not None and phi.suspicion_us_max:
        # It ends with the first failed probe after it.
        again_us = max(probe.recheck_us, probe.timeout_us)
        detect_us = max(
            detect_us,
            probe.interval_us + probe.timeout_us + phi.suspicion_us_max + again_us,
        )
    restore_us = detect_us + probe.late_us_max + failover.deadline_us + lease_wait_us(policy)
    return Sums(
        detect_us=detect_us,
        slack_us=probe.late_us_max,
        blip_us=blip_us,
        restore_crash_us=restore_us + failover.delay_crash_us,
        restore_staleness_us=restore_us + failover.delay_staleness_us,
    )


class _Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the table of presets [us, count]."""

    interval_us: int
    timeout_us: int
    recheck_us: int
    fall: int
    rise: int
    detect_within_us: int
    late_us_max: int
    delay_crash_us: int
    delay_staleness_us: int
    automation: Automation
    deadline_us: int
    hold_down_us: int
    limit: int
    limit_window_us: int
    fleet: FleetPolicy | None
    grace_us: int
    slow_start_us: int
    unknown_after_us: int
    flush_us: int
    keep_observations_us: int
    max_size: int  # of the log [bytes]
    lease_us: int  # of a fence by lease
    flap_high_ppm: int = 300_000  # of changed results
    flap_low_ppm: int = 200_000
    panic_ppm: int = 300_000


# Envoy's figures, of its document "Outlier detection"; gRPC (proposal A50) has the same times.
EJECTION: Final = Ejection(
    first_us=30 * SECOND, most_us=300 * SECOND, share_ppm=100_000, failed_ppm=850_000
)

PRESETS: Final[dict[str, _Preset]] = {
    # Loopback only: a garbage collection or a fork takes longer than its time-out.
    "bench": _Preset(
        interval_us=10 * MS, timeout_us=50 * MS, recheck_us=50 * MS, fall=1, rise=2,
        detect_within_us=120 * MS, late_us_max=25 * MS, delay_crash_us=0, delay_staleness_us=0,
        automation=Automation.AUTO, deadline_us=2 * SECOND, hold_down_us=0, limit=0,
        limit_window_us=HOUR, fleet=None, grace_us=SECOND, slow_start_us=0,
        unknown_after_us=5 * SECOND, flush_us=5 * MS,
        keep_observations_us=DAY, max_size=2 * GIB, lease_us=200 * MS,
        flap_high_ppm=0, flap_low_ppm=0,  # who is struck for show is no flapper
    ),
    "lan": _Preset(
        interval_us=100 * MS, timeout_us=100 * MS, recheck_us=100 * MS, fall=3, rise=5,
        detect_within_us=500 * MS, late_us_max=50 * MS, delay_crash_us=0, delay_staleness_us=0,
        automation=Automation.OBSERVE, deadline_us=5 * SECOND, hold_down_us=MINUTE, limit=3,
        limit_window_us=10 * MINUTE,
        fleet=FleetPolicy(limit=3, share_ppm=500_000, window_us=10 * MINUTE),
        grace_us=5 * SECOND, slow_start_us=10 * SECOND, unknown_after_us=5 * SECOND,
        flush_us=250 * MS,
        keep_observations_us=7 * DAY, max_size=2 * GIB, lease_us=SECOND,
    ),
    # The time-out is above the 200 ms minimum retransmission time-out of TCP.
    "zone": _Preset(
        interval_us=SECOND, timeout_us=500 * MS, recheck_us=500 * MS, fall=4, rise=5,
        detect_within_us=3500 * MS, late_us_max=250 * MS, delay_crash_us=0,
        delay_staleness_us=3 * SECOND, automation=Automation.OBSERVE, deadline_us=10 * SECOND,
        hold_down_us=10 * MINUTE, limit=2, limit_window_us=HOUR,
        fleet=FleetPolicy(limit=2, share_ppm=250_000, window_us=10 * MINUTE), grace_us=30 * SECOND,
        slow_start_us=MINUTE,
        unknown_after_us=5 * SECOND, flush_us=SECOND, keep_observations_us=35 * DAY,
        max_size=10 * GIB, lease_us=5 * SECOND,
    ),
    # The time-out is above a lost SYN (1 s) and a round trip, the delay above a cut of 43 s.
    "region": _Preset(
        interval_us=2 * SECOND, timeout_us=1500 * MS, recheck_us=1500 * MS, fall=3, rise=5,
        detect_within_us=8 * SECOND, late_us_max=750 * MS, delay_crash_us=10 * SECOND,
        delay_staleness_us=60 * SECOND, automation=Automation.OBSERVE, deadline_us=60 * SECOND,
        hold_down_us=HOUR, limit=1, limit_window_us=DAY,
        fleet=FleetPolicy(limit=1, share_ppm=100_000, window_us=HOUR), grace_us=60 * SECOND,
        slow_start_us=2 * MINUTE, panic_ppm=500_000,
        unknown_after_us=10_500 * MS, flush_us=SECOND, keep_observations_us=35 * DAY,
        max_size=10 * GIB, lease_us=30 * SECOND,
    ),
}  # fmt: skip


def preset(name: str, *, mode: Mode = Mode.ACTIVE_STANDBY) -> GroupPolicy:
    """Return the policy of a group that says nothing but its mode and its preset.

    Example:
        >>> sums(preset("zone")).detect_us
        3000000
    """
    base = PRESETS[name]
    return GroupPolicy(
        mode=mode,
        preset=name,
        automation=base.automation,
        strategy="priority" if mode is Mode.ACTIVE_STANDBY else "round-robin",
        detect_within_us=base.detect_within_us,
        effects="http" if mode is Mode.ACTIVE_STANDBY else "none",
        probe=Probe(
            kind="http",
            path="/health",
            interval_us=base.interval_us,
            timeout_us=base.timeout_us,
            recheck_us=base.recheck_us,
            rise=base.rise,
            fall=base.fall,
            hold_open=True,
            late_us_max=base.late_us_max,
            unknown_after_us=base.unknown_after_us,
            flap_high_ppm=base.flap_high_ppm,
            flap_low_ppm=base.flap_low_ppm,
        ),
        fence=Fence(kind=FenceKind.GATE, clients="route"),
        failover=Failover(
            deadline_us=base.deadline_us,
            step_timeout_us=base.deadline_us // 10,
            attempts_max=3,
            delay_crash_us=base.delay_crash_us,
            delay_staleness_us=base.delay_staleness_us,
            hold_down_us=base.hold_down_us,
            limit=base.limit,
            limit_window_us=base.limit_window_us,
            grace_us=base.grace_us,
            failback="manual",
        ),
        messages=Messages(deliver_timeout_us=max(SECOND, base.deadline_us // 2)),
        slo=Slo(objective_ppm=995_000, window_us=30 * DAY),
        balance=Balance(
            slow_start_us=base.slow_start_us,
            ejection=EJECTION if base.slow_start_us else None,
            panic_ppm=base.panic_ppm,
        )
        if mode is Mode.ACTIVE_ACTIVE
        else None,
    )


_CANONICAL: Final = msgspec.msgpack.Encoder(order="sorted")


def content_digest(policy: Policy, masters: tuple[Master, ...]) -> str:
    """Return the digest of what a configuration says, whatever its bytes look like."""
    return hashlib.sha256(_CANONICAL.encode((policy, masters))).hexdigest()
