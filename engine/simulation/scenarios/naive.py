"""What a naive controller does: the first failure acts, nothing is fenced, nothing brakes.

It is the shipped engine with a policy that waits for nothing, a sink that takes whatever any master
writes, and one more rule: each failed probe and each closed connection is a verdict without doubt.
"""

from msgspec.structs import replace

from engine.core import events as ev
from engine.core.decider import decide
from engine.core.events import Observation
from engine.core.fleet import Health
from engine.core.policy import FenceKind, GroupPolicy
from engine.core.step import Step

_FAILED = (ev.ProbeFailed, ev.ConnectionClosed)


def naive_policy(policy: GroupPolicy) -> GroupPolicy:
    """Return what is left of a policy when nothing is waited for, counted or confirmed."""
    return replace(
        policy,
        probe=replace(
            policy.probe,
            fall=1,
            rise=1,
            late_us_max=1 << 50,
            phi=None,
            flap_high_ppm=0,
            flap_low_ppm=0,
            slow_us=0,
        ),
        fence=replace(policy.fence, kind=FenceKind.GATE),
        failover=replace(
            policy.failover,
            delay_crash_us=0,
            delay_staleness_us=0,
            hold_down_us=0,
            limit=0,
            grace_us=0,
            lag_us_max=0,
            behind_max=-1,
            allow_loss=True,
        ),
        observers=None,
        degraded=None,
    )


def naive_decide(step: Step, event: Observation) -> None:
    """Take each failure of a master for its death, whoever says so and however late."""
    decide(step, event)
    place = step.state.cache.places.get(step.subject)
    if place is None or not isinstance(event, _FAILED):
        return
    if place.master.health is not Health.FAILED:
        step.emit(ev.MasterFailed(evidence=(step.seq,), hard=True, rule="naive"))
