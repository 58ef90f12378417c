"""How soon a world has to be well once all faults have stopped, computed from what it is made of.

    detected   every master is healthy, for it answers again and has proved it
    served     every group is: who has to serve does, and was told
    drained    every message is done, every fence confirmed, nothing is under way

Each bound is a sum over the policy, over what the schedule lets linger after its last turn, and
over the back-offs that were reached until then. No constant of its own is in it.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from engine.core.blocking import RETRY_US as HEADLESS_US
from engine.core.flapping import CHANGES
from engine.core.issuing import BACKOFF_US, BACKOFF_US_MAX
from engine.core.policy import GroupPolicy, Hooks, sums
from engine.core.state import State
from engine.simulation.clients import PATIENCE_US
from engine.simulation.network import LATENCY_US, OVERTAKEN_US
from engine.simulation.outside import RETRY_US
from engine.simulation.schedule import GroupSetting, Setting, Turn

LINGERING: Final = frozenset(("stall", "late", "starve", "maintain"))  # go on by themselves
HOOKS: Final = tuple(name for name in Hooks.__struct_fields__ if name != "timeout_us")
APPENDS: Final = 3  # that a message takes: accepted and assigned, acknowledged, done


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Until when each has to hold, from when all faults have stopped [us]."""

    detected_us: int
    served_us: int
    drained_us: int


class Settled(msgspec.Struct, kw_only=True):
    """When each held for good; -1: it never did [us after all faults had stopped]."""

    detected_us: int = -1
    served_us: int = -1
    drained_us: int = -1

    def note(self, at_us: int, *, detected: bool, served: bool, drained: bool) -> None:
        """Take note of what holds at a moment."""
        for name, holds in (
            ("detected_us", detected), ("served_us", served), ("drained_us", drained),
        ):  # fmt: skip
            if not holds:
                setattr(self, name, -1)
            elif getattr(self, name) < 0:
                setattr(self, name, at_us)

    def late(self, bounds: Bounds) -> list[str]:
        """Return what did not hold in time, in words."""
        found = []
        for name in Bounds.__struct_fields__:
            took_us, most_us = getattr(self, name), getattr(bounds, name)
            what = name.removesuffix("_us")
            if took_us < 0:
                found.append(f"not {what} within {most_us} us")
            elif took_us > most_us:
                found.append(f"{what} after {took_us} us, {most_us} us are allowed")
        return found


def bounds(
    setting: Setting, turns: Iterable[Turn], state: State, *, faulty_us: int, waiting: int
) -> Bounds:
    """Return how soon a world has to be well.

    Args:
        setting: The fleet.
        turns: What happened to it.
        state: The fold of its log when all faults stopped.
        faulty_us: For how long there were faults; no back-off is longer than it was doubled in.
        waiting: Messages that are not done, or that nobody has accepted yet [count].
    """
    lingers_us = max((turn.count for turn in turns if turn.kind in LINGERING), default=0)
    begins_us = lingers_us + setting.down_us + 2 * setting.append_us + RETRY_US
    fleet = setting.fleet
    detected_us = begins_us + max(_proved_us(group, setting) for group in setting.groups())
    served_us = detected_us + (fleet.window_us if fleet is not None else 0)
    served_us += max(_served_us(group.policy, setting, faulty_us) for group in setting.groups())
    served_us += max(_replicated_us(group) for group in setting.groups())
    served_us += max(
        (max(0, part.retry_at_us - state.at_us) for part in state.groups.values()), default=0
    )
    each_us = max(group.policy.messages.deliver_timeout_us for group in setting.groups())
    done_us = APPENDS * setting.append_us + 4 * LATENCY_US + OVERTAKEN_US + setting.flush_us
    drained_us = served_us + PATIENCE_US + 2 * each_us + waiting * (done_us + RETRY_US)
    return Bounds(detected_us=detected_us, served_us=served_us, drained_us=drained_us)


def _proved_us(group: GroupSetting, setting: Setting) -> int:
    """Return how long it takes until a master that answers is taken to be healthy."""
    policy = group.policy
    probe = policy.probe
    one_us = max(probe.interval_us, probe.recheck_us, probe.timeout_us)
    one_us += 2 * LATENCY_US + setting.append_us + setting.flush_us
    checks = probe.rise + probe.fall + 1
    if probe.flap_high_ppm:
        checks += CHANGES + 1
    if policy.degraded is not None:
        checks += 2 * policy.degraded.reports
    suspected_us = probe.phi.suspicion_us_max if probe.phi is not None else 0
    voted_us = policy.observers.vote_ttl_us if policy.observers is not None else 0
    return checks * one_us + suspected_us + voted_us


def _replicated_us(group: GroupSetting) -> int:
    """Return how long it takes until all have the data of one, and an heir was held against all.

    Where no heir stands in for all, people have to copy data, and the group tries once more.
    """
    said = group.replication
    if said is None or not group.replicates:
        return 0
    copied_us = said.silent_us + said.reconnect_us + said.copy_us + 2 * said.lag_us
    tries_us = group.policy.failover.attempts_max * group.policy.failover.step_timeout_us
    return 2 * (copied_us + tries_us + HEADLESS_US)


def _served_us(policy: GroupPolicy, setting: Setting, faulty_us: int) -> int:
    """Return how long it takes from there until the group is served."""
    failover = policy.failover
    programs_us = 0
    if policy.hooks is not None:
        each_us = policy.hooks.timeout_us or failover.step_timeout_us
        programs_us = each_us * sum(bool(getattr(policy.hooks, name)) for name in HOOKS)
    if policy.recover is not None:
        programs_us += policy.recover.timeout_us
    return (
        failover.grace_us
        + sums(policy).restore_staleness_us
        + failover.hold_down_us
        + (failover.limit_window_us if failover.limit else 0)
        + (failover.deadline_us + failover.failback_us if failover.failback_us else 0)
        + failover.deadline_us  # of what was under way
        + programs_us
        + min(int(BACKOFF_US_MAX), faulty_us + int(BACKOFF_US))
        + 20 * setting.append_us
    )
