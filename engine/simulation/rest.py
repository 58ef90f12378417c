"""The end of all faults: what people lift then, and when the world is at rest."""

from engine.core import events as ev
from engine.core.events import FLEET
from engine.core.fleet import Health, Role
from engine.core.policy import Automation
from engine.core.state import GroupState, Phase, State, active_of
from engine.simulation.masters import SimulatedMaster
from engine.simulation.operators import AUTHOR
from engine.simulation.rim import Rim
from engine.simulation.schedule import GroupSetting, Setting


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


def is_detected(state: State, setting: Setting) -> bool:
    """Return whether every master is known to be healthy."""
    return all(
        group.id in state.groups
        and len(state.groups[group.id].masters) == group.masters
        and all(one.health is Health.HEALTHY for one in state.groups[group.id].masters.values())
        for group in setting.groups()
    )


def is_served(state: State, setting: Setting, masters: dict[str, SimulatedMaster]) -> bool:
    """Return whether whoever has to serve does; who else moves roles may undo what an engine did.

    So that is not asked of a group that is only observed.
    """
    return all(
        not group.acts
        or (group.id in state.groups and _serves(state.groups[group.id], group, masters))
        for group in setting.groups()
    )


def is_drained(state: State, setting: Setting) -> bool:
    """Return whether all is done, and nothing is under way."""
    for group in setting.groups():
        part = state.groups.get(group.id)
        if part is None or part.saga is not None or part.rollback is not None:
            return False
        if group.acts and part.ledger.open:
            return False
        if group.acts and any(master.fence is not None for master in part.masters.values()):
            return False
    return True


def _serves(part: GroupState, setting: GroupSetting, masters: dict[str, SimulatedMaster]) -> bool:
    if setting.is_standby:
        return _is_served(part, masters)
    members = part.masters.values()
    return all(master.role is Role.ACTIVE and not master.promote_owed for master in members)


def _is_served(part: GroupState, masters: dict[str, SimulatedMaster]) -> bool:
    active = active_of(part)
    if not active:
        return False
    master = part.masters[active]
    is_told = part.switch_epoch == master.epoch and not master.promote_owed
    if not is_told or masters[active].epoch != master.epoch or masters[active].role != "active":
        return False
    return not any(strays(part, active, name, masters[name]) for name in part.masters)


def strays(part: GroupState, active: str, name: str, master: SimulatedMaster) -> bool:
    """Return whether a standby, in a group that replicates, follows another than the active."""
    return master.speaks and part.masters[name].role is Role.STANDBY and master.follows != active
