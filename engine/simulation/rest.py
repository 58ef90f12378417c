"""The end of all faults: what people lift then, when the world is at rest, and how soon that is."""

from engine.core import events as ev
from engine.core.events import FLEET
from engine.core.fleet import Health, Role
from engine.core.policy import SECOND, Automation, GroupPolicy, sums
from engine.core.state import GroupState, Phase, State, active_of
from engine.simulation.masters import SimulatedMaster
from engine.simulation.operators import AUTHOR
from engine.simulation.rim import Rim
from engine.simulation.schedule import GroupSetting, Setting


def settles_within_us(setting: Setting) -> int:
    """Return how long the world may take to come to rest once all faults have stopped [us]."""
    return max(_settles_within_us(group.policy) for group in setting.groups())


def _settles_within_us(policy: GroupPolicy) -> int:
    """Return the same for one group.

    That is: grace, restoration on soft evidence, hold-down and limit window; the longest back-off
    of a headless group (64 s) and of an effect (30 s); and three deadlines and time-outs of
    deliveries for what was under way.
    """
    failover = policy.failover
    return (
        failover.grace_us
        + sums(policy).restore_staleness_us
        + failover.hold_down_us
        + (failover.limit_window_us if failover.limit else 0)
        + 94 * SECOND
        + 3 * (failover.deadline_us + policy.messages.deliver_timeout_us)
    )


def lift(rim: Rim, setting: Setting) -> bool:
    """Lift what people have laid upon the fleet; return whether nothing was left to lift.

    Where a failover waits for a person there is always one more to come.
    """
    is_lifted = True
    if rim.driver.working.fleet.pause_until_us:
        is_lifted = False
        rim.observe(ev.Resumed(author=AUTHOR), FLEET)
    for group in setting.groups():
        is_lifted = _lift(rim, group) and is_lifted
    return is_lifted


def _lift(rim: Rim, setting: GroupSetting) -> bool:
    part = rim.driver.working.groups.get(setting.id)
    if part is None:
        return False
    missing = set(setting.names()) - set(part.masters)
    is_lifted = not missing
    if missing:
        rim.offer_file()
        _add(rim, missing - set(part.masters))
    if part.pause_until_us:
        is_lifted = False
        rim.observe(ev.Resumed(author=AUTHOR), setting.id)
    for name in [name for name, master in part.masters.items() if master.is_excluded]:
        is_lifted = False
        rim.observe(ev.ExclusionAsked(excluded=False, reason="healed", author=AUTHOR), name)
    for name in [name for name, master in part.masters.items() if master.is_drained]:
        is_lifted = False
        rim.observe(ev.DrainAsked(drained=False, reason="healed", author=AUTHOR), name)
    if part.scheduled is not None:
        is_lifted = False
        rim.observe(ev.ScheduleCancelled(author=AUTHOR), setting.id)
    if part.saga is not None and part.saga.phase is Phase.SELECTING and not part.saga.is_approved:
        rim.observe(ev.Approved(author=AUTHOR), setting.id)
    return is_lifted and setting.policy.automation is not Automation.CONFIRM


def _add(rim: Rim, names: set[str]) -> None:
    """Take back those that a command has removed: no file that is known already brings them."""
    for master in rim.declared():
        if master.id in names and master.id not in rim.driver.working.cache.places:
            rim.observe(ev.MasterAddAsked(master=master, author=AUTHOR), FLEET)


def is_at_rest(state: State, setting: Setting, masters: dict[str, SimulatedMaster]) -> bool:
    """Return whether all is served, all is done, and nothing is under way."""
    return all(_is_at_rest(state, group, masters) for group in setting.groups())


def _is_at_rest(state: State, setting: GroupSetting, masters: dict[str, SimulatedMaster]) -> bool:
    part = state.groups.get(setting.id)
    if part is None or not part.masters or part.saga is not None or part.rollback is not None:
        return False
    members = part.masters.values()
    if any(master.health is not Health.HEALTHY for master in members):
        return False
    if not setting.acts:
        return True  # who else moves roles there may undo what was asked of the engine
    if part.ledger.open or any(master.fence is not None for master in members):
        return False
    if not setting.is_standby:
        return all(master.role is Role.ACTIVE and not master.promote_owed for master in members)
    return _is_served(part, masters)


def _is_served(part: GroupState, masters: dict[str, SimulatedMaster]) -> bool:
    active = active_of(part)
    if not active:
        return False
    master = part.masters[active]
    is_told = part.switch_epoch == master.epoch and not master.promote_owed
    if not is_told or masters[active].epoch != master.epoch:
        return False
    return not any(strays(part, active, name, masters[name]) for name in part.masters)


def strays(part: GroupState, active: str, name: str, master: SimulatedMaster) -> bool:
    """Return whether a standby, in a group that replicates, follows another than the active."""
    return master.speaks and part.masters[name].role is Role.STANDBY and master.follows != active
