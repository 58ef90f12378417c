"""A schedule for each seed: the fleet, its time-outs, which faults there are, and how often.

Swarm testing: Groce et al., *Swarm Testing*, ISSTA 2012. A mix of everything hides what only a long
run of one fault reaches, so each seed leaves out most kinds, and weighs the rest.
"""

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from engine.core.fleet import Mode
from engine.core.policy import (
    MS,
    SECOND,
    AlertPolicy,
    Automation,
    Degraded,
    FenceKind,
    FleetPolicy,
    GroupPolicy,
    Observers,
    Phi,
)
from engine.simulation.histories import History
from engine.simulation.network import LATENCY_US
from engine.simulation.schedule import (
    ALL_KINDS,
    CLOCK_FAULTS,
    GROUP,
    LOG_FAULTS,
    PARTITIONS,
    SITE_FAULTS,
    GroupSetting,
    Schedule,
    Setting,
    Turn,
    policy,
)

TURNS: Final = 60
INTERVAL_US: Final = 20 * MS  # of the probes of a fleet that is drawn, which times are scaled to

SIZES: Final = (1, 2, 3, 4, 5)  # masters of a group that is drawn
SIZE_WEIGHTS: Final = (1, 4, 8, 3, 1)
NO_SIZES: Final[Mapping[str, int]] = MappingProxyType({})

# What ends a fault, and comes with it.
HEALS: Final = {
    "crash": "restart", "hang": "continue", "cut": "join", "mute": "unmute", "sick": "sound",
    "poor": "well", "gray": "open", "shy": "open", "unheard": "heard", "hold": "burst",
    "flap": "steady", "isolate": "mend", "halves": "mend", "bridge": "mend", "ring": "mend",
    "crash-all": "restart-all", "standbys-crash": "restart-all", "standbys-poor": "standbys-well",
    "exclude": "include", "pause": "resume", "drain": "undrain",
}  # fmt: skip
WITHOUT_SUBJECT: Final = frozenset((*PARTITIONS, *CLOCK_FAULTS, *LOG_FAULTS, *SITE_FAULTS))


def swarm(
    seed: int,
    *,
    turns: int = TURNS,
    setting: Setting | None = None,
    policies: dict[str, GroupPolicy] | None = None,
    masters: int | None = None,
    sizes: Mapping[str, int] = NO_SIZES,
    kinds: Sequence[str] = (),
) -> Schedule:
    """Return the schedule of `seed`.

    Args:
        seed: Says everything that is not said by the others.
        turns: How many.
        setting: The fleet; None: it is drawn.
        policies: The policies of its groups; None: they are drawn.
        masters: Of each group [count]; None: it is drawn.
        sizes: The same of single groups, unless `masters` says it.
        kinds: Of turns that there are; (): that is drawn.
    """
    rng = random.Random(seed)  # noqa: S311
    if setting is None:
        setting = _setting(rng, policies, masters, sizes)
    mix = dict.fromkeys(kinds, 1) or _mix(rng)
    weights = tuple(mix.values())
    gaps_us = _gaps(rng, setting)
    subjects = setting.names()
    subjects = subjects[: rng.randint(1, min(len(subjects), 6))]
    scale = max(1, setting.policy.probe.interval_us // INTERVAL_US)
    return Schedule(
        setting=setting,
        turns=tuple(
            _turn(rng, kind, rng.choice(gaps_us), subjects, setting, scale)
            for kind in rng.choices(tuple(mix), weights, k=turns)
        ),
    )


def setting_of(
    seed: int,
    *,
    policies: dict[str, GroupPolicy] | None = None,
    masters: int | None = None,
    sizes: Mapping[str, int] = NO_SIZES,
) -> Setting:
    """Return the fleet that `seed` draws; see `swarm`."""
    return _setting(random.Random(seed), policies, masters, sizes)  # noqa: S311


def endure(
    seed: int,
    *,
    for_us: int,
    setting: Setting,
    history: History | None = None,
) -> Schedule:
    """Return a schedule of hours: masters fail and are repaired as `history` says.

    Without one the times to failure and to repair are exponential: on average 200 and 10 intervals
    of a probe.
    """
    rng = random.Random(seed)  # noqa: S311
    interval_us = setting.policy.probe.interval_us
    failing, repair = ((), ()) if history is None else (history.to_failure_us, history.to_repair_us)
    moments: list[tuple[int, str, str]] = []
    for name in setting.names():
        at_us = 0
        while True:
            at_us += _drawn(rng, failing, 200 * interval_us)
            if at_us >= for_us:
                break
            fault = rng.choice(("crash", "crash", "hang", "cut", "mute"))
            moments.append((at_us, fault, name))
            at_us += _drawn(rng, repair, 10 * interval_us)
            moments.append((min(at_us, for_us), HEALS[fault], name))
    moments.sort()
    moments.append((for_us, "rest", ""))
    now_us, turns = 0, []
    for at_us, kind, name in moments:
        turns.append(Turn(kind=kind, gap_us=at_us - now_us, subject=name))
        now_us = at_us
    return Schedule(setting=setting, turns=tuple(turns))


def _drawn(rng: random.Random, recorded: Sequence[int], mean_us: int) -> int:
    return rng.choice(recorded) if recorded else max(1, int(rng.expovariate(1 / mean_us)))


def _mix(rng: random.Random) -> dict[str, int]:
    """Return the kinds that there are, and how often each is."""
    share = rng.choice((0.05, 0.15, 0.4))
    mix = {kind: rng.choice((1, 1, 3, 10)) for kind in ALL_KINDS if rng.random() < share}
    for fault, heal in HEALS.items():
        if fault in mix:
            mix.setdefault(heal, mix[fault])
    return mix or {"crash": 1, "restart": 1}


def _gaps(rng: random.Random, setting: Setting) -> tuple[int, ...]:
    """Return the times between two turns: short ones, long ones, or those around a time-out."""
    probe, failover = setting.policy.probe, setting.policy.failover
    scale = max(1, probe.interval_us // INTERVAL_US)
    around = rng.choice((probe.timeout_us, probe.recheck_us, probe.interval_us,
                         failover.step_timeout_us, setting.append_us, LATENCY_US))  # fmt: skip
    return rng.choice(
        (
            (0, MS * scale, 10 * MS * scale),
            (5 * MS * scale, 50 * MS * scale),
            (0, 20 * MS * scale, 200 * MS * scale),
            (max(0, around - LATENCY_US), around, around + LATENCY_US),
        )
    )


def _setting(
    rng: random.Random,
    policies: dict[str, GroupPolicy] | None,
    masters: int | None,
    sizes: Mapping[str, int],
) -> Setting:
    if policies is None:
        names = (GROUP, "h", "k")[: rng.choices((1, 2, 3), weights=(6, 3, 1))[0]]
        policies = {name: _policy(rng) for name in names}
    groups = [
        GroupSetting(
            id=name,
            policy=found,
            masters=masters or sizes.get(name) or rng.choices(SIZES, SIZE_WEIGHTS)[0],
        )
        for name, found in policies.items()
    ]
    scale = max(1, groups[0].policy.probe.interval_us // INTERVAL_US)
    return Setting(
        first=groups[0].id,
        policy=groups[0].policy,
        masters=groups[0].masters,
        more=tuple(groups[1:]),
        message_every_us=rng.choice((0, 5 * MS, 20 * MS)) * scale,
        lanes=rng.choice((1, 3)),
        acks_later=rng.random() < 0.3,
        append_us=rng.choice((0, 300, 5 * MS)),
        flush_us=rng.choice((0, 0, 30 * MS)) * scale,
        down_us=rng.choice((1 * MS, 50 * MS, SECOND)),
        observers=max(
            (2 if group.policy.observers is not None else 0 for group in groups),
            default=0,
        )
        or rng.choice((0, 0, 0, 1)),
        fleet=FleetPolicy(limit=1, share_ppm=500_000, window_us=3 * SECOND)
        if rng.random() < 0.15
        else None,
        alerts=_alerts(rng) if rng.random() < 0.3 else None,
    )


def _alerts(rng: random.Random) -> AlertPolicy:
    damped_us = rng.choice((0, 50 * MS, SECOND))
    return AlertPolicy(
        no_heir_warning_us=damped_us,
        no_heir_critical_us=4 * damped_us,
        failovers=rng.choice((0, 2)),
        failovers_window_us=3 * SECOND,
        recovery_us=damped_us,
        paused_us=damped_us,
        late_us=damped_us,
    )


def _policy(rng: random.Random) -> GroupPolicy:
    is_standby = rng.random() < 0.8
    automation = rng.choices(
        (Automation.AUTO, Automation.CONFIRM, Automation.OBSERVE), weights=(8, 1, 1)
    )[0]
    made = policy(
        mode=Mode.ACTIVE_STANDBY if is_standby else Mode.ACTIVE_ACTIVE,
        automation=automation,
        fence=rng.choice(tuple(FenceKind)),
        fall=rng.choice((1, 2, 3, 4)),
        rise=rng.choice((1, 2, 3)),
        interval_us=rng.choice((10 * MS, INTERVAL_US, 40 * MS)),
        delay_us=rng.choice((0, 0, 80 * MS)),
        hold_down_us=rng.choice((0, 0, SECOND)),
        limit=rng.choice((0, 0, 1, 2)),
        unknown_after_us=rng.choice((0, 200 * MS, 400 * MS)),
    )
    replace = msgspec.structs.replace
    timeout_us = rng.choice((5 * MS, 30 * MS, 60 * MS))
    recheck_us = rng.choice((timeout_us, 30 * MS))
    late_us = timeout_us // 2
    fence = made.fence
    if fence.kind is FenceKind.LEASE:
        fence = replace(fence, lease_us=rng.choice((50 * MS, 200 * MS)))
    flaps = rng.random() < 0.2
    probe = replace(
        made.probe, timeout_us=timeout_us, recheck_us=recheck_us, late_us_max=late_us,
        hold_open=rng.random() < 0.8,
        phi=_phi(rng) if rng.random() < 0.25 else None,
        flap_high_ppm=300_000 if flaps else 0, flap_low_ppm=200_000 if flaps else 0,
        slow_us=rng.choice((0, 0, timeout_us // 4)),
    )  # fmt: skip
    failover = replace(
        made.failover,
        step_timeout_us=rng.choice((40 * MS, 100 * MS)),
        grace_us=rng.choice((0, 200 * MS)),
        lag_us_max=rng.choice((0, 0, 50 * MS)),
    )
    if rng.random() < 0.15:
        failover = replace(failover, failback="auto", failback_us=rng.choice((50 * MS, SECOND)))
    return replace(made, probe=probe, fence=fence, failover=failover, **_eyes(rng, timeout_us))


def _phi(rng: random.Random) -> Phi:
    waits = rng.random() < 0.5
    return Phi(
        threshold_milli=rng.choice((3_000, 8_000)),
        deviation_us_min=rng.choice((2 * MS, 10 * MS)),
        warm_up=rng.choice((3, 20)),
        suspicion_us_min=20 * MS if waits else 0,
        suspicion_us_max=100 * MS if waits else 0,
    )


def _eyes(rng: random.Random, timeout_us: int) -> dict[str, Any]:
    """Return how many have to agree, and from where on a master serves badly."""
    observers = None
    if rng.random() < 0.3:
        observers = Observers(
            quorum=rng.choice((1, 2, 3)), vote_ttl_us=rng.choice((200 * MS, SECOND))
        )
    degraded = Degraded(silent_after_us=0, queue=rng.choice((0, 4))) if rng.random() < 0.1 else None
    return {"observers": observers, "degraded": degraded}


def _turn(
    rng: random.Random,
    kind: str,
    gap_us: int,
    subjects: Sequence[str],
    setting: Setting,
    scale: int,
) -> Turn:
    subject = rng.choice(subjects)
    if kind in ("switchover", "failover", "release") and rng.random() < 0.5:
        subject = ""
    if kind == "isolate" and rng.random() < 0.3:
        subject = ""
    group = ""
    if not subject or kind in WITHOUT_SUBJECT:
        group = rng.choice(setting.groups()).id
    return Turn(
        kind=kind,
        gap_us=gap_us,
        subject=subject,
        count=_count(rng, kind, setting, scale),
        group="" if group == setting.first else group,
    )


def _count(rng: random.Random, kind: str, setting: Setting, scale: int) -> int:
    probe = setting.policy.probe
    match kind:
        case "slow":
            return rng.choice((0, probe.timeout_us // 4, probe.timeout_us - 2 * LATENCY_US,
                               2 * probe.timeout_us))  # fmt: skip
        case "tail":
            return rng.choice((0, probe.timeout_us // 16, probe.timeout_us // 4))
        case "flap":
            around_us = rng.choice((probe.timeout_us, probe.recheck_us, probe.interval_us))
            return around_us + rng.choice((-LATENCY_US, 0, LATENCY_US, around_us))
        case "stall" | "maintain" | "starve" | "locked":
            return rng.choice((20 * MS, 300 * MS)) * scale
        case "late":
            return rng.choice((100 * MS, SECOND)) * scale
        case "sick" | "lossy" | "repeat" | "reorder":
            return rng.choice((0, 2, 3, 7))
        case "pause":
            return rng.choice((0, 100 * MS)) * scale
        case "plan":
            return rng.choice((MS, 50 * MS, SECOND)) * scale
        case "engine-crash":
            return rng.randint(0, 12)
        case "clock-jump" | "strobe":
            return rng.choice((-3_600 * SECOND, -SECOND, 0, MS, SECOND, 3_600 * SECOND))
        case "drift":
            return rng.choice((-100_000, -500, 0, 500, 100_000))
        case "restore":
            return rng.choice((1, 10, 100))
        case "lags":
            return rng.choice((0, 10 * MS, SECOND))
        case "halves" | "bridge":
            return rng.randint(1, 4)
        case "overload":
            return rng.choice((1, 10))
        case _:
            return rng.randint(1, 3)
