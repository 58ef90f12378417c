"""Calm: masters whose good probes, like their last ones, call for no decision.

Nine of ten observations are such, so what they cost is what a fleet costs. Whether one is calm
follows from the state alone; which ones are is kept in a cache, and forgotten of a whole group when
something happens in it.

A group is settled when all there was to do was done after whatever happened in it. Then all its
masters that are at peace are calm at once: what happens to one of a thousand must not make all the
others be judged anew, each at the price of all.
"""

from engine.core import candidates, detection
from engine.core import events as ev
from engine.core.blocking import want
from engine.core.fleet import ACTIVE, HEALTHY, Role
from engine.core.policy import Automation
from engine.core.state import GroupState, MasterState, Place, State, is_active_standby


def is_calm(state: State, group: GroupState, master: MasterState) -> bool:
    """Return whether a good probe of `master` like its last one calls for no decision."""
    if (
        master.health is not HEALTHY
        or master.fence is not None
        or master.is_unjudged
        or master.excused_seq == master.good_seq  # the same answer again will be judged
        or master.failures
        or master.question
        or master.poor
        or master.disagree_seq
        or (master.flaps is not None and master.flaps.since_seq)
        or any(eye.failures or eye.question for eye in master.eyes.values())
        or state.fleet.doubt_seq
        or master.is_excluded
        or master.is_drained
        or group.saga is not None
        or group.rollback is not None
    ):
        return False
    if not is_active_standby(state, group):
        return master.role is ACTIVE and not master.lost_seq
    if candidates.is_stray(master):
        return False
    says_active = master.reported_role == candidates.ACTS
    is_active = master.role is ACTIVE
    if detection.follows_reports(state, group) and says_active != is_active:
        return False
    if is_active and master.reported_role in (Role.STANDBY.value, Role.FENCED.value):
        return False
    is_told = state.policy_of(group).automation is not Automation.OBSERVE
    return want(group) is None and not (is_told and master.promote_owed)


def look_whether_calm(state: State, place: Place, subject: str) -> bool:
    """Return whether a master is calm; who is at peace in a group that is settled becomes so."""
    if subject in place.calm:
        return True
    if not place.calm.is_settled or not is_calm(state, place.group, place.master):
        return False
    place.calm.add(subject)
    return True


def is_quiet(state: State, event: ev.ProbeOk, *, subject: str, at_us: int) -> bool:
    """Return whether `step` would append this good probe alone; if so, to evolve it is all.

    Whoever reads a log back takes nine of ten events so, at half of what a step costs.
    """
    place = state.cache.places.get(subject)
    if place is None or not place.is_plain or event.observer or state.cache.dues.next_us <= at_us:
        return False
    master = place.master
    return (
        event.epoch == master.reported_epoch
        and event.boot == master.boot
        and event.role == master.reported_role
        and (subject in place.calm or look_whether_calm(state, place, subject))
    )
