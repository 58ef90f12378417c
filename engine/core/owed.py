"""What the durable state owes the world: effects as values, each with its key.

The key of an effect is (failover, step, master, epoch). It is issued until its outcome is in the
log, and receivers take it once: at least once issued, at most once in effect.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from engine.core import messages
from engine.core.fleet import ACTIVE
from engine.core.leading import has_to_follow, leader
from engine.core.leasing import has_to_detach
from engine.core.policy import Automation
from engine.core.state import GroupState, Phase, State, is_active_standby

BEFORE_FENCE: Final = "before-fence"
STEP_OF = {
    Phase.TRANSFERRING: "transfer",
    Phase.PROMOTING: "promote",
    Phase.VERIFYING: "verify",
}


class Effect(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What has to be done to a master.

    preflight, fence, transfer, promote, verify or switch; follow: replicate from the active one;
    detach: from nobody, so that a lease runs out and it keeps what it has; recover: be healed; and
    hooks around steps.
    """

    step: str
    group: str
    master: str
    failover: int  # 0: owed outside a failover
    epoch: int


class Deliver(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message that a master has to be sent, under the epoch it was assigned at."""

    group: str
    master: str
    epoch: int
    seq: int
    key: str
    lane: str
    digest: bytes


def owed(state: State) -> Iterator[Effect]:
    """Return the steps that are owed; an outcome in the log is what ends each."""
    for group in state.groups.values():
        yield from owed_of(state, group)


def owed_of(state: State, group: GroupState) -> Iterator[Effect]:
    """Return the steps that are owed in `group`."""
    saga = group.saga
    if saga is not None and saga.phase is Phase.SELECTING:
        if saga.planned and not saga.preflight and saga.to in group.masters and not saga.attempt:
            yield _effect("preflight", group, saga.to, saga.id, 0)
    elif saga is not None and saga.hook:
        subject = saga.source if saga.hook == BEFORE_FENCE else saga.heir
        yield _effect(saga.hook, group, subject, saga.id, saga.epoch)
    elif saga is not None and saga.phase in STEP_OF:
        yield _effect(STEP_OF[saga.phase], group, saga.heir, saga.id, saga.epoch)
    for hook in group.hooks:
        yield _effect(hook.hook, group, hook.master, hook.failover, hook.epoch)
    policy = state.policy_of(group)
    is_standby = is_active_standby(state, group)
    active = leader(state, group)
    for name, master in group.masters.items():
        if master.fence is not None:
            fence = master.fence
            yield _effect("fence", group, name, fence.failover, fence.confirm_at)
        elif master.role is ACTIVE:
            if master.promote_owed and policy.automation is not Automation.OBSERVE:
                yield _effect("promote", group, name, 0, master.epoch)
            if is_standby and group.switch_epoch != master.epoch:
                yield _effect("switch", group, name, 0, master.epoch)
        elif active and has_to_follow(group, name, active):
            yield _effect("follow", group, name, 0, group.masters[active].epoch)
        elif saga is not None and has_to_detach(state, group, saga, name):
            yield _effect("detach", group, name, saga.id, saga.epoch)
        recovery = master.recovery
        if recovery is not None and recovery.is_running:
            yield _effect("recover", group, name, recovery.seq, recovery.n)


def _effect(step: str, group: GroupState, master: str, failover: int, epoch: int) -> Effect:
    return Effect(step=step, group=group.id, master=master, failover=failover, epoch=epoch)


def deliveries(group: GroupState) -> Iterator[Deliver]:
    """Return the messages of `group` that may be under way: one in each lane."""
    for seq, message in messages.under_way(group.ledger):
        # Whoever loses its activation gives back what it had, in the same event.
        assert group.masters[message.master].epoch == message.epoch
        yield Deliver(
            group=group.id,
            master=message.master,
            epoch=message.epoch,
            seq=seq,
            key=message.key,
            lane=message.lane,
            digest=message.digest,
        )
