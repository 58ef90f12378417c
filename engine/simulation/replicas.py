"""Masters that replicate from one another, and leases that run out.

A Redis primary acts as long as a replica that follows it has acknowledged within its lease. Here it
acts as long as any promise lets it: the lease that it reports, and what Redis may add to that.
Masters of other kinds keep what their operator declared: one that is fenced by lease has stopped
when that time is over, from the decision on.

Replicas reach their primary whatever the engine sees of both, for that is the worst case: a
primary that only the engine has lost is kept alive by them.
"""

from collections.abc import Callable, Mapping
from typing import Final

from engine.core.leading import FOLLOWING
from engine.core.leasing import REDIS_SLACK_US
from engine.core.policy import FenceKind, renews_lease
from engine.simulation.masters import Phase, SimulatedMaster
from engine.simulation.schedule import GroupSetting, Setting

Later = Callable[[int, Callable[[], None]], None]


class Replicas:
    """Who follows whom in the groups that replicate, and whose lease has run out."""

    def __init__(
        self, setting: Setting, masters: Mapping[str, SimulatedMaster], *, later: Later
    ) -> None:
        """Let masters of such groups say whom they follow, and what lease they keep."""
        self._masters: Final = masters
        self._later: Final = later
        self._groups: Final[dict[str, GroupSetting]] = {
            name: group for group in setting.groups() for name in group.names()
        }
        self._ends: Final[dict[str, int]] = {}  # by primary, which lease is running out
        self._count = 0  # of leases that ran out, or began to
        for name, group in self._groups.items():
            if group.replicates:
                continue  # they keep leases of their own
            masters[name].speaks = group.policy.effects in FOLLOWING
            if renews_lease(group.policy):
                masters[name].lease_us = max(0, group.policy.fence.lease_us - REDIS_SLACK_US)

    def changed(self, name: str) -> None:
        """Look who renews whose lease, now that something happened to a master."""
        group = self._groups[name]
        if not renews_lease(group.policy) or not group.is_standby or group.replicates:
            return
        for primary in group.names():
            self._look(primary, group)

    def _look(self, primary: str, group: GroupSetting) -> None:
        master = self._masters[primary]
        is_renewed = master.role == "active" and any(
            other.follows == primary and other.phase is Phase.UP
            for other in (self._masters[name] for name in group.names())
        )
        if is_renewed or master.role != "active":
            self._ends.pop(primary, None)
            master.lapse(is_lapsed=False)
        elif primary not in self._ends:
            self._count += 1
            self._ends[primary] = number = self._count

            def ended() -> None:
                if self._ends.get(primary) == number:
                    master.lapse(is_lapsed=True)

            self._later(group.policy.fence.lease_us, ended)

    def fenced(self, name: str, epoch: int, ago_us: int) -> None:
        """Let a master stop in time that was left by lease `ago_us` ago, when it had `epoch`."""
        group = self._groups[name]
        policy = group.policy
        if policy.fence.kind is not FenceKind.LEASE or renews_lease(policy):
            return
        master, boot = self._masters[name], self._masters[name].boot

        def ended() -> None:
            if master.boot == boot and master.epoch <= epoch:
                master.lapse(is_lapsed=True)

        self._later(max(0, policy.fence.lease_us - ago_us), ended)

    def stray(self, name: str, count: int) -> None:
        """Let a standby replicate from another master than it was told to."""
        group = self._groups[name]
        others = [other for other in group.names() if other != name]
        if self._masters[name].speaks and others and self._masters[name].role != "active":
            self._masters[name].follow(others[count % len(others)])
