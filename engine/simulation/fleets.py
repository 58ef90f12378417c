"""A fleet for each seed: its groups, their policies, their time-outs, and how it writes its log."""

import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from engine.core.fleet import Mode
from engine.core.leasing import REDIS_SLACK_US
from engine.core.policy import (
    MS,
    SECOND,
    AlertPolicy,
    Automation,
    Balance,
    Degraded,
    Ejection,
    FenceKind,
    FleetPolicy,
    GroupPolicy,
    Hooks,
    Observers,
    Phi,
    Recover,
    renews_lease,
)
from engine.simulation.schedule import GROUP, GroupSetting, Setting, policy
from engine.simulation.streams import Replication

PROGRAM: Final = ("a program",)
STEPS: Final = ("fence", "transfer", "promote", "verify", "switch")
INTERVAL_US: Final = 20 * MS  # of the probes of a fleet that is drawn, which times are scaled to

SIZES: Final = (1, 2, 3, 4, 5)  # masters of a group that is drawn
SIZE_WEIGHTS: Final = (1, 4, 8, 3, 1)
REPLICATES: Final = 0.3  # share of the fleets that are drawn, where their first group may
NO_SIZES: Final[Mapping[str, int]] = MappingProxyType({})


def setting_of(
    seed: int,
    *,
    policies: dict[str, GroupPolicy] | None = None,
    masters: int | None = None,
    sizes: Mapping[str, int] = NO_SIZES,
) -> Setting:
    """Return the fleet that `seed` draws; see `drawing.swarm`."""
    return drawn_setting(random.Random(seed), policies, masters, sizes)  # noqa: S311


def drawn_setting(
    rng: random.Random,
    policies: dict[str, GroupPolicy] | None,
    masters: int | None,
    sizes: Mapping[str, int],
) -> Setting:
    """Return a fleet: that of `policies`, or one that is drawn as well."""
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
        errors_warning_ppm=100_000,
        errors_calls=100,
        errors_us=damped_us,
        latency_times=10,
        latency_us=damped_us,
        disk_warning_ppm=900_000,
        disk_left_us=3_600 * SECOND,
        behind_us=10 * SECOND,
        burn_failures=2,
        objective=True,
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
    made = replace(made, probe=probe, fence=fence, failover=failover, **_eyes(rng, timeout_us))
    return _beside(rng, made)


def _beside(rng: random.Random, made: GroupPolicy) -> GroupPolicy:
    """Return a policy with some of what may go on beside the steps of a failover."""
    replace = msgspec.structs.replace
    if rng.random() < 0.2:
        hooks = {
            f"{when}_{step}": PROGRAM
            for when in ("before", "after")
            for step in STEPS
            if rng.random() < 0.3
        }
        made = replace(made, hooks=Hooks(**hooks, timeout_us=rng.choice((0, 60 * MS))))
    if rng.random() < 0.25:
        heals = Recover(
            command=PROGRAM,
            attempts=rng.choice((1, 2, 5)),
            backoff_us=rng.choice((20 * MS, 200 * MS)),
            timeout_us=60 * MS,
        )
        made = replace(made, recover=heals)
    if made.mode is Mode.ACTIVE_ACTIVE:
        made = replace(made, balance=_balance(rng))
    if made.mode is Mode.ACTIVE_STANDBY and rng.random() < 0.25:
        made = replace(made, effects=rng.choice(("command", "redis")))
        if renews_lease(made):
            fence = replace(made.fence, lease_us=REDIS_SLACK_US + 100 * MS)
            made = replace(made, fence=fence)
    return made


def _balance(rng: random.Random) -> Balance:
    """Return how traffic is shared, and from when on a master gets none."""
    ejection = Ejection(
        first_us=rng.choice((20 * MS, 200 * MS)),
        most_us=400 * MS,
        share_ppm=rng.choice((100_000, 400_000)),
        failed_ppm=500_000,
    )
    return Balance(
        slow_start_us=rng.choice((0, 50 * MS)),
        ejection=ejection if rng.random() < 0.6 else None,
        panic_ppm=rng.choice((0, 300_000, 600_000)),
    )


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


def replicating(rng: random.Random, setting: Setting, *, is_drawn: bool) -> Setting:
    """Return a fleet whose first group replicates data, as some do.

    Args:
        rng: Of its own, so that all else is drawn as it would be without.
        setting: The fleet.
        is_drawn: Whether its policies are drawn as well; else only one for Redis replicates.
    """
    replace = msgspec.structs.replace
    share = rng.random()
    group = setting.groups()[0]
    if not (group.is_standby and group.acts):
        return setting
    made, scale = group.policy, max(1, group.policy.probe.interval_us // INTERVAL_US)
    if is_drawn and share < REPLICATES:
        fence = replace(made.fence, clients="route")
        if fence.kind is FenceKind.LEASE:
            fence = replace(fence, lease_us=REDIS_SLACK_US + 100 * MS)
        if fence.kind is not FenceKind.GATE:
            fence = replace(fence, clients=rng.choice(("direct", "route")))
        failover = replace(
            made.failover,
            behind_max=rng.choice((-1, 0, 50)),
            allow_loss=rng.random() < 0.15,
        )
        made = replace(made, effects="redis", fence=fence, failover=failover)
    elif is_drawn or made.effects != "redis":
        return setting
    said = Replication(
        write_every_us=rng.choice((2 * MS, 10 * MS)) * scale,
        lag_us=rng.choice((MS, 3 * MS, 10 * MS)) * scale,
        copy_us=rng.choice((5 * MS, 50 * MS)) * scale,
        reconnect_us=rng.choice((5 * MS, 30 * MS)) * scale,
        silent_us=rng.choice((50 * MS, 500 * MS)) * scale,
        keeps=rng.choices(("all", "data", "nothing"), weights=(4, 1, 1))[0],
    )
    return replace(setting, policy=made, replication=said)
