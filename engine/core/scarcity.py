"""Which good probes are worth their space while the disk is full.

A good probe that changes nothing is nine tenths of a log. While space is short it is recorded only
as far as a decision needs it:

Rule 1: it tells something: its master is not plainly well, or it does not answer as the last time.

Rule 2: whoever could be heir has to be fresh: the active of its group is failing, failed or gone,
or a failover or a rollback is open.

Rule 3: without it the master would become unknown before the next one is sure to be there, or it
was not heard since the engine began.

Rule 4: a detector that learns how regularly a master answers (phi) needs each answer: what is left
out would be silence to it, and one lost probe a verdict.

What is left out was not seen, as far as the log knows. So no decision rests on it, and replay gives
what was decided.
"""

from engine.core.calm import is_calm
from engine.core.events import Observation, ProbeOk
from engine.core.fleet import Role
from engine.core.state import GroupState, MasterState, State, active_of, is_active_standby


def matters(state: State, subject: str, event: Observation, at_us: int) -> bool:
    """Return whether `event` about `subject` is recorded while space is short.

    Everything is but the good probes that no decision needs.

    Args:
        state: The working state, which `event` was not taken into.
        subject: The master, the group or the fleet that it is about; of a probe, a known master.
        event: What was observed.
        at_us: Engine time [us].
    """
    if not isinstance(event, ProbeOk):
        return True
    place = state.cache.places[subject]
    group, master = place.group, place.master
    return (
        state.policy_of(group).probe.phi is not None
        or not is_calm(state, group, master)
        or _is_news(master, event)
        or _is_judged(state, group, master)
        or _is_in_doubt(state, group)
        or _would_be_missed(state, group, master, at_us)
    )


def _is_news(master: MasterState, event: ProbeOk) -> bool:
    """Return whether the answer differs from the last one."""
    said = (event.boot, event.epoch, event.role)
    return said != (master.boot, master.reported_epoch, master.reported_role)


def _is_judged(state: State, group: GroupState, master: MasterState) -> bool:
    """Return whether the same answer may be judged otherwise by now.

    So it is while a master answers under another epoch than the one that it is told.
    """
    policy = state.policy_of(group)
    if policy.effects == "none":
        return False  # it was told none
    acts = master.role is Role.ACTIVE or master.role is Role.DRAINING
    return acts and master.reported_epoch not in (None, master.epoch)


def _is_in_doubt(state: State, group: GroupState) -> bool:
    """Return whether the active of `group` may have to be replaced soon.

    That it has to be is no calm any more; here are the signs before that.
    """
    if not is_active_standby(state, group):
        return False  # each serves and is judged by itself: nobody is heir
    active = group.masters[active_of(group)]  # there is one: the group is calm
    return bool(active.failures or active.question or active.poor)


def _would_be_missed(state: State, group: GroupState, master: MasterState, at_us: int) -> bool:
    """Return whether the master has to be heard again by now."""
    if master.good_us <= state.fleet.started_us:
        return True
    probe = state.policy_of(group).probe
    if not probe.unknown_after_us:
        return False  # it never becomes unknown by silence
    silent_us = at_us - master.heard_us
    next_us = silent_us + probe.interval_us + probe.timeout_us  # the next answer comes until then
    return 2 * silent_us >= probe.unknown_after_us or next_us >= probe.unknown_after_us
